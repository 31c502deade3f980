"""Ways for a worker to end, in a module that is quickly imported there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def kill() -> None:
    """End by a signal."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    """End with exit code 3."""
    os._exit(3)


class Deadly:
    """A function that ends the process which loads it, the first so many times; it counts them in a file."""

    def __init__(self, path: str, times: int = 1_000_000) -> None:
        self.path, self.times = path, times

    def __call__(self, x: int) -> int:
        return x + 100

    def __reduce__(self) -> Any:
        return _load, (self.path, self.times)


def _load(path: str, times: int) -> Deadly:
    with open(path, "ab") as file:
        file.write(b"x")
    if os.path.getsize(path) <= times:
        os._exit(4)
    return Deadly(path, times)


def forking(path: str) -> Callable[[int], int]:
    """A function that at item 1 leaves a child behind, which lives until the named pipe is opened."""

    def work(x: int) -> int:
        if x == 1:
            if os.fork() == 0:  # outlives its parent, with copies of all that it has open
                with open(path, "rb") as file:
                    file.read()
                os._exit(0)
            os._exit(9)
        return 10 * x

    return work


def wait_for_a_sign(x: int) -> int:
    """Hang at 2."""
    if x == 2:
        signal.pause()
    return x
