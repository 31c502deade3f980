"""From samples to classes: arithmetic and one table."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide.classify import ENOUGH_S, PRESSED, QUIET, RULES, SURE, Shares, profile_of, typical
from autoexec.records import Sample, WorkKind

LOOKED = 0.1


def sample(wall: float = 0.01, cpu: float = 0.01, items: int = 10, **facts: object) -> Sample:
    """So many equal items, looked at long enough."""
    given: dict[str, object] = {"looked_s": LOOKED, "remaining": 100, **facts}
    return Sample("f", (wall,) * items, (cpu,) * items, (1,) * items, **given)  # type: ignore[arg-type]


# One sample per rule, in the order of the table.
TRIGGERS = (
    (WorkKind.SUBPROCESS, sample(cpu=0.0001, children_s=0.095)),
    (WorkKind.PARALLEL, sample(native_share=0.9)),
    (WorkKind.IO, sample(cpu=0.0005)),
    (WorkKind.MIXED, sample(cpu=0.005, held_share=0.5)),
    (WorkKind.PYTHON, sample(held_share=0.01, pressed_cores=1.1)),
    (WorkKind.NATIVE, sample(held_share=0.01, pressed_cores=1.9)),
    (WorkKind.PYTHON, sample(held_share=0.99)),
)


def test_every_rule_has_a_sample() -> None:
    """The samples below go through the table line by line, and leave none out."""
    assert [kind for kind, _ in TRIGGERS] == [rule.kind for rule in RULES]


@pytest.mark.parametrize("line", range(len(RULES)), ids=[rule.kind.name for rule in RULES])
def test_each_rule_can_be_triggered(line: int) -> None:
    """A sample of each class is recognised, and the evidence is the rule's own words with figures in them."""
    kind, shown = TRIGGERS[line]
    profile = profile_of(shown)
    assert profile.kind is kind
    assert profile.evidence.startswith(RULES[line].words.partition("{")[0])
    assert any(character.isdigit() for character in profile.evidence)
    assert "{" not in profile.evidence


def test_sizes_pass_through() -> None:
    """What was weighed stands in the profile as it was measured."""
    shown = sample(bytes_in=3, bytes_out=5, crossing_s=0.25, memory_bytes=7)
    profile = profile_of(shown)
    assert (profile.bytes_in, profile.bytes_out, profile.crossing_s, profile.memory_bytes) == (3, 5, 0.25, 7)


SPUN = {"native_share": 0.95, "native_before": True}  # OpenBLAS's threads, after an import of numpy


def test_threads_that_spun_before_are_not_the_functions_own() -> None:
    """Code that keeps the GIL calls no BLAS: what spins beside it is left over from something earlier."""
    profile = profile_of(sample(held_share=0.8, **SPUN))
    assert (profile.kind, profile.other_threads_s) == (WorkKind.PYTHON, 0.0)


@pytest.mark.parametrize(
    "facts",
    [
        {"held_share": 0.3},
        {"held_share": 0.8, "looked_s": 0.001},
        {"held_share": 0.8, "native_before": False},
    ],
    ids=["it lets go of the GIL", "hardly looked", "they began with it"],
)
def test_native_threads_that_may_be_its_own(facts: dict[str, object]) -> None:
    """Without all the evidence they count as the function's."""
    assert profile_of(sample(**{**SPUN, **facts})).kind is WorkKind.PARALLEL


def test_what_wants_the_gil_back_at_once_holds_it() -> None:
    """Code that takes and releases the GIL all the time gets nowhere beside another thread."""
    profile = profile_of(sample(held_share=0.01, pressed_cores=PRESSED - 0.01))
    assert profile.held_s == pytest.approx(0.01)
    assert profile.free_s == 0.0
    assert profile_of(sample(held_share=0.01, pressed_cores=PRESSED + 0.01)).kind is WorkKind.NATIVE
    assert profile_of(sample(held_share=0.01, pressed_cores=None)).kind is WorkKind.NATIVE


SHARE = st.floats(0.0, 1.0)


@given(st.builds(Shares, SHARE, SHARE, SHARE, SHARE, SHARE, SHARE, SHARE))
def test_the_last_rule_always_holds(shares: Shares) -> None:
    """No shares fall through the table."""
    assert RULES[-1].holds(shares)
    assert RULES[-1].words.format(s=shares)


