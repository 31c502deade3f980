"""Programs of their own, and what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
MARK = "AUTOEXEC_TEST_MARK"
PATIENCE_S = 30.0

HEAD = """
import os, sys, threading, time
import autoexec

def note(what):
    descriptor = os.open(PATH, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(descriptor, f"{what}\\n".encode())
    os.close(descriptor)
"""


class Script:
    """A program without a main guard, in a session of its own.

    Whatever it starts carries a mark in its environment, so that what is left of it can be found.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "notes"
        self._mark = uuid.uuid4().hex
        self.process: subprocess.Popen[str] | None = None

    def start(self, body: str, *flags: str) -> subprocess.Popen[str]:
        """Begin to run it; with the flag "-c" or "-" not as a file."""
        text = f"PATH = {str(self.journal)!r}\n{HEAD}\n{textwrap.dedent(body)}"
        path = self.folder / "script.py"
        path.write_text(text)
        last = {"-c": ["-c", text], "-": ["-"]}.get(flags[-1] if flags else "", [str(path)])
        flags = tuple(flag for flag in flags if flag not in ("-c", "-"))
        environment = {**os.environ, MARK: self._mark, "PYTHONPATH": ROOT}
        with path.open() as file:
            self.process = subprocess.Popen(
                [sys.executable, *flags, *last],
                env=environment,
                cwd=self.folder,
                stdin=file if last == ["-"] else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        return self.process

    def run(self, body: str, *flags: str) -> tuple[int, str, str]:
        """Run it to its end: exit code, output, errors."""
        self.start(body, *flags)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        """Wait for its end: exit code, output, errors."""
        assert self.process is not None
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err

    def lines(self) -> list[str]:
        """What it has noted so far."""
        try:
            return self.journal.read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []

    def wait_for(self, count: int) -> list[str]:
        """What it has noted, once that is so much."""
        assert self.process is not None
        until = time.monotonic() + PATIENCE_S
        while len(lines := self.lines()) < count:
            if time.monotonic() > until or self.process.poll() is not None:
                self.process.kill()
                raise AssertionError(f"only {lines} of {count} notes: {self.process.communicate()}")
            time.sleep(0.005)
        return lines

    def left(self, patience_s: float = 2.0) -> list[str]:
        """The processes that it left, after the time in which they should go."""
        until = time.monotonic() + patience_s
        while (found := list(self._marked())) and time.monotonic() < until:
            time.sleep(0.01)
        return found

    def clear(self) -> None:
        """End what is left of it."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.communicate()

    def _marked(self) -> Iterator[str]:
        mark = f"{MARK}={self._mark}".encode()
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                # A process that is only waited for has no environment any more.
                if mark in (folder / "environ").read_bytes():
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    yield f"{folder.name}: {command[:120]}"
            except OSError:
                continue
