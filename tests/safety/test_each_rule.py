"""Rules that no other test holds, one by one: each of these fails where its rule is taken out."""

from __future__ import annotations

import functools
import io
import itertools
import json
import mmap
import os
import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autoexec.engine.source import Source
from autoexec.safety import moving
from autoexec.safety.captures import dig
from autoexec.safety.fingerprint import held_bytes, state_of
from autoexec.safety.globals_read import module_state
from autoexec.safety.hazards import find_hazards, written
from autoexec.safety.item_state import item_state
from autoexec.safety.library_parts import replaced
from autoexec.safety.look import Look, look
from autoexec.safety.memos import memos_of
from autoexec.safety.moving import ENOUGH, LOOKS, Moving, glance, plain
from autoexec.safety.mutation import Arguments
from autoexec.safety.reach import Place, Reached
from autoexec.safety.serialization import crosses
from tests.safety.looking import kept, looked

LOCK = threading.Lock()


# What explains what -----------------------------------------------------------------------------------------


def test_a_lock_is_explained_by_what_it_guards_alone(module: Callable[..., Any]) -> None:
    """That something else is filled once says nothing of it."""
    text = """
import threading
LOCK, MODEL = threading.Lock(), None
def fill():
    global MODEL
    if MODEL is None: MODEL = (1, 2)
def work(x):
    fill()
    with LOCK: return x
"""
    assert kept(module(text).work, 1, 2) == ["LOCK"]


def test_a_memo_explains_no_other_place(module: Callable[..., Any]) -> None:
    """A branch that looks have not seen is held by what its code shows."""
    text = """
MEMO, ROWS = {}, []
def work(x):
    if x > 100: ROWS.append(x)
    if x not in MEMO: MEMO[x] = x * x
    return MEMO[x]
"""
    assert kept(module(text).work, 1, 2) == ["ROWS"]


@pytest.mark.parametrize(
    ("old", "code"),
    [("''", "if PLACE == '': PLACE = 'b'"), ("()", "if len(PLACE) != 2: PLACE = (1, 2)")],
)
def test_what_is_compared_for_equality_is_not_ordered(
    module: Callable[..., Any], old: str, code: str
) -> None:
    """It is a look at whether it is empty."""
    assert kept(module(f"PLACE = {old}\ndef work(x):\n    global PLACE\n    {code}\n").work, 1, 2) == []


def test_a_memo_of_what_changes_when_it_is_used(module: Callable[..., Any]) -> None:
    """Each worker would read its own file from the beginning."""
    program = module("""
import io
FILES = {"a": io.StringIO("1\\n2\\n")}
def work(x):
    if "a" not in FILES: FILES["a"] = io.StringIO("1\\n2\\n")
    return FILES["a"].readline()
""")
    assert not memos_of(program.work)
    program.FILES["a"] = "1"
    assert memos_of(program.work)  # what is there now cannot change


def test_code_that_is_too_long_is_read_in_part(module: Callable[..., Any]) -> None:
    """Then nobody knows that a dict is a memo."""
    text = "MEMO = {{}}\ndef work(x):\n    if x not in MEMO: MEMO[x] = x\n{}    return MEMO[x]\n"
    assert memos_of(module(text.format("    x + 1\n" * 10)).work)
    assert not memos_of(module(text.format("    x + 1\n" * 9000)).work)


# Looking ----------------------------------------------------------------------------------------------------


def test_arguments_that_are_not_what_they_were() -> None:
    """Those that can change, and only those that did."""
    args = (1, [1], (1, [2]), {"a": 1})
    tokens = Arguments(args)
    assert tokens.changed(args) == []
    args[1].append(2)  # type: ignore[attr-defined]
    args[2][1].append(3)  # type: ignore[index]
    assert tokens.changed(args) == [1, 2]


