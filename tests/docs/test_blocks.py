"""Every block of code in the README and the documents runs, page by page."""

import ast
import shlex
from pathlib import Path

import pytest

from napari_sam.cli.main import main
from napari_sam.cli.parsing.parser import make_parser
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.predictor import Predictor
from tests.docs.documents import (
    DOCUMENTS,
    all_blocks,
    commands_in,
    names_in_documents,
    prepare_folder,
)
from tests.helpers.command_line import load_always
from tests.helpers.models import World

# It takes long, and tests/cli/test_demo.py runs it; here it is parsed.
LONG = {"demo"}
# These train or convert any weights alike: a small network is done in seconds.
ANY_WEIGHTS = {"train": ["--steps", "5"], "export": []}
# Pages whose stacks and series would keep the real network busy for minutes. The script
# of the README runs with real weights in tests/test_readme.py.
WITH_STAND_IN = {
    "README.md",
    "docs/get-started/first-stack.md",
    "docs/how-to/cluster.md",
    "docs/how-to/many-images.md",
    "docs/how-to/medical.md",
    "docs/how-to/stacks.md",
    "docs/series.md",
}
# Pages that train: a small network with random weights learns as fast as is possible.
WITH_SMALL_MODEL = {"docs/how-to/train.md"}
# Weights of ViT-B, and processes that other tests start: blocks with them are compiled,
# and their imports run.
NOT_HERE = ("sam_vit_b_01ec64.pth", "Parallel(n_jobs", "scheduler=4", "local:4")
WITH_CODE = [name for name in DOCUMENTS if all_blocks(name)]


def run_command(line: str) -> None:
    """Run a command in this process, unless it is long."""
    arguments = shlex.split(line, comments=True)[1:]
    options = make_parser().parse_args(arguments)
    if options.verb in LONG:
        return
    with pytest.MonkeyPatch.context() as patch:
        if options.verb in ANY_WEIGHTS:
            load_always(patch, load_model("my_sam.pth", family="sam"))
            arguments += ANY_WEIGHTS[options.verb]
        assert main(arguments) == 0, line


def runnable(block: str) -> ast.Module:
    """Return a block without what cannot run here."""
    tree = ast.parse(block)
    if any(text in block for text in NOT_HERE):
        imports = (ast.Import, ast.ImportFrom)
        tree.body = [node for node in tree.body if isinstance(node, imports)]
    return tree


def run_page(name: str) -> None:
    names = names_in_documents() | {"__name__": "document"}
    blocks = all_blocks(name)
    commands = [
        line for kind, text in blocks if kind == "sh" for line in commands_in(text)
    ]
    first = next((line for line in commands if "cells" in line), "")
    if "cells_labels" not in first:  # the page makes this file, and replaces none
        Path("cells_labels.tif").unlink()
    for language, block in blocks:
        if language == "python":
            exec(compile(runnable(block), name, "exec"), names)
        for line in commands_in(block) if language == "sh" else ():
            run_command(line)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_folder(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.weights
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "name", sorted(set(WITH_CODE) - WITH_STAND_IN - WITH_SMALL_MODEL)
)
def test_page_runs(
    name: str, default_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_always(monkeypatch, default_predictor)
    run_page(name)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", sorted(WITH_STAND_IN))
def test_page_runs_with_a_stand_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load_always(monkeypatch, World())
    run_page(name)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", sorted(WITH_SMALL_MODEL))
def test_page_runs_with_a_small_model(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_always(monkeypatch, load_model("my_sam.pth", family="sam"))
    run_page(name)
