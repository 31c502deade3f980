"""What pools cost to start, from the calibration."""

from __future__ import annotations

import pytest

from autoexec.decide.starting import joblib_pool, process_pool, thread_pool
from autoexec.records import Calibration

CALIBRATION = Calibration(
    thread_start=1.0, thread_task=2.0, fork_start=4.0, spawn_start=8.0, process_task=16.0, joblib_start=32.0
)


def test_threads_start_one_by_one() -> None:
    """There is nothing to pay for but the threads."""
    pool = thread_pool(CALIBRATION)
    assert (pool.backend, pool.starting_s(3), pool.task_s) == ("threads", 3.0, 2.0)


@pytest.mark.parametrize(("fork", "seconds"), [(True, 4.0 + 2 * 1.0), (False, 8.0 + 2 * 1.0)])
def test_processes_pay_for_the_way_they_start(fork: bool, seconds: float) -> None:
    """A part once, a part for each."""
    pool = process_pool(CALIBRATION, fork=fork)
    assert (pool.backend, pool.starting_s(2), pool.task_s) == ("processes", seconds, 16.0)


def test_joblib_pays_its_own_price() -> None:
    """It is measured apart."""
    pool = joblib_pool(CALIBRATION)
    assert pool.backend == "joblib"
    assert pool.starting_s(2) > 32.0
