"""Memos: told from counters and registers by their code; filled elsewhere, they come home."""

from __future__ import annotations

import functools
import os
import re
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, ClassVar

import pytest

import autoexec
from autoexec.backends.lost_effects import told
from autoexec.errors import EffectLost
from autoexec.safety.effects import Effects
from autoexec.safety.hazards import find_hazards
from autoexec.safety.memos import Home, added, is_key, memos_of
from autoexec.safety.watch import Watch
from autoexec.worker.invoke import CallSpec, Error, Task
from autoexec.worker.packed import load_home, pack_home
from tests.safety.looking import looked

MEMO: dict[Any, Any] = {}
OTHER: dict[Any, Any] = {}
PATTERNS = {"a": re.compile("a")}


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    """Each test begins with empty memos."""
    MEMO.clear()
    OTHER.clear()


def compute(x: int) -> int:
    """What is worth remembering."""
    return sum(i * x for i in range(10))


# Reading ----------------------------------------------------------------------------------------------------


def asks_by_in(x: int) -> Any:
    """The usual way."""
    if x not in MEMO:
        MEMO[x] = compute(x)
    return MEMO[x]


def asks_by_get(x: int) -> Any:
    """By a default."""
    value = MEMO.get(x)
    if value is None:
        value = MEMO[x] = compute(x)
    return value


def asks_and_catches(x: int) -> Any:
    """Forgiveness."""
    try:
        return MEMO[x]
    except KeyError:
        pass
    value = compute(x)
    MEMO[x] = value
    return value


def goes_on_with_it(x: int) -> Any:
    """What is found is computed with."""
    if x in MEMO:
        return MEMO[x] * 2
    MEMO[x] = compute(x)
    return MEMO[x] + 1


def sets_a_default(x: int) -> Any:
    """In one step."""
    return MEMO.setdefault(x, compute(x))


def by_a_helper(x: int) -> Any:
    """The helper remembers."""
    return asks_by_in(x % 3) + x


