"""What items leave behind in a worker: it goes with the worker, as in a process that multiprocessing started.

Daemon processes are ended, all others waited for, queues written out, managers and pools closed.
"""

from __future__ import annotations

from collections.abc import Callable

from ...introspect import loaded

__all__ = ["clear", "disown"]


def disown() -> None:
    """In a forked worker: what the caller has started is the caller's to end."""
    if (process := loaded("multiprocessing.process")) is not None:
        process._children = set()
    if (util := loaded("multiprocessing.util")) is not None:
        util._finalizer_registry.clear()


def clear() -> None:
    """At the end of a worker."""
    if (pools := loaded("concurrent.futures.process")) is not None:
        _quietly(pools._python_exit)  # or nobody would tell their processes
    if (util := loaded("multiprocessing.util")) is not None:
        _quietly(util._exit_function)


def _quietly(call: Callable[[], object]) -> None:
    try:
        call()
    except BaseException:  # such as a terminate() of the user's that raises
        return
