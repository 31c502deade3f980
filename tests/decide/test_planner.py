"""From forecasts to the plan, with made-up machines, pools and functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide import costs, planner
from autoexec.frozen import replace
from autoexec.records import Calibration, Forecast, Hazard, Machine, Plan, Profile, WorkKind
from autoexec.registry import weighed

CALIBRATION = Calibration()
OTHERS = weighed(CALIBRATION)  # joblib's workers
CORES = (2, 4, 16, 128)
LIST = Hazard("writes to a captured list", "results", "job.py:12", threads_ok=True)
LOCK = Hazard("captured generator", "rows", "job.py:30", threads_ok=False)


def machine(cores: int = 4, **facts: object) -> Machine:
    """So many cores, everywhere, and memory for all of them."""
    given: dict[str, object] = {"memory_available": 1 << 40, **facts}
    return Machine(cores, cores, cores, cores, **given)  # type: ignore[arg-type]


def profile(
    held: float = 0.0, free: float = 0.0, wait: float = 0.0, n: int | None = 1000, **facts: object
) -> Profile:
    """One item's seconds; the class follows from them."""
    wall = held + free + wait
    kinds = {wait: WorkKind.IO, free: WorkKind.NATIVE, held: WorkKind.PYTHON}
    given: dict[str, object] = {"kind": kinds[max(kinds)], **facts}
    return Profile("f", 5, wall, held, free, wait, remaining=n, **given)  # type: ignore[arg-type]


PYTHON, NATIVE, IO = profile(0.01), profile(0.0, 0.01), profile(wait=0.01)


def decide(
    shown: Profile,
    machine: Machine,
    *,
    calibration: Calibration = CALIBRATION,
    hazards: tuple[Hazard, ...] = (),
    stays: str = "",
    **how: object,
) -> Plan:
    """The whole judgment: forecast, refuse, choose, budget."""
    settings = costs.Settings(**how)  # type: ignore[arg-type]
    ways = costs.forecasts(shown, machine, calibration, settings)
    ways = planner.refuse(ways, hazards=hazards, daemon=machine.daemon, stays=stays)
    plan = planner.choose(ways, shown, hazards)
    return replace(plan, native_threads=planner.native_budget(plan, machine, shown))


@pytest.mark.parametrize("cores", [1, *CORES])
def test_waiting_goes_to_threads(cores: int) -> None:
    """On any machine, one core included, and with more threads than a machine of two has cores."""
    plan = decide(IO, machine(cores))
    assert plan.backend == "threads"
    assert plan.max_workers > 32
    assert plan.chunksize == 1


@pytest.mark.parametrize("cores", CORES)
def test_python_goes_to_processes(cores: int) -> None:
    """Work that holds the GIL gets one process per core."""
    plan = decide(PYTHON, machine(cores))
    assert (plan.backend, plan.max_workers) == ("processes", cores)


@pytest.mark.parametrize("cores", CORES)
def test_native_code_goes_to_threads(cores: int) -> None:
    """Work that releases the GIL gets one thread per core: no pickling, no start of processes."""
    plan = decide(NATIVE, machine(cores))
    assert (plan.backend, plan.max_workers) == ("threads", cores)


@pytest.mark.parametrize("cores", CORES)
def test_python_without_a_gil_goes_to_threads(cores: int) -> None:
    """On a free-threaded interpreter nothing has to cross a border."""
    plan = decide(profile(0.0, 0.01, kind=WorkKind.NATIVE), machine(cores, gil=False))
    assert (plan.backend, plan.max_workers) == ("threads", cores)
    assert decide(PYTHON, machine(cores, gil=False)).backend == "threads"


def test_computing_on_one_core_stays_serial() -> None:
    """There is nothing to share, and the reason says so in figures."""
    for shown in (PYTHON, NATIVE):
        plan = decide(shown, machine(1))
        assert plan.backend == "serial"
        assert "10 s in a loop" in plan.reason


def test_a_quota_of_one_and_a_half() -> None:
    """Rounded to two usable cores it gives two workers, however many cores the hardware has."""
    limited = Machine(usable=2, physical=64, logical=128, affinity=128, quota=1.5)
    assert decide(PYTHON, limited).max_workers == 2
    assert decide(NATIVE, limited).max_workers == 2


