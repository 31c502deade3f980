"""Each rule of looking, by itself: what is seen without reading any code, and what is made of it."""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoexec.records import Hazard
from autoexec.safety.effects import Effects
from autoexec.safety.hazards import find_hazards
from autoexec.safety.look import Look
from autoexec.safety.quick_check import harmless
from autoexec.safety.reach import reach
from autoexec.safety.readings import HUGE
from autoexec.safety.watch import Watch


def seen(work: Callable[..., Any], *items: Any) -> tuple[Hazard, ...]:
    """What looking alone says, around these items."""
    effects = Effects(work)
    for item in items:
        effects.before((item,))
        work(item)
        effects.after((item,))
    return effects.hazards()


# Filled once ------------------------------------------------------------------------------------------------

ONCE = """
PLACE = {old}
def work(x):
    global PLACE
    {code}
    return x
"""


@pytest.mark.parametrize(
    ("old", "code", "held"),
    [
        ("None", "if PLACE is None: PLACE = (1, 2)", False),
        ("{}", "if not PLACE: PLACE = {'a': 1}", False),
        ("'a'", "if PLACE == 'a': PLACE = 'b'", True),  # it was not empty
        ("None", "\n    if x == 5: PLACE = x", True),  # it does not look there first
        ("None", "if PLACE is None or x > PLACE: PLACE = x", True),  # the best so far
        ("None", "PLACE = x", True),  # again with the next one
    ],
)
def test_filled_once(module: Callable[..., Any], old: str, code: str, held: bool) -> None:
    """Empty before, one item, a look at it first, nothing but that."""
    assert bool(seen(module(ONCE.format(old=old, code=code)).work, 5, 3)) is held


def test_a_key_that_is_filled_once(module: Callable[..., Any]) -> None:
    """By name, after it was asked for."""
    made = module(
        'KEPT = {}\ndef work(x):\n    if "table" not in KEPT: KEPT["table"] = (1, 2)\n    return x\n'
    )
    assert seen(made.work, 1, 2) == ()


def test_a_client_is_not_for_two_processes(module: Callable[..., Any]) -> None:
    """What sends or executes each makes for itself, where its place can be emptied; else it is an effect."""
    text = """
class Client:
    def send(self, x): return x
CLIENT, CLIENTS = None, []
def work(x):
    global CLIENT
    if CLIENT is None: CLIENT = Client()
    return CLIENT.send(x)
def listed(x):
    if not CLIENTS: CLIENTS.append(Client())
    return CLIENTS[0].send(x)
"""
    here = module(text)
    assert seen(here.listed, 1, 2)
    effects = Effects(here.work)
    for item in (1, 2):
        effects.before((item,))
        here.work(item)
        effects.after((item,))
    assert effects.hazards() == () and effects.made() == (("", "CLIENT", (None,)),)
    first = here.CLIENT
    there = Watch(here.work, (), effects.made())
    there.begin((3,))
    assert here.CLIENT is None
    here.work(3)
    assert here.CLIENT is not first and there.end() == ("", [])
    there.begin((4,))
    assert here.CLIENT is not None, "once"


FILLED = {
    "a list": "if not PLACE: PLACE.extend(['a', 'b'])",
    "a set": "if not PLACE: PLACE.update(('a', 'b'))",
    "a dict": "if not PLACE: PLACE['a'] = [1]; PLACE['b'] = [2]",
    "a dict by key": "if 'a' not in PLACE: PLACE['a'] = [1]",
    "a default": "fill()",
    "under a lock": "guarded()",
    "an attribute of the function": "if not hasattr(work, 'a'): work.a = [1]",
}
GROWN = {
    "under a lock": "with LOCK: PLACE['n'] = PLACE.get('n', 0) + 1",
    "a lock that guards something else": "LOCK.acquire(); LOCK.release()",
    "a list": "PLACE.append(x)",
    "a list that is asked": "if len(PLACE) < 9: PLACE.append(x)",
    "a set": "if x not in PLACE: PLACE.add(x)",
    "a dict": "if not PLACE or x: PLACE[x] = [x]; list(PLACE)",
}
EMPTY = {"a list": "[]", "a list that is asked": "[]", "a set": "set()"}


