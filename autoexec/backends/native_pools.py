"""The thread pools of the native libraries that this process has loaded.

threadpoolctl knows them all, but is slow to come by (5 to 19 ms) and asks OpenBLAS in a way that starts the
pool anew in a forked process, whose threads then spin for some 30 ms on cores that the workers need. Where
OpenBLAS is the only such library, as with the wheels of numpy and scipy, it is asked from here (1 ms), and
by the variable that holds its number where a build shows it: that starts no thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Pool", "loaded_pools"]

# Names of libraries with pools, besides OpenBLAS, as they stand in file names.
OTHERS = (b"libgomp", b"libomp", b"libiomp", b"vcomp", b"libmkl", b"libblis", b"libflexiblas", b"libtorch")


class Pool:
    """One pool.

    Args:
        name: the library's file.
        tell: tells its threads.
        change: sets them.
        by_thread: whether the number holds for the calling thread only, as OpenMP's does.

    Attributes:
        before: its threads when it was found.
    """

    __slots__ = ("_change", "_tell", "before", "by_thread", "name")

    def __init__(
        self, name: str, tell: Callable[[], int], change: Callable[[int], object], by_thread: bool = False
    ) -> None:
        self.name, self._tell, self._change, self.by_thread = name, tell, change, by_thread
        self.before = tell()

    def lower(self, threads: int) -> None:
        """Let it use `threads` threads, or what it used before if that was less."""
        self._set(min(threads, self.before))

    def restore(self) -> None:
        """Let it use as many as before."""
        self._set(self.before)

    def _set(self, threads: int) -> None:
        if threads != self._tell():
            self._change(threads)


def loaded_pools() -> list[Pool]:
    """Every pool that can be set."""
    if sys.platform == "linux":
        try:
            return _openblas_alone()
        except (OSError, ValueError, AttributeError):
            pass
    return list(_known_to_threadpoolctl())


def _openblas_alone() -> list[Pool]:
    """The pools of OpenBLAS.

    Raises:
        ValueError: if there are other libraries with pools.
        AttributeError: if it is a build that cannot be asked.
        OSError: if what is loaded cannot be told.
    """
    with open("/proc/self/maps", "rb") as file:
        maps = file.read()
    if any(name in maps for name in OTHERS):
        raise ValueError("not only OpenBLAS")
    paths = {line.partition(b"/")[2] for line in maps.split(b"\n") if b"openblas" in line.rpartition(b"/")[2]}
    return [_openblas("/" + os.fsdecode(path)) for path in sorted(paths)]


def _openblas(path: str) -> Pool:
    import ctypes

    library = ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    try:
        number = ctypes.c_int.in_dll(library, "blas_cpu_number")
    except ValueError:  # hidden since numpy 2.5: its functions start the pool where a fork has ended it
        return Pool(path, _function(library, "get_num_threads"), _function(library, "set_num_threads"))
    if not 1 <= number.value <= 4096:
        raise ValueError(f"{path} has {number.value} threads")

    def change(threads: int) -> None:
        number.value = threads

    return Pool(path, lambda: number.value, change)


def _function(library: Any, name: str) -> Callable[..., int]:
    """OpenBLAS's function of that name, which builds decorate to be told apart.

    Raises:
        AttributeError: if this build calls it otherwise.
    """
    names = (f"{first}openblas_{name}{last}" for first in ("scipy_", "") for last in ("64_", "", "_64"))
    found = next((getattr(library, full) for full in names if hasattr(library, full)), None)
    if found is None:
        raise AttributeError(name)
    return found  # type: ignore[no-any-return]


def _known_to_threadpoolctl() -> Iterator[Pool]:
    import threadpoolctl

    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        openmp = "openmp" in (library.user_api, getattr(library, "threading_layer", None))
        if isinstance(library.num_threads, int):
            yield Pool(library.filepath, library.get_num_threads, library.set_num_threads, openmp)