@pytest.mark.parametrize("cores", [1, *CORES])
def test_already_parallel_stays_serial(cores: int) -> None:
    """The library behind the function keeps the cores busy; the reason says so."""
    shown = profile(0.0, 0.01, other_threads_s=0.01 * (cores - 1), kind=WorkKind.PARALLEL)
    plan = decide(shown, machine(cores))
    assert plan.backend == "serial"
    assert "its own library keeps the cores busy" in plan.reason


@pytest.mark.parametrize("cores", CORES)
def test_child_processes_get_threads_by_core(cores: int) -> None:
    """The children eat the cores; threads that wait for them are cheap."""
    plan = decide(profile(wait=0.05, children_s=0.05, kind=WorkKind.SUBPROCESS), machine(cores))
    assert (plan.backend, plan.max_workers, plan.chunksize) == ("threads", cores, 1)


@pytest.mark.parametrize("cores", [1, *CORES])
def test_too_small_to_matter_stays_serial(cores: int) -> None:
    """A thousand items of a microsecond are over before a thread has started."""
    for shown in (profile(1e-6), profile(0.0, 1e-6), profile(1e-6, kind=WorkKind.TINY)):
        plan = decide(shown, machine(cores))
        assert plan.backend == "serial"
        assert plan.reason == "too small to gain: the rest takes 1 ms in a loop" or "0.001 s" in plan.reason


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_share_stays_serial(n: int) -> None:
    """No item left, or one: the loop is as fast as it gets."""
    for shown in (PYTHON, NATIVE, IO):
        assert decide(replace(shown, remaining=n), machine(16)).backend == "serial"


def test_nothing_left_is_said() -> None:
    """The reason names the cause when the measured items were all there were."""
    assert decide(profile(0.5, n=0), machine()).reason == "nothing was left when the profile was complete"


@pytest.mark.parametrize(
    ("shown", "backend"), [(PYTHON, "processes"), (NATIVE, "threads"), (IO, "threads")], ids=str
)
def test_an_unknown_number_is_taken_for_many(shown: Profile, backend: str) -> None:
    """An endless input is worth a pool."""
    assert decide(replace(shown, remaining=None), machine()).backend == backend


def test_an_unknown_number_of_trifles_stays_serial_at_first() -> None:
    """Even a hundred thousand items of ten nanoseconds are not worth a pool."""
    assert decide(profile(1e-8, n=None), machine()).backend == "serial"


def test_forking_pays_earlier_than_spawning() -> None:
    """A tenth of a second of Python is worth forked workers only; ten seconds are worth either."""
    short, long = profile(0.005, n=20), profile(0.005, n=2000)
    assert decide(short, machine(2), fork=True).backend == "processes"
    assert decide(short, machine(2), fork=False).backend == "serial"
    assert decide(long, machine(2), fork=False).backend == "processes"


def test_the_measured_start_decides() -> None:
    """Where spawning was measured to be fast and forking slow, short work follows the figures."""
    short = profile(0.005, n=20)
    measured = replace(CALIBRATION, fork_start=0.5, spawn_start=0.005)
    assert decide(short, machine(2), calibration=measured, fork=True).backend == "serial"
    assert decide(short, machine(2), calibration=measured, fork=False).backend == "processes"
    assert decide(profile(0.005, n=2000), machine(2), calibration=measured, fork=True).backend == "processes"


def test_joblib_only_where_it_is_faster() -> None:
    """Its start and its tasks cost more, so the built-in processes win, unless their figures are worse."""
    assert decide(PYTHON, machine(), others=OTHERS).backend == "processes"
    worse = replace(CALIBRATION, fork_start=3.0)
    assert decide(PYTHON, machine(), calibration=worse, others=OTHERS).backend == "joblib"


def test_huge_pickles_keep_the_work_here() -> None:
    """Sending takes longer than computing."""
    shown = profile(0.01, bytes_in=50 << 20, bytes_out=50 << 20, crossing_s=0.05)
    plan = decide(shown, machine(16))
    assert plan.backend == "serial"
    assert "would need" in plan.reason


def test_inherited_input_lets_it_go() -> None:
    """What only has to be sent one way may still be worth it where forked workers see the input."""
    shown = profile(0.01, bytes_in=1 << 20, bytes_out=100, crossing_s=0.05)
    assert decide(shown, machine(4)).backend == "serial"
    assert decide(shown, machine(4), inherited=True).backend == "processes"


