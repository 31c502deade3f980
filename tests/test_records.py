"""The values that travel: frozen, equal by content, small, readable."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys

import pytest

from autoexec import records, statistics
from autoexec.frozen import dataclass, field, replace
from autoexec.records import (
    Calibration,
    Ending,
    Forecast,
    Hazard,
    Machine,
    NativePool,
    Plan,
    Profile,
    Sample,
    WorkKind,
)
from autoexec.statistics import Failures, HostStats, Stats

PROFILE = Profile("fetch", 3, 0.1, 0.002, 0.001, 0.097, kind=WorkKind.IO, remaining=50)
HOST = HostStats("a.org", 9, 2, 1, 1, 0.5, 16, "it queues above 16")
EXAMPLES = (
    Calibration(),
    Failures("HTTPError 404", "a.org", 3),
    Forecast("threads", 4, 1, 2.0),
    Hazard("captured lock", "guard", "job.py:7", threads_ok=True),
    HOST,
    Machine(2, 4, 8, 8, quota=1.5, native_pools=(NativePool("openblas", 8),)),
    NativePool("openmp", 2, "5.0"),
    Plan("threads", 4, reason="it waits", forecasts=(Forecast("serial", 1, 1, 9.0),)),
    PROFILE,
    Sample("fetch", (0.1,), (0.002,), (1,)),
    Stats(7, 9, 2, 1, 1, latency_s=((0.5, 0.1),), hosts=(HOST,), failures=(Failures("OSError", "", 1),)),
)
PLAN = next(record for record in EXAMPLES if isinstance(record, Plan))
each_record = pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)


def test_every_record_has_an_example() -> None:
    """What is tested below is all there is."""
    names = {*records.__all__, *statistics.__all__}
    assert {type(record).__name__ for record in EXAMPLES} | {"WorkKind", "Ending"} == names


@each_record
def test_frozen(record: object) -> None:
    """No field can be set or deleted, and none added."""
    name = dataclasses.fields(record)[0].name  # type: ignore[arg-type]
    for change in (
        lambda: setattr(record, name, 1),
        lambda: delattr(record, name),
        lambda: setattr(record, "other", 1),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    assert not hasattr(record, "__dict__")


@each_record
def test_equal_by_content(record: object) -> None:
    """A copy is equal and hashes the same; a change, or another type, is not equal."""
    fields = dataclasses.fields(record)  # type: ignore[arg-type]
    twin = type(record)(**{entry.name: getattr(record, entry.name) for entry in fields})
    assert twin == record
    assert twin is not record
    assert hash(twin) == hash(record)
    assert replace(record, **{fields[0].name: "another"}) != record
    assert record != tuple(getattr(record, entry.name) for entry in fields)


@each_record
def test_copies(record: object) -> None:
    """Pickling, both kinds of copy and all ways to replace nothing give an equal record."""
    for twin in (
        pickle.loads(pickle.dumps(record)),
        copy.copy(record),
        copy.deepcopy(record),
        replace(record),
        dataclasses.replace(record),  # type: ignore[type-var]
    ):
        assert twin == record
        assert type(twin) is type(record)
    if sys.version_info >= (3, 13):
        assert copy.replace(record) == record


@each_record
def test_dataclass_tools_work(record: object) -> None:
    """The standard library's own functions see an ordinary dataclass, fields in order."""
    names = [entry.name for entry in dataclasses.fields(record)]  # type: ignore[arg-type]
    assert dataclasses.is_dataclass(record)
    assert list(dataclasses.asdict(record)) == names
    assert type(record).__match_args__ == tuple(names)
    assert repr(record).startswith(f"{type(record).__name__}({names[0]}=")


@each_record
def test_every_field_is_documented(record: object) -> None:
    """A record with more than a handful of fields lists them all."""
    names = [entry.name for entry in dataclasses.fields(record)]  # type: ignore[arg-type]
    doc = type(record).__doc__ or ""
    if "Attributes:" in doc:
        assert [name for name in names if f"{name}: " not in doc] == []
    else:
        assert isinstance(record, (Calibration, Failures, NativePool)), "names that speak for themselves"


def test_unknown_fields_are_refused() -> None:
    """A wrong name is an error, in the constructor and in `replace`."""
    with pytest.raises(TypeError):
        Plan("serial", workers=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        replace(PROFILE, wall=3)
    with pytest.raises(TypeError):
        Machine(1)  # type: ignore[call-arg]


def test_a_profile_reads_well() -> None:
    """One line: the function, the class, the seconds and where they go."""
    assert str(PROFILE) == (
        "fetch: IO-bound; 100 ms per item (2 ms CPU with the GIL, 1 ms without, 97 ms waiting)"
    )
    assert PROFILE.cpu_s == pytest.approx(0.003)


def test_a_plan_reads_well() -> None:
    """One line; the long list of forecasts is left out of the repr."""
    assert str(Plan("threads", 4, reason="it waits")) == "threads × 4: it waits"
    assert str(Plan("serial", reason="too small")) == "serial: too small"
    assert "forecasts" not in repr(PLAN)
    assert "reason='it waits'" in repr(PLAN)


def test_an_adaptive_plan_names_its_cap() -> None:
    """Where the number of calls follows the answers, the number is only the most there may be."""
    assert not Plan("threads", 4).adaptive
    assert str(Plan("threads", 256, reason="it waits", adaptive=True)) == "threads × up to 256: it waits"
    assert str(Plan("threads", 1, reason="one by one", adaptive=True)) == "threads × 1: one by one"
    assert str(Plan("serial", reason="too small", adaptive=True)) == "serial: too small"


def test_a_hazard_names_object_and_line() -> None:
    """What it is, what it is called, where it stands."""
    assert (
        str(Hazard("captured lock", "guard", "job.py:7", threads_ok=True))
        == "captured lock: 'guard' (job.py:7)"
    )


def test_every_class_has_its_own_words() -> None:
    """Seven classes, seven descriptions; four endings, four words."""
    for kinds, count in ((WorkKind, 7), (Ending, 4)):
        words = [kind.value for kind in kinds]
        assert len(set(words)) == len(words) == count


def test_nothing_has_happened_yet() -> None:
    """Statistics begin at zero."""
    assert Stats() == Stats(0, 0, 0, 0, 0, 0, (), (), 0.0, (), ())


def test_a_record_of_ones_own() -> None:
    """The decorator makes defaults and hidden fields work, and inheritance of methods does not break."""

    @dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 2
        hidden: int = field(default=3, repr=False)

        def total(self) -> int:
            return self.x + self.y + self.hidden

    point = Point(1)
    assert point.total() == 6
    assert repr(point).endswith("Point(x=1, y=2)")
    assert Point(1, y=5) == replace(point, y=5)
    match point:
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_calls_at_once() -> None:
    """Processes times threads, and both are said."""
    plan = Plan("processes", 2, threads=8, reason="it waits, then parses")
    assert plan.at_once == 16
    assert str(plan) == "processes × 2 × 8 threads: it waits, then parses"
    assert Forecast("processes", 2, 1, 1.25, threads=8).way == "processes × 2 × 8 threads"
    assert (Plan("threads", 4).at_once, Forecast("serial", 1, 1, 9.0).way) == (4, "serial")
