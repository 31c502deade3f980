"""One schedule, with all that came."""

from __future__ import annotations

import faulthandler
import importlib
import os
import shutil
import signal
from dataclasses import fields

from .check import check
from .draw import draw
from .expect import expected
from .parent import LIMIT_S
from .run import Came, run
from .schedule import Schedule
from .words import in_words

__all__ = ["show"]

FIRST = 40  # calls that are shown


def show(seed: int, library: str, folder: str) -> int:
    """Print a schedule and what comes of it; 1 if something is wrong."""
    schedule = draw(seed)
    print(in_words(schedule))
    _print_fields(schedule)
    signal.signal(signal.SIGALRM, lambda *_: _give_up(folder))  # a watchdog's thread would prevent forks
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    files = os.path.join(folder, "show")
    os.makedirs(files)
    outcome = run(schedule, importlib.import_module(library), files)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(f"expected: {expected(schedule)}")
    for came in outcome.came:
        _print_came(came)
    print(f"left: {outcome.left}; {outcome.seconds * 1000:.0f} ms")
    wrong = check(schedule, outcome)
    print("\n".join(map(str, wrong)) or "nothing is wrong")
    return 1 if wrong else 0


def _give_up(folder: str) -> None:
    """It hangs: say where, and leave nothing."""
    print(f"it hangs: no end in {LIMIT_S:.0f} s", flush=True)
    faulthandler.dump_traceback(all_threads=True)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _print_fields(schedule: Schedule) -> None:
    for field in fields(schedule):
        print(f"    {field.name} = {getattr(schedule, field.name)!r}")


def _print_came(came: Came) -> None:
    print(f"came: {came.taken}")
    print(f"    {came.world.meter}")
    calls = came.calls or []
    start = calls[0].began if calls else 0
    for call in calls[:FIRST]:
        began, took = (call.began - start) / 1e6, (call.ended - call.began) / 1e6
        print(f"    at {began:8.3f} ms item {call.place} for {took:.3f} ms by {call.who} {call.remark}")
