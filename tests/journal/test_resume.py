"""What is known is not called again, and everything comes in the order of an uninterrupted run."""

from __future__ import annotations

import itertools
import operator
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec.errors import JournalError
from autoexec.journal.resume import AT_ONCE, Resume
from autoexec.journal.store import Journal


def call(*item: Any) -> Any:
    """The function whose results are kept."""
    return ("result", item)


@contextmanager
def opened(path: Path, **options: Any) -> Iterator[Journal]:
    """A journal that is closed at the end."""
    journal = Journal.open(path, call, **options)
    try:
        yield journal
    finally:
        journal.close()


def run(
    journal: Journal, items: Iterable[Any], keep: Callable[[int], bool] = lambda index: True
) -> list[Any]:
    """An uninterrupted run; which of its results are kept is told by their index."""
    resume = Resume(journal, items)
    for index, item in enumerate(resume.pending):
        if keep(index):
            journal.keep(resume.row_key(index), (index, item))
        resume.forget(index)
    return [(index, item) for index, item in enumerate(items)]


def flat(blocks: Iterator[list[Any]]) -> list[Any]:
    """All results."""
    return [value for block in blocks for value in block]


def in_blocks(values: Iterable[Any], sizes: Iterator[int]) -> Iterator[list[Any]]:
    """The values, in lists of those sizes, taken when they are asked for."""
    iterator = iter(values)
    while block := list(itertools.islice(iterator, next(sizes))):
        yield block


LAZY: list[Callable[[list[Any]], Any]] = [list, tuple, iter]


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans())),
    st.sampled_from(LAZY),
    st.lists(st.integers(1, 4), min_size=1),
)
def test_the_order_is_that_of_an_uninterrupted_run(
    plan: list[tuple[int, bool]], lazy: Callable[[list[Any]], Any], sizes: list[int]
) -> None:
    """For any list with duplicates, any subset known, any blocks: each result in its place, each once."""
    items = [item for item, _ in plan]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.sqlite"
        with opened(path) as journal:
            expected = run(journal, items, lambda index: plan[index][1])
        with opened(path) as journal:
            resume = Resume(journal, lazy(items))
            indices = (index for index, (_, known) in enumerate(plan) if not known)
            results = ((index, item) for item, index in zip(resume.pending, indices, strict=False))
            assert flat(resume.merge(in_blocks(results, itertools.cycle(sizes)))) == expected
            assert resume.known == sum(known for _, known in plan)


@given(st.lists(st.sampled_from(["known", "called", "skipped"])), st.booleans(), st.integers(1, 4))
def test_skipped_items_leave_no_gap(kinds: list[str], lazy: bool, size: int) -> None:
    """Items without a result are left out, and all others keep their order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.sqlite"
        items = list(range(len(kinds)))
        with opened(path) as journal:
            run(journal, items, lambda index: kinds[index] == "known")
        with opened(path) as journal:
            resume = Resume(journal, iter(items) if lazy else items)

            def results() -> Iterator[Any]:
                for index, item in enumerate(resume.pending):
                    if kinds[item] == "skipped":
                        resume.skip(index)
                    else:
                        yield item, item

            merged = flat(resume.merge(in_blocks(results(), itertools.repeat(size))))
            assert merged == [(item, item) for item in items if kinds[item] != "skipped"]


@given(st.lists(st.booleans()), st.sampled_from(LAZY))
def test_unordered_has_everything(known: list[bool], lazy: Callable[[list[Any]], Any]) -> None:
    """Every result is there once; of a list, those that are known come first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.sqlite"
        items = list(range(len(known)))
        with opened(path) as journal:
            expected = run(journal, items, lambda index: known[index])
        with opened(path) as journal:
            resume = Resume(journal, lazy(items))
            merged = flat(resume.merge_unordered([(item, item)] for item in resume.pending))
            assert sorted(merged) == expected
            if lazy is not iter:
                count = sum(known)
                assert [known[item] for item, _ in merged] == [True] * count + [False] * (len(known) - count)


def test_nothing_known_passes_blocks_on(tmp_path: Path) -> None:
    """A fresh run pays next to nothing: the lists that go in come out."""
    with opened(tmp_path / "run.sqlite") as journal:
        resume = Resume(journal, range(10))
        assert resume.pending == list(range(10))
        blocks = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10]]
        merged = list(resume.merge(iter(blocks)))
        assert all(map(operator.is_, merged, blocks))


def test_known_results_come_a_few_at_a_time(tmp_path: Path) -> None:
    """Only so many are in memory as one block holds."""
    items = list(range(3 * AT_ONCE))
    with opened(tmp_path / "run.sqlite") as journal:
        expected = run(journal, items)
    with opened(tmp_path / "run.sqlite") as journal:
        resume = Resume(journal, items)
        assert resume.pending == []
        blocks = list(resume.merge(iter(())))
        assert [len(block) for block in blocks] == [AT_ONCE] * 3
        assert flat(iter(blocks)) == expected


