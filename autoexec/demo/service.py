"""A real HTTP service on loopback: httpbin under waitress, in a process of its own.

A thread would be simpler, but the service's own work would then hold this process's GIL and show up
in the measurements of its clients.

Rules of the child: it serves on a free port, writes that port as its first line, and leaves when its
standard input closes. So it cannot outlive the process that started it, however that one ended.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from autoexec.demo.extra import require
from autoexec.errors import AutoexecError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import Popen

__all__ = ["httpbin_service"]

THREADS = 128
"""Calls served at once: each `/delay` call holds one thread, and 64 of them must not queue."""

PATIENCE = 5.0
"""Seconds the child gets to leave when told to, before it is killed."""


@contextlib.contextmanager
def httpbin_service() -> Iterator[str]:
    """Serve httpbin while the block runs; yields its address, such as "http://127.0.0.1:40801"."""
    require("httpbin", "waitress")
    process = _start()
    try:
        yield f"http://127.0.0.1:{_port(process)}"
    finally:
        _stop(process)


def _start() -> Popen[str]:
    """Start the child in its own session: Ctrl-C reaches the demo alone, which then stops the child."""
    import subprocess

    return subprocess.Popen(
        [sys.executable, "-m", "autoexec.demo.service"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _port(process: Popen[str]) -> int:
    """Wait for the child's first line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.strip().isdigit():
        raise AutoexecError("the demo's HTTP service did not start; its own message stands above")
    return int(line)


def _stop(process: Popen[str]) -> None:
    """End the child, by force if need be, and close both pipes."""
    import subprocess

    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def serve() -> None:
    """Be the child: serve until standard input closes or a signal comes."""
    import logging
    import os
    import threading

    logging.disable(logging.WARNING)  # httpbin's notes on its optional parts, waitress's on its queue
    import httpbin
    import waitress

    server = waitress.create_server(
        httpbin.app, host="127.0.0.1", port=0, threads=THREADS, connection_limit=1000, asyncore_use_poll=True
    )

    def leave_with_parent() -> None:
        sys.stdin.read()
        os._exit(0)  # waitress would wait for the calls in progress

    threading.Thread(target=leave_with_parent, daemon=True).start()
    print(server.effective_port, flush=True)
    server.run()


if __name__ == "__main__":
    serve()
