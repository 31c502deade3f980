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
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autoexec.engine.source import Source
from autoexec.records import Hazard
from autoexec.safety import moving
from autoexec.safety.captures import dig
from autoexec.safety.effects import Effects
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
from autoexec.safety.repeatable import repeatable
from autoexec.safety.serialization import crosses

LOCK = threading.Lock()


def looked(func: Callable[[int], Any], *items: int) -> Effects:
    """What is seen around some items."""
    effects = Effects(func)
    for item in items:
        effects.before((item,))
        func(item)
        effects.after((item,))
    return effects


def kept(func: Callable[[int], Any], *items: int) -> list[str]:
    """The names of what is left of what code and looks show."""
    effects = looked(func, *items)
    left = [*(one for one in find_hazards(func) if not effects.explains(one)), *effects.hazards()]
    return [hazard.name for hazard in left]


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
    assert state.strange and [*state.values] == [("json", "JSONDecoder.decode")]


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


# Modules that are not found by a global name ----------------------------------------------------------------

IMPORTS = {
    "imported": "def work(x):\n    import rules_held\n    {use}\n",
    "imported by another name": "def work(x):\n    import rules_held as other\n    {use_other}\n",
    "a name of it": "def work(x):\n    from rules_held import A, LEVEL\n    {use_names}\n",
    "captured": (
        "def make():\n    import rules_held\n    def work(x): {use}\n    return work\nwork = make()\n"
    ),
    "a default": "import rules_held\ndef work(x, other=rules_held): {use_other}\ndel rules_held\n",
    "in a class": ("class K:\n    import rules_held\n    def work(self, x): {use_self}\nwork = K().work\n"),
    "in an object": (
        "import rules_held\nclass K: pass\nHERE = K()\nHERE.rules_held = rules_held\ndel rules_held\n"
        "def work(x): {use_here}\n"
    ),
    "in a list": "import rules_held\nHERE = [rules_held]\ndel rules_held\ndef work(x): {use_first}\n",
    "by a helper, which names something else": (
        "import rules_held\ndef work(x): rules_held.OTHER, helper(x)\ndef helper(x): {use}\n"
    ),
}
USES = {
    "use": "rules_held",
    "use_other": "other",
    "use_self": "self.rules_held",
    "use_here": "HERE.rules_held",
    "use_first": "HERE[0]",
}


def holding(name: str, use: str) -> str:
    """The program, which uses the module in this way."""
    ways = {key: use.format(f"{what}.") for key, what in USES.items()}
    return IMPORTS[name].format(use_names=use.format(""), **ways)


@pytest.mark.parametrize("name", IMPORTS)
def test_what_is_changed_in_a_module_is_seen(name: str, module: Callable[..., Any]) -> None:
    """However the code comes by it; no name tells what C code does there."""
    module("import numpy as np\nA, OTHER, LEVEL = np.zeros(3), 1, 1\n", "rules_held")
    text = f"import numpy as np\nadd = np.add.at\n{holding(name, 'add({}A, 1, x)')}"
    assert [hazard.name for hazard in looked(module(text).work, 1, 2).hazards()] == ["rules_held.A"]


@pytest.mark.parametrize("name", IMPORTS)
def test_what_is_read_in_a_module_goes_along(
    name: str, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A fresh interpreter imports it anew, with what it began with."""
    monkeypatch.syspath_prepend(str(tmp_path))
    held = module("A, OTHER, LEVEL = 1, 1, 1\n", "rules_kept")
    held.LEVEL = 5
    text = holding(name, "return {}LEVEL").replace("rules_held", "rules_kept")
    assert module_state(module(text).work).values["rules_kept", "LEVEL"] == 5


def test_a_relative_import(module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names of the package that the code is in, and of those above."""
    top = module("", "rules_top")
    sub = module("", "rules_top.sub")
    top.state = module("import numpy as np\nA = np.zeros(3)\n", "rules_top.state")
    for package in (top, sub):
        package.__path__ = []
    for line in ("from ..state import A", "from .. import state; A = state.A"):
        text = f"import numpy as np\n__package__ = 'rules_top.sub'\ndef work(x):\n    {line}\n"
        work = module(f"{text}    np.add.at(A, 1, x)\n").work
        assert [hazard.name for hazard in looked(work, 1, 2).hazards()] == ["rules_top.state.A"]


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
