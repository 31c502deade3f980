"""Libraries that go wrong, each in one way: what the schedules are for must be seen."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from . import plain
from .plain import Executor, amap, parallel, shutdown, starmap

__all__ = ["FAULTS", "Executor", "amap", "let_go", "map", "parallel", "shutdown", "starmap"]

_gate = threading.Event()
_SWITCH_S = sys.getswitchinterval()


def map(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    """Of all maps, whichever process makes them, the second never ends and the third ends the process."""
    number = _number(os.environ["AUTOEXEC_CACHE_DIR"])
    if number == 2:
        threading.Event().wait()
    if number == 3:
        os._exit(7)
    return plain.map(func, *iterables, **options)


def _number(folder: str) -> int:
    """How many maps there have been, this one included."""
    Path(folder).mkdir(exist_ok=True)
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):
            Path(folder, str(number)).touch(exist_ok=False)
            return number
    raise AssertionError


def let_go() -> None:
    """End what is left behind here on purpose."""
    _gate.set()
    sys.setswitchinterval(_SWITCH_S)


class Wrapped:
    """Results that come in another way."""

    def __init__(self, results: Any, values: Iterator[Any]) -> None:
        self._results, self._values = results, values

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._values)

    def close(self) -> None:
        """End both."""
        self._results.close()
        self._values = iter(())

    def __enter__(self) -> Wrapped:  # noqa: PYI034 -- as the library has it
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _rearranged(rearrange: Callable[[list[Any]], list[Any]]) -> Callable[..., Any]:
    def faulty(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
        results = plain.map(func, *iterables, **options)
        return Wrapped(results, iter(rearrange(list(results))))

    return faulty


def _calls_again(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    return plain.map(lambda *item: (func(*item), func(*item))[0], *iterables, **options)


def _calls_ahead(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    """All at once, whatever was said of workers and of the window."""
    with ThreadPoolExecutor(8) as pool:
        return iter(list(pool.map(func, *iterables)))


def _goes_on(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    """Items are called after the results were closed."""
    items = list(iterables[0])
    results = plain.map(func, items[:-3], **options)

    class Open(Wrapped):
        def close(self) -> None:
            super().close()
            thread = threading.Timer(0.001, lambda: [func(item) for item in items[-3:]])
            thread.name = "autoexec-late"
            thread.start()

    return Open(results, iter(results))


def _other_error(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    def called(*item: Any) -> Any:
        try:
            return func(*item)
        except ValueError:
            raise RuntimeError("something went wrong") from None

    return plain.map(called, *iterables, **options)


def _no_error(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    return plain.map(func, *iterables, **{**options, "on_error": "skip"})


def _no_note(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    results = plain.map(func, *iterables, **options)

    def values() -> Iterator[Any]:
        try:
            yield from results
        except Exception as error:
            error.__notes__.clear()
            raise

    return Wrapped(results, values())


def _one_context(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    return (func(*row) for row in zip(*iterables, strict=False))


def _leaves_a_thread(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    _gate.clear()
    threading.Thread(target=_gate.wait, name="autoexec-left").start()
    return plain.map(func, *iterables, **options)


def _leaves_the_interval(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    sys.setswitchinterval(0.002)
    return plain.map(func, *iterables, **options)


def _fails_in_a_thread(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    thread = threading.Thread(target=lambda: 1 // 0)
    thread.start()
    thread.join()
    return plain.map(func, *iterables, **options)


def _reads_elsewhere(func: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
    items: list[Any] = []
    thread = threading.Thread(target=lambda: items.extend(iterables[0]))
    thread.start()
    thread.join()
    return plain.map(func, items, **options)


class _Cancelling(Executor):
    """Forgets every third call."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._count = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._count += 1
        if self._count % 3:
            return super().submit(fn, *args, **kwargs)
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


class _Late(Executor):
    """Does not wait in `shutdown`."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False)


def _library(**doors: Any) -> Any:
    usual = {name: getattr(plain, name) for name in plain.__all__}
    return SimpleNamespace(**{**usual, **doors})


# What goes wrong -> the kind of complaint, and a library in which it does.
FAULTS: dict[str, tuple[str, Any]] = {
    "a result is lost": ("lost", _library(map=_rearranged(lambda values: values[:-1]))),
    "a result is lost in the middle": ("lost", _library(map=_rearranged(lambda v: v[:2] + v[3:]))),
    "a result comes twice": ("twice", _library(map=_rearranged(lambda values: values[:1] + values))),
    "results change places": ("order", _library(map=_rearranged(lambda values: values[::-1]))),
    "a result is another": ("values", _library(map=_rearranged(lambda values: [0, *values[1:]]))),
    "items are called twice": ("ran twice", _library(map=_calls_again)),
    "too many at once": ("crowd", _library(map=_calls_ahead)),
    "too much is read": ("buffer", _library(map=_calls_ahead)),
    "the input is read elsewhere": ("puller", _library(map=_reads_elsewhere)),
    "items begin after close": ("late", _library(map=_goes_on)),
    "another error": ("error", _library(map=_other_error)),
    "no error": ("error", _library(map=_no_error)),
    "an error without its note": ("note", _library(map=_no_note)),
    "items see one another's context": ("context", _library(map=_one_context)),
    "a thread is left": ("threads", _library(map=_leaves_a_thread)),
    "the switch interval is left": ("switch", _library(map=_leaves_the_interval)),
    "a thread fails": ("stray", _library(map=_fails_in_a_thread)),
    "futures are cancelled": ("values", _library(Executor=_Cancelling)),
    "shutdown does not wait": ("lost", _library(Executor=_Late)),
}
