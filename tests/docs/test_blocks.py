"""Every block of code in the README and the documents runs."""

import shlex
from pathlib import Path

import pytest

from napari_sam.cli.main import main
from napari_sam.cli.parser import make_parser
from napari_sam.prediction.predictor import Predictor
from tests.docs.documents import (
    DOCUMENTS,
    blocks,
    commands,
    documents_with,
    names_in_documents,
    prepare_folder,
)
from tests.helpers.command_line import load_always

# These take minutes, download, or need weights that no package has; they are parsed.
LONG = {"train", "export", "download", "demo"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    prepare_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.weights
@pytest.mark.parametrize("name", documents_with("python"))
def test_scripts_run(name: str, folder: Path, request: pytest.FixtureRequest) -> None:
    names = names_in_documents() | {"__name__": "document"}
    for block in blocks(name, "python"):
        exec(compile(block, name, "exec"), names)


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if commands(name)])
def test_commands_parse(name: str) -> None:
    for line in commands(name):
        make_parser().parse_args(shlex.split(line, comments=True)[1:])


@pytest.mark.weights
@pytest.mark.parametrize("name", [name for name in DOCUMENTS if commands(name)])
def test_commands_run(
    name: str,
    folder: Path,
    default_predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_always(monkeypatch, default_predictor)
    for line in commands(name):
        arguments = shlex.split(line, comments=True)[1:]
        if arguments[0] in LONG or "cells.safetensors" in arguments:
            continue
        has_output = make_parser().parse_args(arguments).__dict__.get("overwrite")
        overwrite = [] if has_output is None else ["--overwrite"]
        assert main([*arguments, *overwrite]) == 0, line
