"""What cannot cross, cannot load or does not behave: a clear error in its place, and the rest goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import autoexec
from autoexec import BrokenWorker, OptionError, WorkerDied
from tests.processes import work
from tests.processes.scripts import Script
from tests.processes.work import BAD, RIGHT, others, run

REST = [x for x in range(12) if x != BAD]
chunked = pytest.mark.parametrize("chunksize", [1, 12])


def with_bad(item: Any) -> Iterator[Any]:
    """Twelve items, one of them `item`; an iterator, so that no forked worker inherits them."""
    return iter([*range(BAD), item, *range(BAD + 1, 12)])


# Results ----------------------------------------------------------------------------------------------------


@chunked
@pytest.mark.parametrize("item", [work.returns_a_lock, work.returns_refuses], ids=lambda f: f.__name__)
def test_a_result_that_cannot_be_pickled(item: Callable[[int], Any], chunksize: int, start: str) -> None:
    """It names the result's type and says what to do."""
    values = list(run(item, chunksize=chunksize))
    assert others(values) == RIGHT
    assert type(values[BAD]) is TypeError
    assert "cannot be sent back from a worker process" in str(values[BAD])
    assert "plain data" in str(values[BAD])


def test_the_path_into_a_result(start: str) -> None:
    """The message names the way to the part that cannot be pickled."""
    (error,) = run(lambda x: {"model": [1, threading.Lock()]}, [0])
    assert "result['model'][1]" in str(error) and "lock" in str(error)


@chunked
def test_a_result_that_loads_only_at_home(chunksize: int, start: str) -> None:
    """A result whose loading raises in the caller is its item's error."""
    values = list(run(work.returns_deadly, chunksize=chunksize))
    assert others(values) == RIGHT
    assert type(values[BAD]) is LookupError and any("loaded" in note for note in values[BAD].__notes__)


def test_an_endless_recursion_in_a_result(start: str) -> None:
    """A result too deep to be pickled is its item's error."""

    def item(x: int) -> Any:
        deep: Any = x
        for _ in range(100_000 if x == BAD else 0):
            deep = [deep]
        return deep

    values = list(run(item, chunksize=4))
    assert others(values) == REST
    assert isinstance(values[BAD], (TypeError, RecursionError))


# Errors -----------------------------------------------------------------------------------------------------


@chunked
@pytest.mark.parametrize("item", [work.raises_awkward, work.raises_holding], ids=lambda f: f.__name__)
def test_an_error_that_cannot_cross(item: Callable[[int], int], chunksize: int, start: str) -> None:
    """An error that cannot be pickled or loaded still tells its type and its words."""
    values = list(run(item, chunksize=chunksize))
    assert others(values) == RIGHT
    text = f"{type(values[BAD]).__name__} {values[BAD]}"
    words = ("Awkward", "one and two") if item is work.raises_awkward else ("Holding", "holds a lock")
    assert isinstance(values[BAD], Exception) and all(word in text for word in words), text


@chunked
def test_an_error_of_a_class_that_is_nowhere(chunksize: int, start: str) -> None:
    """A class made in the item itself is told in words at least."""

    def item(x: int) -> int:
        if x == BAD:
            raise type("Nowhere", (Exception,), {"__module__": "no.such.module"})("lost")
        return 10 * x

    values = list(run(item, chunksize=chunksize))
    assert others(values) == RIGHT
    assert "Nowhere" in f"{type(values[BAD]).__name__} {values[BAD]}" and "lost" in str(values[BAD])


