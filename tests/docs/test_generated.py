"""What the code offers stands in the documents: names, options, keys, errors."""

import ast
import inspect
import re

import pytest
from docs.generator.commands import commands_page, option_names, verbs
from docs.generator.errors import errors_page, sentences
from docs.generator.links import PAGES, REPOSITORY, rewrite
from docs.generator.raises import SOURCE, said_by_raises
from docs.generator.tables import keys_page, models_page

import napari_sam
from napari_sam import segment_anything
from napari_sam.checkpoints.registry import MODELS
from napari_sam.plugin.panels.buttons import BUTTONS
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.state.settings import SessionSettings, Setting
from tests.docs.documents import ROOT

# These pass on the sentence of another error, or are a part of one.
PASSED_ON = {
    "ImageFailedError(last.problem)",
    "LockedError(editor.read_only)",
    "RuntimeError(str(error))",
    "SourceError(_network_reason(url, error))",
    "ValueError(opened.read_only)",
    "ValueError(self._damage)",
    "ValueError(str(error))",
    "_CallbackError(reason)",
}
API = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")


def test_every_setting_of_a_session_is_described() -> None:
    text = inspect.getdoc(SessionSettings) or ""
    for name in (n for n, thing in vars(SamSession).items() if type(thing) is Setting):
        member = inspect.getattr_static(SessionSettings, name, None)
        is_listed = re.search(rf"^[\w, ]*\b{name}\b[\w, ]* : ", text, flags=re.M)
        assert is_listed or inspect.getdoc(member), name


def test_every_public_name_has_a_page() -> None:
    listed = re.findall(r"^   (\w+)$", API, flags=re.MULTILINE)
    in_words = set(re.findall(r"`(?:napari_sam\.segment_anything\.)?(\w+)`", API))
    builders = {n for n in segment_anything.__all__ if n.startswith(("build", "sam_"))}
    public = {*napari_sam.__all__, *segment_anything.__all__} - (builders & in_words)
    assert sorted(public - set(listed)) == []
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("verb", verbs())
def test_every_option_is_described(verb: str) -> None:
    page = commands_page()
    section = page.partition(f"## {verb}\n")[2].partition("\n## ")[0]
    names = option_names(verbs()[verb])
    assert [name for name in names if f"`{name}`" not in section] == []
    assert "\n: \n" not in section  # each has a help text


def test_every_key_and_button_is_described() -> None:
    page = keys_page()
    for button in BUTTONS.values():
        assert button.text in page and button.tooltip in page
        assert not button.key or f"**{button.key}**" in page


def test_every_model_is_listed() -> None:
    page = models_page()
    for model in MODELS.values():
        assert f"`{model.name}`" in page and model.hash in page


def test_errors_say_what_to_do() -> None:
    found = sentences()
    assert sum(map(len, found.values())) > 300
    page = errors_page()
    for heading, group in found.items():
        assert f"## {heading}" in page
        for sentence in group:
            words = re.findall(r"[^\W\d_]{3,}", sentence.problem)
            assert all(word in page for word in words)


def test_each_raise_of_a_composed_sentence_is_understood() -> None:
    silent = set()
    for path, said in said_by_raises().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
                continue
            text = node.exc.args[0] if node.exc.args else ast.Constant("")
            is_composed = not isinstance(text, ast.Constant | ast.JoinedStr)
            if is_composed and not said[node.lineno]:
                silent.add(ast.unparse(node.exc))
    assert silent == PASSED_ON


def test_each_full_sentence_in_a_raise_is_listed() -> None:
    page = re.sub(r"[\W_]+", " ", errors_page())
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
                continue
            for text in map(ast.literal_eval, filter(_is_sentence, node.exc.args[:1])):
                assert re.sub(r"[\W_]+", " ", text).strip() in page, text


def _is_sentence(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and str(node.value).endswith(".")


@pytest.mark.parametrize(
    ("problem", "cure"),
    [
        # A function with a default, a constant, a branch, and both sides of a sum.
        ("The labels layer … is hidden", "make the layer visible."),
        ("The labels layer … is multiscale", "choose '(new layer)' or another one."),
        ("A model is training", "wait, or stop it in the training panel."),
        ("The prompts … are hidden", "show the layer."),
        ("… is incomplete or damaged (…)", "save the record again."),
        ("… is not a key", "write a letter, such as W or Shift+S."),
    ],
)
def test_sentences_that_are_put_together_are_listed(problem: str, cure: str) -> None:
    assert (problem, cure) in {
        tuple(s) for group in sentences().values() for s in group
    }


def test_a_known_error_is_split_into_problem_and_cure() -> None:
    both = [(s.problem, s.cure) for group in sentences().values() for s in group]
    assert (
        "The prompt has only background points",
        "add a point on the object or a box around it.",
    ) in both


@pytest.mark.parametrize(
    ("text", "folder", "expected"),
    [
        ("[a](docs/zoom.md)", ".", "[a](/zoom.md)"),
        ("[a](docs/zoom.md#cost)", ".", "[a](/zoom.md#cost)"),
        ("[a](../CONTRIBUTING.md)", "docs", "[a](/contribute/contributing.md)"),
        ("[a](LICENSE)", ".", f"[a]({REPOSITORY}/blob/main/LICENSE)"),
        ("[a](adr/0014-zoom.md)", "docs", "[a](/adr/0014-zoom.md)"),
        ("![a](images/x.png)", "docs", "![a](/images/x.png)"),
        ("[a](https://napari.org) [b](#c)", "docs", "[a](https://napari.org) [b](#c)"),
    ],
)
def test_links_that_leave_the_site(text: str, folder: str, expected: str) -> None:
    assert rewrite(text, folder) == expected


def test_pages_for_files_of_the_repository_exist() -> None:
    for file, page in PAGES.items():
        assert (ROOT / file).exists() and (ROOT / "docs" / page).exists()


def test_addresses_are_the_same_everywhere() -> None:
    for name in ("pyproject.toml", "CITATION.cff", "docs/get-started/install.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        found = re.findall(r"https://github\.com/[\w-]+/napari-sam(?![\w-])", text)
        assert set(found) == {REPOSITORY}