def test_an_iterator_is_pulled_no_further_than_wanted(tmp_path: Path) -> None:
    """One item to be called is one step, however long the input is; before it, only what is known."""
    with opened(tmp_path / "run.sqlite") as journal:
        run(journal, [0, 1, 4])
    pulled = []

    def endless() -> Iterator[int]:
        for item in itertools.count():
            pulled.append(item)
            yield item

    with opened(tmp_path / "run.sqlite") as journal:
        resume = Resume(journal, endless())
        assert pulled == []
        pending = iter(resume.pending)
        assert [next(pending), pulled] == [2, [0, 1, 2]]
        assert [next(pending), pulled[-1]] == [3, 3]
        assert [next(pending), pulled[-1]] == [5, 5]
        assert resume.known == 3


def test_row_keys_are_forgotten(tmp_path: Path) -> None:
    """What is kept needs no key any more."""
    with opened(tmp_path / "run.sqlite") as journal:
        resume = Resume(journal, ["a", "a", "b"])
        keys = [resume.row_key(index) for index in range(3)]
        assert len(set(keys)) == 3
        for index in range(3):
            resume.forget(index)
            resume.forget(index)
        with pytest.raises(KeyError):
            resume.row_key(1)


def test_argument_tuples(tmp_path: Path) -> None:
    """With several arguments the key is that of all of them, or what `key=` makes of them."""
    pairs = [(1, "a"), (1, "b"), (2, "a")]
    for options, expected in (({}, 3), ({"key": lambda number, letter: number}, 3)):
        path = tmp_path / f"{len(options)}.sqlite"
        with opened(path, **options) as journal:
            resume = Resume(journal, zip(*zip(*pairs, strict=True), strict=True), star=True)
            for index, pair in enumerate(resume.pending):
                journal.keep(resume.row_key(index), pair)
        with opened(path, **options) as journal:
            assert len(journal) == expected
            resume = Resume(journal, [*pairs, (2, "b")], star=True)
            assert resume.pending == ([(2, "b")])


def test_a_key_function_makes_anything_an_item(tmp_path: Path) -> None:
    """Dicts with an id, for example, whatever else is in them."""
    items = [{"id": i, "extra": object()} for i in range(3)]
    for _ in range(2):
        with opened(tmp_path / "run.sqlite", key=operator.itemgetter("id")) as journal:
            resume = Resume(journal, items)
            for index, item in enumerate(resume.pending):
                journal.keep(resume.row_key(index), item["id"])
    assert resume.pending == []


@pytest.mark.parametrize(
    ("key", "kind"),
    [(None, JournalError), (lambda item: [item], JournalError), (lambda item: 1 // 0, ZeroDivisionError)],
)
def test_items_without_a_key(tmp_path: Path, key: Any, kind: type[Exception]) -> None:
    """Of a list, the error comes at the call; of an iterator, when the item is reached."""
    good: list[Any] = [] if key else [1]
    with opened(tmp_path / "run.sqlite", key=key) as journal:
        with pytest.raises(kind):
            Resume(journal, [*good, {}])
        resume = Resume(journal, iter([*good, {}]))
        pending = iter(resume.pending)
        assert [next(pending) for _ in good] == good
        with pytest.raises(kind):
            next(pending)


class Failure(Exception):
    pass


@pytest.mark.parametrize("lazy", LAZY)
def test_an_error_comes_after_what_stands_before_it(tmp_path: Path, lazy: Callable[[list[Any]], Any]) -> None:
    """Known results before the failing item are delivered, those after it are not."""
    items = list(range(8))
    with opened(tmp_path / "run.sqlite") as journal:
        run(journal, items, lambda index: index in (0, 3, 4, 7))
    closed = []

    def blocks(resume: Resume) -> Iterator[list[Any]]:
        try:
            for index, item in enumerate(resume.pending):
                if item == 2:
                    resume.skip(index)
                elif item == 5:
                    raise Failure
                else:
                    yield [(item, item)]
        finally:
            closed.append(True)

    with opened(tmp_path / "run.sqlite") as journal:
        resume = Resume(journal, lazy(items))
        merged = resume.merge(blocks(resume))
        out: list[Any] = []
        with pytest.raises(Failure):
            out.extend(value for block in merged for value in block)
        assert out == [(item, item) for item in (0, 1, 3, 4)]
        resume = Resume(journal, lazy([1, *items]))
        merged = resume.merge(blocks(resume))
        next(merged)
        merged.close()  # type: ignore[attr-defined]
    assert len(closed) == 2


def test_a_result_that_does_not_come_back_stands_in_its_place(tmp_path: Path) -> None:
    """Those before it are delivered first."""
    items = list(range(6))
    with opened(tmp_path / "run.sqlite") as journal:
        run(journal, items)
        resume = Resume(journal, items)
        journal._live().execute("UPDATE results SET value = x'00' WHERE rowid = 4")
    with opened(tmp_path / "run.sqlite") as journal:
        resume = Resume(journal, items)
        out: list[Any] = []
        with pytest.raises(JournalError, match="does not come back"):
            out.extend(value for block in resume.merge(iter(())) for value in block)
        assert out == [(item, item) for item in range(3)]