def test_a_place_that_cannot_be_read_again_has_not_changed() -> None:
    """What cannot be had just now is not known; the others are compared all the same."""
    rows: list[int] = []
    left = [True]

    def read() -> list[int]:
        if left.pop():
            left.append(False)
            return [1]
        raise RuntimeError

    places = [Place(left, "left", read), Place(rows, "rows", lambda: list(rows))]
    notes = Look(Reached(places, [], [], [], [], True), time.thread_time() + 5.0)
    rows.append(1)
    assert [change.path for change in notes.compare()] == ["rows"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGALRM", "SIGHUP"])
def test_a_signals_handler_that_is_another_one(name: str) -> None:
    """Each of those that programs set."""
    number = getattr(signal, name)
    before = signal.getsignal(number)
    notes = look(len, (), time.thread_time() + 5.0)
    try:
        signal.signal(number, lambda *_: None)
        assert "signal handlers" in [change.name for change in notes.compare()]
    finally:
        signal.signal(number, before)


# Names ------------------------------------------------------------------------------------------------------


def told(work: Callable[..., Any]) -> list[tuple[str, bool]]:
    """What code names of the whole process, and whether other processes may have it."""
    return [(hazard.name, hazard.processes_ok) for hazard in item_state(work)]


class Job:
    """Has a generator of random numbers."""

    def __init__(self) -> None:
        self.random = random.Random(3)

    def work(self, x: int) -> None:
        """Seed it for each item."""
        self.random.seed(x)


def sets(x: str) -> None:
    """An entry of the environment."""
    os.environ["RULES"] = x


def test_what_is_told_by_the_object_that_is_bound() -> None:
    """A method knows its object; it is called as the source calls it."""
    assert told(Job().work) == [("self.random.seed", True)]
    assert told(functools.partial(lambda rng, x: rng.seed(x), random.Random(3))) == [("rng.seed", True)]


def test_things_are_called_by_their_paths() -> None:
    """A built-in function by its name alone."""
    assert told(lambda x: os.chdir(x)) == [("os.chdir", True)]
    assert told(lambda x: getattr(os, "chdir")(x)) == [("os.chdir", True)]  # noqa: B009
    assert told(lambda x: input(x)) == [("input", False)]
    assert told(sets) == [("os.environ", True)]


def test_settings_that_numpy_keeps_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 2.0 on for each context."""
    work = lambda x: np.set_printoptions(precision=x)  # noqa: E731
    monkeypatch.setattr(np, "__version__", "2.1.0")
    assert told(work) == []
    monkeypatch.setattr(np, "__version__", "1.26.4")
    assert told(work) == [("numpy.set_printoptions", True)]


def test_an_alarm_for_which_the_function_brings_its_handler(module: Callable[..., Any]) -> None:
    """The program's own is not needed then."""
    program = module("""
import signal
def late(*args): raise TimeoutError
def own(x): signal.signal(signal.SIGALRM, late); signal.alarm(5)
def bare(x): signal.alarm(5)
""")
    before = signal.signal(signal.SIGALRM, program.late)
    try:
        assert dict(told(program.own)) == {"signal.signal": True, "signal.alarm": True}
        assert told(program.bare) == [("signal.alarm", False)]
    finally:
        signal.signal(signal.SIGALRM, before)


# Reading ----------------------------------------------------------------------------------------------------

CODE = {
    "a tuple that is taken apart": "PAIR = ([], [])\ndef work(x):\n    a, b = PAIR\n    b.append(x)\n",
    "a list that is taken apart": "PAIR = [[], []]\ndef work(x):\n    a, *b, c = PAIR\n    c.append(x)\n",
    "an imported module": "def work(x):\n    import rules_home\n    rules_home.ROWS.append(x)\n",
    "an imported name": "def work(x):\n    from rules_home import ROWS\n    ROWS.append(x)\n",
    "a class inside": "ROWS = []\ndef work(x):\n    class Inner:\n        ROWS.append(1)\n",
    "a closure among arguments": (
        "ROWS = []\ndef put(a, b, c): a.append(c)\ndef work(x, y=0):\n    put(ROWS, 1, lambda i: i + y)\n"
    ),
    "a handler": (
        "ROWS = []\ndef work(x):\n    a = ROWS\n    try: int(x)\n    except ValueError: a.append(x)\n"
    ),
    "a handler for what came before": (
        "ROWS = []\ndef work(x):\n    a = ROWS\n    try:\n        int(x)\n        a = [x]\n"
        "    except ValueError: a.append(x)\n"
    ),
    "what a default holds": "import threading\ndef work(x, held=[threading.Lock()]): return x\n",
    "a function that changes its first": (
        "import heapq\nROWS = []\ndef work(x):\n    heapq.heappush(ROWS, x)\n"
    ),
    "a global lock": "import threading\nL = threading.Lock()\ndef work(x):\n    with L: return x\n",
    "a default": "import threading\ndef work(x, *, lock=threading.Lock()): return x\n",
    "a slice": "ROWS = [1]\ndef work(x): ROWS[:] = [x]\n",
    "super": (
        "class A:\n    rows = []\n    def put(self, x): self.rows.append(x)\n"
        "class B(A):\n    def put(self, x): super().put(x)\nwork = B().put\n"
    ),
    "two variables at once": "ROWS = []\ndef work(x):\n    a, b = ROWS, x\n    a.append(b)\n",
    "a comprehension": "ROWS = []\ndef work(x):\n    a = ROWS\n    return [a.append(i) for i in (x,)]\n",
}


@pytest.mark.parametrize("name", CODE)
def test_each_way_of_code_is_followed(name: str, module: Callable[..., Any]) -> None:
    """By reading alone."""
    module("ROWS = []\n", "rules_home")
    assert find_hazards(module(CODE[name]).work)


def test_writes_to_what_cannot_change_are_none(module: Callable[..., Any]) -> None:
    """A default of None is replaced in the call."""
    text = "def work(x, rows=None):\n    if rows is None: rows = []\n    rows += [x]\n    return rows\n"
    assert find_hazards(module(text).work) == ()


class Carried:
    """Says itself how to be pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Carried, ()


def test_what_pickles_itself_is_not_looked_into() -> None:
    """What it holds is its own affair."""
    assert dig(Carried(), "it", 2) == []
    assert dig(SimpleNamespace(lock=LOCK), "it", 2) == []  # it has a `__reduce__`, too
    assert dig(Job(), "it", 2) == [("it.random", "captured random generator", True)]


def test_what_is_written_and_what_is_held() -> None:
    """For the journal, and for the cost of sending it."""
    rows: list[int] = []
    table = bytes(100_000)
    assert written(lambda x: rows.append(x)) == (rows,) and written(lambda x: len(rows)) == ()
    assert held_bytes(lambda x: table[x]) >= 100_000 > held_bytes(lambda x: x)
    assert held_bytes(functools.partial(lambda a, x: table[x], 1)) >= 100_000


# Sending ----------------------------------------------------------------------------------------------------


def test_whether_a_value_crosses() -> None:
    """By value, where it has no name."""
    assert crosses([1, lambda x: x]) and not crosses([LOCK])


class Mine:
    """A class of the user's."""

    def __call__(self, text: str) -> int:
        """In the place of a function."""
        return 7


def test_what_is_the_users_in_a_library() -> None:
    """Functions, classes, and objects that can be called."""
    assert replaced(Mine) and replaced(Mine()) and replaced(looked) and replaced(Mine.__call__)
    assert not replaced(json.JSONEncoder) and not replaced(json.dumps) and not replaced(7)


def test_what_a_library_keeps_is_its_own_affair() -> None:
    """That makes nobody unsure of a function, as long as it is the same object."""
    assert state_of(lambda: os.environ["A"]) is not None


def test_classes_of_libraries_with_a_method_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes along, and the worker is not kept for others."""
    call = lambda text: json.JSONDecoder().decode(text)  # noqa: E731
    assert not module_state(call).strange
    monkeypatch.setattr("json.JSONDecoder.decode", lambda self, text: 7)
    state = module_state(call)
    assert state.strange and ("json", "JSONDecoder.decode") in state.values


def test_things_of_the_main_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a function calls; all of them where it finds things by name; under their own names only."""
    scope = vars(sys.modules["__main__"])
    made: dict[str, Any] = {}
    text = "def called(x): return x\ndef other(x): return x\ndef work(x): return called(x)\n"
    text += "def loads(x): return eval(x)\n"
    code = compile(text, "/home/user/job.py", "exec")
    exec(code, scope, made)
    for name, func in made.items():
        assert func.__module__ == "__main__"
        monkeypatch.setitem(scope, name, func)
    monkeypatch.setitem(scope, "again", made["called"])
    monkeypatch.setitem(scope, "borrowed", json.dumps)
    assert module_state(made["work"]).main == {"work": made["work"], "called": made["called"]}
    everything = module_state(made["loads"]).main
    assert everything.keys() >= {"called", "other", "work", "loads", "again"} and "borrowed" not in everything
    monkeypatch.setitem(scope, "called", json.dumps)
    assert module_state(made["called"]).main == {}


# Moving inputs ----------------------------------------------------------------------------------------------


def test_how_many_pulls_are_looked_at() -> None:
    """None without an item that may move; then some; none after what was seen to."""
    looks = Moving(iter(()))
    assert looks.unsure and not looks.wanted
    looks.pulled([1])
    for count in range(LOOKS):
        assert looks.wanted and looks.unsure == (count < ENOUGH)
        looks.before()
        looks.after()
    assert not looks.wanted and not looks.unsure
    row = [0]
    moves = Moving(iter(()))
    moves.pulled(row)
    moves.before()
    row.append(1)
    moves.after()
    assert moves.words and not moves.wanted and not moves.unsure and moves.copyable()


def test_what_moves_and_cannot_be_copied() -> None:
    """A lock; and what reads from the input itself."""
    holds = Moving(iter(()))
    holds.pulled([LOCK])
    assert not holds.copyable() and not holds.words
    groups: Iterator[Any] = itertools.groupby(range(9), key=lambda i: i // 3)
    advances = Moving(groups)
    advances.pulled(next(groups))
    assert "advances the input" in advances.words and advances.advances and not advances.copyable()
    alone = Moving(iter([[1]]))
    alone.pulled((1, iter([2])))
    assert not alone.words


def rows_of(rows: list[list[int]]) -> Iterator[list[int]]:
    """Items that the generator still refers to."""
    for row in rows:  # noqa: UP028
        yield row


def test_items_that_the_input_holds_do_not_advance_it() -> None:
    """Only iterators do."""
    rows = rows_of([[1], [2]])
    looks = Moving(rows)
    looks.pulled(next(rows))
    assert not looks.words


@pytest.mark.parametrize(
    ("make", "ahead"),
    [
        (lambda: ([[i], (i, [i])] for i in range(3)), True),
        (lambda: rows_of([[1], [2], [3]]), False),
        (lambda: iter([[1], [2], [3]]), False),
    ],
)
def test_the_first_reading_learns_how_many_refer_to_an_item(
    make: Callable[[], Iterator[Any]], ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is learned with an item of our own, not with the first of the user's."""
    kept_alive = [*make()]
    monkeypatch.setattr(moving, "_own", [])
    monkeypatch.setattr(moving, "_begun", [])
    assert len(Source((iter(kept_alive),)).pull(3)) == 1
    assert len(Source((make(),)).pull(3)) == (3 if ahead else 1)


class Plain:
    """Copying it runs nothing of the user's."""

    def __init__(self, part: Any) -> None:
        self.part = part


class Hooked(Plain):
    """Copying this one does."""

    def __getstate__(self) -> Any:
        return self.part


class Made(type):
    """A metaclass of the user's."""


class Odd(metaclass=Made):
    """Its class is."""


ARRAY = np.zeros(4)


@pytest.mark.parametrize(
    ("value", "can"),
    [
        (1, True), ([1, {"a": (2, 3)}], True), (deque([1]), True), ({1: frozenset({2})}, True),
        (bytearray(3), True), (ARRAY, True), (Plain([1]), True), (Plain(object()), False), (Hooked(1), False),
        (Odd(), False), (ARRAY[1:], False), (np.array([None]), False), (object(), False),
        ([[[[1]]]], False), ([LOCK], False), (io.StringIO(), False),
    ],
)  # fmt: skip
def test_what_nobody_can_tell_from_a_copy(value: Any, can: bool) -> None:
    """Containers, buffers, atoms, and objects that hold such."""
    assert plain(value) == can


def test_memory_that_others_may_write_to_says_nothing() -> None:
    """That it changed was nobody's pull."""
    with mmap.mmap(-1, 4096) as memory:
        array = np.frombuffer(memory, dtype="u1")
        view = memoryview(memory)
        before = glance([array, view, memory])
        memory[5] = 1
        assert glance([array, view, memory]) == before
        del array
        view.release()
    own = np.zeros(4)
    before = glance(own)
    own[1] = 1
    assert glance(own) != before