@pytest.mark.parametrize("shown", [PYTHON, NATIVE, IO], ids=str)
@pytest.mark.parametrize("workers", [2, 3, 50])
def test_max_workers_is_obeyed(shown: Profile, workers: int) -> None:
    """A plan that leaves the loop has exactly the caller's number."""
    plan = decide(shown, machine(4), max_workers=workers)
    assert plan.backend != "serial"
    assert plan.max_workers == workers


def test_one_worker_is_the_loop() -> None:
    """Who wants one worker gets the one that is there."""
    for shown in (PYTHON, NATIVE, IO):
        assert decide(shown, machine(4), max_workers=1).backend == "serial"


def test_little_memory_caps_processes() -> None:
    """Three fit; with room for one only the work stays here."""
    assert decide(PYTHON, machine(16, memory_available=256 << 20)).max_workers == 3
    assert decide(PYTHON, machine(16, memory_available=80 << 20)).backend == "serial"
    assert decide(NATIVE, machine(16, memory_available=80 << 20)).max_workers == 16


def test_few_descriptors_cap_threads() -> None:
    """Waiting threads need sockets."""
    plan = decide(IO, machine(4, descriptors=84))
    assert (plan.backend, plan.max_workers) == ("threads", 10)


def test_a_daemon_starts_no_processes() -> None:
    """Python work stays in the loop there, with the reason; waiting and native work are not concerned."""
    plan = decide(PYTHON, machine(4, daemon=True))
    assert plan.backend == "serial"
    assert "daemon" in plan.reason
    assert decide(NATIVE, machine(4, daemon=True)).backend == "threads"
    assert decide(IO, machine(4, daemon=True)).backend == "threads"


@pytest.mark.parametrize("hazard", [LIST, LOCK], ids=str)
def test_hazards_keep_python_work_here(hazard: Hazard) -> None:
    """Nothing hazardous crosses a process border; the reason names the object and the line."""
    plan = decide(PYTHON, machine(16), hazards=(hazard,), others=OTHERS)
    assert plan.backend == "serial"
    assert hazard.name in plan.reason
    assert hazard.where in plan.reason
    assert plan.hazards == (hazard,)
    refused = {way.backend: way.refused for way in plan.forecasts}
    assert refused["serial"] == ""
    assert refused["processes"] == refused["joblib"] == str(hazard)


def test_hazards_that_threads_bear() -> None:
    """Writing to a captured list keeps its meaning in threads of this process."""
    assert decide(IO, machine(), hazards=(LIST,)).backend == "threads"
    assert decide(NATIVE, machine(), hazards=(LIST,)).backend == "threads"


@pytest.mark.parametrize("shown", [NATIVE, IO], ids=str)
def test_hazards_that_threads_do_not_bear(shown: Profile) -> None:
    """A shared generator must stay in one thread; the reason names it, not the milder hazard before it."""
    plan = decide(shown, machine(), hazards=(LIST, LOCK))
    assert plan.backend == "serial"
    assert LOCK.name in plan.reason
    assert LOCK.where in plan.reason


def test_a_hazard_behind_the_second_best_is_named() -> None:
    """Threads taken because processes were not allowed: the reason says what did not allow them."""
    shown = profile(0.005, 0.0, 0.005, kind=WorkKind.MIXED)
    assert decide(shown, machine(16)).backend == "processes"
    plan = decide(shown, machine(16), hazards=(LIST,))
    assert plan.backend == "threads"
    assert LIST.name in plan.reason
    assert LIST.where in plan.reason


def test_what_cannot_be_pickled_stays() -> None:
    """Any other reason against processes is handed on as it is."""
    plan = decide(PYTHON, machine(), stays="its result cannot be pickled: Socket (f)")
    assert plan.backend == "serial"
    assert plan.reason == "stays in the caller's thread: its result cannot be pickled: Socket (f)"


def test_hazards_are_no_reason_where_nothing_was_to_gain() -> None:
    """Too small is too small, hazards or not."""
    assert "job.py" not in decide(profile(1e-6), machine(), hazards=(LIST,)).reason


