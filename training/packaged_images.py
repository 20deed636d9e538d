"""Real images that are part of scikit-image, with their licences.

Not used: `coins`, which is for evaluation; `horse`, `binary_blobs` and the phantom,
which are segmentations themselves; `human_mitosis`, `cells3d` and others, which need a
download; the motorcycle, which has a ground truth; and the faces, which have no stated
licence. No image below has a published segmentation.
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
        Name of the function in `skimage.data`.
    licence : str
        Licence of the image.
    held_out : bool
        Whether the image is for evaluation only.
    """

    name: str
    licence: str
    held_out: bool = False

    def read(self) -> NDArray[np.uint8]:
        """Read the image, (H, W) or (H, W, 3)."""
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
