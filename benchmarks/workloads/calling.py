"""W5 and W11: calls to an HTTP service that takes its time."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from urllib.request import Request, urlopen

from . import Place

CALLS = 44
PICTURES = 24
STEPS = ("upload", "labels", "faces", "text", "summary")


def call(url: str) -> str:
    """One API call of 50 ms."""
    with urlopen(url) as answer:
        return answer.read().decode()


def annotate(job: tuple[str, str]) -> str:
    """Read an image, send it, and follow four more steps, each with what the one before answered."""
    url, path = job
    with open(path, "rb") as file:
        payload: dict[str, object] = {"image": b64encode(file.read()).decode()}
    for step in STEPS:
        payload = _post(f"{url}/annotate/{step}", payload)
    return json.dumps(payload, sort_keys=True)


def _post(url: str, payload: dict[str, object]) -> dict[str, object]:
    request = Request(url, json.dumps(payload).encode(), {"Content-Type": "application/json"})
    with urlopen(request) as answer:
        return json.load(answer)


def prepare(place: Place) -> None:
    """Write the small pictures that W11 sends."""
    folder = os.path.join(place.folder, "pictures")
    if os.path.isdir(folder):
        return
    import numpy as np
    from PIL import Image

    os.mkdir(folder)
    random = np.random.default_rng(11)
    for number in range(place.scaled(PICTURES)):
        coarse = Image.fromarray(random.integers(0, 255, (24, 32, 3), np.uint8))
        coarse.resize((640, 480), Image.Resampling.BICUBIC).save(os.path.join(folder, f"{number:03}.jpg"))


def items(name: str, place: Place) -> list[str] | list[tuple[str, str]]:
    """URLs for W5; pairs of service and path for W11."""
    if name == "W5":
        return [f"{place.url}/call/{number}" for number in range(place.scaled(CALLS))]
    folder = os.path.join(place.folder, "pictures")
    return [(place.url, os.path.join(folder, file)) for file in sorted(os.listdir(folder))]