def test_refusing_keeps_what_was_refused_before() -> None:
    """The first reason against a way stands."""
    before = Forecast("processes", 2, 1, 1.0, refused="not here")
    assert planner.refuse([before], hazards=[LIST], daemon=True) == (before,)


def test_nothing_refused_without_a_cause() -> None:
    """Without hazards and outside a daemon all ways are open."""
    ways = costs.forecasts(PYTHON, machine(), CALIBRATION, costs.Settings(others=OTHERS))
    assert planner.refuse(ways) == ways


def test_hazards_come_before_daemon() -> None:
    """The reader can do something about a hazard."""
    (way,) = planner.refuse([Forecast("processes", 2, 1, 1.0)], hazards=[LIST], daemon=True)
    assert way.refused == str(LIST)


def ways_of(*seconds: float) -> list[Forecast]:
    """Forecasts from simple to complicated."""
    names = ("serial", "threads", "processes", "joblib")
    return [Forecast(name, 2, 1, value) for name, value in zip(names, seconds, strict=False)]


@pytest.mark.parametrize(
    ("seconds", "backend"),
    [
        ((1.0, 0.5, 0.3), "processes"),
        ((1.0, 0.5, 0.48), "threads"),  # within the model's own error of a simpler way
        ((1.0, 0.95, 0.95), "serial"),
        ((0.003, 0.0015, 0.0015), "serial"),  # saves less than starting may cost
        ((1.0, 1.0, 1.0, 0.5), "joblib"),
        ((1.0,), "serial"),
    ],
)
def test_fewer_moving_parts_when_close(seconds: tuple[float, ...], backend: str) -> None:
    """Another way must be clearly faster than a simpler one, and save some milliseconds."""
    assert planner.choose(ways_of(*seconds), PYTHON).backend == backend


def test_the_plan_keeps_what_was_weighed() -> None:
    """All forecasts, and the chosen one's workers, chunk and seconds."""
    ways = ways_of(1.0, 0.5, 0.3)
    plan = planner.choose(ways, PYTHON)
    assert plan.forecasts == tuple(ways)
    assert (plan.max_workers, plan.chunksize, plan.seconds) == (2, 1, 0.3)
    assert "300 ms forecast, 1 s in a loop" in plan.reason


def test_a_forecast_from_an_item_that_still_runs_is_a_lower_bound() -> None:
    """Where the watched item had not ended yet, the reason says "at least"."""
    plan = planner.choose(ways_of(1.0, 0.5, 0.3), replace(PYTHON, partial=True))
    assert "at least 300 ms forecast, at least 1 s in a loop" in plan.reason


def test_the_reason_has_the_evidence() -> None:
    """The sentence says what the work is and how that was seen."""
    plan = decide(replace(IO, evidence="it waited 99% of the time"), machine())
    assert plan.reason.startswith("IO-bound (it waited 99% of the time); ")


def test_worker_processes_always_have_a_share() -> None:
    """It holds for libraries that the sampled items have not used yet, and is the whole worker's."""
    assert planner.native_budget(Plan("processes", 4), machine(16), PYTHON) == 4
    assert planner.native_budget(Plan("processes", 16), machine(16), PYTHON) == 1
    assert planner.native_budget(Plan("processes", 64), machine(16), PYTHON) == 1
    assert planner.native_budget(Plan("joblib", 3), machine(16), PYTHON) == 5
    assert planner.native_budget(Plan("processes", 2, threads=8), machine(4), PYTHON) == 2


def test_threads_have_a_native_budget_only_where_native_threads_were_seen() -> None:
    """What showed no native threads is left alone; so is the loop."""
    parallel = profile(0.0, 0.01, other_threads_s=0.005)
    assert planner.native_budget(Plan("threads", 4), machine(16), parallel) == 4
    assert planner.native_budget(Plan("threads", 64), machine(16), parallel) == 1
    assert planner.native_budget(Plan("threads", 4), machine(16), NATIVE) is None
    assert planner.native_budget(Plan("serial"), machine(16), parallel) is None