def test_an_error_whose_str_raises(start: str) -> None:
    """Not even words, but its place is right and the others go on."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

        __repr__ = __str__

    def item(x: int) -> int:
        if x == BAD:
            raise Mute
        return 10 * x

    values = list(run(item, chunksize=4))
    assert others(values) == RIGHT and isinstance(values[BAD], Exception)


def test_an_exception_group(start: str) -> None:
    """Groups, causes and notes cross."""

    def item(x: int) -> int:
        if x == BAD:
            error = ExceptionGroup("several", [ValueError("one"), KeyError("two")])
            error.add_note("a note")
            raise error from OSError("the cause")
        return 10 * x

    values = list(run(item))
    assert others(values) == RIGHT
    assert isinstance(values[BAD], ExceptionGroup) and len(values[BAD].exceptions) == 2
    assert "a note" in values[BAD].__notes__


def test_the_workers_traceback_is_told(start: str) -> None:
    """The error's cause or notes show where in the worker it was raised."""
    import traceback

    (error,) = run(lambda x: 1 / x, [0])
    assert "1 / x" in "".join(traceback.format_exception(error))


# Arguments --------------------------------------------------------------------------------------------------


@chunked
def test_an_argument_that_refuses(chunksize: int, start: str) -> None:
    """An argument whose `__reduce__` raises is its item's error, with the path to it."""
    values = list(run(work.value_of, with_bad({"deep": [work.Refuses()]}), chunksize=chunksize))
    assert others(values) == REST
    assert type(values[BAD]) is TypeError
    assert "args[0]['deep'][0]" in str(values[BAD]) and "no pickles, please" in str(values[BAD])


@chunked
def test_an_argument_that_ends_its_worker(chunksize: int, start: str) -> None:
    """An argument whose loading calls `os._exit` costs itself."""
    values = list(run(work.value_of, with_bad(work.Deadly()), chunksize=chunksize))
    assert others(values) == REST
    assert type(values[BAD]) is WorkerDied and f"item {BAD}" in str(values[BAD])
    assert "exit code 7" in str(values[BAD])


@chunked
def test_an_argument_that_loads_only_at_home(chunksize: int, start: str) -> None:
    """An argument whose loading raises in the worker is its item's error."""
    values = list(run(work.value_of, with_bad(work.Explosive()), chunksize=chunksize))
    assert others(values) == REST
    assert type(values[BAD]) is LookupError and "loads only at home" in str(values[BAD])


@chunked
def test_arguments_in_a_fork(chunksize: int) -> None:
    """Where a fork inherits the input, what cannot be pickled has its meaning there, or is its own error."""
    items = list(with_bad(work.Refuses(BAD)))
    values = list(run(work.value_of, items, chunksize=chunksize))
    assert others(values) == REST
    assert values[BAD] == BAD or isinstance(values[BAD], TypeError)


def test_arguments_that_stay_in_auto_mode(eight_cores: None, burn: Callable[[float], int]) -> None:
    """Without backend= such items keep their meaning: they run in this process."""

    def item(x: Any) -> Any:
        burn(0.01)
        return work.value_of(x)

    items = [work.Refuses(x) if x % 7 == 6 else x for x in range(40)]
    assert list(autoexec.map(item, iter(items), max_workers=2)) == list(range(40))


def test_bad_arguments_of_submit(start: str) -> None:
    """Each future has its own error."""
    bad = [work.Refuses(), work.Deadly(), work.Explosive()]
    with autoexec.Executor(2, backend="processes") as executor:
        futures = [executor.submit(work.value_of, item) for item in bad]
        good = executor.submit(work.value_of, 3)
        kinds = [type(future.exception(timeout=50)) for future in futures]
        assert kinds == [TypeError, WorkerDied, LookupError]
        assert good.result(timeout=50) == 3


# Functions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["fresh"], indirect=True)
def test_a_function_that_cannot_be_pickled(start: str) -> None:
    """The message names the path to what holds it back, and what to do."""
    lock = threading.Lock()

    def item(x: int) -> int:
        with lock:
            return x

    values = list(run(item, range(3)))
    assert [type(value) for value in values] == [TypeError] * 3
    assert "__closure__['lock']" in str(values[0]) or "lock" in str(values[0])


