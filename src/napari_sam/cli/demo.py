"""`napari-sam demo`: segment sample images, write labels and pictures."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam import samples
from napari_sam.api.stacks import segment_volume
from napari_sam.images.reading.image_file import ImageFile
from napari_sam.images.uint8 import to_uint8
from napari_sam.images.writing import write_labels
from napari_sam.masks.painting import labels_from_patches
from napari_sam.masks.patch import label_outlines, mask_iou
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Predictor

# Palette of Okabe and Ito, for colour-blind readers too.
_PALETTE = np.array(
    [
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
    ],
    np.uint8,
)
_OUTLINE_ZOOM = 2
_SHEET_COLUMNS = 6


def run_demo(predictor: Predictor, folder: Path) -> Iterator[str]:
    """Segment coins, a cell and a stack; yield a line about each.

    Parameters
    ----------
    predictor : Predictor
        The model.
    folder : Path
        Folder for ``*_labels.tif`` and ``*_overlay.png``; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    yield f"model {predictor.name} on {predictor.device}, writing to {folder}/"
    yield from _demo_coins(predictor, folder)
    yield from _demo_cell(predictor, folder)
    yield from _demo_head(predictor, folder)
    yield "Open the PNG files to look at the outlines, or the TIFF files in napari."


def _demo_coins(predictor: Predictor, folder: Path) -> Iterator[str]:
    image, reference = samples.coins(), samples.coin_labels()
    start = perf_counter()
    embedding = predictor.embed(image)
    encoding = perf_counter() - start
    boxes = [Prompt(box=box) for box in samples.coin_boxes()]
    clicks = [Prompt(points=[centre]) for centre in samples.coin_centres()]
    for name, prompts in (("boxes", boxes), ("clicks", clicks)):
        start = perf_counter()
        predictions = predictor.predict_batch(embedding, prompts)
        seconds = perf_counter() - start
        ious = [
            mask_iou(prediction.mask, reference == label)
            for label, prediction in enumerate(predictions, start=1)
        ]
        labels = labels_from_patches([p.patch for p in predictions], embedding.shape)
        _write(folder / f"coins_{name}", image, labels, ImageFile(image, "YX"))
        yield (
            f"coins, {name}: {len(ious)} objects, mean IoU {np.mean(ious):.3f} with "
            f"thresholding, encoded in {encoding:.1f} s, segmented in {seconds:.1f} s"
        )


def _demo_cell(predictor: Predictor, folder: Path) -> Iterator[str]:
    image = samples.cell()
    start = perf_counter()
    embedding = predictor.embed(image)
    prediction = predictor.predict(embedding, Prompt(points=[samples.CELL_CENTRE]))
    seconds = perf_counter() - start
    labels = labels_from_patches([prediction.patch], embedding.shape)
    _write(folder / "cell_click", image, labels, ImageFile(image, "YX"))
    yield (
        f"cell, one click: {np.count_nonzero(labels)} pixels, score "
        f"{prediction.score:.2f}, in {seconds:.1f} s"
    )


def _demo_head(predictor: Predictor, folder: Path) -> Iterator[str]:
    volume, spacing = samples.head()
    start = perf_counter()
    result = segment_volume(volume, samples.head_prompts(), model=predictor)
    seconds = perf_counter() - start
    slices = [s.index for s in result.slices if s.status != "stopped"]
    sizes = dict(zip("ZYX", spacing, strict=True))
    like = ImageFile(volume, "ZYX", sizes, dict.fromkeys(sizes, "mm"))
    window = slice(min(slices), max(slices) + 1)
    gray = to_uint8(volume.reshape(-1, volume.shape[2])).reshape(volume.shape)
    write_labels(folder / "head_ventricles_labels.tif", result.labels, like)
    _write_overlay(
        folder / "head_ventricles_overlay.png",
        _sheet(gray[window]),
        _sheet(result.labels[window]),
    )
    millilitres = np.count_nonzero(result.labels) * np.prod(spacing) / 1000
    yield (
        f"head, two boxes: ventricles on slices {min(slices)} to {max(slices)} of "
        f"{len(volume)}, {millilitres:.1f} ml, in {seconds:.1f} s"
    )


def _sheet(planes: NDArray[Any]) -> NDArray[Any]:
    """Arrange slices (N, H, W) in rows, as a contact sheet."""
    empty = np.zeros((-len(planes) % _SHEET_COLUMNS, *planes.shape[1:]), planes.dtype)
    rows = np.concatenate([planes, empty])
    rows = rows.reshape(-1, _SHEET_COLUMNS, *planes.shape[1:])
    return np.concatenate(list(np.concatenate(rows.swapaxes(0, 1), axis=2)), axis=0)


def _write(
    stem: Path, image: NDArray[Any], labels: NDArray[np.int32], like: ImageFile
) -> None:
    write_labels(stem.with_name(f"{stem.name}_labels.tif"), labels, like)
    _write_overlay(stem.with_name(f"{stem.name}_overlay.png"), image, labels)


def _write_overlay(path: Path, image: NDArray[Any], labels: NDArray[np.int32]) -> None:
    from skimage import io

    io.imsave(path, overlay(to_uint8(image), labels), check_contrast=False)


def overlay(gray: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Draw the outlines of objects on a gray image, enlarged by two.

    Parameters
    ----------
    gray : ndarray
        (H, W) uint8.
    labels : ndarray
        (H, W) integers, 0 is background.

    Returns
    -------
    ndarray
        (2 H, 2 W, 3) uint8.
    """
    zoom = np.ones((_OUTLINE_ZOOM, _OUTLINE_ZOOM), np.uint8)
    enlarged = np.kron(labels, zoom)
    picture = np.repeat(np.kron(gray, zoom)[..., None], 3, axis=2)
    outline = label_outlines(enlarged)
    picture[outline] = _PALETTE[enlarged[outline] % len(_PALETTE)]
    return picture
