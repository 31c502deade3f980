"""The last stretch of the way: results to the consumer, failures as the caller wishes, counts and a bar."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from .measured import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..options import Options
    from ..report.progress import Bar
    from ..statistics import Stats
    from .bookkeeping import Keep
    from .hosts import Hosts

__all__ = ["Outlet"]


class Outlet:
    """Where blocks of results pass on their way out.

    Args:
        call: the function, for the summary.
        options: the caller's.
        total: results there will be, or None if unknown.
        keep: the journal, where there is one.

    Attributes:
        hosts: what is known of the other side, once single calls are attended to.
        delivered: results delivered so far.
    """

    def __init__(
        self, call: Callable[..., Any], options: Options, total: int | None, keep: Keep | None
    ) -> None:
        self._call, self._options, self._total, self._keep = call, options, total, keep
        self.hosts: Hosts | None = None
        self.delivered = 0
        self._bar: Bar | None = None
        self._closed = False

    def open(self) -> None:
        """Show the bar, if it is wanted."""
        if self._options.progress:
            from ..report.progress import open_bar

            self._bar = open_bar(self._total)

    def through(self, blocks: Iterator[list[Any]]) -> Iterator[list[Any]]:
        """Results with those of the journal between them, and what failed treated as the caller wishes."""
        if self._keep is not None:
            blocks = self._keep.merge(blocks, ordered=self._options.ordered)
        for values in blocks:
            self._show(len(values))
            for treated in (values,) if self.hosts is None else self._treated(values):
                self.delivered += len(treated)
                yield treated

    def _treated(self, values: list[Any]) -> Iterator[list[Any]]:
        from ..backends.base import Failure

        if not any(type(value) is Failure for value in values):
            yield values
            return
        wish = self._options.on_error
        if wish == "return":
            yield [value.error if type(value) is Failure else value for value in values]
        elif wish == "skip":
            yield [value for value in values if type(value) is not Failure]
        else:
            good = list(takewhile(lambda value: type(value) is not Failure, values))
            yield good
            raise values[len(good)].error

    def _show(self, items: int) -> None:
        """So many more items are through: tell the bar."""
        if self._bar is not None:
            if self.hosts is not None:
                self._bar.set_postfix_str(self.hosts.tally.brief(), refresh=False)
            self._bar.update(items)

    def stats(self) -> Stats:
        """What happened so far."""
        from ..statistics import Stats

        return self.hosts.stats(self.delivered) if self.hosts is not None else Stats(items=self.delivered)

    def close(self) -> None:
        """Close the journal and the bar, and log once what failed without ending the run."""
        if self._closed:
            return
        self._closed = True
        if self._keep is not None:
            self._keep.close()
        if self._bar is not None:
            self._bar.close()
        if self.hosts is not None and self._options.on_error != "raise":
            with self.hosts.lock:
                text = self.hosts.tally.failures()
            if text:
                import logging

                logging.getLogger("autoexec").warning("%s: items failed: %s", name_of(self._call), text)
