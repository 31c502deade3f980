"""Conditions within the rules that no other test holds: what is let go, and what is not, at each turn."""

from __future__ import annotations

import functools
import io
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from autoexec.engine.source import Source
from autoexec.records import Hazard
from autoexec.safety import moving
from autoexec.safety.effects import Effects
from autoexec.safety.item_state import item_state
from autoexec.safety.look import Look, look
from autoexec.safety.memos import memos_of
from autoexec.safety.moving import LOOKS, Moving, glance
from autoexec.safety.reach import Place, Reached
from autoexec.safety.repeatable import repeatable
from autoexec.safety.watch import Watch
from tests.safety.looking import kept, looked

LOCK = threading.Lock()


def told(work: Callable[..., Any]) -> list[tuple[str, bool]]:
    """What code names of the whole process, and whether other processes may have it."""
    return [(hazard.name, hazard.processes_ok) for hazard in item_state(work)]


# Conditions within them -------------------------------------------------------------------------------------


def test_an_entry_under_another_key_is_a_change(module: Callable[..., Any]) -> None:
    """The values are the very same."""
    program = module('D = {"a": [1]}\ndef work(x): return D\n')
    effects = Effects(program.work)
    effects.before((1,))
    program.D["b"] = program.D.pop("a")
    effects.after((1,))
    assert effects.hazards()


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [(1, True, True), (1, 1.0, True), ("a", "b", True), ([1], [1], False), ([LOCK], [io], True),
     ((1, (2,)), (1, (2,)), False),
     ((NAN := float("nan"), 1), (NAN, 1), False), ((1, 2), (1, 3), True), ((1, 2), (1, 2, 3), True)],
)  # fmt: skip
def test_what_is_set_again(old: Any, new: Any, changed: bool) -> None:
    """Atoms, and tuples of them, are what they hold; others are what they are."""
    cell = {"a": old}
    notes = look(lambda x: cell, (1,), time.thread_time() + 5.0)
    cell["a"] = type(new)(iter(new)) if type(new) in (tuple, list) else new
    assert bool(notes.compare()) == changed


def test_a_place_that_could_not_be_read_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor can it be compared; the others are."""
    rows: list[int] = []
    asked: list[int] = []

    def read() -> list[int]:
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError
        return [1]

    places = [Place(asked, "asked", read), Place(rows, "rows", lambda: list(rows))]
    notes = Look(Reached(places, [], [], [], [], True), time.thread_time() + 5.0)
    rows.append(1)
    assert [change.path for change in notes.compare()] == ["rows"]


@pytest.mark.parametrize("late", [True, False])
def test_a_module_that_is_there_before_or_after_alone(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """Nothing is known of what it keeps."""
    with monkeypatch.context() as without:
        without.delitem(sys.modules, "socket")
        gone = look(len, (), time.thread_time() + 5.0)
    there = look(len, (), time.thread_time() + 5.0)
    if late:
        assert gone.compare() == []
    else:
        monkeypatch.delitem(sys.modules, "socket")
        assert there.compare() == []


def test_filters_that_came_with_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the module's; others are a change."""
    import warnings

    with warnings.catch_warnings():
        notes = look(len, (), time.thread_time() + 5.0)
        warnings.simplefilter("ignore")
        assert [change.name for change in notes.compare()] == ["the warning filters"]
        monkeypatch.setitem(sys.modules, "rules_late", type(sys)("rules_late"))
        assert notes.compare() == []


def test_what_was_not_seen_whole_stays_so(module: Callable[..., Any]) -> None:
    """Another look that sees all does not make up for it; when strict, it is told."""
    work = module("def work(x): return x\n").work
    effects = looked(work, 1)
    assert effects.whole and effects.hazards(strict=True) == ()
    effects.whole = False
    effects.before((2,))
    effects.after((2,))
    assert not effects.whole and effects.hazards(strict=True)
    odd = module("import mmap\nM = mmap.mmap(-1, 64)\ndef work(x): return x, V\nV = memoryview(M)\n")
    notes = look(odd.work, (1,), time.thread_time() - 5.0)
    assert not notes.reached.whole


