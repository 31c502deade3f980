"""W12: load photographs of 1400 x 2100 pixels as arrays."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from . import Place

PHOTOGRAPHS = 90
SIZE = (2100, 1400)


def load(path: str) -> np.ndarray:
    """One photograph as an array of rows, columns and colours."""
    with Image.open(path) as image:
        return np.asarray(image)


def prepare(place: Place) -> str:
    """Enlarge, shift and mirror a real photograph into many JPEG files."""
    folder = os.path.join(place.folder, "photographs")
    os.makedirs(folder, exist_ok=True)
    source, remark = _source()
    for number in range(place.scaled(PHOTOGRAPHS)):
        picture = np.roll(source, 37 * number, axis=(0, 1))
        picture = picture[:, ::-1] if number % 2 else picture
        Image.fromarray(picture).save(os.path.join(folder, f"{number:03}.jpg"), quality=90)
    return remark


def items(name: str, place: Place) -> list[str]:
    """Paths."""
    folder = os.path.join(place.folder, "photographs")
    return [os.path.join(folder, file) for file in sorted(os.listdir(folder))]


def _source() -> tuple[np.ndarray, str]:
    """A photograph at full size with some grain, and a remark when it is not a real one."""
    random, remark = np.random.default_rng(12), ""
    try:
        from skimage.data import astronaut
    except ImportError:
        remark = "scikit-image is not installed: coarse colours instead of its photograph"
        photograph = random.integers(0, 255, (256, 384, 3), np.uint8)
    else:
        photograph = astronaut()
    large = Image.fromarray(photograph).resize(SIZE, Image.Resampling.BICUBIC)
    grain = random.normal(0, 4, (SIZE[1], SIZE[0], 1))
    return np.clip(np.asarray(large) + grain, 0, 255).astype(np.uint8), remark
