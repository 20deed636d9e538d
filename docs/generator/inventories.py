"""Names in the documentation of other projects, so that links to them need no network.

`python.inv` is the whole inventory of Python's documentation (licence PSF-2.0), as
Debian's package python3.11-doc (3.11.2) ships it. The others are small: they hold the
names below, with their public addresses. Write them again by
`python -m docs.generator.inventories`.
"""

import zlib
from pathlib import Path
from typing import NamedTuple

import napari_sam

FOLDER = Path(__file__).parents[1] / "inventories"


class Target(NamedTuple):
    """A name of another documentation, and the page that explains it."""

    name: str
    kind: str
    page: str

    @property
    def place(self) -> str:
        """The place within the page, as Sphinx writes it."""
        return f"term-{self.name}" if self.kind == "std:term" else self.name


def generated(name: str, folder: str) -> Target:
    """Return a class that has a page of its own."""
    return Target(name, "py:class", f"{folder}/{name}.html")


# {project: (root of its documentation, names)}
PROJECTS = {
    "numpy": (
        "https://numpy.org/doc/stable/",
        [
            Target("array_like", "std:term", "glossary.html"),
            generated("numpy.ndarray", "reference/generated"),
        ],
    ),
    "torch": (
        "https://docs.pytorch.org/docs/stable/",
        [
            Target("torch.Tensor", "py:class", "tensors.html"),
            Target("torch.device", "py:class", "tensor_attributes.html"),
            Target("torch.dtype", "py:class", "tensor_attributes.html"),
        ],
    ),
    "napari": (
        "https://napari.org/stable/",
        [
            generated("napari.Viewer", "api"),
            generated("napari.components.ViewerModel", "api"),
            generated("napari.layers.Image", "api"),
            generated("napari.layers.Labels", "api"),
            generated("napari.layers.Points", "api"),
            generated("napari.layers.Shapes", "api"),
        ],
    ),
    "pillow": (
        "https://pillow.readthedocs.io/en/stable/",
        [Target("PIL.Image.Image", "py:class", "reference/Image.html")],
    ),
}
PYTHON = "https://docs.python.org/3/"

# How types are called in docstrings; numpydoc knows those of Python and NumPy.
ALIASES = {
    "Image": "napari.layers.Image",
    "Labels": "napari.layers.Labels",
    "PIL.Image": "PIL.Image.Image",
    "Path": "pathlib.Path",
    "SamSession": "napari_sam.plugin.session.SamSession",
    "SessionSettings": "napari_sam.plugin.state.settings.SessionSettings",
    "Points": "napari.layers.Points",
    "Shapes": "napari.layers.Shapes",
    "Tensor": "torch.Tensor",
    "ViewerModel": "napari.components.ViewerModel",
    "mapping": ":term:`python:mapping`",
    **{
        name: f":class:`{name}`"
        for _, targets in PROJECTS.values()
        for name, kind, _ in targets
        if kind == "py:class"
    },
    **{
        error.__name__: f":exc:`python:{error.__name__}`"
        for error in (
            BlockingIOError,
            FileExistsError,
            FileNotFoundError,
            KeyError,
            MemoryError,
            ModuleNotFoundError,
            OSError,
            RuntimeError,
            TypeError,
            ValueError,
        )
    },
    **{name: f"napari_sam.{name}" for name in napari_sam.__all__ if name[0].isupper()},
}


def mapping() -> dict[str, tuple[str, str]]:
    """Return {project: (root of its documentation, inventory)}, as intersphinx asks."""
    roots = {"python": PYTHON} | {name: root for name, (root, _) in PROJECTS.items()}
    return {name: (root, str(FOLDER / f"{name}.inv")) for name, root in roots.items()}


def addresses() -> list[str]:
    """Return the addresses of the small inventories."""
    return [
        f"{root}{target.page}#{target.place}"
        for root, targets in PROJECTS.values()
        for target in targets
    ]


def inventory(project: str, targets: list[Target]) -> bytes:
    """Write names as Sphinx reads them: four lines of text, the rest compressed."""
    head = (
        "# Sphinx inventory version 2\n"
        f"# Project: {project}\n"
        "# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    lines = [f"{t.name} {t.kind} 1 {t.page}#{t.place} -\n" for t in targets]
    return head.encode() + zlib.compress("".join(lines).encode(), 9)


def main() -> None:
    for project, (_, targets) in PROJECTS.items():
        (FOLDER / f"{project}.inv").write_bytes(inventory(project, targets))


if __name__ == "__main__":
    main()