def test_a_memo_whose_entries_were_replaced_is_none(module: Callable[..., Any]) -> None:
    """Whoever did that, and however."""
    program = module("MEMO = {5: 0}\ndef work(x):\n    if x not in MEMO: MEMO[x] = x\n    return MEMO[x]\n")
    effects = looked(program.work, 1, 2)
    assert [*effects.memos()] == ["MEMO"] and effects.hazards() == ()
    effects.before((3,))
    program.MEMO[5] = "another"
    effects.after((3,))
    assert effects.memos() == {} and effects.hazards()


def test_names_of_a_module_are_no_memo(module: Callable[..., Any]) -> None:
    """Though they are a dict."""
    text = "def work(x):\n    if 'a' + x not in globals(): globals()['a' + x] = x\n    return x\n"
    assert kept(module(text).work, "1", "2")  # type: ignore[arg-type]


def test_what_is_set_amid_an_item_for_the_process_is_for_reading_to_say() -> None:
    """Another thread may have set it."""
    import decimal

    effects = Effects(lambda x: x)
    effects.before((1,))
    with decimal.localcontext() as context:
        context.prec = 7
        effects.amid()
    effects.after((1,))
    assert effects.hazards() == ()


def test_what_an_item_has_put_into_a_thread_local(module: Callable[..., Any]) -> None:
    """The caller has not set it: only the first look asks for what is there."""
    program = module("""
import threading
LOCAL = threading.local()
def work(x):
    setattr(LOCAL, "item", x)
    return LOCAL.item
""")
    assert looked(program.work, 1, 2).hazards() == ()
    assert looked(program.work, 1).hazards()  # now it is there before


def test_names_within_what_is_captured_and_called(module: Callable[..., Any]) -> None:
    """By a cell; by a decorator that a context manager is; by a decorator of `mock`."""
    program = module("""
import os
from contextlib import contextmanager
from unittest import mock
def make(go): return lambda x: go(x)
captured = make(os.chdir)
@contextmanager
def inside(path):
    os.chdir(path)
    yield
@inside("/tmp")
def managed(x): return x
@mock.patch("os.sep", "/")
def patched(x): return x
""")
    assert told(program.captured) == told(program.managed) == [("os.chdir", True)]
    assert told(program.patched) == [("unittest.mock.patch", True)]


def test_wrappers_of_libraries_are_their_own_affair(module: Callable[..., Any]) -> None:
    """What they name is not told, what they wrap is."""
    text = "import os\ndef deco(f):\n    def inner(x): os.chdir(x); return f(x)\n    return inner\n"
    module(text, "rules_deco", installed=True)
    program = module("import os, rules_deco\n@rules_deco.deco\ndef work(x): os.umask(x)\n")
    assert told(program.work) == [("os.umask", True)]


def test_parameters_of_helpers_are_not_what_is_bound() -> None:
    """They have the same name by chance."""
    work = functools.partial(lambda rng, x: fresh(random.Random(x)), random.Random(3))
    assert told(work) == []


def fresh(rng: random.Random) -> None:
    """Seeds what it is given."""
    rng.seed(1)


def test_only_what_is_taken_from_a_queue_is_given_back(module: Callable[..., Any]) -> None:
    """A `put` gives nothing back to standard input."""
    program = module("""
import queue
Q = queue.Queue()
def takes(x): return Q.get()
def back(x):
    Q.put(Q.get())
def reads(x): Q.put(input())
""")
    assert told(program.takes) == [("Q", False)] and told(program.back) == []
    assert told(program.reads) == [("input", False)]


# What a worker has lost -------------------------------------------------------------------------------------

LOST = """
MEMO, OTHER, PLACE, FULL, BARE, N = {5: 0}, {}, None, 1, None, 0
def work(x):
    global PLACE, FULL, BARE, late
    if PLACE is None: PLACE = (x, 1)
    if FULL == 1: FULL = 2
    BARE = x
    import colorsys as late
    if x not in MEMO: MEMO[x] = x
    return OTHER
"""


@pytest.mark.parametrize(
    ("do", "lost"),
    [
        ("MEMO[1] = 1", False),  # it goes home
        ("MEMO[5] = 1", True),
        ("del MEMO[5]", True),
        ("OTHER[1] = 1", True),
        ("OTHER['log handlers'] = 1", True),  # so is a key that is called like what is a worker's own
        ("PLACE = (1, 1)", False),  # each worker fills its own
        ("FULL = 2", True),
        ("BARE = 1", True),
        ("import colorsys as late", False),
        ("import warnings; warnings.simplefilter('ignore')", False),
        ("import socket; socket.setdefaulttimeout(7.0)", True),
        ("pass", False),
    ],
)
def test_what_is_lost_in_a_worker(do: str, lost: bool, module: Callable[..., Any]) -> None:
    """All but what each fills for itself, and what goes home."""
    import socket
    import warnings

    program, before = module(LOST), socket.getdefaulttimeout()
    with warnings.catch_warnings():
        notes = look(program.work, (1,), time.thread_time() + 5.0)
        exec(do, vars(program))
        try:
            assert bool(Effects(program.work).lost(notes, {id(program.MEMO): program.MEMO})) == lost
        finally:
            socket.setdefaulttimeout(before)


