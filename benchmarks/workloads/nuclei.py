"""W1 and W2: find nuclei in fluorescence images, from paths or from arrays in memory."""

from __future__ import annotations

import os

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter
from skimage.feature import peak_local_max

from . import Place

IMAGES = 44
HEIGHT, WIDTH = 1000, 1280
THRESHOLD = 1000


def find_in_array(image: np.ndarray) -> np.ndarray:
    """Coordinates of the nuclei: smooth, then take the local maxima."""
    smooth = gaussian_filter(image.astype(np.float32), sigma=4)
    return peak_local_max(smooth, min_distance=6, threshold_abs=THRESHOLD)


def find_in_file(path: str) -> np.ndarray:
    """The same, read from a TIFF file."""
    return find_in_array(tifffile.imread(path))


def prepare(place: Place) -> str:
    """Cut, flip and shift one real image into many TIFF files (W1 and W2 share them)."""
    folder = os.path.join(place.folder, "nuclei")
    if os.path.isdir(folder):
        return ""
    os.mkdir(folder)
    source, remark = _source()
    random = np.random.default_rng(1)
    for number in range(place.scaled(IMAGES)):
        tifffile.imwrite(os.path.join(folder, f"{number:03}.tif"), _variant(source, random))
    return remark


def items(name: str, place: Place) -> list[str] | list[np.ndarray]:
    """Paths for W1, arrays for W2."""
    folder = os.path.join(place.folder, "nuclei")
    paths = [os.path.join(folder, file) for file in sorted(os.listdir(folder))]
    return paths if name == "W1" else [tifffile.imread(path) for path in paths]


def _source() -> tuple[np.ndarray, str]:
    """One image of nuclei in 12 bits, and a remark when it is not a real one."""
    try:
        from mahotas.demos import nuclear_image
    except ImportError:
        return _synthetic(), "mahotas is not installed: synthetic nuclei instead of its fluorescence image"
    image = nuclear_image()
    plane = image.max(axis=2) if image.ndim == 3 else image
    return _stretched(plane.astype(np.float32)), ""


def _synthetic() -> np.ndarray:
    """Three hundred blurred spots on a dim background."""
    random = np.random.default_rng(0)
    plane = np.zeros((1024, 1344), np.float32)
    plane[random.integers(0, 1024, 300), random.integers(0, 1344, 300)] = 1
    return _stretched(gaussian_filter(plane, 9))


def _stretched(plane: np.ndarray) -> np.ndarray:
    low, high = np.percentile(plane, 1), plane.max()
    return (np.clip((plane - low) / (high - low), 0, 1) * 4095).astype(np.float32)


def _variant(source: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A cut at a random place, mirrored at random, with a little camera noise."""
    top = random.integers(0, source.shape[0] - HEIGHT + 1)
    left = random.integers(0, source.shape[1] - WIDTH + 1)
    cut = source[top : top + HEIGHT, left : left + WIDTH]
    cut = cut[:: random.choice((-1, 1)), :: random.choice((-1, 1))]
    return np.clip(cut + random.normal(0, 20, cut.shape), 0, 65535).astype(np.uint16)
