"""Random schedules through the public doors, each compared with the plain loop.

    python -m tests.schedules FIRST COUNT [--jobs N] [--kind threads|processes|all] [--limit SECONDS]
    python -m tests.schedules --show SEED

Prints a line for each schedule that went wrong, and a sum; exit status 1 if any did. Kinds of complaints
that are named in AUTOEXEC_SCHEDULES_SKIP, with commas, are not made.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile

from .child import serve
from .draw import draw
from .parent import LIMIT_S, supervise
from .run import runs_here
from .show import show
from .tally import Tally
from .words import in_words


def main() -> int:
    """Run what was asked for; 1 if any schedule went wrong."""
    wishes = _parser().parse_args()
    if wishes.child:
        serve(wishes.child, wishes.folder)
        return 0
    with tempfile.TemporaryDirectory(prefix="schedules-", dir=_quick()) as base:
        if wishes.show is not None:
            return show(wishes.show, wishes.library, base)
        return _run(wishes, base)


def _parser() -> argparse.ArgumentParser:
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m tests.schedules", description=__doc__, formatter_class=how)
    parser.add_argument("first", type=int, nargs="?", default=0, help="the first seed")
    parser.add_argument("count", type=int, nargs="?", default=100, help="how many seeds")
    parser.add_argument("--jobs", type=int, default=1, help="child processes at a time")
    parser.add_argument("--kind", choices=("threads", "processes", "all"), default="all", help="only these")
    parser.add_argument("--without", metavar="REGEX", help="leave out schedules whose words match")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds after which a schedule hangs")
    parser.add_argument("--show", type=int, metavar="SEED", help="one schedule in words, and all that came")
    parser.add_argument("--library", default="autoexec", help="the module whose doors are used")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser


def _quick() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _run(wishes: argparse.Namespace, base: str) -> int:
    seeds = [seed for seed in range(wishes.first, wishes.first + wishes.count) if _wanted(wishes, seed)]
    tally = Tally()
    for report in supervise(seeds, base, jobs=wishes.jobs, library=wishes.library, limit_s=wishes.limit):
        if line := tally.note(report):
            print(line, flush=True)
    print(tally)
    return 1 if tally.wrong else 0


def _wanted(wishes: argparse.Namespace, seed: int) -> bool:
    schedule = draw(seed)
    if wishes.kind not in ("all", schedule.kind) or not runs_here(schedule):
        return False
    return not wishes.without or not re.search(wishes.without, in_words(schedule))


if __name__ == "__main__":
    sys.exit(main())
