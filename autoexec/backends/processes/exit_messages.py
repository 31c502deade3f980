"""Words for workers that ended, and for items that took too long."""

from __future__ import annotations

from ...brief import NO_WORDS, brief
from ...errors import AutoexecError, ItemTimeout, WorkerDied, unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .sent import Sent

__all__ = [
    "died_loading",
    "how",
    "late",
    "late_to_load",
    "never_began",
    "not_started",
    "short",
    "worker_died",
]

SHOWN = 60  # characters of an item


def how(code: int | None, starved: bool = False) -> str:
    """How a process ended.

    Args:
        code: its exit code; negative is the signal that ended it; None where the program has taken it.
        starved: whether the kernel has ended processes for want of memory meanwhile.

    >>> how(3), how(-9), how(-9, starved=True)
    ('exit code 3', 'killed by SIGKILL', 'killed by SIGKILL: out of memory')
    """
    import signal

    if code is None:
        return "how is not known: the program ignores SIGCHLD, or waits for any child"
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}" + (": out of memory" if starved and name == "SIGKILL" else "")


def worker_died(pid: int, ended: str, task: Sent) -> WorkerDied:
    """The error of the item that a worker was running when it ended."""
    memory = "give it less to do at once or use fewer workers (max_workers=)"
    advice = (
        memory
        if "out of memory" in ended
        else ("retries= runs it again, alone; backend='serial' shows what the item does")
    )
    return WorkerDied(
        f"worker process {pid} ended ({ended}) while it held item {task.index()} ({_shown(task)}); {advice}"
    )


def never_began(ended: str) -> WorkerDied:
    """The error when no worker lives long enough to begin anything."""
    return WorkerDied(
        f"worker processes end before they can begin ({ended}); "
        "see what they wrote to standard error, or use backend='threads'"
    )


def not_started(error: Exception) -> Exception:
    """The error when no worker can be started: what the system says of it, or words for anything else.

    >>> not_started(ValueError("no"))
    AutoexecError("no worker process can be started (ValueError: no); backend='threads' needs none")
    """
    if isinstance(error, (OSError, AutoexecError)):
        return error
    words = (
        f"no worker process can be started ({type(error).__name__}: {error}); backend='threads' needs none"
    )
    found = AutoexecError(words)
    found.__cause__ = error
    return found


def died_loading(ended: str) -> WorkerDied:
    """The error when workers end whenever they are given the function."""
    return WorkerDied(
        f"worker processes ended ({ended}) while they loaded the function or ran the initializer; "
        "see what they wrote to standard error, or use backend='threads'"
    )


def late_to_load(limit_s: float) -> ItemTimeout:
    """The error when the function, or the initializer, never comes to an end."""
    return ItemTimeout(f"the function did not load, or the initializer did not end, within {limit_s:g} s")


def late(pid: int, limit_s: float, task: Sent) -> ItemTimeout:
    """The error of an item that took too long."""
    return ItemTimeout(
        f"item {task.index()} ({_shown(task)}) took longer than item_timeout={limit_s:g} s; "
        f"worker process {pid}, which ran it, was ended and replaced"
    )


def _shown(task: Sent) -> str:
    """The item that is due next, in short."""
    item = task.rest[0]
    return ", ".join(short(arg) for arg in unpacked(item, task.task.spec.star))


def short(item: object) -> str:
    """An item in few words; one whose own words raise is named by its class.

    >>> short("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
    """
    text = brief(item, SHOWN)
    return text if text != NO_WORDS else f"<{type(item).__qualname__}>"
