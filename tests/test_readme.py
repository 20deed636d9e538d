"""What the README and the examples promise is what runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^#+ (.+)$", README, flags=re.MULTILINE)


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_gate_runs_exactly_the_test_command() -> None:
    command = next(b for b in code_blocks("sh") if b.strip().endswith("tox"))
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert gate.rstrip().splitlines()[-1] == command.strip()


def test_pictures_and_links_exist() -> None:
    local = [
        target
        for target in re.findall(r"\]\(([^)]+)\)", README)
        if not target.startswith("http")
    ]
    assert "docs/images/coins.png" in local
    places = {f"#{title.lower().replace(' ', '-')}" for title in HEADINGS}
    missing = [t for t in local if t not in places and not (ROOT / t).exists()]
    assert missing == []


def test_the_commands_are_those_of_the_program() -> None:
    from napari_sam.cli.parser import make_parser

    lines = "\n".join(code_blocks("sh")).splitlines()
    commands = [line for line in lines if line.startswith("napari-sam ")]
    verbs = {
        make_parser().parse_args(shlex.split(line, comments=True)[1:]).verb
        for line in commands
    }
    assert verbs == {"models", "segment", "volume", "everything", "replay", "train"}


def test_every_model_is_in_the_table() -> None:
    from napari_sam.checkpoints.registry import MODELS

    assert [name for name in MODELS if f"`{name}`" not in README] == []


@pytest.mark.weights
def test_the_script_of_the_readme_runs() -> None:
    script = code_blocks("python")[0]
    output = run(["-c", script])
    assert output == "2 objects\n"


@pytest.mark.weights
@pytest.mark.parametrize(
    "example", sorted(p.name for p in (ROOT / "examples").glob("*.py"))
)
def test_examples_run(example: str) -> None:
    assert run([str(ROOT / "examples" / example)])


def run(arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
