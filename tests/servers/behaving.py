"""A real aiohttp server in a process of its own, whose every path behaves in one chosen way.

`behaviours` lists them. Beside them stand `/stats` (see `stats`) and `/reset`, which are not counted.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoexec.demo.service import child_service, leave_with_parent
from tests.servers.behaviours import Answer, Service, answer

ROOT = Path(__file__).parents[2]
BACKLOG = 1024  # a wave of 256 new connections must not be dropped


@contextmanager
def behaving_service() -> Iterator[str]:
    """Serve while the block runs; yields the address, such as "http://127.0.0.1:40801"."""
    with child_service("tests.servers.behaving", folder=ROOT) as port:
        yield f"http://127.0.0.1:{port}"


def stats(address: str) -> dict[str, dict[str, Any]]:
    """What each path was asked since the last reset.

    By path, without the query: `calls`, `at_once` now, `most_at_once`, `mean_at_once` between the first
    call and the last, `refused` (429 and 503), `statuses` (counts by status as text) and `ids` (calls by
    the query's `id`).
    """
    found: dict[str, dict[str, Any]] = json.loads(_get(f"{address}/stats"))
    return found


def reset(address: str) -> None:
    """Forget all calls; those still in progress count for the old time only."""
    _get(f"{address}/reset")


def _get(url: str) -> bytes:
    """Ask past any proxy that the environment names, on a connection that is closed afterwards."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as found:
        content: bytes = found.read()
    return content


async def serve() -> None:
    """Be the child: serve until the process ends."""
    from aiohttp import web

    service = Service()

    async def respond(request: web.BaseRequest) -> web.Response:
        nonlocal service
        given = Answer()
        if request.path == "/reset":
            service = Service()
        elif request.path == "/stats":
            given = Answer(service.facts())
        else:
            given = await answer(service, request.path, request.query)
        body, kind = given.body, "application/octet-stream"
        if not isinstance(body, bytes):
            body, kind = json.dumps(body).encode(), "application/json"
        headers = {"Content-Type": kind, **given.headers}
        return web.Response(body=body, status=given.status, headers=headers)

    runner = web.ServerRunner(web.Server(respond, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    leave_with_parent()
    asyncio.run(serve())
