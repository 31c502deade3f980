"""What runs inside a worker process: take a task, run it, send back what became of it.

Nothing of the caller's `__main__` is imported here: functions that live there arrive by value, so that no
script needs an `if __name__ == "__main__"` guard. A worker ends when its pipe ends, that is when the caller
closes it or is gone, however it went.

Messages to the worker are pickled tuples: (function id, function or None, star, start, items), where the
function itself comes once, and items is the index after the last one where a forked worker inherited the
input. Answers are (values, error with its traceback as text or None, wall seconds, CPU seconds).
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Sequence

from .. import resources, role
from .base import run_items
from .native import VARIABLES
from .portable import portable
from .wire import Pipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["become_worker", "serve", "serve_descriptors"]


def serve_descriptors(read: int, write: int, native_threads: int | None = None) -> None:
    """Be a worker that was started as a program of its own."""
    become_worker()
    serve(Pipe(read, write), {}, None, native_threads)
    _flush()
    os._exit(0)  # threads that an item left behind must not keep the worker alive


def serve(
    pipe: Pipe,
    functions: dict[int, Callable[..., Any]],
    inherited: Sequence[Any] | None,
    native_threads: int | None = None,
) -> None:
    """Answer tasks until the pipe ends.

    Args:
        pipe: the worker's end.
        functions: functions known by id already (a forked worker inherits them).
        inherited: the input, where a forked worker inherits it.
        native_threads: threads that native libraries may use here, or None.
    """
    if native_threads is not None:
        _limit_native(native_threads)
    while True:
        try:
            message = pipe.receive()
        except (EOFError, OSError):
            resources.close_here()
            return
        try:
            answer = _answer(message, functions, inherited)
        except BaseException as error:  # the task itself could not be loaded
            answer = _encode([], error, 0.0, 0.0)
        del message
        _flush()
        try:
            pipe.send(answer)
        except OSError:
            resources.close_here()
            return


def _answer(
    message: bytearray, functions: dict[int, Callable[..., Any]], inherited: Sequence[Any] | None
) -> bytes:
    function_id, function, star, start, items = pickle.loads(message)
    if function is not None:
        functions[function_id] = pickle.loads(function)
    if inherited is not None and isinstance(items, int):
        items = inherited[start:items]
    values, error, wall, cpu = run_items(functions[function_id], items, star)
    return _encode(values, error, wall, cpu)


def _encode(values: list[Any], error: BaseException | None, wall: float, cpu: float) -> bytes:
    sent = portable(error) if error is not None else None
    try:
        return pickle.dumps((values, sent, wall, cpu), protocol=5)
    except Exception:
        return _encode_by_value(values, sent, wall, cpu)


def _encode_by_value(values: list[Any], sent: Any, wall: float, cpu: float) -> bytes:
    import cloudpickle

    good: list[Any] = []
    try:
        data: bytes = cloudpickle.dumps((values, sent, wall, cpu), protocol=5)
        return data
    except Exception:
        for value in values:  # deliver what can be delivered, up to the first that cannot
            try:
                cloudpickle.dumps(value, protocol=5)
            except Exception as refusal:
                problem = TypeError(
                    f"the result, of type {type(value).__qualname__}, cannot be sent back from a worker "
                    f"process ({refusal}); return plain data, or use backend='threads'"
                )
                return bytes(cloudpickle.dumps((good, (problem, ""), wall, cpu), protocol=5))
            good.append(value)
        raise


def become_worker() -> None:
    """Take the role: no children of its own, and Ctrl-C is the caller's business."""
    import signal

    role.in_worker = True
    resources.forget()  # what the caller's thread made stays the caller's
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the caller, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _limit_native(threads: int) -> None:
    os.environ.update(dict.fromkeys(VARIABLES, str(threads)))  # for libraries that are loaded later
    if "numpy" in sys.modules:
        import threadpoolctl

        threadpoolctl.threadpool_limits(limits=threads)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