@pytest.mark.parametrize("start", ["fresh"], indirect=True)
@pytest.mark.parametrize(
    ("held", "kind"), [(work.Explosive, LookupError), (work.Deadly, WorkerDied), (work.Refuses, TypeError)]
)
def test_a_function_that_holds_what_does_not_load(held: type, kind: type, start: str) -> None:
    """It fails the same way for every item, and does not start workers without end."""
    bad = held()
    values = list(run(lambda x: (bad, x), range(6), chunksize=2))
    assert [type(value) for value in values] == [kind] * 6, values


@pytest.mark.parametrize("start", ["fresh"], indirect=True)
def test_a_function_of_a_module_that_workers_cannot_import(start: str, tmp_path: Path) -> None:
    """A module that exists in this process only: the function goes by value, or the error names it."""
    module = types.ModuleType("only_here")
    exec("def item(x):\n    return 10 * x", module.__dict__)
    sys.modules["only_here"] = module
    try:
        values = list(run(module.item, range(4)))
    finally:
        del sys.modules["only_here"]
    if values != [0, 10, 20, 30]:
        assert all(isinstance(value, ImportError) and "only_here" in str(value) for value in values)


def test_a_module_from_a_folder_that_was_added_to_the_path(
    start: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """Workers look where the caller looks."""
    (tmp_path / "added_module.py").write_text("def item(x):\n    return 10 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import added_module  # type: ignore[import-not-found]

    assert list(run(added_module.item, range(4))) == [0, 10, 20, 30]
    del sys.modules["added_module"]


def test_a_module_that_is_gone(script: Script) -> None:
    """A module whose file was removed after the import: no hang, and whoever fails names it."""
    body = """
    import pathlib, importlib
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    pathlib.Path("fleeting.py").write_text("def item(x):\\n    return 10 * x\\n")
    sys.path.insert(0, os.getcwd())
    import fleeting
    pathlib.Path("fleeting.py").unlink()
    import shutil; shutil.rmtree("__pycache__", ignore_errors=True)
    options = {"max_workers": 2, "on_error": "return"}
    values = list(autoexec.map(fleeting.item, range(4), backend="processes", **options))
    print(values == [0, 10, 20, 30] or all("fleeting" in str(value) for value in values), values)
    """
    code, out, err = script.run(body)
    assert code == 0 and out.startswith("True"), (out, err)


# Initializers -----------------------------------------------------------------------------------------------


def _fail() -> None:
    raise FileNotFoundError("no model")


def _leave() -> None:
    os._exit(9)


def test_an_initializer_that_raises(start: str) -> None:
    """The run ends with `BrokenWorker`, whose cause is the error."""
    with pytest.raises(BrokenWorker, match="_fail raised FileNotFoundError: no model") as caught:
        list(run(work.value_of, initializer=_fail, on_error="raise"))
    cause = caught.value.__cause__
    assert type(cause) is FileNotFoundError and str(cause) == "no model"
    assert cause.__traceback__ is not None


def test_an_initializer_that_raises_with_on_error(start: str) -> None:
    """That is no item's own error: it ends the run even where items' errors do not."""
    with pytest.raises(BrokenWorker):
        list(run(work.value_of, initializer=_fail))


def test_an_initializer_that_ends_the_worker(start: str) -> None:
    """It fails, and does not start workers without end."""
    values = list(run(work.value_of, range(6), initializer=_leave))
    assert [type(value) for value in values] == [WorkerDied] * 6
    assert "initializer" in str(values[0]) and "exit code 9" in str(values[0])


def test_an_initializer_that_works(start: str, journal: Any) -> None:
    """Once in each worker, and again in the one that replaces a dead one."""
    values = list(run(work.exits, chunksize=1, initializer=journal.note, initargs=("ready",), max_workers=1))
    assert others(values) == RIGHT
    assert len(journal.lines()) == 2


# Options ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"item_timeout": 0},
        {"item_timeout": -1},
        {"max_workers": 0},
        {"max_workers": -3},
        {"chunksize": 0},
        {"retries": -1},
        {"writable": "yes"},
        {"size": 3},
    ],
    ids=str,
)
def test_options_that_cannot_be_meant(wrong: dict[str, Any]) -> None:
    """They are refused at the call, in words that name them."""
    with pytest.raises(OptionError, match=next(iter(wrong))):
        run(work.value_of, **wrong)


