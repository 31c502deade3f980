"""Where items come from: taken in order, a few at a time, and never before they are wanted.

Rule 1: the user's own iterator is run by `pull` alone, in the consumer's thread, without a lock. Rule 2:
everything else runs no code of the user's, and is called under the scheduler's lock. A *place* counts what
was taken.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from ..errors import AutoexecError
from ..introspect import ATOMS
from ..own_time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..safety.moving import Fed, Moving

__all__ = ["Source", "as_handed_out", "open_source"]

AHEAD_ITEMS = 256  # items pulled ahead from an iterator while the first item runs
AHEAD_S = 0.001  # and the seconds that may take
MOST = 1 << 20  # items of one slice
HELP = "give it copies, as by map(list, rows), or use backend='serial'"

_gil_enabled: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)


class Source:
    """The items of one call.

    A single list, tuple or range is sliced where it lies; of anything else a stock is pulled. An item that
    the iterator might still change ends a pull: it is run, or is with its worker, before the next one is
    asked for. What was seen of such items says whether workers may be ahead of the calls (`Moving`).

    Args:
        iterables: one for `func(item)`, several for `func(a, b, ...)` (as `zip`), or one of tuples.
        star: whether items are argument tuples.

    Attributes:
        star: whether items are argument tuples.
        position: items taken so far.
        error: what the iterator raised; it has ended then.
        ended: whether the iterator has ended. It is not asked again.
        ahead: whether items may be pulled ahead of the calls before; not where those may change the input.
        shared: the type of what calls may change and the input reads, or "".
        moving: what was seen of items that the iterator might still change; None as long as there are none.
    """

    scattered = False  # whether items are handed out in another order than that of the input

    def __init__(self, iterables: tuple[Iterable[Any], ...], star: bool = False) -> None:
        self.star = star or len(iterables) > 1
        self.position = 0
        self.error: BaseException | None = None
        self.ended = False
        self.ahead = True
        self.shared = ""
        self.moving: Moving | None = None
        self._fed: Fed | None = None
        self._copies = self._pooled = False
        self._done = True  # whether nothing but the calls can change the last item that was pulled
        self._stock: deque[Any] = deque()
        self._length = _length(iterables)
        self.sequence: Sequence[Any] | None = None
        self._iterator: Iterator[Any] = iter(())
        only = iterables[0]
        # A range iterator cannot be stopped from another thread without a GIL; a list's can.
        sliced = (list, tuple, range) if _gil_enabled() else (list, tuple)
        if len(iterables) == 1 and type(only) in sliced and self._length is not None:
            self.sequence = only  # type: ignore[assignment]
            self.ended = True
        else:
            self._iterator = iter(only) if len(iterables) == 1 else zip(*iterables, strict=False)

    def for_workers(self) -> Source:
        """Where workers get what is left from, from their first task on."""
        return self

    def peek(self) -> tuple[Any] | None:
        """The next item, in a tuple, if it is at hand; it stays where it is."""
        if self.sequence is not None:
            ahead = self.sequence[self.position : self.position + 1]
            return (ahead[0],) if len(ahead) else None
        return (self._stock[0],) if self._stock else None

    def take(self, count: int) -> tuple[int, Sequence[Any]]:
        """Up to `count` items that are at hand, and the place of the first."""
        place = self.position
        if self.sequence is not None:
            items: Sequence[Any] = self.sequence[place : place + min(count, MOST)]
        elif count >= len(self._stock):
            items = list(self._stock)
            self._stock.clear()
        else:
            stock = self._stock
            items = [stock.popleft() for _ in range(count)]
        self.position += len(items)
        return place, items

    def pull(self, count: int) -> list[Any]:
        """Up to `count` more items from the iterator, for `put_by`; the consumer's thread only.

        Raises:
            BaseException: what the iterator raised, if that is no `Exception`.
        """
        items: list[Any] = []
        if not self._pooled and self._stock and not (self.ahead and self._done):
            return items  # what is at hand has to run before
        if not (self._pooled or self.ahead):
            count = min(count, 1)
        try:
            while count > len(items) and not self.ended and (self._pooled or not items):
                self._pull_some(count - len(items), items)
        except Exception as error:
            self.error, self.ended = error, True
        return items

    def _pull_some(self, count: int, items: list[Any]) -> None:
        """Items up to the first that the iterator might still change, and a look at such ones before."""
        moving = self.moving
        looks = moving is not None and moving.wanted
        if moving is not None and looks:
            moving.before()
        before, fed = len(items), None if self._pooled else self._fed
        if fed is not None:
            fed.before()
        self.ended, self._done = _read(self._iterator, min(count, MOST), items)
        if fed is not None:
            fed.after()
        if moving is not None and looks and len(items) > before:
            moving.after()
            self._must_not_be_late(moving)
        if not self._done:
            self._note(items)

    def _note(self, items: list[Any]) -> None:
        """The last of these items might still be changed by the iterator."""
        if self.moving is None:
            from ..safety.moving import Moving

            self.moving = Moving(self._iterator)
        self.moving.pulled(items[-1])
        if self._copies:
            items[-1] = self._copied(items[-1])
        else:
            self._must_not_be_late(self.moving)

    def _must_not_be_late(self, moving: Moving) -> None:
        if moving.words and self._pooled and not self._copies:
            raise AutoexecError(f"{moving.words}, and workers read ahead: {HELP}")
        if self._copies and not moving.wanted and not moving.words:
            self._copies = False  # they have proved to lie still

    def _copied(self, item: Any) -> Any:
        """An item as it is now."""
        from ..safety.moving import plain

        assert self.moving is not None
        words = self.moving.words
        if not (words or plain(item)):
            return item  # to make another one could be noticed; whether it moves will be seen
        if self.moving.advances:
            raise AutoexecError(f"{words}, and workers read ahead: {HELP}")
        try:
            return _copy(item)
        except Exception as error:
            if not words:
                return item  # it cannot go anywhere, either
            raise AutoexecError(f"{words}, which cannot be copied ({error}): {HELP}") from error

    def shares(self, call: Callable[..., Any]) -> None:
        """Find out whether calls may change what is read: then none is read ahead of them."""
        if self.sequence is None and not self.ended:
            from ..safety.moving import Fed, in_common

            self.shared, objects = in_common([self._iterator], call)
            self.ahead = not self.shared
            if objects:
                self._fed = Fed(objects)

    def for_pool(self, *, in_process: bool) -> None:
        """Workers run items from now on: what is pulled must lie still, or is copied at once."""
        moving = self.moving
        self._copies = bool(moving and moving.words) or not (in_process or (moving and not moving.wanted))
        self._pooled = True

    @property
    def unsure(self) -> bool:
        """Whether it has to be seen yet if pulling an item changes those before."""
        looking = (self._fed, self.moving)
        return not self.ended and any(each is not None and each.unsure for each in looking)

    @property
    def restless(self) -> bool:
        """Whether pulling an item changes those before, or might."""
        return self.moving is not None and not self.ended and (self.moving.unsure or bool(self.moving.words))

    def moves(self) -> str:
        """What in the input moves, and cannot be copied, in words; "" if workers may have what is left."""
        moving = self.moving
        if self._fed is not None and self._fed.words:
            return self._fed.words
        if moving is None or not moving.words:
            return ""
        return "" if moving.copyable() else moving.words

    def put_by(self, items: list[Any]) -> None:
        """Items that were pulled are at hand now."""
        self._stock.extend(items)

    def look_ahead(self, limit: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Pull some items now: another thread can take them without running the caller's iterator."""
        if self.sequence is not None or not self.ahead:
            return
        until = clock() + AHEAD_S
        most = AHEAD_ITEMS if limit is None else min(limit, AHEAD_ITEMS)
        while len(self._stock) < most and not self.ended and clock() < until:
            self._stock.extend(items := self.pull(1))
            if not items:
                return

    @property
    def at_hand(self) -> int:
        """Items that can be taken without running the caller's iterator."""
        if self.sequence is not None:
            return max(0, len(self.sequence) - self.position)
        return len(self._stock)

    @property
    def pulled(self) -> int:
        """Items that have left the input: taken, or at hand in the stock."""
        return self.position + len(self._stock)

    @property
    def taken(self) -> int:
        """Items that were taken."""
        return self.position

    @property
    def over(self) -> bool:
        """Whether nothing is left; of a list, for now: it may grow."""
        return self.ended and not self.at_hand

    def remaining(self) -> int | None:
        """How many items are left, or None if nobody can know."""
        if self.sequence is not None or self.ended:
            return self.at_hand
        if self._length is None:
            return None
        return max(len(self._stock), self._length - self.position)

    def let_go(self) -> None:
        """Nothing more will be wanted: neither the input nor what was pulled of it is held any longer."""
        self.sequence, self._iterator, self.ended = None, iter(()), True
        self._stock.clear()
        self.moving = self._fed = None

    def cut(self, end: int, place: int) -> None:
        """What was taken up to `end` went only as far as `place`: the list ended there."""
        if self.position == end:
            self.position = place

    def live(self) -> list[Any] | None:
        """The list that is the input, if it is one: calls may change it."""
        return self.sequence if type(self.sequence) is list else None

    def end_at(self, place: int) -> None:
        """What comes from `place` on need not be handed out any more."""