def test_earlier_rules_win() -> None:
    """A function that waits for a child process is not called IO-bound, although it waits."""
    waiting_for_a_child = sample(cpu=0.0, children_s=0.05)
    assert [rule.kind for rule in RULES if rule.holds(Shares(0, 0, 0, 1.0, 0, 0.5, 1.0))][:2] == [
        WorkKind.SUBPROCESS,
        WorkKind.IO,
    ]
    assert profile_of(waiting_for_a_child).kind is WorkKind.SUBPROCESS


def test_the_class_of_nothing_is_the_cautious_one() -> None:
    """An empty sample has no seconds, and counts as work that holds the GIL."""
    profile = profile_of(Sample("f"))
    assert profile.kind is WorkKind.PYTHON
    assert (profile.wall_s, profile.items, profile.cpu_s, profile.wait_s) == (0.0, 0, 0.0, 0.0)


def test_a_short_look_counts_as_holding() -> None:
    """Below some milliseconds of probing the GIL share is noise, and the cautious answer is taken."""
    short, enough = (sample(held_share=0.0, looked_s=ENOUGH_S * factor) for factor in (0.9, 1.1))
    assert profile_of(short).kind is WorkKind.PYTHON
    assert profile_of(enough).kind is WorkKind.NATIVE


@pytest.mark.parametrize(
    ("share", "held"), [(QUIET - 0.01, 0.0), (0.5, 0.5), (SURE + 0.01, 1.0), (1.7, 1.0)], ids=str
)
def test_noise_in_the_share_is_rounded_off(share: float, held: float) -> None:
    """Nearly none is none, nearly all is all; between them the share stands as it is."""
    profile = profile_of(sample(held_share=share))
    assert profile.held_s == pytest.approx(held * 0.01)
    assert profile.free_s == pytest.approx((1 - held) * 0.01)
    assert profile.held_share == share


def test_the_share_is_of_the_cpu_time() -> None:
    """Half the time computing, the GIL held for half the time: all of the computing held it."""
    profile = profile_of(sample(cpu=0.005, held_share=0.5))
    assert profile.held_s == pytest.approx(0.005)
    assert profile.free_s == 0.0


def test_without_a_gil_nothing_is_held() -> None:
    """On a free-threaded interpreter the same Python work is free to run in threads."""
    profile = profile_of(sample(held_share=0.99), gil=False)
    assert profile.held_s == 0.0
    assert profile.kind is WorkKind.NATIVE


def test_the_time_a_busy_machine_took_is_left_out() -> None:
    """Time in the run queue is neither computing nor waiting: the item is not taken for IO."""
    crowded = sample(wall=0.04, cpu=0.01, queued_s=0.3, held_share=0.98)
    profile = profile_of(crowded)
    assert profile.wall_s == pytest.approx(0.01)
    assert profile.wait_s == pytest.approx(0.0)
    assert profile.kind is WorkKind.PYTHON


def test_the_mean_counts_not_the_median() -> None:
    """With two-humped durations the seconds of the rest are what matters."""
    walls = (0.001,) * 5 + (0.1,) * 5
    wall, cpu = typical(Sample("f", walls, walls, (1,) * 10))
    assert wall == cpu == pytest.approx(0.0505)


def test_batches_weigh_by_their_items() -> None:
    """A batch of tiny items stands as its mean and counts for all of them."""
    shown = Sample("f", (0.01, 0.001), (0.01, 0.001), (1, 9))
    assert typical(shown)[0] == pytest.approx(0.0019)
    assert profile_of(shown).items == 10


def test_an_odd_first_item_is_left_out() -> None:
    """Imports and caches make the first item slow; the next ones are like the others."""
    walls = (0.5, 0.01, 0.01, 0.01)
    shown = Sample("f", walls, walls, (1,) * 4)
    assert typical(shown)[0] == pytest.approx(0.01)
    assert profile_of(shown).first_s == 0.5


@pytest.mark.parametrize("walls", [(0.5,), (0.5, 0.01), (0.02, 0.01, 0.01)], ids=str)
def test_a_first_item_that_may_be_like_the_rest_is_kept(walls: tuple[float, ...]) -> None:
    """Alone, beside one other, or not three times slower than all others, it counts like them."""
    wall, _ = typical(Sample("f", walls, walls, (1,) * len(walls)))
    assert wall == pytest.approx(sum(walls) / len(walls))