SEEN = """
PLACE, CLIENT, N, MEMO, ROWS = None, None, 0, {}, []
class Client:
    def send(self, x): return x
def work(x):
    global PLACE, CLIENT, N
    if PLACE is None: PLACE = (1, 2)
    if CLIENT is None: CLIENT = Client()
    if x not in MEMO: MEMO[x] = x
    N += 1
    if not ROWS: ROWS.append(1)
    return x
"""


@pytest.mark.parametrize(
    ("kind", "name", "explained"),
    [
        ("writes a global", "PLACE", True),
        ("writes a global", "N", False),  # it counts
        ("writes a global", "NOWHERE", False),  # no look has seen it
        ("captured database connection", "CLIENT", True),
        ("captured queue", "PLACE", False),  # what was filled in is plain
        ("captured queue", "NOWHERE", False),
        ("changes a global object", "MEMO", True),
        ("changes its argument", "MEMO", False),
        ("changes its argument", "PLACE", False),
        ("changes a global object", "ROWS", True),
        ("changes a global object", "NOWHERE", False),
        ("changes for an item's own time", "PLACE", False),
    ],
)
def test_what_looks_explain(kind: str, name: str, explained: bool, module: Callable[..., Any]) -> None:
    """What the code shows of places that were seen to be filled once, of memos, and of nothing else."""
    program = module(SEEN)
    hazard = Hazard(kind, name, "job.py:1", True)
    once = looked(program.work, 1)
    assert not once.explains(hazard) or name == "MEMO"
    program.work(2)
    effects = looked(module(SEEN).work, 1, 2)
    assert effects.explains(hazard) == explained
    assert [entry[:2] for entry in effects.made()] == [("", "CLIENT")]
    assert [one.name for one in effects.hazards()] == ["N"]
    assert {"N", "PLACE", "CLIENT", "MEMO", "ROWS"} == {one.name for one in effects.hazards(strict=True)}


def test_how_many_items_are_looked_at(module: Callable[..., Any]) -> None:
    """One; two where something changed; three where the second has filled something for the first time."""
    quiet = module("def work(x): return x\n").work
    assert looked(quiet).wanted and not looked(quiet).settled
    assert looked(quiet, 1).wanted and looked(quiet, 1).settled
    assert not looked(quiet, 1, 2).wanted and looked(quiet, 1, 2).settled
    text = "PLACE = None\ndef work(x):\n    global PLACE\n    if x > {} and PLACE is None: PLACE = 1\n"
    first = lambda *items: looked(module(text.format(0)).work, *items)  # noqa: E731
    second = lambda *items: looked(module(text.format(1)).work, *items)  # noqa: E731
    assert first(1).wanted and not first(1).settled
    assert not first(1, 2).wanted and first(1, 2).settled
    assert second(1, 2).wanted and not second(1, 2).settled
    assert not second(1, 2, 3).wanted and second(1, 2, 3).settled
    counts = module("N = 5\ndef work(x):\n    global N\n    N += 1\n").work
    assert not looked(counts, 1, 2).wanted and looked(counts, 1, 2).settled


# Called once more -------------------------------------------------------------------------------------------


class Client:
    """What its methods do, no name tells."""

    def get(self, x: int) -> int:
        """It may be a request."""
        return x


CLIENT = Client()


def calls(func: Callable[..., Any], depth: int) -> Callable[..., Any]:
    """A function that calls another one, and so on."""
    return calls(lambda x: func(x), depth - 1) if depth else func


def wrapper(x: int) -> int:
    """Says that it stands for another function."""
    return x


