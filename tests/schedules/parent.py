"""Runs many schedules in child processes, and goes on when one of them hangs or crashes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .compare import Wrong

__all__ = ["Report", "supervise"]

LIMIT_S = 30.0  # for one schedule
START_S = 30.0  # until the child has begun with it, which imports everything first
EACH = 250  # schedules of one child: what piles up is seen by its successors, not by all
LEAVE_S = 2.0  # for a child to end by itself, and then for its own children
STACK_S = 1.0  # for the stacks to be written
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Report:
    """How one schedule ended."""

    seed: int
    wrong: tuple[Wrong, ...]
    seconds: float


@dataclass
class Child:
    """A process that runs schedules, one at a time.

    Attributes:
        number: of its folder.
        library: the module whose doors it uses.
        base: where its folder is made.
        seed: what it runs, or None.
        since: when it began with that, or was given it.
        begun: whether it has begun.
        done: schedules so far.
        retired: whether it is to be given no more.
    """

    number: int
    library: str
    base: str
    seed: int | None = None
    since: float = 0.0
    begun: bool = False
    done: int = 0
    retired: bool = False
    _rest: bytes = b""
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        os.makedirs(self.folder)
        command = [sys.executable, "-m", "tests.schedules", "--child", self.library, "--folder", self.folder]
        environment = {**os.environ, "AUTOEXEC_CACHE_DIR": os.path.join(self.base, "cache")}
        with open(os.path.join(self.folder, "errors"), "wb") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env=environment,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    @property
    def folder(self) -> str:
        """Where its files are."""
        return os.path.join(self.base, f"child-{self.number}")

    def give(self, seed: int) -> None:
        """The next schedule."""
        self.seed, self.since, self.begun = seed, time.monotonic(), False
        self.done += 1
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has crashed: that is seen elsewhere
            self.process.stdin.write(b"%d\n" % seed)
            self.process.stdin.flush()

    def told(self) -> list[dict[str, Any]]:
        """What it has said since."""
        assert self.process.stdout is not None
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.process.stdout.fileno(), 1 << 16):
                self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """It is not needed any more, or does not answer."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(LEAVE_S if self.seed is None else 0.0)
        self.process.kill()
        self.process.wait()
        self._sweep()

    def _sweep(self) -> None:
        """End its children, if there still are some; helpers that tidy up behind it may do so."""
        until = time.monotonic() + LEAVE_S
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < until:
                os.killpg(self.process.pid, 0)
                time.sleep(0.005)
            os.killpg(self.process.pid, signal.SIGKILL)

    def stacks(self) -> str:
        """What its threads are at, in short."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGUSR1)
        time.sleep(STACK_S)
        return _brief(_text(self.folder, "stacks"))

    def last_words(self) -> str:
        """What it wrote before it crashed."""
        return _brief(_text(self.folder, "stacks")) or _text(self.folder, "errors")[-300:]


def _text(folder: str, name: str) -> str:
    return Path(folder, name).read_text(encoding="utf-8", errors="replace")


def _brief(stacks: str) -> str:
    """The innermost places of each thread that are the library's or the schedule's."""
    threads = []
    for thread in stacks.split("\n\n"):
        places = re.findall(
            r'File "[^"]*?((?:autoexec|tests|lib/python[\d.]*)/[^"]+)", line (\d+) in (\w+)', thread
        )
        short = [f"{path.rpartition('/')[2]}:{line} {name}" for path, line, name in places]
        if short:
            threads.append(" < ".join(short[:4]))
    return " | ".join(threads[:6])


def supervise(
    seeds: Iterable[int], base: str, *, jobs: int = 1, library: str = "autoexec", limit_s: float = LIMIT_S
) -> Iterator[Report]:
    """Run schedules, and say of each how it ended.

    Args:
        seeds: which ones.
        base: a folder for files.
        jobs: child processes at a time.
        library: the module whose doors are used.
        limit_s: seconds after which a schedule hangs.
    """
    waiting, made = deque(seeds), 0
    children: list[Child] = []
    try:
        while waiting or children:
            while waiting and len(children) < jobs:
                children.append(Child(made, library, base))
                made += 1
                children[-1].give(waiting.popleft())
            _wait(children)
            for child in list(children):
                yield from _heard(child, limit_s)
                if child.seed is None:
                    if not waiting or child.retired or child.done >= EACH:
                        children.remove(child)
                        child.end()
                    else:
                        child.give(waiting.popleft())
    finally:
        for child in children:
            child.end()


def _wait(children: list[Child]) -> None:
    """Until one has something to say, or it is time to look at the clock."""
    with selectors.DefaultSelector() as selector:
        for child in children:
            assert child.process.stdout is not None
            selector.register(child.process.stdout, selectors.EVENT_READ)
        selector.select(0.2)


def _heard(child: Child, limit_s: float) -> Iterator[Report]:
    gone = child.process.poll() is not None  # before what it said is read
    for what in child.told():
        if "began" in what:
            child.since, child.begun = time.monotonic(), True
        else:
            child.seed, child.retired = None, bool(what["wrong"]) or what["retire"]
            yield Report(what["ended"], tuple(Wrong(*one) for one in what["wrong"]), what["seconds"])
    seed, took = child.seed, time.monotonic() - child.since
    if seed is None or (not gone and took < limit_s + (0.0 if child.begun else START_S)):
        return
    if gone:
        wrong = Wrong("crash", "an answer", f"exit status {child.process.returncode}: {child.last_words()}")
    else:
        wrong = Wrong("hang", "an end", f"none in {took:.0f} s: {child.stacks()}")
        child.end()
    child.seed, child.retired = None, True
    yield Report(seed, (wrong,), took)
