"""Many calls in one run leave no trace: memory, threads and descriptors stay as they were."""

from __future__ import annotations

import pytest

from benchmarks.io import endurance


@pytest.mark.parametrize("client", ["requests", "aiohttp"])
def test_two_thousand_calls(behaving, client):
    """The last third of the run looks like the first, and after it everything is let go."""
    pytest.importorskip(client)
    leak = endurance.leak_run(behaving, 2000, client, max_workers=8)
    assert leak.calls == 2000
    assert 1 < leak.most_at_once <= 8
    rss, late = leak.thirds("rss")
    assert late < 1.1 * rss + 5e6
    for name in ("threads", "descriptors"):
        early, late = leak.thirds(name)
        assert late <= early + 2 * 8  # the concurrency may still have grown
        assert getattr(leak.states[-1], name) <= early + 1
    assert "2,000 calls" in str(leak)


def test_the_commands(capsys):
    """Both print their figures."""
    pytest.importorskip("requests")
    endurance.main(["leak", "--calls", "60"])
    assert "descriptors:" in capsys.readouterr().out
    endurance.main(["kill", "--items", "60", "--kills", "1"])
    assert "results equal and in order: True" in capsys.readouterr().out
