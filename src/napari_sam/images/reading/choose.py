"""Choice of one of the images of a file, and what is said about the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


class Candidate(Protocol):
    """One of the images of a file."""

    @property
    def name(self) -> str:
        """Name in the file; may be empty."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape as stored."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the pixels."""

    @property
    def reduced(self) -> bool:
        """Whether it is a smaller version of another image."""


T = TypeVar("T", bound=Candidate)


class ChoiceError(ValueError):
    """The images of a file are no doubt readable, but which one is meant is not."""


def choose(path: object, images: Sequence[T], series: str | None) -> tuple[T, str]:
    """Choose an image by number or name, or the largest one.

    Parameters
    ----------
    path : Path
        The file, for messages.
    images : sequence
        All images of the file.
    series : str, optional
        Number or name.

    Returns
    -------
    image : candidate
        The chosen one.
    note : str
        Sentence about the others; empty when there are none, or one was named.

    Raises
    ------
    ChoiceError
        When there is no such image, or none is named and several are equally large.
    """
    if not images:
        raise ChoiceError(f"{path} holds no image: check the file.")
    listed = ", ".join(_describe(i, image) for i, image in enumerate(images))
    if series is not None:
        matches = [image for image in images if image.name == series]
        if series.isdecimal() and int(series) < len(images):
            matches = matches or [images[int(series)]]
        if len(matches) != 1:
            raise ChoiceError(
                f"{path} has no one image {series!r}: choose one of {listed} with "
                "--series."
            )
        return matches[0], ""
    if len(images) == 1:
        return images[0], ""
    full = [image for image in images if not image.reduced] or list(images)
    largest = max(full, key=lambda image: _pixels(image.shape))
    equal = [
        image
        for image in full
        if (image.shape, image.dtype) == (largest.shape, largest.dtype)
    ]
    if len(equal) > 1:
        raise ChoiceError(
            f"{path} holds {len(images)} images, {listed}: choose one with --series, "
            "by number or name."
        )
    number = next(i for i, image in enumerate(images) if image is largest)
    return largest, (
        f"{path} holds {len(images)} images, {listed}: number {number} is used; "
        "--series chooses another."
    )


def _pixels(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _describe(number: int, image: Candidate) -> str:
    name = f" {image.name!r}" if image.name else ""
    return f"{number}{name} ({' x '.join(map(str, image.shape))} {image.dtype})"