SECONDS = st.one_of(st.just(0.0), st.floats(1e-8, 10.0))
PROFILES = st.builds(
    profile,
    SECONDS,
    SECONDS,
    SECONDS,
    n=st.one_of(st.none(), st.integers(0, 10**6)),
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
    memory_available=st.integers(0, 1 << 40),
    gil=st.booleans(),
    daemon=st.booleans(),
    descriptors=st.integers(0, 10**6),
)
FIGURE = st.floats(1e-9, 1.0)
CALIBRATIONS = st.builds(Calibration, FIGURE, FIGURE, FIGURE, FIGURE, FIGURE, FIGURE, st.floats(1e-12, 1e-6))
HAZARDS = st.lists(st.sampled_from([LIST, LOCK]), max_size=2).map(tuple)


@given(PROFILES, MACHINES, CALIBRATIONS, HAZARDS, st.one_of(st.none(), st.integers(1, 200)), st.booleans())
def test_never_slower_than_the_loop_by_its_own_model(
    shown: Profile,
    machine: Machine,
    calibration: Calibration,
    hazards: tuple[Hazard, ...],
    max_workers: int | None,
    fork: bool,
) -> None:
    """Whatever is weighed, what is chosen is allowed, is clearly faster than the loop or is the loop."""
    plan = decide(
        shown,
        machine,
        calibration=calibration,
        hazards=hazards,
        max_workers=max_workers,
        fork=fork,
        others=OTHERS,
    )
    serial = plan.forecasts[0].seconds
    chosen = next(way for way in plan.forecasts if (way.backend, way.threads) == (plan.backend, plan.threads))
    assert not chosen.refused
    assert plan.seconds == chosen.seconds
    assert plan.reason
    assert "\n" not in plan.reason
    if plan.backend != "serial":
        assert plan.seconds < planner.MARGIN * serial
        assert serial - plan.seconds > planner.WORTH_S
        assert not (hazards or machine.daemon) or plan.backend == "threads"
        assert LOCK not in hazards
        assert plan.at_once >= 2
        assert plan.at_once == (max_workers or plan.at_once) or plan.threads > 1
        assert plan.at_once <= (max_workers or plan.at_once)


@given(PROFILES, MACHINES, CALIBRATIONS, st.booleans())
def test_native_threads_and_workers_fit_the_cores(
    shown: Profile, machine: Machine, calibration: Calibration, fork: bool
) -> None:
    """Workers times native threads stay within the cores; waiting threads beyond them get one each."""
    plan = decide(shown, machine, calibration=calibration, fork=fork)
    if plan.native_threads is not None:
        assert plan.native_threads >= 1
        assert plan.native_threads == 1 or plan.at_once * plan.native_threads <= machine.usable
    waits = shown.wait_s > 0.25 * shown.wall_s and shown.kind is not WorkKind.SUBPROCESS
    if not waits and plan.threads == 1:
        assert plan.max_workers * (plan.native_threads or 1) <= machine.usable


FETCH_AND_PARSE = profile(0.015, 0.0, 0.040, n=160, kind=WorkKind.MIXED)


@pytest.mark.parametrize("cores", CORES)
def test_fetch_and_parse_goes_to_processes_of_threads(cores: int) -> None:
    """Waiting and then computing wants several GILs, and several calls for each."""
    plan = decide(replace(FETCH_AND_PARSE, remaining=100_000), machine(cores), fork=False)
    assert plan.backend == "processes"
    assert plan.threads >= 2
    assert plan.max_workers == cores
    assert not plan.adaptive
    assert str(plan).startswith(f"processes × {cores} × {plan.threads} threads: ")


def test_without_a_gil_threads_do() -> None:
    """Fetch and parse on a free-threaded interpreter."""
    assert decide(FETCH_AND_PARSE, machine(8, gil=False)).backend == "threads"


@pytest.mark.parametrize("hazard", [LIST, LOCK], ids=["in threads", "nowhere"])
def test_hazards_keep_fetch_and_parse_from_processes(hazard: Hazard) -> None:
    """What forbids processes forbids those of threads, and so does what forbids threads."""
    plan = decide(FETCH_AND_PARSE, machine(2), hazards=(hazard,))
    assert plan.backend == ("threads" if hazard.threads_ok else "serial")
    mixed = next(way for way in plan.forecasts if way.threads > 1)
    assert mixed.refused == str(hazard)


def test_few_items_left_stay_in_threads() -> None:
    """Fresh processes would come too late."""
    assert decide(replace(FETCH_AND_PARSE, remaining=8), machine(2), fork=False).backend == "threads"
