"""What a run adds to its function and its backends: an initializer, a desk, an event loop."""

from __future__ import annotations

from collections.abc import Callable

from ..checks import is_async
from ..records import Plan, Profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from typing import Any

    from ..backends.base import Backend, Chunk, Deliver
    from ..options import Options
    from .bookkeeping import Keep
    from .hosts import Hosts
    from .judge import Judge

__all__ = ["Attention"]


class Attention:
    """Wraps a function as the options ask for, and puts desks in front of backends.

    Args:
        call: the function.
        options: the caller's.
        star: whether items are argument tuples.
        keep: the journal, where there is one.
        loop: the event loop for the calls of an async function; None for one of our own.

    Attributes:
        here: what the caller's own thread calls.
        sent: what workers call.
        hosts: what is known of the other side; None as long as single calls need no attention.
        is_async: whether the function is async.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        options: Options,
        star: bool,
        keep: Keep | None = None,
        loop: AbstractEventLoop | None = None,
    ) -> None:
        self._options, self._star, self._keep, self._loop = options, star, keep, loop
        self.is_async = is_async(call)
        self.hosts: Hosts | None = None
        self.here = self.sent = self._prepared(call)
        if options.attended:
            self._attend()

    def _prepared(self, call: Callable[..., Any]) -> Callable[..., Any]:
        if self._options.initializer is None:
            return call
        from ..backends.prepared import Prepared

        return Prepared(call, self._options.initializer, self._options.initargs)

    def _attend(self) -> None:
        from ..backends.base import Capturing
        from .front import Attended
        from .hosts import Hosts

        self.hosts = Hosts(self._options)
        self.here = Attended(self.sent, self.hosts, self._star)
        if not self.is_async:
            self.sent = Capturing(self.sent)

    def open(
        self, judge: Judge, plan: Plan, profile: Profile | None, deliver: Deliver, fork: bool
    ) -> Backend:
        """The backend of a plan, behind a desk where single calls need attention."""
        if self.hosts is None and not plan.adaptive:
            return judge.open(plan, deliver, fork=fork, eager=True, profile=profile)
        from .front import open_desk
        from .hosts import Hosts

        if self.hosts is None:
            self.hosts = Hosts(self._options)

        def inner(deliver: Deliver) -> Backend:
            if plan.backend == "asyncio":
                return self._open_loop(plan, profile, deliver)
            return judge.open(plan, deliver, fork=fork, eager=True, profile=profile)

        return open_desk(
            self.hosts,
            plan,
            profile,
            deliver,
            inner,
            subject=self._subject,
            keep=self._keep,
            gil=judge.machine.gil,
        )

    def _open_loop(self, plan: Plan, profile: Profile | None, deliver: Deliver) -> Backend:
        from ..backends.registry import open_loop

        hosts, name = self.hosts, profile.function if profile is not None else ""
        assert hosts is not None

        def blocked(chunk: Chunk, seconds: float) -> None:
            hosts.blocked(f"{name} (item {chunk.start})", seconds)

        return open_loop(plan, deliver, loop=self._loop, blocked=blocked)

    def _subject(self, chunk: Chunk) -> tuple[Any, bool]:
        return chunk.items[0], self._star