def _read(iterator: Iterator[Any], count: int, items: list[Any]) -> tuple[bool, bool]:
    """Read up to so many items, up to the first that is not done with.

    Returns:
        Whether the iterator has ended, and whether nothing but the calls can change the last item.
    """
    before, still = len(items), None
    for item in islice(iterator, count):
        items.append(item)  # what came before an error is kept
        if type(item) not in ATOMS:
            still = still or _tell()
            if not still(item):
                return False, False
    return len(items) - before < count, True


def as_handed_out(items: Iterable[Any], reader: str, *, hold: bool = True) -> Iterator[Any]:
    """Items that are read ahead of their calls, in the state in which the iterator handed them out.

    As long as nobody knows whether they lie still they are held back: where a pull changes those before,
    copies take their places that were made at once.

    Args:
        items: the input.
        reader: who reads ahead, for words.
        hold: whether items may be held back.

    Raises:
        AutoexecError: if an item was changed that is not held back any more, or of which there is no copy.
        Exception: what the iterator raises.
    """
    iterator, ended, gone = iter(items), False, False
    moving: Moving | None = None
    held: list[tuple[Any, Any]] = []  # items, and their copies
    while not ended:
        try:
            found, ended, done = _look_and_read(iterator, moving)
        except Exception:
            yield from (item for item, _ in held)
            raise
        if moving is not None and moving.words and gone:
            raise _ahead(moving, reader)
        if found and not done:
            if moving is None:
                from ..safety.moving import Moving

                moving = Moving(iterator)
            moving.pulled(found[0])
        if moving is None:
            yield from found
            continue
        settled = not (moving.unsure or moving.words)
        held += [(item, item if done or settled else _twin(item)) for item in found]
        if hold and moving.unsure and not ended:
            continue
        gone = gone or not (done or moving.words)
        for item, copy in held:
            yield _replaced(copy, moving, reader) if moving.words else item
        held = []


