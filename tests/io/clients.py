"""The same call in the libraries that people use, as they write it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import autoexec

TIMEOUT_S = 20.0  # of the libraries themselves: no test hangs for longer


def _session() -> Any:
    import requests

    return requests.Session()


def _client() -> Any:
    import httpx

    return httpx.Client(timeout=TIMEOUT_S)


def _aiohttp() -> Any:
    import aiohttp

    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S))


def _async_client() -> Any:
    import httpx

    return httpx.AsyncClient(timeout=TIMEOUT_S)


sessions = autoexec.per_worker(_session)
clients = autoexec.per_worker(_client)
aiohttp_sessions = autoexec.per_worker(_aiohttp)
async_clients = autoexec.per_worker(_async_client)


def requests_raises(url: str) -> Any:
    """requests, errors raised."""
    answer = sessions().get(url, timeout=TIMEOUT_S)
    answer.raise_for_status()
    return answer.json()


def requests_returns(url: str) -> Any:
    """requests, the response handed on as it is."""
    return sessions().get(url, timeout=TIMEOUT_S)


def httpx_raises(url: str) -> Any:
    """httpx, errors raised."""
    answer = clients().get(url)
    answer.raise_for_status()
    return answer.json()


def httpx_returns(url: str) -> Any:
    """httpx, the response handed on as it is."""
    return clients().get(url)


def urllib_raises(url: str) -> Any:
    """urllib, which raises by itself; the error holds a connection that wants to be closed."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise


async def aiohttp_raises(url: str) -> Any:
    """aiohttp, errors raised."""
    async with aiohttp_sessions().get(url) as answer:
        answer.raise_for_status()
        return await answer.json()


async def aiohttp_returns(url: str) -> Any:
    """aiohttp, the response handed on when it has been read."""
    async with aiohttp_sessions().get(url) as answer:
        await answer.read()
        return answer


async def async_httpx_raises(url: str) -> Any:
    """Httpx in an event loop, errors raised."""
    answer = await async_clients().get(url)
    answer.raise_for_status()
    return answer.json()


RAISING = {
    "requests": requests_raises,
    "httpx": httpx_raises,
    "urllib": urllib_raises,
    "aiohttp": aiohttp_raises,
    "async httpx": async_httpx_raises,
}
RETURNING = {"requests": requests_returns, "httpx": httpx_returns, "aiohttp": aiohttp_returns}
PACKAGES = {"requests": "requests", "httpx": "httpx", "aiohttp": "aiohttp", "async httpx": "httpx"}


def need(name: str) -> None:
    """Skip where the client's package is not installed."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])


@dataclass
class Diary:
    """When calls began and when one was refused, in monotonic seconds."""

    begun: list[tuple[float, str]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def keeping(self, func: Callable[[str], Any]) -> Callable[[str], Any]:
        """The function, with each call written down."""
        from autoexec.checks import is_async

        def plain(url: str) -> Any:
            self.begun.append((time.monotonic(), url))
            try:
                return self._seen(func(url))
            except Exception:
                self.refused.append(time.monotonic())
                raise

        async def waiting(url: str) -> Any:
            self.begun.append((time.monotonic(), url))
            try:
                return self._seen(await func(url))
            except Exception:
                self.refused.append(time.monotonic())
                raise

        return waiting if is_async(func) else plain

    def _seen(self, value: Any) -> Any:
        status = getattr(value, "status_code", None) or getattr(value, "status", None)
        if status == 429:
            self.refused.append(time.monotonic())
        return value
