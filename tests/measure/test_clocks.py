"""Clocks of other threads, and who runs beside Python's own."""

from __future__ import annotations

import _thread
import hashlib
import os
import subprocess
import sys
import threading
import time
from typing import Self

import pytest

from autoexec.measure import clocks
from autoexec.measure.clocks import (
    NativeShare,
    ThreadClock,
    age_clock,
    began_before,
    native_cpu,
    native_threads_run,
)

SECONDS = 10.0
ROUNDS = 20_000  # of a hash, without the GIL: some 10 ms

linux = pytest.mark.skipif(sys.platform != "linux", reason="the state of a thread is read from /proc")


class Hashing:
    """A thread that the threading module does not know of, busy without the GIL."""

    def __enter__(self) -> Self:
        self._on, self._over = True, _thread.allocate_lock()
        self._over.acquire()
        _thread.start_new_thread(self._run, ())
        return self

    def _run(self) -> None:
        while self._on:
            hashlib.pbkdf2_hmac("sha256", b"", b"", ROUNDS)
        self._over.release()

    def __exit__(self, *_: object) -> None:
        self._on = False
        assert self._over.acquire(timeout=SECONDS)


def soon(wanted: bool) -> bool:
    """Whether native threads run, or no longer do, before long."""
    until = time.monotonic() + SECONDS
    while native_threads_run() is not wanted:
        if time.monotonic() > until:
            return False
    return True


@linux
def test_native_threads_that_run_are_seen() -> None:
    """They count until they are over."""
    assert soon(False)
    with Hashing():
        assert soon(True)
    assert soon(False)


@linux
def test_threads_of_python_do_not_count() -> None:
    """Whatever they do: their CPU time is known."""
    assert soon(False)
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            hashlib.pbkdf2_hmac("sha256", b"", b"", ROUNDS)

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        assert not any(native_threads_run() for _ in range(50))
    finally:
        over.set()
        thread.join()


@linux
def test_what_ran_before_is_remembered() -> None:
    """It is what a share begins with that counts."""
    assert soon(False)
    share = NativeShare()
    share.restart()
    assert not share.before
    with Hashing():
        assert soon(True)
        share.restart()
        assert share.before


def test_elsewhere_nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc native threads are taken for the function's own, a quiet thread for a sleeping one."""
    monkeypatch.setattr(clocks.sys, "platform", "darwin")
    assert not native_threads_run()
    assert ThreadClock(threading.get_ident(), threading.get_native_id()).sleeping()


@linux
def test_a_thread_that_has_ended() -> None:
    """Asking for it is no error."""
    thread = threading.Thread(target=int)
    thread.start()
    clock = ThreadClock(threading.get_ident(), thread.native_id or 0)
    thread.join()
    until = time.monotonic() + SECONDS  # `join` returns a moment before the kernel is done with the thread
    while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < until:
        pass
    assert clock.sleeping()
    assert clock.queued() == 0.0


def test_the_clock_of_a_thread_that_has_ended_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is listed, and gone when its clock is read: asked for by its `ident`, that would be a crash."""
    ended = [threading.Thread(target=int) for _ in range(64)]
    for thread in ended:
        thread.start()
    for thread in ended:
        thread.join()
    monkeypatch.setattr(threading, "enumerate", lambda: ended)
    assert native_cpu() > 0.0
    assert ThreadClock(ended[0].ident or 0, ended[0].native_id or 0).cpu() == 0.0


@linux
def test_children_of_a_thread_that_has_ended_began_before() -> None:
    """They become this thread's: it has not started them for that."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    begun = age_clock()
    while (since := age_clock()) < begun + 0.05:  # the system tells in hundredths of a second
        pass
    start()
    first, second = (str(process.pid).encode() for process in started)
    mine = ThreadClock(threading.get_ident(), threading.get_native_id()).children()
    before = began_before(first, since), began_before(second, since)
    for process in started:
        process.communicate(b"\n")
    assert {first, second} <= mine and before == (True, False)
    assert not began_before(first, since), "nobody can tell any more"


@linux
def test_when_a_process_began() -> None:
    """This one began before now, and after the system did."""
    me = str(os.getpid()).encode()
    assert began_before(me, age_clock()) and not began_before(me, 0.0)
    assert not began_before(b"0", age_clock())