@pytest.mark.parametrize("kind", FILLED)
def test_an_empty_container_that_is_filled_once(kind: str, module: Callable[..., Any]) -> None:
    """What the code shows of it is explained, too."""
    text = f"""
import threading
PLACE, LOCK, MODEL = {EMPTY.get(kind, "{}")}, threading.Lock(), None
def fill(_place={{}}):
    if "t" not in _place: _place["t"] = [1]
    return _place["t"]
def guarded():
    global MODEL
    if MODEL is None:
        with LOCK:
            if MODEL is None: MODEL = [1]
    return MODEL
def work(x):
    {FILLED[kind]}
    return x
"""
    assert kept(module(text).work, 1, 2) == ()


@pytest.mark.parametrize("kind", GROWN)
def test_a_container_that_grows(kind: str, module: Callable[..., Any]) -> None:
    """Each item adds to it, or the first did what others may do."""
    text = f"PLACE = {EMPTY.get(kind, '{}')}\ndef work(x):\n    {GROWN[kind]}\n    return x\n"
    text = f"import threading\nLOCK = threading.Lock()\n{text}"
    assert kept(module(text).work, 1, 2)


def kept(func: Callable[[int], Any], *items: int) -> tuple[Hazard, ...]:
    """What is left of what code and looks show."""
    effects = Effects(func)
    for item in items:
        effects.before((item,))
        func(item)
        effects.after((item,))
    return (*(one for one in find_hazards(func) if not effects.explains(one)), *effects.hazards())


def test_a_module_imported_when_needed(module: Callable[..., Any]) -> None:
    """With or without asking first."""
    assert (
        seen(module("def work(x):\n    global late\n    import colorsys as late\n    return x\n").work, 1, 2)
        == ()
    )


# What is reached --------------------------------------------------------------------------------------------

REACHED = {
    "the order of a dict": (
        "from collections import OrderedDict\nD = OrderedDict(a=1, b=2)\ndef work(x): D.move_to_end('a')\n"
    ),
    "a generator": "G = (n for n in range(9))\ndef work(x): return next(G)\n",
    "an array": "import numpy as np\nA = np.zeros(4)\ndef work(x): A[x % 4] += x\n",
    "a large array": "import numpy as np\nA = np.zeros(1 << 18)\ndef work(x): A[-x] += x\n",
    "an array of objects": "import numpy as np\nA = np.array([None] * 4)\ndef work(x): A[0] = [x]\n",
    "a slot": "class P:\n    __slots__ = ('x',)\nS = P()\ndef work(x): S.x = x\n",
    "a first attribute": "class P: pass\nS = P()\ndef work(x): S.x = x\n",
    "an attribute of a function": "def work(x): work.last = x\nwork.last = 0\n",
    "a default": "def work(x, seen=[]): seen.append(x)\n",
    "a property": (
        "N = []\nclass P:\n    @property\n    def x(self): N.append(1)\nS = P()\ndef work(x): return S.x\n"
    ),
    "an open file": "F = open(__file__)\ndef work(x): return F.read(1)\n",
    "a module of the user's": "import rules_other\ndef work(x): rules_other.ROWS.append(x)\n",
    "a name of a module": "import rules_other\ndef work(x): rules_other.last = x\n",
    "an environment variable": "import os\ndef work(x): os.environ['RULES'] = str(x)\n",
}


