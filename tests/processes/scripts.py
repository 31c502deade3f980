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

import pytest

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


# It outlives the process that tests, and then ends the process groups that this one has not crossed out.
WARDEN = """
import os, select, signal, sys
parent, groups = int(sys.argv[1]), set()
while os.getppid() == parent:
    if select.select([0], [], [], 0.5)[0]:
        word = os.read(0, 16)
        if not word:
            break
        (groups.add if word[:1] == b"+" else groups.discard)(int(word[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class Warden:
    """Ends scripts whose test was killed before it could end them itself: they would run on for ever."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", WARDEN, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal does not end it
        )

    def watch(self, group: int) -> None:
        """This process group is to be ended with the process that tests."""
        self._say("+", group)

    def forget(self, group: int) -> None:
        """It has been ended."""
        self._say("-", group)

    def _say(self, what: str, group: int) -> None:
        assert self._process.stdin is not None
        os.write(self._process.stdin.fileno(), f"{what}{group:015}".encode())

    def close(self) -> None:
        """End what was not crossed out, and then go."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)


@pytest.fixture(scope="session")
def warden() -> Iterator[Warden]:
    """The warden of all scripts of this session; it is there before a test's surroundings are looked at."""
    made = Warden()
    yield made
    made.close()


@pytest.fixture
def script(tmp_path: Path, warden: Warden) -> Iterator[Script]:
    """A script, of which nothing is left at the end of the test, however that goes."""
    made = Script(tmp_path, warden)
    yield made
    made.clear()


class Script:
    """A program without a main guard, in a session of its own.

    Whatever it starts carries a mark in its environment, so that what is left of it can be found.

    Attributes:
        head: what stands before each body, after `HEAD`.
    """

    def __init__(self, folder: Path, warden: Warden) -> None:
        self.folder, self.head = folder, ""
        self._warden = warden
        self.journal = folder / "notes"
        self._mark = uuid.uuid4().hex
        self.process: subprocess.Popen[str] | None = None

    def start(self, body: str, *flags: str) -> subprocess.Popen[str]:
        """Begin to run it; with the flag "-c" or "-" not as a file."""
        text = f"PATH = {str(self.journal)!r}\n{HEAD}\n{self.head}\n{textwrap.dedent(body)}"
        path = self.folder / "script.py"
        path.write_text(text)
        last = {"-c": ["-c", text], "-": ["-"]}.get(flags[-1] if flags else "", [str(path)])
        flags = tuple(flag for flag in flags if flag not in ("-c", "-"))
        known = [ROOT, os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, MARK: self._mark, "PYTHONPATH": os.pathsep.join(filter(None, known))}
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
        self._warden.watch(self.process.pid)
        return self.process

    def run(self, body: str, *flags: str) -> tuple[int, str, str]:
        """Run it to its end: exit code, output, errors."""
        self.start(body, *flags)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        """Wait for its end: exit code, output, errors."""
        assert self.process is not None
        try:
            out, err = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # with "-X dev" it tells where each thread stands
            out, err = self.process.communicate(timeout=PATIENCE_S)
            raise AssertionError(f"it did not end: {out}{err}") from None
        return self.process.returncode, out, err

    def lines(self) -> list[str]:
        """What it has noted so far."""
        try:
            return self.journal.read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []

    def wait_for(self, count: int) -> list[str]:
        """What it has noted, once that is at least so much."""
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
        self._warden.forget(self.process.pid)

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
