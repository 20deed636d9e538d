"""Real images that come inside an installed package, with their licences.

Left out on purpose: `coins` and the sample `head`, which evaluation uses; `horse`,
`binary_blobs` and the phantom, which are segmentations themselves; `human_mitosis`,
`cells3d` and others that are downloaded; the motorcycle and the faces, which come with
a truth or whose terms are not stated. None of the images below has a published
segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skimage import data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Packaged:
    """One image of scikit-image (BSD-3-Clause), as its documentation describes it.

    Parameters
    ----------
    name : str
        Function of `skimage.data`.
    licence : str
        Of the image itself.
    held_out : bool
        Never trained on: real crops to measure with.
    """

    name: str
    licence: str
    held_out: bool = False

    def read(self) -> NDArray[np.uint8]:
        """(H, W) or (H, W, 3)."""
        image: NDArray[np.uint8] = getattr(data, self.name)()
        return image


IMAGES = (
    Packaged("astronaut", "public domain (NASA)"),
    Packaged("brick", "CC0"),
    Packaged("camera", "CC0 (Lav Varshney)"),
    Packaged("cell", "CC0"),
    Packaged("chelsea", "CC0 (Stefan van der Walt)"),
    Packaged("clock", "public domain (Stefan van der Walt)"),
    Packaged("coffee", "CC0 (Rachel Michetti)", held_out=True),
    Packaged("grass", "CC0"),
    Packaged("gravel", "CC0", held_out=True),
    Packaged("hubble_deep_field", "public domain (NASA)"),
    Packaged("microaneurysms", "CC0 (Andreas Maier)", held_out=True),
    Packaged("retina", "CC0"),
    Packaged("rocket", "public domain (SpaceX)"),
    Packaged("text", "public domain"),
)