wrapper.__wrapped__ = print  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("func", "sure"),
    [
        (calls(lambda x: x, 3), True), (calls(lambda x: x, 9), False), (wrapper, False), ([1].count, True),
        (functools.partial(lambda c: lambda x: c, CLIENT)(), False), (lambda x, c=CLIENT: c, False),
        (lambda x, *, c=CLIENT: c, False), (lambda x, c=1: c, True), (io.StringIO("a").read, False),
    ],
)  # fmt: skip
def test_what_may_be_called_once_more(func: Callable[..., Any], sure: bool) -> None:
    """All that it holds and calls is known."""
    assert repeatable(func) == sure


# What an input and a function share -------------------------------------------------------------------------


class Slotted:
    """Holds it in a slot."""

    __slots__ = ("rows",)

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def __call__(self, x: int) -> None:
        """Fill it."""
        self.rows.append(x)


class Reader:
    """An iterator of the user's."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def __iter__(self) -> Reader:
        return self

    def __next__(self) -> int:
        return self.rows.pop()


ROWS: list[int] = []
WAYS: dict[str, Callable[[list[int]], Callable[[int], object]]] = {
    "a default": lambda rows: lambda x, rows=rows: rows.append(x),
    "a keyword's default": lambda rows: lambda x, *, rows=rows: rows.append(x),
    "a partial": lambda rows: functools.partial(lambda rows, x: rows.append(x), rows),
    "a slot": lambda rows: Slotted(rows),
    "a method": lambda rows: Slotted(rows).__call__,
    "a method of C code": lambda rows: functools.partial(list.append, rows),
    "a dict": lambda rows: lambda x, kept={"a": [rows]}: kept["a"][0].append(x),
    "an attribute of a function": lambda rows: with_attribute(rows),
}


def with_attribute(rows: list[int]) -> Callable[[int], object]:
    """A function that holds it."""

    def fill(x: int) -> None:
        fill.rows.append(x)  # type: ignore[attr-defined]

    fill.rows = rows  # type: ignore[attr-defined]
    return fill


READS: dict[str, Callable[[list[int]], Any]] = {
    "an iterator": iter,
    "a generator": lambda rows: (row for row in rows),
    "an iterator of the user's": Reader,
    "a map over it": lambda rows: map(str, reversed(rows)),
    "a zip": lambda rows: zip(rows, [1, 2], strict=False),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_shared_is_found(way: str, read: str) -> None:
    """Whatever holds it on either side; and another list of the same kind is not shared."""
    rows, other = [1, 2], [1, 2]
    assert moving.shared([READS[read](rows)], WAYS[way](rows)) == "list"
    assert moving.shared([READS[read](rows)], WAYS[way](other)) == ""


def test_too_much_to_tell_is_shared() -> None:
    """Nobody is sure then; a generator that has ended holds nothing."""
    rows = [1]
    many = [[[[object() for _ in range(16)] for _ in range(16)] for _ in range(16)]]
    assert moving.shared([iter(rows)], lambda x: many) == "object"
    over = (row for row in rows)
    assert list(over) == [1] and moving.shared([over], lambda x: rows.append(x)) == ""


# A glance ---------------------------------------------------------------------------------------------------


class Rows(list[int]):
    """A list of the user's that says another length."""

    def __len__(self) -> int:
        return 0


def element() -> Any:
    """Made by C code."""
    from xml.etree import ElementTree as ET

    return ET.Element("a")


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda: deque([1]), lambda it: it.append(2)),
        (lambda: {"a": 1, "b": 2}, lambda it: it.update(a=it.pop("a"))),
        (lambda: {"a": 1}, lambda it: it.update(a=2)),
        (lambda: Rows([1]), lambda it: it.append(2)),
        (lambda: Slotted([1]), lambda it: setattr(it, "rows", [2])),
        (lambda: Reader([1]), lambda it: it.rows.append(2)),
        (lambda: [1] * 1000, lambda it: it.__setitem__(999, 2)),
        (lambda: [1] * 1000, lambda it: it.insert(500, 1)),
        (lambda: np.zeros((3000, 3000)), lambda it: it.fill(1)),
        (lambda: np.zeros(2_000_000), lambda it: it.fill(1)),
        (lambda: np.zeros((3, 3)), lambda it: it.__setitem__((1, 1), 1)),
        (element, lambda it: it.set("b", "c")),
    ],
)
def test_a_glance_tells_what_is_another_now(make: Callable[[], Any], change: Callable[[Any], object]) -> None:
    """And that nothing is."""
    item = make()
    before = glance(item)
    assert glance(item) == before
    change(item)
    assert glance(item) != before