def test_no_items_and_few_items(start: str) -> None:
    """Nothing to do is done; more workers than items are no trouble."""
    assert list(run(work.value_of, [])) == []
    assert list(run(work.value_of, [1], max_workers=8)) == [1]


def test_an_input_that_raises(start: str) -> None:
    """The input's own error comes after the results of the items before it."""

    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("the disk is gone")

    results = run(work.value_of, items(), on_error="raise")
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(OSError, match="disk"):
        next(results)


# Manners ----------------------------------------------------------------------------------------------------


@chunked
@pytest.mark.parametrize("item", [work.forks, work.forks_and_forgets, work.threads_outlive])
def test_items_that_leave_something_behind(item: Callable[[int], int], chunksize: int, start: str) -> None:
    """Items that fork or start threads that outlive them neither disturb the others nor the end."""
    assert others(list(run(item, chunksize=chunksize, on_error="raise"))) == RIGHT
    autoexec.shutdown()


def test_a_child_that_takes_itself_for_the_worker(start: str) -> None:
    """An item that returns in both processes after a fork has one result."""
    assert others(list(run(work.forks_and_returns_twice, chunksize=4))) == RIGHT


def test_an_item_that_starts_a_program(start: str) -> None:
    """A subprocess of an item works, and one that outlives it keeps nothing of ours open."""

    def item(x: int) -> int:
        if x == BAD:
            subprocess.Popen(["sleep", "1"], start_new_session=True)
        return int(subprocess.run(["echo", str(x)], capture_output=True, check=True).stdout)

    assert list(run(item)) == list(range(12))


def test_an_item_that_closes_descriptors(start: str) -> None:
    """Closing what it did not open costs a worker and the item, not the run."""

    def item(x: int) -> int:
        if x == BAD:
            os.closerange(3, 1000)
        return 10 * x

    values = list(run(item, chunksize=1))
    assert [value for value in others(values) if not isinstance(value, WorkerDied)]
    assert all(value in RIGHT or isinstance(value, WorkerDied) for value in others(values))


def test_an_item_that_closes_the_standard_streams(start: str) -> None:
    """Output that is gone is no reason to fail."""

    def item(x: int) -> int:
        sys.stdout.close()
        sys.stderr.close()
        return 10 * x

    assert others(list(run(item))) == RIGHT


def test_an_item_that_changes_the_scene(start: str, tmp_path: Path) -> None:
    """Changes of directory, environment and path in an item stay in its worker, and end with the run."""
    home = os.getcwd()

    def item(x: int) -> int:
        os.chdir(tmp_path)
        os.environ["CHANGED"] = "1"
        sys.path.insert(0, "/nowhere")
        return 10 * x

    assert others(list(run(item))) == RIGHT
    assert os.getcwd() == home and "CHANGED" not in os.environ
    seen = list(run(lambda x: (os.getcwd(), os.environ.get("CHANGED"))))
    assert set(seen) == {(home, None)}


# A machine that is short of everything ----------------------------------------------------------------------


def _fails_after(count: int, real: Callable[..., Any], calls: list[None]) -> Callable[..., Any]:
    """`real`, which says that there are no more processes from some call on."""

    def start(*args: Any, **options: Any) -> Any:
        calls.append(None)
        if len(calls) > count:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real(*args, **options)

    return start


@pytest.mark.parametrize("count", [0, 1])
def test_no_more_processes_can_be_started(count: int, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker does what two should have done; without any there is an error, and no hang."""
    calls: list[None] = []
    for name in ("fork", "posix_spawn"):
        monkeypatch.setattr(os, name, _fails_after(count, getattr(os, name), calls))
    try:
        values = list(run(work.whose, chunksize=1))
    except OSError as error:
        values = [error]
    if count:
        assert [x for x, _ in values] == list(range(12)) and len({pid for _, pid in values}) == 1
    else:
        assert values and all(isinstance(value, OSError) for value in values)
