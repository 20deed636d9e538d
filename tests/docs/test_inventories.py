"""The small inventories hold the names that the docstrings link to, and no others."""

import zlib
from importlib import import_module

import pytest
from docs.generator.inventories import (
    ALIASES,
    FOLDER,
    PROJECTS,
    addresses,
    inventory,
    mapping,
)

import napari_sam


def lines_of(content: bytes) -> list[str]:
    """Return the compressed lines that follow the four lines of text."""
    return zlib.decompress(content.split(b"\n", 4)[4]).decode().splitlines()


@pytest.mark.parametrize("project", PROJECTS)
def test_the_files_hold_the_names_of_the_table(project: str) -> None:
    kept = (FOLDER / f"{project}.inv").read_bytes()
    _, targets = PROJECTS[project]
    assert lines_of(kept) == lines_of(inventory(project, targets))
    assert len(lines_of(kept)) == len(targets)


def test_each_project_has_an_inventory_in_the_repository() -> None:
    assert set(mapping()) == {"python", *PROJECTS}
    for root, file in mapping().values():
        assert root.startswith("https://") and root.endswith("/")
        with open(file, "rb") as stream:
            assert stream.readline() == b"# Sphinx inventory version 2\n"


def test_the_names_exist() -> None:
    for _, targets in PROJECTS.values():
        for name, kind, _ in targets:
            if kind == "py:class":
                module, _, attribute = name.rpartition(".")
                assert isinstance(getattr(import_module(module), attribute), type)


def test_types_of_the_package_are_linked_by_their_public_names() -> None:
    classes = {
        n for n in napari_sam.__all__ if isinstance(getattr(napari_sam, n), type)
    }
    assert {name: ALIASES.get(name) for name in classes} == {
        name: f"napari_sam.{name}" for name in classes
    }


@pytest.mark.parametrize(
    ("root", "page"),
    [
        ("numpy.org/doc", "reference/generated/numpy.ndarray.html#numpy.ndarray"),
        ("numpy.org/doc", "glossary.html#term-array_like"),
        ("docs.pytorch.org/docs", "tensors.html#torch.Tensor"),
        ("napari.org", "api/napari.layers.Labels.html#napari.layers.Labels"),
    ],
)
def test_addresses_are_whole(root: str, page: str) -> None:
    assert f"https://{root}/stable/{page}" in addresses()
