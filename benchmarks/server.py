"""The HTTP service that W5 and W11 call: threads, a fixed delay, answers that depend on the question alone.

`serving()` runs it in a process of its own, which ends with its standard input.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["serving"]

CALL_S = 0.050
STEP_S = 0.014


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default backlog of 5 drops connections when 64 threads call at once, and each drop costs a second.
    request_queue_size = 1024


class _Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        time.sleep(CALL_S)
        self._answer({"path": self.path, "ok": True})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(STEP_S)
        self._answer({"step": self.path, "token": zlib.crc32(body), "size": len(body)})

    def _answer(self, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        head = f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def main() -> None:
    """Serve on a free port until standard input is closed."""
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


@contextmanager
def serving() -> Iterator[str]:
    """The address of a service in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    main()