class Pair(tuple[int, ...]):  # noqa: SLOT001
    """Has attributes, which may change."""


@pytest.mark.parametrize(
    ("make", "ahead"),
    [
        (lambda: (Pair((1, 2)) for _ in range(3)), False),
        (lambda: (Reader([1]) for _ in range(3)), False),
        (lambda: (deque([1]) for _ in range(3)), False),
        (lambda: (bytearray(1000) for _ in range(3)), True),
        (lambda: ([1] * 1000 for _ in range(3)), True),
        (lambda: ([[1]] * 1000 for _ in range(3)), False),
    ],
)
def test_what_is_done_with(make: Callable[[], Iterator[Any]], ahead: bool) -> None:
    """Plain containers that nobody else has."""
    assert len(Source((make(),)).pull(3)) == (3 if ahead else 1)


def test_an_item_that_is_handed_out_again_is_looked_at_once_more() -> None:
    """However many were looked at; and though others were kept before it."""
    rows = [[n] for n in range(LOOKS + 1)]
    for again in (rows[0], rows[LOOKS]):
        looks = Moving(iter(()))
        for row in rows:
            looks.pulled(row)
        for _ in range(LOOKS):
            looks.before()
            looks.after()
        assert not looks.wanted
        looks.pulled(again)
        assert looks.wanted
        looks.before()
        again.append(1)
        looks.after()
        assert looks.words


@pytest.mark.parametrize(
    "code",
    [
        "\n    try: KNOWN[x]\n    except KeyError: pass\n    MEMO[x % 3] = x",
        "MEMO[x % 3] = x; return MEMO[x % 3]",
        "return MEMO[x] if len(MEMO) > x else MEMO.setdefault(x, x)",
        "\n    if x not in MEMO: MEMO[x] = [x]\n    MEMO[x][0] = 2",
    ],
)
def test_what_only_looks_like_a_memo(code: str, module: Callable[..., Any]) -> None:
    """The last one is meant, or how many there are, or what is in it changes."""
    assert not memos_of(module(f"MEMO, KNOWN = {{}}, {{}}\ndef work(x): {code}\n").work)


