"""The cost model on made-up machines: seconds for every way to run the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide import sizing
from autoexec.decide.costs import UNKNOWN_N, Settings, forecasts
from autoexec.frozen import replace
from autoexec.records import Calibration, Forecast, Machine, Profile, WorkKind
from autoexec.registry import weighed

CALIBRATION = Calibration()
OTHERS = weighed(CALIBRATION)  # joblib's workers
FREE = Calibration(*[1e-9] * 7)  # pools that cost nothing
CORES = (1, 2, 4, 16, 128)


def machine(cores: int = 4, **facts: object) -> Machine:
    """So many cores, everywhere, and memory for all of them."""
    given: dict[str, object] = {"memory_available": 1 << 40, **facts}
    return Machine(cores, cores, cores, cores, **given)  # type: ignore[arg-type]


def profile(
    held: float = 0.0, free: float = 0.0, wait: float = 0.0, n: int | None = 10_000, **facts: object
) -> Profile:
    """One item's seconds; the class follows from them."""
    wall = held + free + wait
    kinds = {wait: WorkKind.IO, free: WorkKind.NATIVE, held: WorkKind.PYTHON}
    given: dict[str, object] = {"kind": kinds[max(kinds)], **facts}
    return Profile("f", 5, wall, held, free, wait, remaining=n, **given)  # type: ignore[arg-type]


def ways(
    shown: Profile, machine: Machine, calibration: Calibration = FREE, **how: object
) -> dict[str, Forecast]:
    """The forecasts by name; processes of threads are "mixed"."""
    settings = Settings(**how)  # type: ignore[arg-type]
    found = forecasts(shown, machine, calibration, settings)
    return {"mixed" if way.threads > 1 else way.backend: way for way in found}


def test_serial_comes_first() -> None:
    """From simple to complicated; joblib only where it is installed."""
    without, with_joblib = (
        [way.backend for way in forecasts(profile(0.01), machine(), CALIBRATION, Settings(others=others))]
        for others in ((), OTHERS)
    )
    assert without == ["serial", "threads", "processes"]
    assert with_joblib == [*without, "joblib"]


@pytest.mark.parametrize("cores", CORES)
def test_serial_is_n_items(cores: int) -> None:
    """The loop takes what its items take, on any machine."""
    assert ways(profile(0.002, 0.003, 0.005, n=100), machine(cores))["serial"] == Forecast(
        "serial", 1, 1, pytest.approx(1.0)
    )


@pytest.mark.parametrize("cores", CORES)
def test_the_gil_lets_one_thread_compute(cores: int) -> None:
    """Threads gain nothing for work that holds the GIL, processes gain the cores."""
    found = ways(profile(0.01), machine(cores))
    assert found["threads"].seconds == pytest.approx(100.0, rel=0.01)
    assert found["processes"].seconds == pytest.approx(100.0 / cores, rel=0.05)


@pytest.mark.parametrize("cores", CORES)
def test_without_a_gil_threads_gain_the_cores(cores: int) -> None:
    """The same work on a free-threaded interpreter."""
    found = ways(profile(0.01), machine(cores, gil=False))
    assert found["threads"].seconds == pytest.approx(100.0 / cores, rel=0.05)


@pytest.mark.parametrize("cores", CORES)
def test_native_code_gains_the_cores_in_threads(cores: int) -> None:
    """Work that releases the GIL needs no processes."""
    found = ways(profile(0.0, 0.01), machine(cores))
    assert found["threads"].seconds == pytest.approx(100.0 / cores, rel=0.05)
    assert found["threads"].max_workers == cores


@pytest.mark.parametrize("cores", CORES)
def test_waiting_gains_threads_not_cores(cores: int) -> None:
    """Pure waiting is as fast on one core as on many."""
    found = ways(profile(wait=0.1, n=6400), machine(cores))
    assert found["threads"].seconds == pytest.approx(640.0 / sizing.IO_CAP, rel=0.01)
    assert found["processes"].seconds >= 640.0 / cores


