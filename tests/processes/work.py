"""What the tests of worker processes hand over: a module that workers import quickly."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import autoexec

BAD = 5  # the item that does what an item should not

# Items that end their worker --------------------------------------------------------------------------------


def exits(x: int) -> int:
    """Leave without a word."""
    if x == BAD:
        os._exit(3)
    return 10 * x


def killed(x: int) -> int:
    """Be killed from outside, as the kernel does it when memory is short."""
    if x == BAD:
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * x


def segfaults(x: int) -> int:
    """Touch memory that is not there."""
    if x == BAD:
        import ctypes
        import faulthandler

        faulthandler.disable()
        ctypes.string_at(0)
    return 10 * x


def aborts(x: int) -> int:
    """Abort, as a native library does when it gives up."""
    if x == BAD:
        import faulthandler

        faulthandler.disable()
        os.abort()
    return 10 * x


def terminated(x: int) -> int:
    """Be ended by SIGTERM."""
    if x == BAD:
        os.kill(os.getpid(), signal.SIGTERM)
    return 10 * x


def system_exits(x: int) -> int:
    """Raise SystemExit, which is not the end of a worker."""
    if x == BAD:
        sys.exit(4)
    return 10 * x


def whose(x: int) -> tuple[int, int]:
    """Tell where it ran."""
    return x, os.getpid()


# Items that never end ---------------------------------------------------------------------------------------


def sleeps(x: int) -> int:
    """Sleep for ever."""
    if x == BAD:
        time.sleep(600)
    return 10 * x


def spins(x: int) -> int:
    """Compute for ever."""
    while x == BAD:
        pass
    return 10 * x


def in_one_c_call(x: int) -> int:
    """Stay for ever in one C call that holds the GIL."""
    if x == BAD:
        sum(range(10**15))
    return 10 * x


def deaf(x: int) -> int:
    """Sleep for ever and ignore every signal that can be ignored."""
    if x == BAD:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(600)
    return 10 * x


# Items that leave something behind --------------------------------------------------------------------------


def forks(x: int) -> int:
    """Fork a child that ends at once."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return 10 * x


def forks_and_forgets(x: int) -> int:
    """Fork a child that outlives the item, and the run."""
    if x == BAD:
        pid = os.fork()
        if pid == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            time.sleep(1.0)
            os._exit(0)
    return 10 * x


def forks_and_returns_twice(x: int) -> int:
    """Fork, and let the child go on as if it were the worker."""
    if x == BAD:
        os.fork()
    return 10 * x


def threads_outlive(x: int) -> int:
    """Start threads that outlive the item: one is a daemon, one is not."""
    if x == BAD:
        for daemon in (True, False):
            threading.Thread(target=time.sleep, args=(600,), daemon=daemon).start()
    return 10 * x


# Objects that do not cross ----------------------------------------------------------------------------------


class Refuses:
    """Cannot be pickled."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        raise RuntimeError("no pickles, please")


class Deadly:
    """Ends the process that pickles it, but for the one that made it."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __reduce__(self) -> Any:
        return _leave, (self.home,)


def _leave(home: int) -> Any:
    if os.getpid() != home:
        os._exit(7)
    return home


class Explosive:
    """Pickles everywhere, loads only where it was made."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __reduce__(self) -> Any:
        return _explode, (self.home,)


def _explode(home: int) -> Any:
    if os.getpid() != home:
        raise LookupError("loads only at home")
    return home


class Hangs:
    """Loads for ever in a worker."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __reduce__(self) -> Any:
        return _hang, (self.home,)


def _hang(home: int) -> Any:
    if os.getpid() != home:
        time.sleep(600)
    return home


class Slow:
    """Takes its time to load in a worker, like what a large import belongs to."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __reduce__(self) -> Any:
        return _take_time, (self.home,)


def _take_time(home: int) -> Any:
    if os.getpid() != home:
        time.sleep(0.25)
    return home


class Awkward(Exception):
    """An error that pickles, but cannot be loaded."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


class Holding(Exception):
    """An error that holds what cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def value_of(item: Any) -> Any:
    """What an item stands for."""
    return getattr(item, "value", item)


def returns_a_lock(x: int) -> Any:
    """Return what cannot be pickled."""
    return threading.Lock() if x == BAD else 10 * x


def returns_refuses(x: int) -> Any:
    """Return what refuses."""
    return Refuses() if x == BAD else 10 * x


def returns_deadly(x: int) -> Any:
    """Return what ends whoever loads it; at home in the worker."""
    return Explosive() if x == BAD else 10 * x


def raises_awkward(x: int) -> int:
    """Raise what cannot be loaded."""
    if x == BAD:
        raise Awkward("one", "two")
    return 10 * x


def raises_holding(x: int) -> int:
    """Raise what cannot be pickled."""
    if x == BAD:
        raise Holding
    return 10 * x


# Running ----------------------------------------------------------------------------------------------------


def run(work: Callable[..., Any], items: Iterable[Any] = range(12), **options: Any) -> Any:
    """Map over two workers; errors stand in their places unless the test says otherwise."""
    options = {"backend": "processes", "max_workers": 2, "on_error": "return", **options}
    return autoexec.map(work, items, **options)


class _Unset:
    """A singleton without a name."""


MISSING, UNSET = object(), _Unset()
WIDE = [_Unset() for _ in range(1000)]
_before: list[object] = []


def told_apart(x: object) -> tuple[bool, bool, object]:
    """What an item is, and itself."""
    return x is MISSING, x is UNSET, x


def same_as_before(pair: tuple[object, object]) -> object:
    """The first of the pair is what it was in the calls before."""
    _before.append(pair[0])
    assert _before[0] is pair[0]
    return pair[1]


def made_class(number: int) -> Any:
    """A class of its own."""

    class Made:
        """It knows its number."""

        def doubled(self) -> int:
            """Twice that."""
            return 2 * Made.number

        number: int

    Made.number = number
    return Made


def others(values: list[Any]) -> list[Any]:
    """All results but the bad item's."""
    return values[:BAD] + values[BAD + 1 :]


RIGHT = [10 * x for x in range(12) if x != BAD]
