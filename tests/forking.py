"""What a child sees that the program forks by itself."""

from __future__ import annotations

import os
import pickle
import signal
import warnings
from collections.abc import Callable
from typing import TypeVar

R = TypeVar("R")

PATIENCE_S = 30  # then a child that hangs is ended


def in_child(call: Callable[[], R]) -> R:
    """What `call` returns in a forked child, which ends without any clearing up.

    Raises:
        EOFError: if it ended otherwise.
        Exception: what `call` raised there.
    """
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of threads: what becomes of them is the question
        pid = os.fork()
    if pid == 0:
        _answer(call, theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    good, value = pickle.loads(said)
    if not good:
        raise value
    return value  # type: ignore[no-any-return]


def _answer(call: Callable[[], object], theirs: int) -> None:
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE_S)
        try:
            said = pickle.dumps((True, call()))
        except Exception as error:
            said = pickle.dumps((False, error))
        os.write(theirs, said)
    finally:
        os._exit(0)
