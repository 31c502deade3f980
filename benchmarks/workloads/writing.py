"""W6: write large text files, part by part, each part safely on the disk.

The files exist already and are written over. Without that, and without the sync, a run measures how fast the
kernel (or the hypervisor below it) finds fresh pages, which varies tenfold from one run to the next.
"""

from __future__ import annotations

import os

from . import Place

FILES = 100
PARTS = 12
PART = "the quick brown fox jumps over the lazy dog, and writes it down 0123456789\n" * 15_000


def write(path: str) -> tuple[str, int]:
    """Write one file of about 13 MB; returns its name and size."""
    with open(path, "r+", encoding="utf-8") as file:
        for _ in range(PARTS):
            file.write(PART)
            file.flush()
            os.fsync(file.fileno())
    return os.path.basename(path), os.path.getsize(path)


def prepare(place: Place) -> None:
    """Write the files for the first time."""
    os.makedirs(os.path.join(place.folder, "texts"), exist_ok=True)
    for path in items("W6", place):
        with open(path, "w", encoding="utf-8") as file:
            file.write(PART * PARTS)


def items(name: str, place: Place) -> list[str]:
    """Paths."""
    folder = os.path.join(place.folder, "texts")
    return [os.path.join(folder, f"{number:03}.txt") for number in range(place.scaled(FILES))]
