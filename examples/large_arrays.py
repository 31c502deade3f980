"""Work on large arrays in processes: they are shared, not pickled, and so are the arrays that come back.

    python examples/large_arrays.py [--small]

A stack of images is captured by the function, which stretches the contrast of one of them and returns it. The
stack crosses once, however many items and workers there are. The second half changes its argument in place,
in a private copy. Needs numpy: pip install 'autoexec-futures[demo]'
"""

import sys
import time

import numpy as np

import autoexec


def make_stack(count, side):
    """Return noise around a bright spot, different in each image."""
    generator = np.random.default_rng(7)
    rows, columns = np.mgrid[:side, :side] - side / 2
    spot = 120 * np.exp(-(rows**2 + columns**2) / side**1.5)
    noise = generator.integers(0, 100, (count, side, side), dtype=np.uint8)
    return noise + spot.astype(np.uint8)


def main(small=False):
    stack = make_stack(24 if small else 400, 512)

    def stretched(number):
        """Spread the brightness of an image over the whole range, by its percentiles."""
        low, high = np.percentile(stack[number], [2, 98])
        return np.clip((stack[number] - low) / (high - low), 0.0, 1.0).astype(np.float32)

    start = time.perf_counter()
    # backend= is given to show what crosses; without it threads may turn out to be good enough.
    results = autoexec.map(stretched, range(len(stack)), backend="processes")
    size, bright = 0, 0.0
    for image in results:
        np.multiply(image, 255, out=image)  # what comes back belongs to you
        size, bright = size + image.nbytes, bright + float(image.mean())
    seconds = time.perf_counter() - start
    print(f"{stack.nbytes / 1e6:.0f} MB captured, {size / 1e6:.0f} MB returned, in {seconds:.2f} s")
    print(f"mean brightness {bright / len(stack):.0f}")

    def above_median(image):
        """Count pixels, in a way that destroys the image."""
        image -= np.minimum(image, np.uint8(np.median(image)))
        return int(np.count_nonzero(image))

    before = int(stack.sum())
    counts = list(autoexec.map(above_median, stack, backend="processes", writable="copy"))
    print(f"{sum(counts)} pixels above the median; the stack is what it was: {int(stack.sum()) == before}")


main(small="--small" in sys.argv)
