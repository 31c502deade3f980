"""The last stretch of the way: results to the consumer, failures as the caller wishes, counts and a bar."""

from __future__ import annotations

from ..errors import Refused, add_note, blame, unpacked
from ..introspect import name_of
from ..worker.invoke import fatal
from .result_order import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..options import Options
    from ..report.progress import Bar
    from ..statistics import Stats
    from .limits import Limits

__all__ = ["Sink"]


class Sink:
    """Where blocks of results pass on their way out.

    Args:
        call: the function, for the summary.
        options: the caller's.
        total: results there will be, or None if unknown.

    Attributes:
        limits: what is known of the other side, once single calls are attended to.
        delivered: results delivered so far.
    """

    def __init__(self, call: Callable[..., Any], options: Options, total: int | None) -> None:
        self._call, self._options, self._total = call, options, total
        self.limits: Limits | None = None
        self.delivered = 0
        self._bar: Bar | None = None
        self._closed = False

    def open(self) -> None:
        """Show the bar, if it is wanted."""
        if self._options.progress:
            from ..report.progress import open_bar

            self._bar = open_bar(self._total)

    def parts(self, outcomes: list[Any], *, failures: bool = True) -> list[list[Any] | BaseException]:
        """A block as the caller wishes it: lists of results, and errors to be raised between them.

        Args:
            outcomes: values, and what failed.
            failures: whether there may be any that failed.
        """
        if not (failures and any(type(outcome) is Failed for outcome in outcomes)):
            self._show(len(outcomes))
            self.delivered += len(outcomes)
            return [outcomes]
        parts: list[list[Any] | BaseException] = [[]]
        for outcome in outcomes:
            if type(outcome) is not Failed:
                parts[-1].append(outcome)  # type: ignore[union-attr]
                continue
            error = told(outcome)
            if self._options.on_error == "raise" or fatal(error):
                parts += [error, []]
            elif self._options.on_error == "return":
                parts[-1].append(error)  # type: ignore[union-attr]
        ends = sum(not isinstance(part, list) for part in parts)
        self._show(len(outcomes) - ends)
        self.delivered += sum(len(part) for part in parts if isinstance(part, list))
        return [part for part in parts if not isinstance(part, list) or part]

    def _show(self, items: int) -> None:
        """So many more items are through: tell the bar."""
        if self._bar is not None:
            if self.limits is not None:
                self._bar.set_postfix_str(self.limits.metrics.brief(), refresh=False)
            self._bar.update(items)

    def stats(self, now: float) -> Stats:
        """What happened so far."""
        from ..statistics import Stats

        return (
            self.limits.stats(self.delivered, now) if self.limits is not None else Stats(items=self.delivered)
        )

    def close(self) -> None:
        """Close the bar, and log once what failed without ending the run."""
        if self._closed:
            return
        self._closed = True
        if self._bar is not None:
            self._bar.close()
        if self.limits is not None and self._options.on_error != "raise":
            text = self.limits.metrics.failures()
            if text:
                import logging

                logging.getLogger("autoexec").warning("%s: items failed: %s", name_of(self._call), text)


def told(failed: Failed) -> BaseException:
    """The error of an item, with notes that say which one it was and what became of each try."""
    error = failed.error
    if len(failed.notes) > 1 or isinstance(error, Refused):
        for note in failed.notes:
            add_note(error, f"autoexec: {note}")
    return blame(error, failed.place, unpacked(failed.item, failed.star), failed.worker or "no worker")