@pytest.mark.parametrize("name", REACHED)
def test_looking_alone_finds(name: str, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a reading of the code."""
    monkeypatch.setenv("RULES", "")
    module("ROWS = []\nlast = 0\n", "rules_other")
    assert seen(module(REACHED[name]).work, 1, 2)


def test_unseeded_draws_are_nobodys(module: Callable[..., Any]) -> None:
    """Where the program does not seed, nobody expects certain numbers."""
    assert seen(module("import random\ndef work(x): return random.random()\n").work, 1, 2) == ()
    text = "import random\nrandom.seed(3)\ndef work(x): return random.random()\n"
    assert seen(module(text).work, 1, 2)


THIRD = """
class Session:
    def __init__(self): self.calls, self._cache = 0, {}
    def get(self, x): self.calls += 1; return x
    def cached(self, x): self._cache[x] = x; return x
"""


def test_objects_of_third_parties(module: Callable[..., Any]) -> None:
    """Their counters are no danger to threads; their caches are their own affair."""
    module(THIRD, "rules_third", installed=True)
    program = module("import rules_third\nS = rules_third.Session()\ndef work(x): return S.get(x)\n")
    assert {hazard.threads_ok for hazard in seen(program.work, 1, 2)} == {True}
    caches = module("import rules_third\nS = rules_third.Session()\ndef work(x): return S.cached(x)\n")
    assert seen(caches.work, 1, 2) == ()
    mine = module("class Mine:\n    calls = 0\nS = Mine()\ndef work(x): S.calls += 1\n")
    assert {hazard.threads_ok for hazard in seen(mine.work, 1, 2)} == {False}


def test_a_glance_does_not_trust_a_state_of_the_process() -> None:
    """Neither modules with one, nor names that reach far, nor classes of the user's."""
    import math
    import os

    class Own:
        pass

    kept: list[int] = []
    push, add, root = kept.append, heapq.heappush, math.sqrt
    assert harmless(lambda x: math.sqrt(x)) and harmless(lambda x: root(x))
    for work in (lambda x: push(x), lambda x: add(x, 1)):  # a method by another name, a function by another
        assert not harmless(work)
    for work in (lambda x: os.getcwd(), lambda x: print(x), lambda x: Own(), lambda x: exec("x")):
        assert not harmless(work)


# Bounds -----------------------------------------------------------------------------------------------------


def test_huge_containers_cost_little() -> None:
    """A sample of them is noted, and their length."""
    table = dict.fromkeys(range(HUGE + 10))
    rows = list(range(HUGE + 10))

    def work(x: int) -> None:
        table[-x] = rows.append(x)

    for place in reach(work).places:
        assert len(place.read()) < HUGE // 2
    assert {hazard.name for hazard in seen(work, 1)} >= {"rows"}


def test_reading_ends_in_time() -> None:
    """What there was no time for is not compared, and that is known."""
    many = [[n] for n in range(5000)]
    found = reach(lambda x: many, (1,))
    assert found.whole
    notes = Look(found, time.thread_time() - 1.0)
    many[0].append(1)
    assert not found.whole and notes.compare() == []


def test_nothing_is_kept_alive() -> None:
    """Notes go with the look."""
    import gc
    import weakref

    held = OrderedDict(a=np.zeros(3))
    ref = weakref.ref(held["a"])

    def work(x: int) -> int:
        return len(held)

    seen(work, 1, 2)
    held.clear()
    gc.collect()
    assert ref() is None


# What resists -----------------------------------------------------------------------------------------------


def test_what_resists_is_not_known() -> None:
    """Nothing is raised into the user's call; what could not be looked at is said to be unknown."""

    class Meta(type):
        def __eq__(cls, other: object) -> bool:
            return False

        __hash__ = None  # type: ignore[assignment]

    class Odd(metaclass=Meta):
        pass

    odd, rows = Odd(), list[int]()

    def work(x: Any) -> int:
        rows.append(1)
        return id(odd)

    effects = Effects(work)
    effects.before((Odd(),))
    work(1)
    effects.after((Odd(),))
    assert not effects.whole or effects.hazards()
    assert effects.hazards(strict=True)


def test_deep_values_end_soon() -> None:
    """Tuples within themselves many times over are not unfolded."""
    deep: Any = (1,)
    for _ in range(60):
        deep = (deep, deep)
    cell = [deep]

    def work(x: Any) -> None:
        cell[0] = deep = (1,)
        for _ in range(60):
            deep = (deep, deep)
        cell[0] = deep

    began = time.thread_time()
    assert seen(work, deep)
    assert time.thread_time() - began < 5.0


def test_a_chain_of_loggers_that_never_ends() -> None:
    """It may be a circle."""
    import logging

    one, two = logging.getLogger("rules.one"), logging.getLogger("rules.two")
    before = one.parent, two.parent
    one.parent, two.parent = two, one
    try:
        assert reach(lambda x: one).places
    finally:
        one.parent, two.parent = before


def test_iterators_of_arguments_are_left_alone() -> None:
    """Whatever the arguments of a call come in, looking does not use them up."""
    import autoexec

    rows = list[int]()

    def add(a: int, b: int) -> int:
        rows.append(a)
        return a + b

    assert list(autoexec.starmap(add, [iter((i, 2)) for i in range(5)])) == [2, 3, 4, 5, 6]
    assert sorted(rows) == list(range(5))  # slow items may go to threads


def test_a_memmap_is_not_copied(tmp_path: Path) -> None:
    """What is too large to be summed up is not known, and not read."""
    big = np.memmap(tmp_path / "big", dtype="u1", mode="w+", shape=(1 << 30,))

    def work(x: int) -> int:
        return int(big[x])

    found = reach(work, (1,))
    assert not found.whole and all(place.obj is not big for place in found.places)
