"""How many workers, how many items per task, how many under way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide import sizing
from autoexec.frozen import replace
from autoexec.records import Machine, Profile, WorkKind

CORES = (1, 2, 4, 16, 128)


def machine(cores: int = 4, **facts: object) -> Machine:
    """So many cores, everywhere."""
    return Machine(cores, cores, cores, cores, **facts)  # type: ignore[arg-type]


def waiting(wall: float = 0.05, held: float = 0.0, free: float = 0.0, **facts: object) -> Profile:
    """Work that waits."""
    given: dict[str, object] = {"kind": WorkKind.IO, **facts}
    return Profile("fetch", 5, wall, held, free, wall - held - free, **given)  # type: ignore[arg-type]


def computing(wall: float = 0.01, **facts: object) -> Profile:
    """Work that holds the GIL."""
    given: dict[str, object] = {"kind": WorkKind.PYTHON, **facts}
    return Profile("crunch", 5, wall, wall, 0.0, 0.0, **given)  # type: ignore[arg-type]


PROFILES = st.builds(
    lambda wall, share, held, kind, sizes, partial: Profile(
        "f",
        5,
        wall,
        wall * share * held,
        wall * share * (1 - held),
        wall * (1 - share),
        kind=kind,
        bytes_in=sizes,
        bytes_out=sizes,
        partial=partial,
    ),
    st.one_of(st.just(0.0), st.floats(1e-9, 100.0)),  # a clock has no finer ticks
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.sampled_from(WorkKind),
    st.one_of(st.none(), st.integers(0, 10**10)),
    st.booleans(),
)
MACHINES = st.builds(
    machine,
    st.integers(1, 128),
    memory_available=st.integers(0, 1 << 40),
    descriptors=st.integers(0, 10**6),
)
ITEMS = st.one_of(st.none(), st.integers(0, 10**7))


@pytest.mark.parametrize("cores", CORES)
def test_computing_gets_the_cores(cores: int) -> None:
    """One worker per usable core, never more than there are items, never none."""
    assert sizing.cpu_workers(machine(cores), None) == cores
    assert sizing.cpu_workers(machine(cores), 10**6) == cores
    assert sizing.cpu_workers(machine(cores), 3) == min(3, cores)
    assert sizing.cpu_workers(machine(cores), 0) == 1


def test_logical_processors_do_not_count() -> None:
    """Only `usable` decides: hyper-threads and cores beyond the quota do not add workers."""
    quota = Machine(usable=2, physical=16, logical=32, affinity=32, quota=1.5)
    assert sizing.cpu_workers(quota, None) == 2


def test_little_memory_caps_processes() -> None:
    """Worker processes must fit into four fifths of the free memory; threads are not concerned."""
    small = machine(16, memory_available=256 << 20)
    assert sizing.process_workers(small, computing(), None) == 3
    assert sizing.process_workers(machine(16, memory_available=1 << 20), computing(), None) == 1
    assert sizing.process_workers(machine(16), computing(), None) == 16
    assert sizing.cpu_workers(small, None) == 16


def test_heavy_items_cap_processes() -> None:
    """Each worker needs room for its items, several times over."""
    heavy = computing(bytes_in=200 << 20, bytes_out=50 << 20)
    assert sizing.process_workers(machine(16, memory_available=8 << 30), heavy, None) == 6


def test_measured_memory_caps_processes() -> None:
    """What an item was seen to add counts, beside what crosses, which then is there twice more."""
    free = machine(16, memory_available=8 << 30)
    assert sizing.process_workers(free, computing(memory_bytes=1 << 30), None) == 6
    crossing = computing(memory_bytes=1 << 30, bytes_in=100 << 20, bytes_out=156 << 20)
    assert sizing.process_workers(free, crossing, None) == 4
    assert sizing.process_workers(free, computing(memory_bytes=64 << 30), None) == 1
    assert sizing.cpu_workers(free, None) == 16


@given(MACHINES, PROFILES, st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_more_memory_per_item_never_means_more_workers(
    machine: Machine, profile: Profile, less: int, more: int
) -> None:
    """The cap falls with the item's memory, and never below one."""
    few = sizing.process_workers(machine, replace(profile, memory_bytes=less + more), None)
    many = sizing.process_workers(machine, replace(profile, memory_bytes=less), None)
    assert 1 <= few <= many <= machine.usable


