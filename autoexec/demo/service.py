"""A real HTTP service on loopback: httpbin and the examples' own API under waitress, in a process of its own.

Beside httpbin's paths stand those of `autoexec.demo.api`. A thread would be simpler, but the service's own
work would then hold this process's GIL and show up in the measurements of its clients.

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
    from collections.abc import Iterable, Iterator
    from os import PathLike
    from subprocess import Popen
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["child_service", "httpbin_service", "leave_with_parent"]

THREADS = 128
"""Calls served at once: each `/delay` call holds one thread, and 64 of them must not queue."""

PATIENCE = 5.0
"""Seconds the child gets to leave when told to, before it is killed."""


@contextlib.contextmanager
def httpbin_service() -> Iterator[str]:
    """Serve httpbin and the API while the block runs; yields their address, such as "http://127.0.0.1:40801"."""
    require("httpbin", "waitress")
    with child_service("autoexec.demo.service") as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def child_service(module: str, *arguments: str, folder: str | PathLike[str] | None = None) -> Iterator[str]:
    """Run a module that serves in a process of its own; yields its first line: the port, or several.

    Args:
        module: what `python -m` runs; it keeps the rules of the child.
        arguments: handed to it.
        folder: where it is run, and looked for; None stays here.

    Raises:
        AutoexecError: if its first line holds no port.
    """
    process = _start(module, *arguments, folder=folder)
    try:
        yield _ports(process)
    finally:
        _stop(process)


def _start(module: str, *arguments: str, folder: str | PathLike[str] | None = None) -> Popen[str]:
    """Start the child in its own session: Ctrl-C reaches the parent alone, which then stops the child."""
    import subprocess

    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        start_new_session=True,
    )


def _ports(process: Popen[str]) -> str:
    """Wait for the child's first line."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line.replace(" ", "").isdigit():
        raise AutoexecError("the HTTP service did not start; its own message stands above")
    return line


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


def leave_with_parent() -> None:
    """In the child: leave at once when standard input closes, whatever is in progress."""
    import os
    import threading

    def watch() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def serve() -> None:
    """Be the child: serve until standard input closes or a signal comes."""
    import logging

    logging.disable(logging.WARNING)  # httpbin's notes on its optional parts, waitress's on its queue
    import waitress

    server = waitress.create_server(
        application(),
        host="127.0.0.1",
        port=0,
        threads=THREADS,
        connection_limit=1000,
        asyncore_use_poll=True,
    )
    leave_with_parent()
    print(server.effective_port, flush=True)
    server.run()


def application() -> WSGIApplication:
    """What is served: the API's paths, and httpbin for the rest."""
    import httpbin

    from autoexec.demo.api import PATHS, Api

    ours, bins = Api(), httpbin.app

    def choose(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        chosen: WSGIApplication = ours if environ["PATH_INFO"].startswith(PATHS) else bins
        return chosen(environ, start_response)

    return choose


if __name__ == "__main__":
    serve()