def test_what_there_was_no_time_for(module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told when strict, and held against nobody else."""
    monkeypatch.setattr("autoexec.safety.effects.BUDGET_S", -1.0)
    effects = looked(module("A = [1]\ndef work(x): return A\n").work, 1, 2)
    assert not effects.whole and effects.hazards() == ()
    assert [hazard.kind for hazard in effects.hazards(strict=True)] == ["reaches more than was looked at"]


def test_a_connection_that_the_first_item_has_made(module: Callable[..., Any]) -> None:
    """Each process makes its own, but other threads could not use it; when strict, it is told."""
    program = module("""
import sqlite3
PLACE = None
def work(x):
    global PLACE
    if PLACE is None: PLACE = sqlite3.connect(":memory:")
    return x
""")
    effects = looked(program.work, 1, 2)
    assert all(hazard.processes_ok and not hazard.threads_ok for hazard in effects.hazards())
    assert "captured database connection" in {hazard.kind for hazard in effects.hazards(strict=True)}
    program.PLACE.close()


def test_a_third_item_is_the_last_that_is_looked_at(module: Callable[..., Any]) -> None:
    """And what was there before is no reason for one."""
    text = "PLACE = {}\ndef work(x):\n    global PLACE\n    if x > {} and not PLACE: PLACE = (1,)\n"
    assert not looked(module(text.format(None, 2)).work, 1, 2, 3).wanted
    full = "PLACE = 1\ndef work(x):\n    global PLACE\n    if x > 1: PLACE = 2\n"
    assert not looked(module(full).work, 1, 2).wanted


def test_elements_that_are_computed_anew_are_no_change() -> None:
    """They are other objects with the same values."""
    rows = [int("1000"), "a"]
    notes = look(lambda x: rows, (1,), time.thread_time() + 5.0)
    rows[0] = int("1000")
    assert notes.compare() == []
    rows[0] = int("1001")
    assert [change.path for change in notes.compare()] == ["rows"]


@pytest.mark.parametrize("make", ["bytearray(8)", "array.array('b', bytes(8))", "bytearray(2 << 20)"])
def test_buffers_that_c_code_writes_to(make: str, module: Callable[..., Any]) -> None:
    """Small ones in full, long ones at their ends; a reader of both changes neither."""
    text = f"import array, struct\nB = {make}\npack = struct.pack_into\n"
    assert looked(module(f"{text}def work(x): pack('b', B, 3, x)\n").work, 1, 2).hazards()
    assert looked(module(f"{text}def work(x): pack('b', B, len(B) - 3, x)\n").work, 1, 2).hazards()
    assert looked(module(f"{text}def work(x): return B[3]\n").work, 1, 2).hazards() == ()


def test_what_libraries_keep_for_themselves(module: Callable[..., Any]) -> None:
    """Such as loggers by their names."""
    text = "import logging\nM = logging.root.manager\ndef work(x): M.getLogger(f'rules.{x}')\n"
    assert looked(module(text).work, 1, 2).hazards() == ()


def test_what_a_task_has_added_to_a_memo(module: Callable[..., Any]) -> None:
    """It goes home; where it is not known as a memo, it is lost, and that is said."""
    text = "MEMO = {5: 5}\ndef work(x):\n    if x not in MEMO: MEMO[x] = x * x\n    return MEMO[x]\n"
    for paths in (("MEMO",), ()):
        work = module(text).work
        watch = Watch(work, paths)
        watch.begin((3,))
        work(3)
        words, entries = watch.end()
        assert (words, entries) == ("", [("MEMO", [(3, 9)])]) if paths else (words and not entries)


def test_what_a_logger_reaches(module: Callable[..., Any]) -> None:
    """Its handlers, that may keep what they are given."""
    program = module("""
import logging
KEPT = []
class Keeps(logging.Handler):
    def emit(self, record): self.kept.append(record.getMessage())
LOG = logging.getLogger("rules.kept")
LOG.propagate = False
HANDLER = Keeps()
HANDLER.kept = KEPT
LOG.addHandler(HANDLER)
del HANDLER, KEPT
def work(x): LOG.warning("item %s", x)
""")
    try:
        assert looked(program.work, 1, 2).hazards()
    finally:
        program.LOG.handlers.clear()


def test_paths_are_values(module: Callable[..., Any]) -> None:
    """What they keep of themselves is nobody's."""
    text = "from pathlib import Path\nP = Path('a/b')\ndef work(x): return str(P), hash(P), P.parts, P.name\n"
    assert looked(module(text).work, 1, 2).hazards() == ()


OF_ITS_OWN = """
class L(threading.local):
    def __init__(self): self.a, self.session = 0, object()
    def get(self): return self.b
    @property
    def current(self): return self.b
LOCAL = L()
"""


@pytest.mark.parametrize(
    ("before", "code", "held"),
    [
        ("LOCAL.a = 'blue'", "return LOCAL.a", True),
        ("LOCAL.a = 'blue'", "return getattr(LOCAL, 'a')", True),
        ("LOCAL.a = 'blue'", "return vars(LOCAL)", True),
        ("LOCAL.a = 'blue'", "return LOCAL", False),
        ("LOCAL.a = 'blue'", "LOCAL.a = x; return LOCAL.a", False),
        ("LOCAL.a = 'blue'\ndef helper(): return LOCAL.a", "LOCAL.a = x; return helper()", False),
        ("LOCAL.a = 1\ndef fill(): LOCAL.a = 1", "LOCAL.a += 1; return fill()", True),
        (OF_ITS_OWN, "return LOCAL.a, LOCAL.session", False),
        (f"{OF_ITS_OWN}LOCAL.a = 5", "return LOCAL.a", True),
        (f"{OF_ITS_OWN}LOCAL.a = False", "return LOCAL.a", True),
        (f"{OF_ITS_OWN}LOCAL.b = 0", "return LOCAL.b", True),
        (f"{OF_ITS_OWN}LOCAL.b = 1", "return LOCAL.get()", True),
        (f"{OF_ITS_OWN}LOCAL.b = 1", "return LOCAL.current", True),
        (f"{OF_ITS_OWN}LOCAL.b = 1", "return LOCAL.session", False),
    ],
)
def test_what_the_callers_thread_has_set(
    before: str, code: str, held: bool, module: Callable[..., Any]
) -> None:
    """And what every thread begins with, or fills before it reads."""
    text = f"import threading\nLOCAL = threading.local()\n{before}\ndef work(x):\n    {code}\n"
    found = {hazard.kind for hazard in looked(module(text).work, 1).hazards()}
    assert ("reads what the caller's thread has set" in found) == held