def test_waiting_is_not_bound_to_cores() -> None:
    """Pure waiting gets the cap on any machine."""
    for cores in CORES:
        assert sizing.io_workers(machine(cores), waiting(), None) == sizing.IO_CAP


def test_the_gil_bounds_waiting_workers() -> None:
    """Items that hold the GIL a tenth of their time keep it busy ten abreast; half as many are added."""
    profile = waiting(wall=0.1, held=0.01)
    assert sizing.io_workers(machine(64), profile, None) == 17


def test_the_cores_bound_waiting_workers() -> None:
    """GIL-free computing between the waits is bound by the cores instead."""
    profile = waiting(wall=0.1, free=0.02)
    assert sizing.io_workers(machine(2), profile, None) == 17
    assert sizing.io_workers(machine(128), profile, None) == sizing.IO_CAP


def test_an_early_guess_does_not_bound() -> None:
    """While the first item still runs its CPU share says nothing about the wait to come."""
    profile = waiting(wall=0.1, held=0.05, partial=True)
    assert sizing.io_workers(machine(2), profile, None) == sizing.IO_CAP


FEW_DESCRIPTORS = [(0, 1), (4, 1), (67, 1), (84, 10), (164, 50), (576, 256), (1 << 20, sizing.IO_CAP)]


@pytest.mark.parametrize(("descriptors", "workers"), FEW_DESCRIPTORS)
def test_few_descriptors_bound_waiting_workers(descriptors: int, workers: int) -> None:
    """Each waiting call may hold two sockets or files, and some stay free for everything else."""
    few = machine(4, descriptors=descriptors)
    assert sizing.io_cap(few) == workers
    assert sizing.io_workers(few, waiting(), None) == workers


def test_little_memory_bounds_waiting_calls() -> None:
    """Each waiting call takes about a megabyte, of half of what is free."""
    assert sizing.io_cap(machine(4, memory_available=100 << 20)) == 50
    assert sizing.io_cap(machine(4, memory_available=0)) == 1


@pytest.mark.parametrize("wish", [1, 7, 1000])
def test_the_callers_number_is_the_cap(wish: int) -> None:
    """Whoever says how many calls may wait at once knows the machine."""
    assert sizing.io_cap(machine(4, descriptors=0, memory_available=0), wish) == wish


@pytest.mark.parametrize("cap", [1, 3, 64])
def test_waiting_workers_keep_to_the_cap_that_was_given(cap: int) -> None:
    """A lower cap than ours holds; items fewer than that need no more workers."""
    assert sizing.io_workers(machine(), waiting(), None, cap) == cap
    assert sizing.io_workers(machine(), waiting(), 2, cap) == min(2, cap)


@pytest.mark.parametrize(("items", "workers"), [(0, 1), (1, 1), (200, 200), (256, 256), (257, 256)])
def test_every_waiting_item_has_a_worker_up_to_the_cap(items: int, workers: int) -> None:
    """How many of them run at once is the controller's business."""
    assert sizing.io_workers(machine(), waiting(), items) == workers


@given(MACHINES, PROFILES, st.integers(1, 5000))
def test_few_items_only_take_workers_away(machine: Machine, profile: Profile, items: int) -> None:
    """The number of workers is what the work bears, or that of the items if they are fewer."""
    widest = sizing.io_workers(machine, profile, None)
    assert sizing.io_workers(machine, profile, items) == min(widest, items)


@given(MACHINES, PROFILES, ITEMS)
def test_worker_counts_are_within_bounds(machine: Machine, profile: Profile, items: int | None) -> None:
    """At least one worker, at most the cores (the cap, for waiting), at most one per item."""
    for workers, most in (
        (sizing.cpu_workers(machine, items), machine.usable),
        (sizing.process_workers(machine, profile, items), machine.usable),
        (sizing.io_workers(machine, profile, items), sizing.io_cap(machine)),
    ):
        assert 1 <= workers <= most
        assert not items or workers <= items
    assert 1 <= sizing.io_cap(machine) <= sizing.IO_CAP


