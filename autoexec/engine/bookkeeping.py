"""Finished results into the journal, from whichever thread they come."""

from __future__ import annotations

from ..decide.answers import judge_value
from ..errors import JournalError
from .result_order import Failed
from .run import Run
from .source import open_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from ..journal.resume import Resume
    from ..journal.store import Journal
    from ..measure.facts import Facts
    from ..options import Options

__all__ = ["Keep", "open_journal"]


class Keep:
    """Keeps results under the names of their items.

    Args:
        journal: where to.
        resume: knows the items that this run calls.
    """

    def __init__(self, journal: Journal, resume: Resume) -> None:
        self._journal, self._resume = journal, resume
        self._closed = False

    def __call__(self, start: int, values: list[Any]) -> None:
        """Keep the results of the items from `start` on; one that cannot be kept becomes a failure.

        A response that says to try again is no result yet: it is tried again now, or by the next run.
        """
        for place, value in enumerate(values):
            if type(value) is Failed or judge_value(value, 0.0).transient:
                continue
            try:
                self._journal.keep(self._resume.row_key(start + place), value)
            except JournalError as error:
                values[place] = Failed(error, start + place, None, False, "the journal", [])
            else:
                self._resume.forget(start + place)

    def merge(self, blocks: Iterator[list[Any]], *, ordered: bool) -> Iterator[list[Any]]:
        """The results of this run and those kept before, as if there had been one run."""
        blocks = self._placed(blocks)
        return self._resume.merge(blocks) if ordered else self._resume.merge_unordered(blocks)

    def _placed(self, blocks: Iterator[list[Any]]) -> Iterator[list[Any]]:
        """The blocks; what failed is named by its place in the whole input, as in a run without a journal."""
        for block in blocks:
            for outcome in block:
                if type(outcome) is Failed:
                    index, outcome.place = outcome.place, self._resume.place(outcome.place)
                    self._resume.forget(index)
            yield block

    def close(self) -> None:
        """Close the file; what comes later is not kept."""
        self._closed = True
        self._journal.close()


def open_journal(
    func: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    options: Options,
    star: bool,
    loop: AbstractEventLoop | None = None,
    *,
    facts: Callable[[], Facts],
) -> Run:
    """A run that calls what its journal does not hold yet.

    Raises:
        JournalError: if the journal cannot be used; nothing has run then.
    """
    from ..journal.resume import Resume
    from ..journal.store import Journal
    from ..safety.hazards import written

    assert options.journal is not None
    several = len(iterables) > 1
    items = zip(*iterables, strict=False) if several else iterables[0]
    journal = Journal.open(options.journal, func, codec=options.codec, key=options.key, changed=written(func))
    try:
        resume = Resume(journal, items, star or several)
        source = open_source((resume.pending,), star or several, options.size)
        run = Run(func, source, options, Keep(journal, resume), loop, facts=facts)
    except BaseException:
        journal.close()
        raise
    return run
