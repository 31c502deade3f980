"""Count cell nuclei in many images: scipy's filters let go of the GIL, so threads may do.

    python examples/count_nuclei.py [--small]

Needs numpy, scipy and a real image: pip install 'autoexec-futures[demo]'
"""

import sys
import time

from scipy import ndimage

import autoexec
from autoexec.demo.nuclei import load, varied


@autoexec.parallel
def count_nuclei(image):
    """Blur, then count the points that are the highest of their surroundings."""
    smooth = ndimage.gaussian_filter(image.astype("float32"), sigma=4)
    summits = smooth == ndimage.maximum_filter(smooth, size=13)
    return int((summits & (smooth > smooth.mean())).sum())


def main(small=False):
    image, source = load()
    images = varied(image, 20 if small else 200)

    # Decorated, the function still is the function ...
    print(f"{count_nuclei(image)} nuclei in {source}")

    # ... and has a parallel map of its own.
    start = time.perf_counter()
    counts = count_nuclei.map(images)
    total = sum(counts)
    print(f"{total} nuclei in {len(images)} cuts of it, in {time.perf_counter() - start:.2f} s")
    print(counts.profile)
    print(counts.plan)


main(small="--small" in sys.argv)