def test_waiting_goes_one_by_one() -> None:
    """A task as long as its wait needs no company."""
    for kind in (WorkKind.IO, WorkKind.SUBPROCESS):
        assert sizing.chunk_size(waiting(kind=kind), 64, 10**6, overhead_s=25e-6) == 1


def test_very_short_waits_go_together() -> None:
    """A wait about as short as the pool's own cost is worth a chunk."""
    assert sizing.chunk_size(waiting(wall=1e-4), 4, 10**6, overhead_s=25e-6) > 1


def test_tasks_last_about_twenty_milliseconds() -> None:
    """Short items go together until the pool's cost per task no longer matters."""
    assert sizing.chunk_size(computing(1e-4), 2, 10**6, overhead_s=1e-4) == 200
    assert sizing.chunk_size(computing(1e-4), 2, 10**6, overhead_s=0.01) == 2000
    assert sizing.chunk_size(computing(1.0), 2, 10**6, overhead_s=1e-4) == 1


def test_workers_end_together() -> None:
    """Every worker gets about four tasks, so that none idles for long at the end."""
    assert sizing.chunk_size(computing(1e-6), 2, 800, overhead_s=1e-4) == 100


def test_heavy_items_make_small_tasks() -> None:
    """Some megabytes per task are enough."""
    heavy = computing(1e-4, bytes_in=1 << 20, bytes_out=1 << 20)
    assert sizing.chunk_size(heavy, 2, 10**6, overhead_s=1e-4) == 2


def test_without_a_measure_one_by_one() -> None:
    """Nothing is known of items that took no time."""
    assert sizing.chunk_size(computing(0.0), 2, 100, overhead_s=1e-4) == 1


@given(
    PROFILES, st.integers(1, 128), ITEMS, st.floats(1e-7, 0.1), st.one_of(st.none(), st.integers(1, 10**6))
)
def test_chunks_are_within_bounds(
    profile: Profile, workers: int, items: int | None, overhead: float, window: int | None
) -> None:
    """At least one item; more only if every worker gets some tasks, within the window and the weight."""
    size = sizing.chunk_size(profile, workers, items, overhead_s=overhead, window=window)
    assert size >= 1
    if size > 1:
        assert items is None or 4 * workers * size <= items
        assert window is None or 2 * workers * size <= window
        assert size * ((profile.bytes_in or 0) + (profile.bytes_out or 0)) <= 4 << 20
        assert size * profile.wall_s <= max(sizing.TASK_S, 20 * overhead) * (1 + 1e-9)


def test_small_results_wait_by_the_thousand() -> None:
    """Where results weigh nothing, or nothing is known of their weight, a fixed number may wait."""
    assert sizing.window_size(computing(), 2, 1) == sizing.WINDOW
    assert sizing.window_size(computing(bytes_out=100), 2, 1) == sizing.WINDOW


def test_heavy_results_wait_by_the_megabyte() -> None:
    """What the waiting results weigh is bounded, but the workers are always kept busy."""
    assert sizing.window_size(computing(bytes_out=4 << 20), 2, 1) == 64
    assert sizing.window_size(computing(bytes_out=1 << 30), 2, 1) == 6


@given(PROFILES, st.integers(1, 128), st.integers(1, 10**5))
def test_windows_are_within_bounds(profile: Profile, workers: int, chunk: int) -> None:
    """Every worker has a task, one waiting and one delivered; beyond that weight and number are bounded."""
    window = sizing.window_size(profile, workers, chunk)
    least = 3 * workers * chunk
    assert least <= window <= max(sizing.WINDOW, 2 * least)
    if window > least:
        assert window * (profile.bytes_out or 0) <= sizing.WINDOW_BYTES


def test_heavier_results_never_widen_the_window() -> None:
    """The window shrinks as results grow."""
    sizes = [sizing.window_size(replace(computing(), bytes_out=1 << k), 2, 1) for k in range(40)]
    assert sizes == sorted(sizes, reverse=True)
