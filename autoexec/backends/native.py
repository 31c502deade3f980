"""One core budget: how many threads the native libraries may use while workers run."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

__all__ = ["VARIABLES", "limited"]

# Read by native libraries when they are loaded.
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


@contextlib.contextmanager
def limited(threads: int) -> Iterator[None]:
    """Keep BLAS and OpenMP pools of this process to `threads` threads inside the block.

    Does nothing while numpy, which brings such a pool, is not loaded.
    """
    if "numpy" not in sys.modules:
        yield
        return
    import threadpoolctl

    with threadpoolctl.threadpool_limits(limits=threads):
        yield
