"""Items reach the function in the state in which the iterator handed them out, as with the built-in `map`."""

from __future__ import annotations

import array
import itertools
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autoexec

COUNT = 40


def seen(item: Any) -> Any:
    """What an item is now, after some CPU time."""
    end = time.thread_time() + 0.003
    while time.thread_time() < end:
        pass
    return told(item)


def told(item: Any) -> Any:
    """What an item is now."""
    if isinstance(item, tuple):
        return tuple(told(part) for part in item)
    if isinstance(item, dict):
        return dict(item)
    if hasattr(item, "value"):
        return item.value
    return item if isinstance(item, int) else list(item)


class Box:
    """An object with one attribute."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


def reused(item: Any, put: Callable[[Any, int], None]) -> Iterator[Any]:
    """One object again and again, with other contents."""
    for i in range(COUNT):
        put(item, i)
        yield item


def put(item: Any, i: int) -> None:
    """Change an item."""
    if isinstance(item, Box):
        item.value = i
    else:
        item[0] = i


def ring() -> Iterator[list[int]]:
    """Two lists in turn."""
    both = [[0], [0]]
    for i in range(COUNT):
        both[i % 2][0] = i
        yield both[i % 2]


INPUTS: dict[str, Callable[[], Any]] = {
    "list": lambda: reused([0], put),
    "dict": lambda: reused({0: 0}, put),
    "bytearray": lambda: reused(bytearray(1), put),
    "array": lambda: reused(array.array("i", [0]), put),
    "object": lambda: reused(Box(), put),
    "deque": lambda: reused(deque([0]), put),
    "tuple of a list": lambda: ((i, row) for i, row in enumerate(reused([0], put))),
    "zip": lambda: zip(itertools.count(), reused([0], put), strict=False),
    "two in turn": ring,
}


@pytest.mark.parametrize("backend", ["auto", "serial", "threads", "processes"])
@pytest.mark.parametrize("kind", sorted(INPUTS))
def test_an_object_that_is_handed_out_again_is_seen_as_it_was(kind: str, backend: str) -> None:
    """Whatever the plan: copied when it is pulled, or run before the next is pulled."""
    want = [told(item) for item in INPUTS[kind]()]
    assert list(autoexec.map(seen, INPUTS[kind](), backend=backend)) == want


@pytest.mark.parametrize("backend", ["auto", "serial", "threads"])
def test_members_of_groups_are_there(backend: str) -> None:
    """The members of a group of `itertools.groupby` end with the next group."""
    groups = itertools.groupby(range(5 * COUNT), key=lambda i: i // 5)
    results = autoexec.map(seen, groups, backend=backend)
    assert list(results) == [(i, list(range(5 * i, 5 * i + 5))) for i in range(COUNT)]


def late() -> Iterator[list[int]]:
    """Lists of their own, and then one again and again."""
    yield from [[i] for i in range(COUNT)]
    yield from reused([0], put)


@pytest.mark.parametrize("backend", ["auto", "serial", "threads"])
def test_what_moves_late_is_right_or_an_error(backend: str) -> None:
    """Workers read ahead by then: never a wrong result in silence."""
    got: Any
    try:
        got = list(autoexec.map(seen, late(), backend=backend))
    except autoexec.AutoexecError as error:
        got = str(error)
    right = [[i] for i in (*range(COUNT), *range(COUNT))]
    assert got == right or (backend != "serial" and "give it copies" in got)


def test_chunks_of_a_shared_iterator_are_there() -> None:
    """Slices of one iterator, which are read by the function."""
    numbers = iter(range(4 * COUNT))
    chunks = (itertools.islice(numbers, 4) for _ in range(COUNT))
    assert list(autoexec.map(seen, chunks)) == [list(range(4 * i, 4 * i + 4)) for i in range(COUNT)]


def test_groups_for_processes_are_an_error_that_says_what_to_do() -> None:
    """They cannot be copied, and the backend was asked for."""
    groups = itertools.groupby(range(50), key=lambda i: i // 5)
    # CPython 3.12 and later warn of pickling them, or do not: then the item says so.
    words, kind = r"advances the input.*give it copies", autoexec.AutoexecError
    if sys.version_info >= (3, 12):
        words, kind = rf"{words}|pass what it is made from", Exception
    with pytest.raises(kind, match=words):
        list(autoexec.map(seen, groups, backend="processes", max_workers=1))


def test_rows_of_their_own_are_read_ahead_and_go_elsewhere() -> None:
    """What nobody else can change is no moving input, nor is the same object unchanged."""
    rows = ([i] for i in range(COUNT))
    results = autoexec.map(seen, rows)
    assert list(results) == [[i] for i in range(COUNT)]
    assert "input" not in str(results.plan)
    same = [1, 2]
    results = autoexec.map(seen, (same for _ in range(COUNT)))
    assert list(results) == [same] * COUNT and "input" not in str(results.plan)


# Calls that change what is read -----------------------------------------------------------------------------


def pops(items: list[int]) -> Callable[[int], int]:
    """A function that takes out the last item."""
    return lambda item: (items.pop(), item)[1]


def appends(items: list[int]) -> Callable[[int], int]:
    """A function that adds items, for a while."""
    return lambda item: (items.append(item) if len(items) < 3000 else None, item)[1]


def replaces(items: list[int]) -> Callable[[int], int]:
    """A function that changes items to come."""
    return lambda item: (items.__setitem__((item * 7) % len(items), 5), item)[1]


def removes(items: list[int]) -> Callable[[int], int]:
    """A function that removes the item itself: the next one is skipped."""
    return lambda item: (items.remove(item), item)[1]


@pytest.mark.parametrize("backend", ["auto", "serial"])
@pytest.mark.parametrize("change", [pops, appends, replaces, removes])
def test_a_list_that_calls_change(change: Callable[[list[int]], Callable[[int], int]], backend: str) -> None:
    """It is read as `map` reads it: each item as it lies there when its turn comes."""
    plain, ours = list(range(1000)), list(range(1000))
    want = list(map(change(plain), plain))
    assert list(autoexec.map(change(ours), ours, backend=backend)) == want
    assert ours == plain


def emptied(todo: list[int]) -> Iterator[int]:
    """Items of a list, until it is empty."""
    while todo:
        yield todo.pop()


@pytest.mark.parametrize("backend", ["auto", "serial"])
@pytest.mark.parametrize("read", [emptied, enumerate, iter, lambda items: zip(items, items, strict=False)])
def test_what_is_read_may_grow(read: Callable[[list[int]], Iterator[Any]], backend: str) -> None:
    """A generator that empties the list which the function fills, or an iterator over that list."""

    def run(mapped: Callable[..., Any]) -> list[Any]:
        todo = [0, 1, 2]

        def visit(item: Any) -> Any:
            if len(todo) < 300 and told(item) != (300, 300):
                number = item if isinstance(item, int) else item[-1]
                todo.extend([number + 1] if number < 400 else [])
            return item

        return list(mapped(visit, read(todo)))

    assert run(lambda *args: autoexec.map(*args, backend=backend)) == run(map)


def test_calls_that_wait_and_feed_their_input_stay_here_and_are_named() -> None:
    """Threads would find the list empty while the calls that fill it are under way."""
    todo = [0]

    def visit(item: int) -> int:
        time.sleep(0.01)
        if item < 30:
            todo.append(item + 1)
        return item

    results = autoexec.map(visit, emptied(todo))
    assert list(results) == list(range(31))
    said = " ".join(map(str, results.plan.hazards))
    assert results.plan.backend == "serial" and "may change what its input reads" in said


@pytest.mark.parametrize("backend", ["auto", "serial"])
def test_a_dict_that_calls_change(backend: str) -> None:
    """Values are those of the moment; a dict that grows is the error that it is for `map`."""
    counts = dict.fromkeys(range(300), 0)

    def visit(pair: tuple[int, int]) -> int:
        counts[(pair[0] + 1) % 300] = pair[1] + 1
        return pair[1]

    assert list(autoexec.map(visit, counts.items(), backend=backend)) == list(range(300))
    grows = {0: 0}
    with pytest.raises(RuntimeError, match="changed size"):
        list(autoexec.map(lambda key: grows.setdefault(key + 1, 0), grows, backend=backend))


def test_an_iterator_that_the_function_reads_too() -> None:
    """Each call takes one more item out of the input."""
    numbers = iter(range(1000))
    assert list(autoexec.map(lambda x: x + next(numbers), numbers)) == list(range(1, 2000, 4))


def test_plain_items_of_an_iterator_are_run_in_blocks() -> None:
    """A generator of numbers costs about what a list costs: they need not be run one by one."""
    numbers = (i for i in range(200_000))
    began = time.thread_time()
    assert sum(autoexec.map(lambda x: x * 2, numbers)) == 199_999 * 200_000
    assert time.thread_time() - began < 5


# Results that are, or hold, what moves ----------------------------------------------------------------------


def same(item: Any) -> Any:
    """The item itself, after some CPU time."""
    seen(item)
    return item


def at_once(item: Any) -> Any:
    """The item itself."""
    return item


def later(item: Any) -> Iterator[Any]:
    """What the item is when somebody asks."""
    yield told(item)


@pytest.mark.parametrize("backend", ["auto", "serial", "threads", "processes"])
@pytest.mark.parametrize("call", [at_once, same, later])
@pytest.mark.parametrize("kind", ["list", "object", "tuple of a list", "two in turn"])
def test_a_result_that_is_the_item_is_what_it_was(
    kind: str, call: Callable[[Any], Any], backend: str
) -> None:
    """As long as the consumer has not asked for the next one: until then nothing is pulled."""
    if call is later and backend == "processes":
        pytest.skip("a generator is no result for another process")

    def found(results: Iterator[Any]) -> list[Any]:
        return [told(next(result)) if call is later else told(result) for result in results]

    want = found(map(call, INPUTS[kind]()))
    assert found(autoexec.map(call, INPUTS[kind](), backend=backend)) == want


@pytest.mark.parametrize("backend", ["auto", "serial", "threads"])
def test_results_that_advance_the_input(backend: str) -> None:
    """A group that the consumer reads, which is not read any further meanwhile."""
    groups = itertools.groupby(range(5 * COUNT), key=lambda i: i // 5)
    results = autoexec.map(lambda item: item[1], groups, backend=backend)
    assert [list(group) for group in results] == [list(range(5 * i, 5 * i + 5)) for i in range(COUNT)]


# Who reads ahead by design ----------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"chunksize": 3}], ids=["one by one", "in chunks"])
@pytest.mark.parametrize("backend", ["threads", "processes"])
@pytest.mark.parametrize("kind", sorted(INPUTS))
def test_an_executor_reads_what_was_handed_out(kind: str, backend: str, more: dict[str, Any]) -> None:
    """Its `map` reads everything at once."""
    want = [told(item) for item in INPUTS[kind]()]
    with autoexec.Executor(2, backend=backend) as executor:
        assert list(executor.map(told, INPUTS[kind](), **more)) == want


@pytest.mark.parametrize("kind", sorted(INPUTS))
def test_heavy_items_first_are_what_was_handed_out(kind: str) -> None:
    """Weighing reads everything before the first call."""
    want = [told(item) for item in INPUTS[kind]()]
    assert list(autoexec.map(told, INPUTS[kind](), size=lambda item: 1)) == want


def test_what_cannot_be_copied_is_an_error_where_all_is_read_ahead() -> None:
    """Never a wrong result in silence: groups, and what moves when the first calls have begun."""

    def groups() -> Iterator[Any]:
        return itertools.groupby(range(50), key=lambda i: i // 5)

    words = "reads ahead: give it copies"
    with autoexec.Executor(2, backend="threads") as executor:
        for inputs in ([groups()], [groups(), range(50)], [range(50), groups()]):
            with pytest.raises(autoexec.AutoexecError, match=f"advances the input, and an executor {words}"):
                list(executor.map(lambda *items: 0, *inputs))
        for more in ({}, {"buffersize": 2}):
            with pytest.raises(autoexec.AutoexecError, match=f"an executor {words}"):
                list(executor.map(told, late() if not more else INPUTS["list"](), **more))
    with pytest.raises(autoexec.AutoexecError, match=f"advances the input, and size= {words}"):
        autoexec.map(told, groups(), size=lambda item: 1)


def test_an_executor_gives_calls_the_objects_themselves() -> None:
    """As long as they lie still: what a call changes in them is seen here."""
    rows = [[i] for i in range(9)]
    with autoexec.Executor(2, backend="threads") as executor:
        list(executor.map(lambda row: row.append(0), (row for row in rows)))
        assert list(executor.map(list, (rows[0] for _ in range(9)))) == [[0, 0]] * 9
    assert rows == [[i, 0] for i in range(9)]
