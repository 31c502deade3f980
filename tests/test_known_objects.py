"""The table of what goes by numbers: what is in it, and what an object in it is pickled as."""

from __future__ import annotations

import dataclasses
import enum
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from autoexec import by_value
from autoexec.known_objects import Known, at_hand, dumps, known_to, lone, results

ROOT = str(Path(__file__).parents[1])
MISSING = object()


class Named:
    """Equal to itself alone, with a name."""

    def __init__(self, name: Any) -> None:
        self.name = name


class Odd(enum.Enum):
    """A member whose value is equal to itself alone."""

    ONLY = MISSING
    PLAIN = 1


class Kept(Exception):
    """A class with a method that reads a global."""

    def text(self) -> str:
        """What the global says."""
        return SAID


SAID = "before"


def reads(x: object) -> tuple[object, ...]:
    """A function that reaches some of them."""
    return MISSING, Odd.ONLY, dataclasses.MISSING, x


@pytest.mark.parametrize(
    ("obj", "held"),
    [
        (object(), {}),
        (Named("a"), {"name": "a"}),
        (Named([]), None),
        (threading.Lock(), None),
        ([], None),
        (3, None),
        (Path("a"), None),
        (dataclasses.make_dataclass("Row", ["a"])(1), None),
    ],
)
def test_what_is_nothing_but_itself(obj: object, held: object) -> None:
    """It holds nothing, or plain values, is made again from those, and is equal to nothing else."""
    assert lone(obj) == held


def test_a_table_names_what_has_no_name_of_its_own() -> None:
    """Sentinels of this module and of libraries, members with odd values; not what is imported by name."""
    known = known_to(reads)
    for obj in (MISSING, Odd.ONLY):
        assert known.token(obj) is not None
    if sys.version_info < (3, 15):  # from then on it is a `sentinel`, which is pickled by its name
        assert lone(dataclasses.MISSING) == {} and known.token(dataclasses.MISSING) is not None
    for other in (reads, Named, Odd.PLAIN, dataclasses.field, object()):
        assert known.token(other) is None


def test_there_and_back() -> None:
    """By plain pickle and by value, in whatever holds it; without the table it is a copy, or an error."""
    known = known_to(reads)
    value = [MISSING, {"a": (Odd.ONLY, dataclasses.MISSING)}]
    for dump in (dumps, by_value.dumps, results(known)):
        with at_hand(known):
            data = dump(value, 5, None)
            found = pickle.loads(data)
        assert found[0] is MISSING and found[1]["a"] == (Odd.ONLY, dataclasses.MISSING)
        with pytest.raises(LookupError, match="nobody has said whose"):
            pickle.loads(data)
    with at_hand(Known()), pytest.raises(LookupError, match="not known here"):
        pickle.loads(data)


def test_what_has_been_changed_is_told_as_it_is() -> None:
    """A number would hide what an item has done to it."""
    named = Named("first")
    known = known_to(lambda: named)
    with at_hand(known):
        assert pickle.loads(dumps(named)) is named
        named.name = "second"
        found = pickle.loads(dumps(named))
    assert found is not named and found.name == "second"


def test_an_object_that_comes_among_items() -> None:
    """The other end makes one for it, once, and knows it again."""
    here, known, there = object(), Known(), Known()
    with at_hand(known, known.shared(set(), grows=True)):
        first, second = dumps([here, here]), dumps(here)
    with at_hand(there):
        (one, again), other = pickle.loads(first), pickle.loads(second)
        assert one is again is other is not here
        back = dumps((other,))
    with at_hand(known):
        assert pickle.loads(back)[0] is here


def test_shadows_tell_what_a_worker_knows() -> None:
    """All that was there at its fork; of an earlier call's, only what is the very same."""
    known, later = known_to(reads), known_to(reads)
    shadow = known.shadow(whole=True)
    assert known.common(shadow) is None and known.common(known.shadow(whole=False)) is known.sent
    assert later.common(shadow) == set(later.objects)
    assert later.common(known.shadow(whole=False)) == set()


def test_a_class_is_not_written_over_by_its_copy() -> None:
    """What comes back from elsewhere, or is loaded here again, leaves the class here as it is."""

    class Local(Kept):
        """By value."""

    before = dict(vars(Local))
    (found,) = pickle.loads(by_value.dumps([Local("a")]))
    assert type(found) is Local
    assert all(vars(Local)[name] is value for name, value in before.items() if name != "__slotnames__")


def test_a_copy_follows_its_class() -> None:
    """In another interpreter, that is kept, it gets what the class has by now; slots are slots there."""

    @dataclasses.dataclass(slots=True)
    class Row:
        """By value."""

        value: int

    kinds: Any = Row
    kinds.scale = 1
    first = by_value.dumps(kinds(2))
    kinds.scale = 10
    code = (
        "import pickle, sys\n"
        f"one, two = pickle.loads({first!r}), pickle.loads({by_value.dumps(kinds(3))!r})\n"
        "assert type(one) is type(two) and type(one).scale == 10\n"
        "assert not hasattr(one, '__dict__') and one.value == 2\n"
        "print(one == type(one)(2))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "True", done.stderr
