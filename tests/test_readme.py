"""The README: commands, links, names and scripts that run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {f"#{heading.lower().replace(' ', '-')}" for heading in headings}


def test_ci_runs_exactly_the_test_command() -> None:
    command = next(b for b in code_blocks("sh") if b.strip().endswith("tox"))
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert gate.rstrip().splitlines()[-1] == command.strip()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_pictures_and_links_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", text)
    local = [target for target in targets if not target.startswith("http")]
    assert local
    known = anchors(text)
    assert [t for t in local if t not in known and not (ROOT / t).exists()] == []


def test_commands_parse() -> None:
    from napari_sam.cli.parsing.parser import make_parser

    lines = "\n".join(code_blocks("sh")).splitlines()
    commands = [line for line in lines if line.startswith("napari-sam ")]
    verbs = {
        make_parser().parse_args(shlex.split(line, comments=True)[1:]).verb
        for line in commands
    }
    assert verbs == {
        *("segment", "volume", "everything", "batch", "export-labels", "train", "info"),
    }


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_every_model_is_in_the_table() -> None:
    from napari_sam.checkpoints.registry import MODELS

    assert [name for name in MODELS if f"`{name}`" not in README] == []


DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")),
]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_named_in_documents_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    files = set(re.findall(r"`(\w[\w./-]*/[\w.-]+\.(?:py|md|npz|csv))`", text))
    roots = (ROOT, ROOT / "src", ROOT / "src" / "napari_sam")
    assert [f for f in files if not any((root / f).exists() for root in roots)] == []


@pytest.mark.weights
def test_script_runs_in_a_fresh_interpreter() -> None:
    done = subprocess.run(
        [sys.executable, "-c", code_blocks("python")[0]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 objects\n"