def test_fetch_then_parse_is_bound_by_the_gil() -> None:
    """A wait of 90 ms and 10 ms of Python: the GIL allows ten abreast, however many threads there are."""
    found = ways(profile(0.01, 0.0, 0.09, n=1000), machine(16))
    assert found["threads"].seconds == pytest.approx(10.0, rel=0.01)


def test_a_child_process_needs_a_core() -> None:
    """Threads that wait for child processes are as many as there are cores."""
    shown = profile(wait=0.1, n=100, children_s=0.1, kind=WorkKind.SUBPROCESS)
    found = ways(shown, machine(4))
    assert found["threads"].max_workers == 4
    assert found["threads"].seconds == pytest.approx(2.5, rel=0.01)


def test_native_threads_use_up_the_cores() -> None:
    """Work whose library keeps all cores busy gains nothing in any way."""
    shown = profile(0.0, 0.1, n=100, other_threads_s=0.3, kind=WorkKind.PARALLEL)
    found = ways(shown, machine(4))
    assert found["threads"].seconds >= 0.99 * found["serial"].seconds
    assert found["processes"].seconds >= 0.99 * found["serial"].seconds


@pytest.mark.parametrize("way", ["threads", "processes"])
def test_a_fractional_quota_is_a_fraction(way: str) -> None:
    """With a quota of 1.5 two workers get one and a half CPUs between them."""
    limited = Machine(usable=2, physical=8, logical=16, affinity=16, quota=1.5)
    found = ways(profile(0.0, 0.01), limited)
    assert found[way].max_workers == 2
    assert found[way].seconds >= 0.99 * found["serial"].seconds / 1.5


def test_starting_costs_what_was_measured() -> None:
    """Each start-up figure of the calibration is found again in the forecast that needs it."""
    shown = profile(0.01, n=1000)
    for field, way, how in (
        ("thread_start", "threads", {}),
        ("fork_start", "processes", {"fork": True}),
        ("spawn_start", "processes", {"fork": False}),
        ("joblib_start", "joblib", {"others": True}),
    ):
        dear = replace(FREE, **{field: 1.0})
        found = []
        for calibration in (FREE, dear):
            wishes = {"others": weighed(calibration)} if "others" in how else how
            found.append(ways(shown, machine(), calibration, **wishes)[way].seconds)
        assert found[1] - found[0] >= 0.99, field


def test_only_the_way_to_start_is_paid_for() -> None:
    """Forked workers do not pay for spawning."""
    dear = replace(FREE, spawn_start=10.0)
    assert ways(profile(0.01), machine(), dear, fork=True) == ways(profile(0.01), machine(), fork=True)


def test_huge_pickles_lose() -> None:
    """What takes longer to send than to compute gets slower in processes."""
    shown = profile(0.01, n=1000, bytes_in=50 << 20, bytes_out=50 << 20, crossing_s=0.05)
    found = ways(shown, machine(16), CALIBRATION)
    assert found["processes"].seconds > found["serial"].seconds


def test_the_caller_feeds_one_worker_at_a_time() -> None:
    """The caller's half of the crossing bounds any number of workers."""
    shown = profile(0.01, n=1000, bytes_in=1000, bytes_out=1000, crossing_s=0.008)
    assert ways(shown, machine(128))["processes"].seconds >= 1000 * 0.004


def test_what_is_inherited_does_not_cross() -> None:
    """Forked workers see the input already; only results are pickled."""
    shown = profile(0.01, n=1000, bytes_in=10_000, bytes_out=0, crossing_s=0.02)
    sent, inherited = (ways(shown, machine(), inherited=flag)["processes"].seconds for flag in (False, True))
    assert inherited < 0.5 * sent


def test_inherited_input_does_not_use_the_pipe() -> None:
    """The size of an inherited argument makes no difference at all."""
    light = profile(0.02, n=1000, bytes_in=1, bytes_out=0)
    heavy = replace(light, bytes_in=20 << 20)
    found = [ways(shown, machine(), CALIBRATION, inherited=True)["processes"] for shown in (light, heavy)]
    assert found[1].seconds == pytest.approx(found[0].seconds, rel=0.05)