def remembers(func: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator."""
    known: dict[Any, Any] = {}

    @functools.wraps(func)
    def inner(*args: Any) -> Any:
        if args not in known:
            known[args] = func(*args)
        return known[args]

    return inner


@remembers
def decorated(x: int) -> Any:
    """The decorator remembers."""
    return compute(x)


def compiled(x: int) -> int:
    """What is remembered is used."""
    if "a" not in PATTERNS:
        PATTERNS["a"] = re.compile("a")
    return len(PATTERNS["a"].findall("aaa" * x))


class Part:
    """An object that remembers."""

    shared: dict[Any, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.known: dict[int, int] = {}

    def own(self, x: int) -> int:
        """In an attribute."""
        if x not in self.known:
            self.known[x] = compute(x)
        return self.known[x]

    def of_the_class(self, x: int) -> Any:
        """In one of the class."""
        if (value := self.shared.get((x, 1))) is not None:
            return value
        value = compute(x)
        self.shared[(x, 1)] = value
        return value


YES = (
    asks_by_in, asks_by_get, asks_and_catches, goes_on_with_it, sets_a_default, by_a_helper, decorated,
    compiled, Part().own, Part().of_the_class,
)  # fmt: skip


def counts(x: int) -> None:
    """How often."""
    MEMO[x % 3] = MEMO.get(x % 3, 0) + 1


def counts_in_place(x: int) -> None:
    """Likewise."""
    MEMO[x % 3] += 1


def counts_by_a_variable(x: int) -> int:
    """Likewise."""
    value = MEMO.get(x % 3, 0)
    value += 1
    MEMO[x % 3] = value
    return value


def counts_or_begins(x: int) -> int:
    """Likewise."""
    value = MEMO.get(x % 3, 0)
    after = value + 1 if value else 1
    MEMO[x % 3] = after
    return after


def one_more(value: int) -> int:
    """What counts."""
    return value + 1


def counts_by_a_function(x: int) -> None:
    """Likewise."""
    MEMO[x % 3] = one_more(MEMO.get(x % 3, 0))


def measures(x: int) -> int:
    """How many there were before."""
    if x not in MEMO:
        MEMO[x] = x
    return len(MEMO)


def groups(x: int) -> None:
    """By key."""
    MEMO.setdefault(x % 3, []).append(x)


def groups_by_in(x: int) -> None:
    """Likewise."""
    if x % 3 not in MEMO:
        MEMO[x % 3] = []
    MEMO[x % 3].append(x)


def put(rows: list[int], x: int) -> None:
    """What collects."""
    rows.append(x)


def groups_by_a_function(x: int) -> None:
    """Likewise."""
    if x not in MEMO:
        MEMO[x] = []
    put(MEMO[x], x)


def lists(x: int) -> list[Any]:
    """All that came before."""
    if x not in MEMO:
        MEMO[x] = compute(x)
    return list(MEMO)


def walks(x: int) -> Any:
    """The first that came."""
    if x not in MEMO:
        MEMO[x] = 1
    for key in MEMO:
        return key
    return None


def drops(x: int) -> int:
    """The last ones only."""
    if x not in MEMO:
        MEMO[x] = 1
    MEMO.pop(x - 1, None)
    return 1


def the_largest(x: int) -> Any:
    """Of all that came before."""
    if x not in MEMO:
        MEMO[x] = compute(x)
    return max(MEMO.values())


def the_last(x: int) -> Any:
    """The last of its kind."""
    MEMO[x % 3] = x


def updates(x: int) -> None:
    """From another dict."""
    if x not in MEMO:
        MEMO.update({x: 1})


def deeper(x: int) -> None:
    """A dict of dicts."""
    if x not in MEMO:
        MEMO[x] = {}
    MEMO[x]["a"] = 1


def counts_in_a_tuple(x: int) -> None:
    """Likewise, beside something else."""
    if x % 3 in MEMO:
        MEMO[x % 3] = (MEMO[x % 3], x)
    else:
        MEMO[x % 3] = 1


NO = (
    counts, counts_in_a_tuple, counts_in_place, counts_by_a_variable, counts_or_begins, counts_by_a_function,
    measures, groups, groups_by_in, groups_by_a_function, lists, walks, drops, the_largest, the_last, updates,
    deeper,
)  # fmt: skip


@pytest.mark.parametrize("func", YES, ids=lambda func: func.__name__)
def test_memos_are_told_by_their_code(func: Callable[..., Any]) -> None:
    """Whatever asks first, and only hands on what it finds."""
    assert memos_of(func)


@pytest.mark.parametrize("func", NO, ids=lambda func: func.__name__)
def test_what_is_no_memo(func: Callable[..., Any]) -> None:
    """Whatever counts, collects, walks, drops, or means the last one."""
    assert not memos_of(func)


# Looking ----------------------------------------------------------------------------------------------------


def test_a_memo_keeps_nothing_here() -> None:
    """Neither what was seen, nor what its code shows; when strict, both do."""
    effects = looked(asks_by_in, 1, 2)
    assert effects.memos() == {"MEMO": MEMO} and not effects.hazards() and effects.hazards(strict=True)
    assert all(effects.explains(hazard) for hazard in autoexec.safety.hazards.find_hazards(asks_by_in))


def test_entries_that_are_changed_behind_it_convict_it() -> None:
    """What its own code does not do, something else may."""

    def spoiled(x: int) -> Any:
        dict.__setitem__(MEMO, 0, x)
        return asks_by_in(x)

    MEMO[0] = -1
    effects = looked(spoiled, 1, 2)
    assert not effects.memos() and effects.hazards()


# Coming home ------------------------------------------------------------------------------------------------


def test_what_was_added_is_told_by_its_place() -> None:
    """New entries are those behind the old ones; fewer than before, or what cannot go, is no answer."""
    memo: dict[Any, Any] = {1: 1, 2: 4}
    assert added(memo, 1) == [(2, 4)] and added(memo, 2) == []
    assert added(memo, 3) is None
    memo[3] = threading_lock()
    assert added(memo, 2) is None
    assert is_key(("a", 1)) and not is_key((object(),)) and not is_key([])


def threading_lock() -> Any:
    """What is not for another process."""
    import threading

    return threading.Lock()


def test_entries_are_added_in_the_order_of_the_items() -> None:
    """Whatever order they came in; what is there stays."""
    memo: dict[Any, Any] = {"a": 0}
    home = Home({"M": memo})
    assert home.take(20, [("M", [("d", 3), ("e", 4)])]) == ""
    assert home.take(10, [("M", [("a", 0), ("b", 1)])]) == ""
    assert memo == {"a": 0}, "nothing before the end"
    assert home.deliver() == ""
    assert list(memo.items()) == [("a", 0), ("b", 1), ("d", 3), ("e", 4)]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [(1, 2, False), (1, 1, True), ([1, 2], [1, 3], False), ((1, "a"), (1, "a"), True), ([1], (1,), False),
     (float("nan"), float("nan"), True), (object(), object(), True), ([1], [1, 2], False)],
)  # fmt: skip
def test_workers_that_disagree_convict_it(one: Any, other: Any, alike: bool) -> None:
    """Plain data tell; of other objects nobody can say."""
    home = Home({"M": {}})
    assert home.take(1, [("M", [("key", one)])]) == ""
    assert home.take(2, [("M", [("key", other)])]) == ("" if alike else "M")
    memo = {"key": one}
    assert Home({"M": memo}).take(1, [("M", [("key", other)])]) == ("" if alike else "M")
    late = Home({"M": memo})
    memo.clear()
    assert late.take(1, [("M", [("key", one)])]) == ""
    memo["key"] = other  # by the caller's own thread, meanwhile
    assert late.deliver() == ("" if alike else "M") and memo["key"] is other


def test_a_task_of_a_memo_that_was_convicted_delivers_nothing() -> None:
    """None of its results can be relied on; an effect that only its last item may have had spoils that."""
    spec = CallSpec(asks_by_in)
    spec.surround = Watch(asks_by_in, ("MEMO",), (), Home({"MEMO": {}}))
    assert told(Task(spec, 0, [1, 2]), [5, 6], "", [("MEMO", [(1, 5)])]) == [5, 6]
    (error,) = told(Task(spec, 2, [1, 2]), [5, 6], "", [("MEMO", [(1, 6)])])
    assert type(error) is Error and type(error.error) is EffectLost and "'MEMO'" in str(error.error)
    first, last = told(Task(spec, 2, [1, 2]), [5, 6], "asks_by_in changes 'ROWS'", [])
    assert first == 5 and "ROWS" in str(last.error)


def burn(seconds: float) -> None:
    """Compute for so many CPU seconds."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def remembered(x: int) -> tuple[int, int]:
    """Some work, part of which is done once for each key."""
    key = x % 30
    if key not in MEMO:
        burn(0.01)
        MEMO[key] = key * key
    burn(0.01)
    return MEMO[key], os.getpid()


def first_come(x: int) -> Any:
    """What looks like a memo, and holds whoever came first."""
    burn(0.01)
    if x % 4 not in OTHER:
        OTHER[x % 4] = x
    return OTHER[x % 4]


def test_a_memo_ends_as_after_the_loop() -> None:
    """And so do the results."""
    results = autoexec.map(remembered, range(120))
    values = list(results)
    assert [value for value, _ in values] == [(x % 30) ** 2 for x in range(120)]
    assert {key: key * key for key in range(30)} == MEMO
    if autoexec.machine().usable > 1:
        assert results.plan is not None and results.plan.backend == "processes", results.plan
        assert {pid for _, pid in values} != {os.getpid()}


def test_what_depends_on_the_order_is_an_error_or_right() -> None:
    """Never a result that the loop would not have."""
    results = autoexec.map(first_come, range(100))
    came: list[Any] = []
    said = ""
    try:
        came.extend(results)
    except EffectLost as error:
        said = str(error)
    assert "'OTHER'" in said or came == [x % 4 for x in range(100)]


def test_memos_come_home_from_executors_of_others() -> None:
    """Entries travel with the outcomes."""
    from autoexec.by_value import dumps
    from autoexec.worker.packed import load_outcomes, pack_items, run_packed

    spec = CallSpec(asks_by_in)
    spec.surround = Watch(asks_by_in, ("MEMO",), (), Home({"MEMO": MEMO}))
    with ProcessPoolExecutor(1) as pool:
        outcomes, _, _, lost, entries = pool.submit(
            run_packed, dumps(spec), pack_items([3, 4, 3]), 0
        ).result()
    assert load_outcomes(outcomes) == [compute(3), compute(4), compute(3)] and lost == ""
    assert load_home(entries) == ("", [("MEMO", [(3, compute(3)), (4, compute(4))])]) and not MEMO


# More kinds -------------------------------------------------------------------------------------------------


class Squares(dict[int, int]):
    """Fills in what is asked for."""

    def __missing__(self, key: int) -> int:
        value = self[key] = key * key
        return value


class Numbered(dict[str, int]):
    """The next number for each that is new: what is filled in follows from what is there."""

    def __missing__(self, key: str) -> int:
        self[key] = len(self)
        return self[key]


class Color:
    """One object for each name."""

    pool: dict[int, Color] = {}  # noqa: RUF012
    code: int

    def __new__(cls, code: int) -> Color:  # noqa: PYI034
        """The one that is there."""
        if code in cls.pool:
            return cls.pool[code]
        made = super().__new__(cls)
        made.code = code
        return cls.pool.setdefault(code, made)

    def __getnewargs__(self) -> tuple[int]:
        """So that it can be made again from a pickle."""
        return (self.code,)


SQUARES, NUMBERED = Squares(), Numbered()
WORDS: dict[str, list[str]] = {}
LIVE: weakref.WeakValueDictionary[int, Part] = weakref.WeakValueDictionary()
LOCK, EVENT, TABLE, READY = threading.Lock(), threading.Event(), list[int](), False


def fills_in(x: int) -> int:
    """A dict that fills itself."""
    return SQUARES[x % 5]


def numbers(x: int) -> int:
    """A register."""
    return NUMBERED[str(x % 5)]


def interns(x: int) -> bool:
    """Its class remembers."""
    return isinstance(Color(x % 3), Color)


def hands_out_copies(x: int) -> list[str]:
    """A list is kept, and copied."""
    text = "a b c"[: x % 3 + 1]
    words = WORDS.get(text)
    if words is None:
        words = WORDS[text] = text.split()
    return [word for _, word in enumerate(list(words))]


def live(x: int) -> int:
    """What nobody else holds is forgotten."""
    part = LIVE.get(x)
    if part is None:
        part = LIVE[x] = Part()
    return len(part.known)


def under_a_lock(x: int) -> Any:
    """A lock around a memo."""
    with LOCK:
        if x not in MEMO:
            MEMO[x] = compute(x)
        return MEMO[x]


def tells(x: int) -> int:
    """Others see it."""
    if x == 100:
        EVENT.set()
    return x


def prepare() -> None:
    """Once."""
    global READY
    if READY:
        return
    for i in range(100):
        TABLE.append(i * i)
    READY = True


def prepared(x: int) -> int:
    """A table that is filled along with a flag."""
    prepare()
    return TABLE[x]


def left(func: Callable[..., Any]) -> list[str]:
    """What keeps a function here, after some items."""
    seen = Effects(func)
    for x in range(4):
        if seen.wanted:
            seen.before((x,))
            func(x)
            seen.after((x,))
    read = [hazard.name for hazard in find_hazards(func) if not seen.explains(hazard)]
    return read + [hazard.name for hazard in seen.hazards() if not hazard.processes_ok]


@pytest.mark.parametrize("func", [fills_in, interns, hands_out_copies, live, under_a_lock, prepared])
def test_what_every_process_may_fill_holds_nobody_back(func: Callable[..., Any]) -> None:
    """Each of its own, or it comes home."""
    assert left(func) == []


@pytest.mark.parametrize("func", [numbers, tells])
def test_what_others_see_stays(func: Callable[..., Any]) -> None:
    """A register in the order of the items, an event that somebody waits for."""
    assert left(func)


class Pooled:
    """Cannot be made again from a pickle: `__new__` wants an argument."""

    pool: ClassVar[dict[int, Pooled]] = {}
    __slots__ = ("number",)

    def __new__(cls, number: int) -> Pooled:  # noqa: PYI034
        if number in cls.pool:
            return cls.pool[number]
        self = super().__new__(cls)
        self.number = number
        cls.pool[number] = self
        return self


def test_entries_that_cannot_be_made_again_stay() -> None:
    """And those that prove so at home only are named, and spoil nothing else."""
    Pooled.pool.clear()
    effects = Effects(pooled)
    for item in range(3):
        effects.before((item,))
        pooled(item)
        effects.after((item,))
    assert not effects.memos() and effects.hazards()
    unfit, packed = pack_home([("pool", [(1, Pooled(1))])])
    assert unfit == ""
    words, entries = load_home(packed)
    assert "cannot be made again" in words and entries == []


def pooled(item: int) -> int:
    """Asks the pool."""
    return Pooled(item).number
