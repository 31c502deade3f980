"""Several hosts in one run: each with its own concurrency, limits and back-off."""

from __future__ import annotations

import asyncio
import threading

import pytest

import autoexec
from autoexec import ItemTimeout
from tests.io.clients import requests_raises
from tests.servers.behaving import stats

pytest.importorskip("requests")


def by_name(address):
    """The same server under its other name."""
    return address.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("way", ["threads", "async"])
def test_a_slow_host_keeps_no_other_waiting(way):
    """The calls of one host come first and wait for those of the other: those all begin, and end."""
    done, quick = [], threading.Event()

    def end(host, number):
        done.append((host, number))
        if sum(name == "quick" for name, _ in done) == 24:
            quick.set()
        return host, number

    def plain(item):
        assert item[0] == "quick" or quick.wait(20)
        return end(*item)

    async def waiting(item):
        while item[0] == "slow" and not quick.is_set():
            await asyncio.sleep(0.002)
        return end(*item)

    items = [("slow", number) for number in range(24)] + [("quick", number) for number in range(24)]
    func = plain if way == "threads" else waiting
    results = autoexec.map(func, items, per=lambda item: item[0], max_workers=64)
    assert list(results) == items
    assert [host for host, _ in done[:23]] == ["quick"] * 23
    assert [(host.host, host.calls) for host in results.stats().hosts] == [("slow", 24), ("quick", 24)]


def test_a_refusing_host_does_not_slow_the_other(behaving):
    """One answers 429 to every call, the other one is well: each with its own counts."""
    urls = []
    for i in range(40):
        urls += [f"{behaving}/status/429?ms=2&n={i}", f"{by_name(behaving)}/constant?ms=5&n={i}"]
    results = autoexec.map(requests_raises, urls, on_error="return", max_workers=8)
    values = list(results)
    assert values[1::2] == [{"ok": True}] * 40
    assert all(isinstance(value, Exception) for value in values[::2])
    hosts = {host.host.partition(":")[0]: host for host in results.stats().hosts}
    assert (hosts["127.0.0.1"].refusals, hosts["localhost"].refusals) == (40, 0)
    assert hosts["localhost"].errors == 0


def test_budgets_are_their_own(behaving):
    """An outage at one host uses up its own retries, and none of the other's."""
    tenacity = pytest.importorskip("tenacity")
    policy = tenacity.Retrying(stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_fixed(0.005))
    urls = [f"{behaving}/status/502?n={i}" for i in range(60)]
    urls += [f"{by_name(behaving)}/fail?id={i}&times=2&status=502" for i in range(30)]
    results = autoexec.map(requests_raises, urls, retries=policy, on_error="return")
    values = list(results)
    assert all(isinstance(value, Exception) for value in values[:60])
    assert [value["id"] for value in values[60:]] == [str(i) for i in range(30)]
    assert stats(behaving)["/status/502"]["calls"] == 160
    assert stats(behaving)["/fail"]["calls"] == 90


def test_a_host_that_hangs_gives_its_place_back(behaving, broken):
    """Its calls are given up one after the other, while the other host's are all answered."""
    urls = []
    for i in range(12):
        urls += [broken.silent, f"{behaving}/constant?ms=2&n={i}"]

    def fetch(url):
        import requests

        return requests.get(url, timeout=5.0).status_code

    values = list(autoexec.map(fetch, urls, item_timeout=1.0, max_workers=4, on_error="return"))
    assert values[1::2] == [200] * 12
    assert all(type(value) is ItemTimeout for value in values[::2])