def _look_and_read(iterator: Iterator[Any], moving: Moving | None) -> tuple[list[Any], bool, bool]:
    """The next item, if there is one, and what `_read` returns; those before are looked at meanwhile."""
    found: list[Any] = []
    if moving is None or not moving.wanted:
        return found, *_read(iterator, 1, found)
    moving.before()
    told = _read(iterator, 1, found)
    if found:
        moving.after()
    return found, *told


def _copy(item: Any) -> Any:
    """A copy of an item, as another process would get it.

    Raises:
        Exception: if there is none.
    """
    import pickle

    from ..safety.serialization import dumps

    return pickle.loads(dumps(item))


def _twin(item: Any) -> Any:
    """A copy of an item, or `_NONE` where none can be made, or one could be told from it."""
    from ..safety.moving import plain

    try:
        return _copy(item) if plain(item) else _NONE
    except Exception:
        return _NONE


def _replaced(copy: Any, moving: Moving, reader: str) -> Any:
    if copy is _NONE or moving.advances:
        raise _ahead(moving, reader)
    return copy


def _ahead(moving: Moving, reader: str) -> AutoexecError:
    return AutoexecError(f"{moving.words}, and {reader} reads ahead: give it copies, as by map(list, rows)")


_NONE: Any = object()


def _tell() -> Callable[[Any], bool]:
    """What tells whether an item that is no plain value is done with; imported when one is met."""
    from ..safety.moving import calibrate, still

    calibrate(_read)
    return still


def open_source(
    iterables: tuple[Iterable[Any], ...], star: bool, size: Callable[..., float] | None = None
) -> Source:
    """The source of a call; with `size`, one whose workers begin with the heavy items.

    Raises:
        Exception: with `size`, what that or an iterable raises.
    """
    if size is None:
        return Source(iterables, star)
    from .largest_first import Weighed

    return Weighed(iterables, star, size)


def _length(iterables: tuple[Iterable[Any], ...]) -> int | None:
    """The number of items, or at most so many where some iterables do not know; None where none does."""
    lengths = []
    for iterable in iterables:
        try:
            lengths.append(len(iterable))  # type: ignore[arg-type]
        except Exception:  # no length, one beyond what fits, or one that cannot be told
            continue
    return min(lengths, default=None)
