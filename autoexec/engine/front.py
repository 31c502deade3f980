"""The desk in front of a backend, made for a plan; and calls with the same care in the caller's thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ..backends.base import Backend, Chunk, Deliver, Failure
from ..decide.answers import judge_error
from ..errors import BrokenWorker
from ..records import Plan, Profile
from .attempts import Attempts, judge_response, no_host
from .desk import Desk
from .hosts import Hosts
from .lane import Lane

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bookkeeping import Keep

__all__ = ["Attended", "open_desk"]

LOOK_S = 0.01  # between two looks whether a call of the workers has ended: nobody wakes this thread


def open_desk(
    hosts: Hosts,
    plan: Plan,
    profile: Profile | None,
    deliver: Deliver,
    open_backend: Callable[[Deliver], Backend],
    *,
    subject: Callable[[Chunk], tuple[Any, bool]],
    keep: Keep | None = None,
    gil: bool = True,
) -> Desk:
    """A desk for `plan`, which obeys `hosts` and, where the plan is adaptive, sets the concurrency."""
    if plan.adaptive:
        sampled = profile if profile is not None and profile.items and not profile.partial else None
        with hosts.lock:
            hosts.adapt(
                plan.max_workers,
                profile.remaining if profile is not None else None,
                sampled.wall_s if sampled is not None else None,
                sampled.held_s if sampled is not None else 0.0,
            )
            if not gil:
                hosts.held_share = 0.0
            elif sampled is not None and sampled.cpu_s > 0.0:
                hosts.held_share = sampled.held_s / sampled.cpu_s
    return Desk(hosts, deliver, open_backend, subject=subject, keep=keep, free=not plan.adaptive)


class Attended:
    """A function whose calls in this thread wait their turn, are judged, and run again where allowed.

    Waiting is `time.sleep`: whoever watches this thread sees that it waits, and hands the rest to others.
    """

    __slots__ = ("_call", "_hosts", "_star")

    def __init__(self, call: Callable[..., Any], hosts: Hosts, star: bool) -> None:
        self._call, self._hosts, self._star = call, hosts, star

    def __call__(self, *args: Any) -> Any:
        """Call the function; what it raises for good is returned in a `Failure`."""
        hosts = self._hosts
        try:
            host = hosts.name_of(args if self._star else args[0], self._star)
        except Exception as error:
            with hosts.lock:
                hosts.tally.failed(error, "")
            return no_host(error)
        with hosts.lock:
            lane = hosts.lane(host)
        attempts = Attempts()
        while True:
            if not self._wait_turn(lane):
                return self._failed(lane, attempts, lane.refusal())
            value, delay = self._try(lane, attempts, args)
            if delay is None:
                return self._failed(lane, attempts, value.error) if isinstance(value, Failure) else value
            time.sleep(delay)

    def _wait_turn(self, lane: Lane) -> bool:
        """Wait until a call may begin; False if the host is not to be called."""
        while True:
            with self._hosts.lock:
                if lane.closed is not None:
                    return False
                wait = lane.wait_s(time.monotonic())
            if wait == 0.0:
                return True
            time.sleep(LOOK_S if wait == math.inf else min(wait, 1.0))

    def _try(self, lane: Lane, attempts: Attempts, args: tuple[Any, ...]) -> tuple[Any, float | None]:
        """Call once; the value, and seconds until the next try if there is one."""
        hosts, began = self._hosts, time.monotonic()
        attempts.begin(began)
        with hosts.lock:
            ticket = hosts.begin(lane, began)
        cpu = time.thread_time()
        try:
            value = self._call(*args)
            answer, error = judge_response(value)
        except BrokenWorker:
            raise
        except Exception as raised:
            value, answer, error = Failure(raised), judge_error(raised, time.time()), raised
        except BaseException:
            with hosts.lock:
                hosts.cancel(lane, ticket, time.monotonic())
            hosts.poke()
            raise
        now = time.monotonic()
        with hosts.lock:
            hosts.end(lane, ticket, now, answer, now - began, time.thread_time() - cpu)
        hosts.poke()
        if error is not None:
            attempts.note(error, now - began)
        delay = hosts.delay(attempts, error, answer, now)
        with hosts.lock:
            return value, delay if delay is not None and hosts.may_retry(lane, attempts, answer) else None

    def _failed(self, lane: Lane, attempts: Attempts, error: BaseException) -> Failure:
        attempts.tell(error)
        with self._hosts.lock:
            self._hosts.tally.failed(error, lane.host)
        return Failure(error)
