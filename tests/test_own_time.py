"""Nobody stops the clocks of a run: not a test that patches `time`, before or after our modules came."""

from __future__ import annotations

import time
from typing import Any
from unittest import mock

import pytest

from autoexec.own_time import time as own


@pytest.mark.parametrize("name", ["time", "monotonic", "perf_counter", "thread_time", "process_time"])
def test_a_patched_clock_is_not_ours(name: str) -> None:
    """Ours goes on, and tells what the real one tells."""
    real = getattr(time, name)
    with mock.patch.object(time, name, return_value=7.0):
        assert getattr(own, name)() != 7.0
        assert getattr(own, name)() == pytest.approx(real(), abs=60.0)


FROZEN = """
from unittest import mock
stopped = dict(time=lambda: 1e9, monotonic=lambda: 1e3, perf_counter=lambda: 1e3, process_time=lambda: 1.0)

def work(x):
    until = os.times().user + 0.005
    while os.times().user < until:
        pass
    return x

with mock.patch.multiple(time, **stopped):
    for backend in ("threads", "processes", "auto", "serial"):
        note(sum(autoexec.map(work, range(30), backend=backend)))
    with autoexec.Executor(max_workers=2, backend={executor!r}) as executor:
        note(sum(executor.map(work, range(30), timeout=20)))
"""


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_program_whose_clocks_stand_still(script: Any, executor: str) -> None:
    """It gets its results from everywhere, although our modules are imported while the clocks are stopped."""
    code, _, err = script.run(FROZEN.replace("{executor!r}", repr(executor)))
    assert (code, err, script.lines()) == (0, "", ["435"] * 5)


def test_greenlets_sleep_as_their_library_wants(script: Any) -> None:
    """Where threads are somebody else's, so is sleep: it lets the others run."""
    body = """
    import _thread
    real, slept = _thread.start_new_thread, []
    _thread.start_new_thread = lambda *args: real(*args)
    time.sleep = slept.append
    from autoexec.own_time import time as own
    own.sleep(5.0)
    note(slept)
    """
    assert script.run(body)[0] == 0 and script.lines() == ["[5.0]"]
