"""The documents, their blocks of code, and what the blocks expect to find."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import numpy as np
from skimage.io import imsave
from tifffile import imwrite

import napari_sam as ns
from napari_sam import samples

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")),
]


def all_blocks(name: str) -> list[tuple[str, str]]:
    """Return (language, text) of the fenced blocks of a document that can run."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.findall(r"^( *)```(python|sh)\n(.*?)```", text, flags=re.DOTALL | re.M)
    return [(language, dedent(indent + block)) for indent, language, block in found]


def commands_in(block: str) -> list[str]:
    """Return the lines of a block that call `napari-sam`."""
    lines = (line.strip() for line in block.splitlines())
    return [line for line in lines if line.startswith("napari-sam ")]


def prepare_folder(folder: Path) -> None:
    """Write the files that blocks and commands name."""
    volume, _ = samples.head()
    labels = samples.coin_labels()[:160, :240]
    imwrite(folder / "cells.tif", samples.coins()[:160, :240])
    imwrite(folder / "new.tif", samples.coins()[:160, :240])
    imwrite(folder / "cells_labels.tif", labels.astype(np.uint16))
    for name in ("stack.tif", "ct.tif"):
        imwrite(
            folder / name,
            volume,
            photometric="minisblack",
            metadata={"axes": "ZYX"},
        )
    movie = samples.moving_cells(3, 128)
    imwrite(
        folder / "movie.tif",
        movie,
        photometric="minisblack",
        metadata={"axes": "TYX"},
    )
    for place in ("images", "labels"):
        (folder / place).mkdir()
    for name in ("a.tif", "b.tif"):
        imwrite(folder / "images" / name, samples.coins()[:160, :240])
        imwrite(folder / "labels" / name, labels.astype(np.uint16))
    (folder / "points.csv").write_text(
        "index,axis-0,axis-1,axis-2,object\n0,16,50,62,1\n"
    )
    corners = ((32, 52), (32, 75), (70, 75), (70, 52))
    rows = [f"0,rectangle,{n},14,{r},{c},1" for n, (r, c) in enumerate(corners)]
    heads = "index,shape-type,vertex-index,axis-0,axis-1,axis-2,object"
    (folder / "boxes.csv").write_text("\n".join((heads, *rows)) + "\n")
    ns.export_labels(labels, folder / "RoiSet.zip", format="imagej")
    car = np.dstack([samples.coins()[:64, :64]] * 3)
    imsave(folder / "car.png", car, check_contrast=False)
    (folder / "prompts").mkdir()
    for name in ("a.json", "b.json"):
        (folder / "prompts" / name).write_text('[{"box": [20, 20, 60, 70]}]')
    data = ROOT / "tests" / "data"
    for name in ("sam-vit-base", "facebook/sam-vit-base"):
        shutil.copytree(data / "hf_sam_small", folder / name)
        processor = ns.SamProcessor.from_pretrained(folder / name, family="sam")
        processor.save_pretrained(folder / name)
    shutil.copy(data / "sam_small.pth", folder / "my_sam.pth")


def names_in_documents() -> dict[str, Any]:
    """Return the variables that blocks use without making them."""
    volume, _ = samples.head()
    coins, labels = samples.coins(), samples.coin_labels()
    corners = np.array([(28, 127), (28, 178), (73, 178), (73, 127)])
    return {
        "np": np,
        "ns": ns,
        "image": coins[:160, :240],
        "plane": coins[:160],
        "large": samples.nuclei(1300),
        "planes": [coins[:90, :130], coins[90:180, :130]],
        "labels": labels,
        "stack": volume,
        "ct": volume,
        "corrected": volume[17] > volume[17].mean(),
        "first": coins[:160],
        "first_labels": labels[:160],
        "second": coins[160:],
        "second_labels": labels[160:],
        "shapes_layer": SimpleNamespace(data=[corners]),
    }