def test_the_first_item_may_be_told_apart() -> None:
    """Where the first item was set aside before, its seconds are told all the same."""
    assert profile_of(sample(first_s=0.5)).first_s == 0.5
    assert profile_of(sample(first_s=0.5)).wall_s == pytest.approx(0.01)
    assert profile_of(sample()).first_s == 0.01


def test_an_only_item_that_still_runs_is_assumed_half_done() -> None:
    """Nothing says that it is about to end, so it counts for twice what it has taken."""
    profile = profile_of(Sample("f", running_s=0.06, running_cpu_s=0.06, looked_s=0.06, held_share=1.0))
    assert profile.wall_s == pytest.approx(0.12)
    assert profile.first_s == 0.06
    assert profile.partial


def test_a_running_item_longer_than_the_others_counts() -> None:
    """Three times longer than the finished ones: it belongs to the picture."""
    walls = (0.001, 0.001)
    short = Sample("f", walls, walls, (1, 1), running_s=0.002, running_cpu_s=0.002)
    long = Sample("f", walls, walls, (1, 1), running_s=0.1, running_cpu_s=0.1)
    assert typical(short)[0] == pytest.approx(0.001)
    assert typical(long)[0] == pytest.approx(0.102 / 3)


def test_a_child_process_of_the_running_item() -> None:
    """Its CPU seconds are not known before it ends, so the waiting counts as the child's."""
    profile = profile_of(Sample("f", running_s=0.06, running_cpu_s=0.001, child_waited=True))
    assert profile.kind is WorkKind.SUBPROCESS
    assert profile.children_s == pytest.approx(profile.wait_s)


def test_facts_are_passed_on() -> None:
    """Sizes, the crossing and what remains reach the profile as they are."""
    profile = profile_of(sample(bytes_in=10, bytes_out=20, crossing_s=0.5, remaining=None))
    assert (profile.function, profile.bytes_in, profile.bytes_out) == ("f", 10, 20)
    assert (profile.crossing_s, profile.remaining, profile.partial) == (0.5, None, False)


def test_spread_is_relative() -> None:
    """The interquartile range over the median; too few items have none."""
    assert profile_of(sample()).spread == 0.0
    assert profile_of(Sample("f", (0.1, 0.2), (0.1, 0.2), (1, 1))).spread == 0.0
    walls = (0.01,) * 4 + (0.03,) * 4
    assert profile_of(Sample("f", walls, walls, (1,) * 8)).spread == pytest.approx(0.02 / 0.03)


SECONDS = st.floats(1e-7, 100.0)


@given(
    rows=st.lists(st.tuples(SECONDS, st.floats(0.0, 1.2), st.integers(1, 1000)), max_size=12),
    held=st.floats(0.0, 1.5),
    looked=st.floats(0.0, 1.0),
    queued=st.floats(0.0, 1000.0),
    running=st.one_of(st.just(0.0), SECONDS),
    first=st.floats(0.0, 10.0),
    pressed=st.one_of(st.none(), st.floats(0.0, 2.0)),
    gil=st.booleans(),
)
def test_the_parts_add_up(
    rows: list[tuple[float, float, int]],
    held: float,
    looked: float,
    queued: float,
    running: float,
    first: float,
    pressed: float | None,
    gil: bool,
) -> None:
    """Whatever was measured, an item's CPU and waiting make up its wall time, and none is negative."""
    walls, shares, counts = zip(*rows, strict=True) if rows else ((), (), ())
    profile = profile_of(
        Sample(
            "f",
            walls,
            tuple(w * share for w, share in zip(walls, shares, strict=True)),
            counts,
            held_share=held,
            looked_s=looked,
            queued_s=queued,
            running_s=running,
            running_cpu_s=0.5 * running,
            first_s=first,
            pressed_cores=pressed,
        ),
        gil=gil,
    )
    assert math.isclose(profile.cpu_s + profile.wait_s, profile.wall_s, abs_tol=1e-12)
    assert min(profile.held_s, profile.free_s, profile.wait_s, profile.spread) >= 0.0
    assert profile.items == sum(counts)
    assert profile.evidence
