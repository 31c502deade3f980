"""State for an item's own time, the caller's thread, standard input: what the code's names forbid."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from autoexec.decide import planner
from autoexec.records import NEEDS_THREAD, Forecast, Hazard, Plan
from autoexec.safety.effects import Effects
from autoexec.safety.hazards import find_hazards
from autoexec.safety.item_state import item_state
from autoexec.safety.quick_check import harmless

from .item_state_corpus import BOTH, HARMLESS, THREADS

WAYS = (
    Forecast("serial", 1, 1, 9.0),
    Forecast("threads", 8, 1, 1.0),
    Forecast("processes", 8, 1, 2.0),
    Forecast("processes", 2, 1, 1.0, threads=4),
)


@pytest.fixture
def alarm() -> Iterator[None]:
    """Nobody handles the alarm; afterwards its handler is put back."""
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGALRM, before)


def hazards(work: Callable[..., Any]) -> list[Any]:
    """What is known of a function in the caller's thread before its first item."""
    effects = Effects(work)
    effects.before((1,))
    return [*find_hazards(work), *effects.hazards()]


def allowed(work: Callable[..., Any]) -> tuple[bool, ...]:
    """Whether it may run in threads, in processes, and in processes of threads."""
    found = planner.refuse(WAYS, hazards=hazards(work))
    return tuple(not way.refused for way in found[1:])


@pytest.mark.parametrize("name", THREADS)
def test_threads_are_forbidden(name: str, module: Callable[..., Any], alarm: None) -> None:
    """What is set for the whole process, or belongs to the main thread, is not for threads; it is named."""
    work = module(THREADS[name]).work
    threads, processes, mixed = allowed(work)
    assert (threads, mixed) == (False, False), hazards(work)
    assert processes == all(hazard.processes_ok for hazard in hazards(work))
    assert processes or name not in ("chdir", "redirect_stdout", "umask", "setitimer")
    own = item_state(work)
    assert all(not hazard.threads_ok and hazard.processes_ok for hazard in own)
    assert own or any(not hazard.threads_ok for hazard in find_hazards(work))
    assert not harmless(work)


@pytest.mark.parametrize("name", BOTH)
def test_the_callers_thread_is_needed(name: str, module: Callable[..., Any], alarm: None) -> None:
    """What comes once and in order, and what only the caller's thread has, stays there."""
    work = module(BOTH[name]).work
    assert allowed(work) == (False, False, False), hazards(work)
    assert not harmless(work)


@pytest.mark.parametrize("name", HARMLESS)
def test_look_alikes_may_run_in_threads(name: str, module: Callable[..., Any]) -> None:
    """What only looks like it, or is an item's own, holds nobody back."""
    work = module(HARMLESS[name]).work
    assert allowed(work)[0], hazards(work)
    assert item_state(work) == []


def test_what_is_changed_amid_an_item_and_set_back_is_seen(module: Callable[..., Any]) -> None:
    """By a look from another thread while it runs; what stays is another kind, what was empty is none."""
    program = module("""
class Settings: level, client = 1, None
def work(x): return Settings.level, Settings.client
""")
    effects = Effects(program.work)
    effects.before((1,))
    program.Settings.level, program.Settings.client = 2, object()
    effects.amid()
    said = [(hazard.name, hazard.threads_ok, hazard.processes_ok) for hazard in effects.hazards()]
    assert said == [("Settings.level", False, True)]
    program.Settings.level = 1
    effects.after((1,))
    assert ("Settings.level", False, True) in [
        (hazard.name, hazard.threads_ok, hazard.processes_ok) for hazard in effects.hazards()
    ]
    stays = Effects(program.work)
    stays.before((1,))
    program.Settings.level = 3
    stays.amid()
    stays.after((1,))
    assert [hazard.processes_ok for hazard in stays.hazards()] == [False]


def test_who_needs_the_callers_own_thread() -> None:
    """Not even one other thread would do where a kind or both backends are forbidden."""
    either = [("a kind", False, True), (NEEDS_THREAD, False, True), ("a kind", False, False)]
    told = [Hazard(kind, "x", "job.py:1", threads, processes) for kind, threads, processes in either]
    assert [hazard.here_only for hazard in told] == [False, True, True]
    assert not Hazard("a kind", "x", "job.py:1", True).here_only
    assert Plan("processes", hazards=(told[0],)).alone and not Plan("processes").alone
