"""What of an input is known and what must be called, and both together again in the input's order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile

from .keys import item_key
from .store import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Weave = Callable[[list[Any]], Iterator[list[Any]]]

__all__ = ["Resume"]

AT_ONCE = 256  # known results that are brought back at once, unless they are large


class Resume:
    """Splits an input by what the journal knows, and merges the results.

    A list, a tuple or a range is looked up here and now. Any other iterable is looked up item by item as
    `pending` is pulled. Items that are known cost 16 bytes each until they are delivered.

    Args:
        journal: where to look.
        items: the input.
        star: whether items are argument tuples.

    Attributes:
        pending: the items to be called: a list where the input was one, else an iterator.
        known: how many known results were met so far.

    Raises:
        JournalError: if an item of a list has no stable key.
        Exception: what the user's `key=` raises for an item of a list.
    """

    def __init__(self, journal: Journal, items: Iterable[Any], star: bool = False) -> None:
        self._journal, self._star = journal, star
        self._order: deque[bytes | int] = (
            deque()
        )  # row keys of known items, and lengths of runs of pending ones
        self._rows: dict[int, tuple[bytes, int]] = {}  # of pending items, with their places in the input
        self._skipped: set[int] = set()
        self._found = self._delivered = 0
        self.known = 0
        self.pending: list[Any] | Iterator[Any]
        if type(items) in (list, tuple, range):
            self.pending = self._split(items)  # type: ignore[arg-type]
        else:
            self.pending = self._pull(items)

    # In ---------------------------------------------------------------------------------------------------

    def _row_of(self, item: Any) -> bytes:
        key = self._journal.key
        if key is not None:
            item = key(*item) if self._star else key(item)
        elif self._star:
            item = tuple(item)
        return self._journal.occurrence(item_key(item))

    def _split(self, items: list[Any] | tuple[Any, ...] | range) -> list[Any]:
        rows = [self._row_of(item) for item in items]
        known = self._journal.known(rows)
        return [item for item, row in zip(items, rows, strict=True) if self._note(row, row in known)]

    def _pull(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            row = self._row_of(item)
            if self._note(row, bool(self._journal.known([row]))):
                yield item

    def _note(self, row: bytes, known: bool) -> bool:
        """Remember the next item's place in the order; whether it is to be called."""
        if known:
            self.known += 1
            self._order.append(row)
            return False
        self._rows[self._found] = row, self._found + self.known
        self._found += 1
        if self._order and isinstance(self._order[-1], int):
            self._order[-1] += 1
        else:
            self._order.append(1)
        return True

    def row_key(self, index: int) -> bytes:
        """Under which key to keep the result of the pending item of that index."""
        return self._rows[index][0]

    def place(self, index: int) -> int:
        """Where in the input the pending item of that index stands; to be asked before it is forgotten."""
        return self._rows[index][1]

    def forget(self, index: int) -> None:
        """The pending item of that index is kept, or never will be: its key is not needed any more."""
        self._rows.pop(index, None)

    def skip(self, index: int) -> None:
        """The pending item of that index gives no result; to be said before a later one is merged."""
        self._skipped.add(index)
        self.forget(index)

    # Out --------------------------------------------------------------------------------------------------

    def merge(self, blocks: Iterator[list[Any]]) -> Iterator[list[Any]]:
        """All results in the input's order.

        Args:
            blocks: the results of the pending items, in order, until `pending` has ended.

        Raises:
            JournalError: if a known result cannot be brought back.
            Exception: what `blocks` raises, after the results that come before.
        """
        return self._joined(blocks, self._due, self._woven)

    def merge_unordered(self, blocks: Iterator[list[Any]]) -> Iterator[list[Any]]:
        """Known results as soon as their items were met, the others as they come."""
        return self._joined(blocks, self._all_known, lambda block: iter((block,)))

    def _joined(
        self, blocks: Iterator[list[Any]], known: Callable[[], Iterator[list[Any]]], woven: Weave
    ) -> Iterator[list[Any]]:
        try:
            while True:
                yield from known()
                try:
                    block = next(blocks)
                except StopIteration:
                    break
                except Exception:
                    yield from known()
                    raise
                yield from woven(block)
            yield from self._all_known()
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()

    def _woven(self, block: list[Any]) -> Iterator[list[Any]]:
        """A block of results in the order, with the known ones before and between."""
        start = 0
        while start < len(block):
            yield from self._due()
            count = self._run_length(len(block) - start)
            self._pass(count)
            yield block if count == len(block) else block[start : start + count]
            start += count

    def _due(self) -> Iterator[list[Any]]:
        """Known results up to the next item that was called and gives a result."""
        while self._order:
            if isinstance(self._order[0], bytes):
                yield self._loaded()
            elif self._delivered in self._skipped:
                self._skipped.discard(self._delivered)
                self._pass(1)
            else:
                return

    def _all_known(self) -> Iterator[list[Any]]:
        while self._order:
            if isinstance(self._order[0], bytes):
                yield self._loaded()
            else:
                self._order.popleft()

    def _loaded(self) -> list[Any]:
        """The known results at the head of the order, or the first of them."""
        rows = [row for row in takewhile(_is_row, islice(self._order, AT_ONCE)) if isinstance(row, bytes)]
        values = self._journal.load_some(rows)
        for _ in values:
            self._order.popleft()
        return values

    def _run_length(self, most: int) -> int:
        """How many results, of at most so many, belong side by side at the head of the order."""
        run = self._order[0]
        assert isinstance(run, int), "more results than items"
        most = min(run, most)
        if not self._skipped:
            return most
        ahead = range(self._delivered, self._delivered + most)
        return next((i for i, index in enumerate(ahead) if index in self._skipped), most)

    def _pass(self, count: int) -> None:
        """Go on in the order by so many items that were called."""
        left = self._order.popleft()
        assert isinstance(left, int)
        self._delivered += count
        if left > count:
            self._order.appendleft(left - count)


def _is_row(entry: bytes | int) -> bool:
    return isinstance(entry, bytes)
