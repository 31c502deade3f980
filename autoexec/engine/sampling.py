"""What is learned from the items that run in the caller's thread, or in a slot that is watched."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType

from ..frozen import replace
from ..introspect import ATOMS, name_of
from ..records import SETS_PROCESS, Hazard, Profile, Sample, WorkKind
from ..resident import WEIGHED_S, grown, resident
from ..worker.invoke import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..backends.inline import Block
    from ..safety.effects import Effects
    from .monitor import Monitor, Seen
    from .source import Source

__all__ = ["Sampler", "name_of"]


class Sampler:
    """Adds up blocks of items.

    Args:
        call: the function.
        arguments: finds in an item what the function is called with, where that is not the item itself.
        memory: tells the bytes that this process has now, and the most that it ever had.

    Attributes:
        effects: what the watched items changed around them; None where a glance at the code was enough.
        last: one item that was run, as its arguments, and its result; None before the first.
        items: items run since the last restart.
        total_s: their seconds.
        memory_bytes: the most that one of them was seen to add to the memory; 0 where that is unknown.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        arguments: Callable[[Any], tuple[Any, ...]] | None = None,
        memory: Callable[[], tuple[int, int]] = resident,
    ) -> None:
        self._call, self._name, self._resident = call, name_of(call), memory
        self._arguments = arguments or (lambda item: item if isinstance(item, tuple) else (item,))
        self.effects: Effects | None = None
        self._glanced: bool | None = None  # whether a glance at the code is enough
        self.last: tuple[tuple[Any, ...], Any] | None = None
        self._meanwhile: tuple[str, ...] = ()  # of the process, what items set for their own time
        self._first_s = 0.0
        self._own = self._before = 0  # blocks of our own imports, and the modules before the outermost one
        self.restart()

    def restart(self) -> None:
        """Forget the figures, not the effects."""
        self._walls: list[float] = []
        self._cpus: list[float] = []
        self._counts: list[int] = []
        self.items, self.total_s = 0, 0.0
        self._modules = self._before = len(sys.modules)
        self._sample: Sample | None = None
        self.memory_bytes = 0
        self._memory = self._resident()

    def add(self, block: Block) -> None:
        """Learn from a block that was run."""
        count = len(block.out)
        if not count:
            return
        if not self._first_s:
            self._first_s = block.wall_s / count
        self._walls.append(block.wall_s / count)
        self._cpus.append(block.cpu_s / count)
        self._counts.append(count)
        self.items += count
        self.total_s += block.wall_s
        if block.wall_s > WEIGHED_S:
            self._weigh(count)
        item, value = block.items[count - 1], block.out[-1]
        if type(value) is not Error:
            self.last = self._arguments(item), value

    def let_go(self) -> None:
        """Hold nothing of the program's any longer: no function, nor what one of its calls was given."""
        self._call, self.last = _nothing, None

    def _weigh(self, items: int = 1) -> None:
        """Learn what items have added to the memory since the last look."""
        self.memory_bytes = max(self.memory_bytes, grown(self._memory, now := self._resident()) // items)
        self._memory = now

    def importing(self) -> bool:
        """Whether modules were imported since the last restart."""
        return (self._before if self._own else len(sys.modules)) != self._modules

    @contextlib.contextmanager
    def own_imports(self) -> Iterator[None]:
        """What is imported in this block is our doing, not the item's; blocks may be within others."""
        if not self._own:
            self._before = len(sys.modules)
        self._own += 1
        try:
            yield
        finally:
            self._own -= 1
            if not self._own:
                self._modules += len(sys.modules) - self._before

    @property
    def item_s(self) -> float:
        """Mean seconds per item."""
        return self.total_s / self.items if self.items else 0.0

    @property
    def result_bytes(self) -> int:
        """What a result weighs, without what it refers to."""
        if self.last is None:
            return 8
        try:
            return max(8, sys.getsizeof(self.last[1], 8))
        except Exception:  # its own `__sizeof__` raises
            return 8

    def look_around(self, source: Source) -> Callable[[Block], None] | None:
        """Note what the next item may change; what is returned compares. None when enough was seen."""
        if self.effects is not None and not self.effects.wanted:
            return None
        item = source.peek()
        if item is None:
            return None
        with self.own_imports():
            if self.effects is None and self.harmless and _unchangeable(item[0]):
                return None
            if self.effects is None:
                from ..safety.effects import Effects

                self.effects = Effects(self._call)
        effects = self.effects
        args: Any = item
        if source.star:  # what is no sequence may be used up by looking at it
            args = item[0] if type(item[0]) in (tuple, list) else ()
        effects.before(args)
        return lambda block: effects.after(args)

    @property
    def harmless(self) -> bool:
        """Whether a glance at the code shows that it changes nothing."""
        if self._glanced is None:
            self._glanced = _names_nothing(self._call)
            if not self._glanced:
                from ..safety.quick_check import harmless

                self._glanced = harmless(self._call)
        return self._glanced

    @property
    def settled(self) -> bool:
        """Whether enough was seen of what items change to let other processes have the rest."""
        return self.harmless if self.effects is None else self.effects.settled

    def against(self, read: Iterable[Hazard], *, strict: bool = False) -> tuple[Hazard, ...]:
        """What keeps the function here: what was seen, and what its code shows unless that was explained.

        Args:
            read: what the code shows.
            strict: whether nothing is explained away, and what was not looked at counts, too.
        """
        left = self._set_meanwhile()
        if self.effects is None:
            return tuple(dict.fromkeys([*read, *left]))
        left = [hazard for hazard in read if strict or not self.effects.explains(hazard)] + left
        return tuple(dict.fromkeys([*left, *self.effects.hazards(strict=strict)]))

    @property
    def memos(self) -> dict[str, dict[Any, Any]]:
        """Dicts that workers may fill, each its own, since what they add comes home; by path."""
        return {} if self.effects is None else self.effects.memos()

    @property
    def made(self) -> tuple[tuple[str, str, tuple[Any, ...]], ...]:
        """What the first item has made for this process alone; see `Effects.made`."""
        return () if self.effects is None else self.effects.made()

    def _set_meanwhile(self) -> list[Hazard]:
        """What was seen in the midst of items: it may stand in code that nobody has read."""
        if not self._meanwhile:
            return []
        from ..introspect.code import place_of

        at = place_of(self._call)
        return [Hazard(SETS_PROCESS, name, at, False, True) for name in self._meanwhile]

    def sample(self, monitor: Monitor, remaining: int | None, running: Seen | None = None) -> Sample:
        """Everything measured, as a value."""
        seen = running or monitor.seen()
        self._meanwhile = seen.meanwhile
        if running is not None and self.effects is not None:
            self.effects.amid()
        walls, cpus, counts = list(self._walls), list(self._cpus), list(self._counts)
        if seen.items:  # the running block has finished some items: they count as a block of their own
            walls.append(seen.running_s / seen.items)
            cpus.append(seen.cpu_s / seen.items)
            counts.append(seen.items)
        memory = self.memory_bytes
        if running is not None:  # what the item that runs has taken so far
            memory = max(memory, grown(self._memory, self._resident()) // max(1, seen.items))
        self._sample = Sample(
            function=self._name,
            walls=tuple(walls),
            cpus=tuple(cpus),
            counts=tuple(counts),
            held_share=seen.held_share,
            looked_s=seen.looked_s,
            pressed_cores=seen.pressed_cores,
            native_share=seen.native_share,
            native_before=seen.native_before,
            children_s=monitor.children_s,
            queued_s=seen.queued_s,
            running_s=0.0 if seen.items else seen.running_s,
            running_cpu_s=0.0 if seen.items else seen.cpu_s,
            child_waited=seen.child,
            first_s=self._first_s,
            remaining=remaining,
            memory_bytes=memory,
        )
        return self._sample

    def brief(self, remaining: int | None) -> Profile:
        """A profile of items that are over before a verdict is."""
        item = self.item_s
        cpu = min(
            item, sum(c * n for c, n in zip(self._cpus, self._counts, strict=True)) / max(1, self.items)
        )
        return Profile(
            function=self._name,
            items=self.items,
            wall_s=item,
            held_s=cpu,
            free_s=0.0,
            wait_s=max(0.0, item - cpu),
            first_s=self._first_s,
            kind=WorkKind.TINY,
            evidence=f"{self.items} items took {self.total_s:.2g} s",
            remaining=remaining,
            memory_bytes=self.memory_bytes,
        )

    def refreshed(self, profile: Profile, *, gil: bool) -> tuple[Profile, bool]:
        """A profile taken while an item ran, now that it has ended; and whether it was mistaken."""
        if self._sample is None or not self._walls:
            return profile, False
        whole = replace(
            self._sample,
            walls=tuple(self._walls),
            cpus=tuple(self._cpus),
            counts=tuple(self._counts),
            running_s=0.0,
            running_cpu_s=0.0,
            memory_bytes=max(self.memory_bytes, self._sample.memory_bytes),
        )
        from ..decide.classify import profile_of

        found = replace(profile_of(whole, gil=gil), remaining=profile.remaining)
        mistaken = profile.kind is WorkKind.IO and found.cpu_s > 0.5 * found.wall_s and not self.importing()
        if mistaken:
            return found, True
        return replace(found, kind=profile.kind, evidence=profile.evidence), False


def _nothing() -> None:
    """Stands where a function was let go."""


def _names_nothing(call: Any) -> bool:
    """Whether a function's code names nothing outside of it: then not even a glance need be imported."""
    code = call.__code__ if type(call) is FunctionType else None
    return code is not None and not (
        code.co_names
        or code.co_freevars
        or call.__defaults__
        or call.__kwdefaults__
        or call.__dict__
        or any(type(const) is type(code) for const in code.co_consts)
    )


def _unchangeable(item: object) -> bool:
    return type(item) in ATOMS or (type(item) is tuple and all(type(part) in ATOMS for part in item))
