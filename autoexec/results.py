"""What `map` returns: an iterator over results that knows how they came about."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Generic, TypeVar

    from .engine.run import Run
    from .records import Plan, Profile
    from .statistics import Stats

    R = TypeVar("R")

    class _Iterator(Iterator[R], Generic[R]):
        """`Results` is generic for type checkers; at run time that would cost the import of typing."""
else:

    class _Iterator(Iterator):
        __slots__ = ()

        def __class_getitem__(cls, item: object) -> type:
            return cls


__all__ = ["Results"]

ROOM = 1 << 20  # results that room is made for at once: a length may be a guess, or a lie


class Results(_Iterator["R"]):
    """An iterator over results; close it, or leave its `with` block, to cancel what has not begun.

    Results arrive in blocks inside; iterating hands them out one by one through the standard library's
    own chain iterator, at next to no cost per item.
    """

    __slots__ = ("_blocks", "_closed", "_flat", "_run")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._blocks = run.blocks()
        next(self._blocks)
        self._flat: Iterator[R] = chain.from_iterable(self._blocks)
        self._closed = False

    def __iter__(self) -> Iterator[R]:  # noqa: PYI034 (the chain itself, so that no Python runs per item)
        return iter(()) if self._closed else self._flat

    def __next__(self) -> R:
        if self._closed:
            raise StopIteration
        return next(self._flat)

    def __length_hint__(self) -> int:
        """How many results there may be, for `list` to make room."""
        return max(0, min(self._run.total or 0, ROOM))

    def close(self) -> None:
        """Cancel what has not begun, wait for what runs in threads, end worker processes at once."""
        self._closed = True
        self._run.patient = True
        self._blocks.close()  # type: ignore[attr-defined]
        self._run.finish(early=True)

    @property
    def blocks(self) -> Iterator[list[R]]:
        """The results in lists, as they come: for a consumer that pays for every step."""
        return self._blocks

    def interrupt(self) -> None:
        """End the iteration from another thread than the one that waits in it; `close` must follow."""
        self._run.interrupt()

    def __enter__(self) -> Results[R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def plan(self) -> Plan | None:
        """How the rest is run and why; None while the first items are still being measured."""
        return self._run.plan

    @property
    def profile(self) -> Profile | None:
        """What one item costs; None while that is being measured, and where the backend was given."""
        return self._run.profile

    def stats(self) -> Stats:
        """What happened so far: calls, retries, refusals, latencies, concurrency, host by host."""
        return self._run.outlet.stats()

    def __repr__(self) -> str:
        plan = self.plan
        return f"<autoexec.Results {plan if plan is not None else 'not planned yet'}>"
