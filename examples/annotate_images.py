"""Annotate images with a service that takes five calls for each: read, encode, and five chained POSTs.

    python examples/annotate_images.py [--small]

The five calls of an image depend on each other, so they follow one another inside the function; the images
do not, so many are under way at once. The service is on loopback: pip install 'autoexec-futures[demo]'
"""

import base64
import random
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

import requests

import autoexec
from autoexec.demo.service import httpbin_service

session = autoexec.per_worker(requests.Session)


def annotate(path, service):
    """Hand in an image, follow it through the five steps, and return its label."""
    state = {"image": base64.b64encode(path.read_bytes()).decode()}
    for step in range(1, 6):
        answer = session().post(f"{service}/annotate/{step}", json=state, timeout=10)
        answer.raise_for_status()
        state = answer.json()
    return path.name, state["label"]


def make_images(folder, count):
    """Write files of noise; the service does not look closely."""
    noise = random.Random(7)
    for number in range(count):
        (folder / f"{number:04}.png").write_bytes(noise.randbytes(50_000))
    return sorted(folder.glob("*.png"))


def main(folder, small=False):
    paths = make_images(folder, 16 if small else 400)
    with httpbin_service() as service:
        start = time.perf_counter()
        # A retry begins with the first step again, so the service must bear to see an image twice.
        results = autoexec.map(partial(annotate, service=service), paths, retries=3, progress=not small)
        labels = dict(results)
    print(f"{len(labels)} images in {time.perf_counter() - start:.2f} s, {5 * len(labels)} calls")
    print(", ".join(f"{count} {label}" for label, count in Counter(labels.values()).most_common()))
    print(results.plan)


with tempfile.TemporaryDirectory() as temporary:
    main(Path(temporary), small="--small" in sys.argv)