def test_little_memory_means_few_processes() -> None:
    """The forecast is that of the workers that fit."""
    found = ways(profile(0.01), machine(16, memory_available=256 << 20))
    assert found["processes"].max_workers == 3
    assert found["processes"].seconds == pytest.approx(100.0 / 3, rel=0.05)
    assert found["threads"].max_workers == 16


@pytest.mark.parametrize("cores", CORES)
@pytest.mark.parametrize("shown", [profile(0.01), profile(0.0, 0.01), profile(wait=0.1)], ids=str)
def test_max_workers_is_obeyed(cores: int, shown: Profile) -> None:
    """The caller's number is used everywhere, whatever the machine."""
    for way in forecasts(shown, machine(cores), CALIBRATION, Settings(7, others=OTHERS))[1:]:
        assert way.max_workers == 7


def test_more_workers_than_cores_do_not_compute_faster() -> None:
    """The caller may want them, but the cores bound the rate."""
    found = ways(profile(0.0, 0.01), machine(2), max_workers=50)
    assert found["threads"].seconds >= 0.99 * found["serial"].seconds / 2


def test_chunksize_is_obeyed() -> None:
    """The caller's number is used everywhere."""
    for way in forecasts(profile(0.001), machine(), CALIBRATION, Settings(chunksize=13, others=OTHERS))[1:]:
        assert way.chunksize == 13


def test_the_window_bounds_chunks() -> None:
    """With few items in flight, tasks are small enough to share them."""
    for way in forecasts(profile(1e-5), machine(4), CALIBRATION, Settings(window=16, others=OTHERS))[1:]:
        assert way.chunksize == 2


def test_rounds_are_whole() -> None:
    """Three items for two processes take two rounds."""
    found = ways(profile(1.0, n=3), machine(2))
    assert found["processes"].seconds == pytest.approx(2.0, rel=0.01)


def test_a_task_holds_no_more_than_there_is() -> None:
    """Ten items in chunks of a thousand are one task of ten."""
    found = ways(profile(0.01, n=10), machine(2), chunksize=1000)
    assert found["processes"].seconds == pytest.approx(0.1, rel=0.1)


def test_one_task_is_not_shared_by_threads() -> None:
    """A hundred waits in one chunk of the caller's are waited for one after the other."""
    found = ways(profile(wait=0.1, n=100), machine(2), chunksize=100)
    assert found["threads"].seconds >= 0.99 * found["serial"].seconds


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_share(n: int) -> None:
    """With no item or one, no way is faster than the loop."""
    for shown in (profile(0.5, n=n), profile(0.0, 0.5, n=n), profile(wait=0.5, n=n)):
        found = forecasts(shown, machine(16), CALIBRATION, Settings(others=OTHERS))
        assert found[0].seconds == min(way.seconds for way in found)
        assert all(way.chunksize == 1 for way in found)


def test_unknown_n_spreads_the_start_thin() -> None:
    """Where nobody knows how many come, a large number is assumed."""
    unknown, many = profile(0.01, n=None), profile(0.01, n=UNKNOWN_N)
    for shown, assumed in zip(
        forecasts(unknown, machine(), CALIBRATION), forecasts(many, machine(), CALIBRATION), strict=True
    ):
        assert shown.max_workers == assumed.max_workers
        assert shown.seconds * 0.9 < max(assumed.seconds, assumed.seconds / UNKNOWN_N)


def test_unknown_n_is_a_large_number() -> None:
    """As `Forecast.seconds` says: when the number of items is unknown, 100,000 are assumed."""
    assert ways(profile(0.01, n=None), machine())["serial"].seconds == pytest.approx(0.01 * UNKNOWN_N)


