"""The process that runs schedules: seeds in, a line of JSON for each out."""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import shutil
import signal
import sys
import traceback
from typing import IO, Any

from .check import check
from .draw import draw
from .run import run

__all__ = ["serve"]


def serve(library: str, folder: str) -> None:
    """Run the seeds that come, one a line; say when one begins and how it ended.

    Args:
        library: the module whose doors are used.
        folder: for files; what threads do when a signal asks goes to `stacks` there.
    """
    stacks = open(os.path.join(folder, "stacks"), "w", encoding="utf-8")  # noqa: SIM115 -- for as long as this runs
    faulthandler.enable(stacks, all_threads=True)
    faulthandler.register(signal.SIGUSR1, stacks, all_threads=True)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what items print is no answer
    doors = importlib.import_module(library)
    for line in sys.stdin:
        answer(int(line), doors, folder, out)


def answer(seed: int, doors: Any, folder: str, out: IO[str]) -> None:
    """Run one schedule and say what is wrong with it."""
    schedule, files = draw(seed), os.path.join(folder, f"s{seed}")
    tell(out, {"began": seed})
    os.makedirs(files)
    try:
        outcome = run(schedule, doors, files)
        wrong = [(one.kind, one.expected, one.came) for one in check(schedule, outcome)]
        retire = bool(outcome.left) or schedule.door == "shared"
        tell(out, {"ended": seed, "wrong": wrong, "seconds": outcome.seconds, "retire": retire})
    except BaseException as error:
        where = traceback.format_exc()
        sys.stderr.write(where)
        told = [("harness", "a run", f"{type(error).__name__} at {where.splitlines()[-3:]}")]
        tell(out, {"ended": seed, "wrong": told, "seconds": 0.0, "retire": True})
    finally:
        shutil.rmtree(files, ignore_errors=True)


def tell(out: IO[str], what: dict[str, Any]) -> None:
    """Write one line."""
    out.write(json.dumps(what) + "\n")
    out.flush()
