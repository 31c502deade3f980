"""What pools cost to start, from the calibration."""

from __future__ import annotations

import pytest

from autoexec.decide.startup_costs import process_costs, thread_costs
from autoexec.records import Calibration
from autoexec.registry import Costs, weighed

CALIBRATION = Calibration(
    thread_start=1.0, thread_task=2.0, fork_start=4.0, spawn_start=8.0, process_task=16.0, joblib_start=32.0
)


def test_threads_start_one_by_one() -> None:
    """There is nothing to pay for but the threads."""
    costs = thread_costs(CALIBRATION)
    assert (costs.starting_s(3), costs.task_s) == (3.0, 2.0)


@pytest.mark.parametrize(("fork", "seconds"), [(True, 4.0 + 2 * 1.0), (False, 8.0 + 2 * 1.0)])
def test_processes_pay_for_the_way_they_start(fork: bool, seconds: float) -> None:
    """A part once, a part for each."""
    costs = process_costs(CALIBRATION, fork=fork)
    assert (costs.starting_s(2), costs.task_s) == (seconds, 16.0)


def test_other_backends_pay_what_their_row_says() -> None:
    """Joblib's is measured apart."""
    (name, costs), *_ = weighed(CALIBRATION)
    assert name == "joblib" and isinstance(costs, Costs)
    assert costs.starting_s(2) > 32.0