SECONDS = st.one_of(st.just(0.0), st.floats(1e-8, 10.0))
PROFILES = st.builds(
    profile,
    SECONDS,
    SECONDS,
    SECONDS,
    n=st.one_of(st.none(), st.integers(0, 10**7)),
    kind=st.sampled_from(WorkKind),
    other_threads_s=SECONDS,
    children_s=SECONDS,
    bytes_in=st.one_of(st.none(), st.integers(0, 10**9)),
    bytes_out=st.one_of(st.none(), st.integers(0, 10**9)),
    crossing_s=SECONDS,
    partial=st.booleans(),
)
MACHINES = st.builds(
    machine,
    st.integers(1, 128),
    quota=st.one_of(st.none(), st.floats(0.1, 128.0)),
    memory_available=st.integers(0, 1 << 40),
    gil=st.booleans(),
    descriptors=st.integers(0, 10**6),
)
FIGURE = st.floats(1e-9, 10.0)
CALIBRATIONS = st.builds(Calibration, FIGURE, FIGURE, FIGURE, FIGURE, FIGURE, FIGURE, st.floats(1e-12, 1e-6))
WISH = st.one_of(st.none(), st.integers(1, 500))


@given(PROFILES, MACHINES, CALIBRATIONS, WISH, WISH, WISH, st.booleans(), st.booleans())
def test_every_forecast_is_possible(
    shown: Profile,
    machine: Machine,
    calibration: Calibration,
    max_workers: int | None,
    chunksize: int | None,
    window: int | None,
    fork: bool,
    inherited: bool,
) -> None:
    """No seconds below zero, no way faster than its workers, whole workers and chunks within bounds."""
    settings = Settings(max_workers, chunksize, window, fork, inherited, others=OTHERS)
    found = forecasts(shown, machine, calibration, settings)
    serial = found[0].seconds
    for way in found:
        assert way.seconds >= serial / (way.max_workers * way.threads) * (1 - 1e-9)
        assert way.max_workers >= 1
        assert way.chunksize >= 1
        assert way.refused == ""
    for way in found[1:]:
        if max_workers is None:
            assert way.max_workers * way.threads <= max(machine.usable, sizing.IO_CAP)
        elif way.threads > 1:
            assert way.max_workers * way.threads <= max_workers
        if chunksize is None and window is not None:
            assert way.chunksize == 1 or 2 * way.max_workers * way.chunksize <= window


@given(PROFILES, MACHINES, st.integers(1, 64))
def test_more_cores_never_hurt(shown: Profile, machine: Machine, more: int) -> None:
    """With the same workers and chunks, a machine with more cores is forecast to be no slower."""
    larger = replace(machine, usable=machine.usable + more)
    small, large = (ways(shown, m, CALIBRATION, max_workers=4, chunksize=2) for m in (machine, larger))
    for name in ("serial", "threads", "processes"):
        assert large[name].seconds <= small[name].seconds


# Processes of threads -------------------------------------------------------------------------------------

FETCH_AND_PARSE = profile(0.015, 0.0, 0.040, n=160, kind=WorkKind.MIXED)


@pytest.mark.parametrize(
    ("way", "workers", "measured"),
    [
        ("threads", 16, 2.3),
        ("processes", 2, 4.4),
        ("processes", 8, 1.5),
        ("processes", 16, 1.44),
        ("mixed", 16, 1.25),
    ],
)
def test_fetch_and_parse_as_measured(way: str, workers: int, measured: float) -> None:
    """160 items that wait 40 ms and then hold the GIL for 15 ms, on two cores, cold."""
    found = ways(FETCH_AND_PARSE, machine(2), CALIBRATION, max_workers=workers, fork=False)[way]
    assert found.seconds == pytest.approx(measured, rel=0.15)


def test_fetch_and_parse_finds_two_times_ten() -> None:
    """By itself, and it is the best of all ways."""
    found = ways(FETCH_AND_PARSE, machine(2), CALIBRATION, others=OTHERS, fork=False)
    assert (found["mixed"].max_workers, found["mixed"].threads, found["mixed"].chunksize) == (2, 10, 1)
    assert min(found.values(), key=lambda way: way.seconds) == found["mixed"]
    assert found["mixed"].way == "processes × 2 × 10 threads"


