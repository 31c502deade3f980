"""Many microscope images out of one, and the nuclei in them counted."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from autoexec.demo.extra import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

__all__ = ["count_nuclei", "load", "varied"]

SIGMA = 4.0
"""Blur in pixels: about a third of a nucleus' radius, so that each nucleus keeps one summit."""

REACH = 13
"""Side in pixels of the square in which a summit must be the highest point."""


def load() -> tuple[Image, str]:
    """Return a real microscope image as bright nuclei on dark ground, and where it comes from."""
    require("numpy", "scipy")
    if find_spec("mahotas") is not None:
        return _fluorescence(), "mahotas' fluorescence image of nuclei"
    require("skimage")
    return _stained_tissue(), "scikit-image's stained tissue (mahotas is not installed)"


def _fluorescence() -> Image:
    import mahotas.demos

    image: Image = mahotas.demos.nuclear_image()[..., 0]
    return image


def _stained_tissue() -> Image:
    """The stain absorbs red light where nuclei are; the negative makes them bright."""
    from skimage import data

    image: Image = 255 - data.immunohistochemistry()[..., 0]
    return image


def varied(image: Image, count: int) -> list[Image]:
    """Return `count` images: cuts of three quarters from shifting places, turned, every other one mirrored.

    They are views, so they cost no memory of their own.
    """
    import numpy as np

    turned = (np.rot90(_cut(image, i), i % 4) for i in range(count))
    return [one[::-1] if i % 2 else one for i, one in enumerate(turned)]


def _cut(image: Image, number: int) -> Image:
    """Steps that share no factor with the room left visit every place before any comes twice."""
    height, width = (side * 3 // 4 for side in image.shape)
    top, left = 37 * number % (image.shape[0] - height), 61 * number % (image.shape[1] - width)
    return image[top : top + height, left : left + width]


def count_nuclei(image: Image) -> int:
    """Return how many summits stand out of the blurred image."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(image.astype("float32"), SIGMA)
    summits = smooth == ndimage.maximum_filter(smooth, REACH)
    return int((summits & (smooth > smooth.mean())).sum())