@pytest.mark.parametrize("cores", [2, 8, 64])
def test_processes_of_threads_gain_the_cores(cores: int) -> None:
    """Each process brings a GIL, and its threads wait side by side."""
    found = ways(replace(FETCH_AND_PARSE, remaining=100_000), machine(cores))
    assert found["mixed"].max_workers == cores
    lanes = cores * found["mixed"].threads
    bound = max(1500.0 / cores, 5500.0 / lanes)
    assert found["mixed"].seconds == pytest.approx(bound, rel=0.01)


def test_a_quota_bounds_processes_of_threads() -> None:
    """One and a half CPUs for two processes."""
    limited = Machine(usable=2, physical=8, logical=16, affinity=16, quota=1.5)
    found = ways(FETCH_AND_PARSE, limited)["mixed"]
    assert found.max_workers == 2
    assert found.seconds == pytest.approx(160 * 0.015 / 1.5 + 0.04, rel=0.01)


@pytest.mark.parametrize(
    "shown",
    [
        profile(0.01),
        profile(0.0, 0.01),
        profile(wait=0.1),
        profile(0.0001, 0.0, 0.05),
        profile(0.0, 0.015, 0.04),
        profile(0.0155, 0.0, 0.0005),
        replace(FETCH_AND_PARSE, partial=True),
        replace(FETCH_AND_PARSE, kind=WorkKind.SUBPROCESS),
        replace(FETCH_AND_PARSE, kind=WorkKind.PARALLEL),
    ],
    ids=[
        "python",
        "native",
        "waiting",
        "little-CPU",
        "GIL-free",
        "little-waiting",
        "running",
        "children",
        "native-threads",
    ],
)
def test_only_where_both_are_real(shown: Profile) -> None:
    """Waiting and holding the GIL, as far as that is known."""
    assert "mixed" not in ways(shown, machine(4))


@pytest.mark.parametrize(
    "where", [machine(1), machine(8, gil=False), machine(8, memory_available=1 << 26)], ids=str
)
def test_only_where_another_gil_helps(where: Machine) -> None:
    """Not on one core, not without a GIL, not where memory allows one process."""
    assert "mixed" not in ways(FETCH_AND_PARSE, where)


@pytest.mark.parametrize(
    ("wish", "size"), [(None, (2, 10)), (2, None), (3, None), (4, (2, 2)), (9, (2, 4)), (16, (2, 8))]
)
def test_max_workers_bounds_the_calls_at_once(wish: int | None, size: tuple[int, int] | None) -> None:
    """Processes times threads stay within it; plain processes obey it to the letter."""
    found = ways(FETCH_AND_PARSE, machine(2), max_workers=wish)
    mixed = found.get("mixed")
    assert (mixed and (mixed.max_workers, mixed.threads)) == size
    assert found["processes"].max_workers == wish or wish is None


def test_chunksize_is_obeyed_by_threads_of_processes() -> None:
    """Else such items go one by one."""
    found = ways(FETCH_AND_PARSE, machine(2), chunksize=40)["mixed"]
    assert found.chunksize == 40
    assert found.seconds > 1.1 * ways(FETCH_AND_PARSE, machine(2))["mixed"].seconds


def test_few_items_do_not_pay_for_processes() -> None:
    """Starting them takes longer than the GIL would."""
    few = replace(FETCH_AND_PARSE, remaining=6)
    found = ways(few, machine(2), CALIBRATION, fork=False)
    assert found["mixed"].seconds > found["threads"].seconds


def test_the_first_wait_comes_on_top() -> None:
    """Nothing computes before it is over, in threads and in processes of threads."""
    longer = replace(FETCH_AND_PARSE, wait_s=0.080, wall_s=0.095)
    for way in ("threads", "mixed"):
        found = [ways(shown, machine(2))[way].seconds for shown in (FETCH_AND_PARSE, longer)]
        assert found[1] - found[0] == pytest.approx(0.040, rel=0.01), way


def test_processes_of_threads_may_be_ruled_out() -> None:
    """Where a worker may have to be ended, it should run one item."""
    assert "mixed" not in ways(FETCH_AND_PARSE, machine(2), mixed=False)
