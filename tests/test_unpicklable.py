"""What cannot be pickled is named by the path to it, with its type and what to do."""

from __future__ import annotations

import collections
import functools
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decorator import parallel
from autoexec.introspect.contents import parts
from autoexec.unpicklable import Unpicklable, explain, find
from autoexec.worker.invoke import CallSpec

LOCK = threading.Lock()
GLOBAL = {"lock": LOCK}


class Holder:
    """Has a lock among its attributes."""

    def __init__(self) -> None:
        self.name, self.lock = "holder", LOCK

    def method(self, x: int) -> int:
        return x


class Slotted:
    """The same, in slots; one of them is empty."""

    __slots__ = ("empty", "lock", "name")

    def __init__(self) -> None:
        self.name, self.lock = "slotted", LOCK


class Stateful:
    """Says itself what its state is."""

    def __init__(self) -> None:
        self.lock = LOCK

    def __getstate__(self) -> dict[str, Any]:
        return {"other": [self.lock]}


class Hidden:
    """Shows the lock in `__reduce__` only."""

    def __reduce__(self) -> Any:
        return list, ([threading.Lock()],)


class Refuses:
    """Counts how often it is asked, and refuses."""

    asked = 0

    def __reduce__(self) -> Any:
        type(self).asked += 1
        raise ValueError("not this one")


class Exits(Refuses):
    """Tries to leave."""

    def __reduce__(self) -> Any:
        raise SystemExit(3)


class Endless:
    """Is made of another of its kind, and so on."""

    def __reduce__(self) -> Any:
        return Endless, (Endless(),)


class Trap:
    """Resists being looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("do not touch")


def _closing_over(thing: Any) -> Callable[[int], Any]:
    def func(x: int) -> Any:
        return thing, x

    return func


def _with_default(x: int, thing: Any = (1, LOCK)) -> Any:
    return x, thing


def _by_value(source: str) -> Any:
    """A function that no other process finds by its name."""
    namespace: dict[str, Any] = {"GLOBAL": GLOBAL, "LOCK": LOCK, "__name__": "__main__"}
    exec(source, namespace)
    return namespace["func"]


def _cyclic() -> list[Any]:
    made: list[Any] = [1]
    made += [made, {"last": LOCK}]
    return made


def _failing(error: Exception) -> Exception:
    error.response = {"lock": LOCK}  # type: ignore[attr-defined]
    return error


PATHS: list[tuple[Any, str, str]] = [
    (_closing_over(Holder()), "func", "func.__closure__['thing'].lock"),
    (_closing_over({"a": [0, Slotted()]}), "func", "func.__closure__['thing']['a'][1].lock"),
    (_by_value("def func(x): return GLOBAL"), "func", "func.__globals__['GLOBAL']['lock']"),
    (_by_value("def func(x, y=1, z=(LOCK,)): return x"), "func", "func.__defaults__['z'][0]"),
    (_by_value("def func(x, *, z=LOCK): return x"), "func", "func.__kwdefaults__['z']"),
    (functools.partial(pow, 1, mod=LOCK), "partial", "partial.keywords['mod']"),
    (functools.partial(pow, LOCK), "partial", "partial.args[0]"),
    (functools.partial(_closing_over(LOCK), 1), "partial", "partial.func.__closure__['thing']"),
    (Holder().method, "method", "method.__self__.lock"),
    (({"handle": Slotted()},), "args", "args[0]['handle'].lock"),
    ([1, 2, 3, Holder()], "result", "result[3].lock"),
    (Stateful(), "result", "result.lock"),
    (Hidden(), "result", "result.__reduce__()[1][0][0]"),
    ({"a": Refuses()}, "result", "result['a']"),
    ({Refuses(): 1}, "result", "result.keys()[tests.test_unpicklable.Refuses]"),
    ({1, Refuses()}, "result", "result{...}"),
    (collections.deque([1, LOCK]), "result", "result[1]"),
    (collections.OrderedDict(a=1, b=LOCK), "result", "result['b']"),
    (_cyclic(), "result", "result[2]['last']"),
    ((x for x in "abc"), "result", "result"),
    (ValueError("x", LOCK), "exception", "exception.args[1]"),
    (_failing(OSError("x")), "exception", "exception.response['lock']"),
    (CallSpec(_closing_over(LOCK), initializer=print), "func", "func.__closure__['thing']"),
    (CallSpec(abs, initializer=_closing_over(LOCK)), "func", "initializer.__closure__['thing']"),
    (CallSpec(abs, initializer=print, initargs=(1, LOCK)), "func", "initargs[1]"),
    (_by_value("class func: lock = LOCK"), "func", "func.lock"),
    (_by_value("class func: lock = LOCK")(), "result", "result.__class__.lock"),
]


@pytest.mark.parametrize(("obj", "name", "path"), PATHS, ids=[path for *_, path in PATHS])
def test_the_path_leads_to_the_culprit(obj: Any, name: str, path: str) -> None:
    """Through closures, defaults, globals, partials, methods, attributes, slots, states and containers."""
    found = find(obj, name)
    assert found is not None
    # The module has another name when tests run from elsewhere.
    assert found.path.replace(f"{__name__}.", "tests.test_unpicklable.") == path


def test_arrays_of_objects_are_searched_and_other_arrays_are_not_copied() -> None:
    """The element is named by its place; a large array of numbers costs nothing."""
    numpy = pytest.importorskip("numpy")
    found = find({"a": numpy.array([1, LOCK], dtype=object)}, "result")
    assert found is not None and found.path == "result['a'].flat[1]"
    assert find(numpy.zeros(1000), "result") is None


def test_the_sentence_says_type_error_and_remedy() -> None:
    """The type's name, what pickle said, and what to do for functions, arguments, results and exceptions."""
    with socket.socket() as handle:
        text = explain(_closing_over(handle), "func")
    assert text.startswith(
        "func.__closure__['thing'] (socket.socket) cannot be pickled: cannot pickle 'socket'"
    )
    assert "autoexec.per_worker" in text and "backend='threads'" in text
    assert "return plain data" in explain([LOCK], "result")
    assert "raise an error that holds plain data" in explain(ValueError(LOCK), "exception")
    assert "open it inside the function" in explain((LOCK,), "args")
    assert "inside the initializer" in explain(CallSpec(abs, initializer=print, initargs=(LOCK,)), "func")
    assert "open it inside the function or" in explain(LOCK, "result_of_something")
    assert "not this one" in explain(Refuses(), "result")


def test_what_pickles_is_not_complained_about() -> None:
    """None, and a sentence that does not accuse a part, for what only fails elsewhere."""
    for fine in (1, "a", [1, {"b": (2,)}], lambda x: x, Holder, {1, 2}, ValueError("x"), pickle):
        assert find(fine, "result") is None
    assert explain([1], "result") == "result (list) can be pickled here, but not sent and loaded again"


def test_user_code_runs_as_often_as_in_one_pickling() -> None:
    """`__reduce__` is asked once."""
    Refuses.asked = 0
    assert find([[[Refuses()]], Refuses()], "result") is not None
    assert Refuses.asked == 1


@pytest.mark.parametrize("kind", [Exits, Trap, Endless])
@pytest.mark.parametrize("inside", [False, True])
def test_it_never_raises(kind: Any, inside: bool) -> None:
    """Whatever the object does, there is a name for it."""
    found = find([kind()] if inside else kind(), "result", limit_s=0.2)
    assert found is not None and found.path.startswith("result") and str(found)


def test_deeper_than_the_recursion_limit() -> None:
    """The culprit is found below it; what is only deep is said to be; both paths stay readable."""
    deep: Any = LOCK
    for _ in range(sys.getrecursionlimit() // 2):
        deep = [deep]
    found = find(deep, "result")
    assert found is not None and found.type == "_thread.lock" and len(found.path) < 200
    too_deep: list[Any] = []
    for _ in range(100 * sys.getrecursionlimit()):
        too_deep = [too_deep]
    found = find(too_deep, "result")
    assert found is not None and "nested too deeply" in found.error and len(found.path) < 200


def test_a_search_without_time_ends_where_it_is() -> None:
    """The deepest path so far is named, and that the search was cut short."""
    found = find([[i] for i in range(10_000)] + [[LOCK]], "result", limit_s=0.0)
    assert found is not None
    assert found.path.startswith("result[") and "took too long" in found.error


def test_without_cloudpickle_a_lambda_is_the_culprit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain pickler stands in, and says what it cannot do."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    found = find({"callback": lambda: 1}, "result")
    assert found is not None and (found.path, found.type) == ("result['callback']", "function")


def test_a_decorated_function_is_called_by_its_own_name() -> None:
    """What autoexec wraps around it does not show in the path."""
    wrapped = parallel(_closing_over(LOCK))
    found = find(CallSpec(wrapped._target(), capture=True), "func")
    assert found is not None and found.path == "func.__closure__['thing']"


def test_the_record_travels() -> None:
    """Workers may send it: it pickles, and compares by value."""
    found = find([LOCK], "result")
    assert isinstance(found, Unpicklable)
    assert pickle.loads(pickle.dumps(found)) == found


def test_importing_it_is_light() -> None:
    """Neither pickle nor typing come with it: workers and judges pay for it only when something fails."""
    code = "import sys, autoexec.unpicklable; print(*{'pickle', 'typing', 'cloudpickle'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def nested() -> st.SearchStrategy[Any]:
    """Lists, tuples and dicts within each other, with a marker somewhere."""
    return st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("ab'[]{}", max_size=2), inner, max_size=3)
            | st.tuples(inner, inner)
        ),
        max_leaves=12,
    )


@given(nested(), st.lists(st.sampled_from("lt") | st.text("ab'[]{}", max_size=3), max_size=6))
def test_the_path_is_python(side: Any, way: list[str]) -> None:
    """Evaluating the path of a lock within containers gives the lock."""
    lock = threading.Lock()
    made: Any = lock
    for step in way:
        made = [side, made] if step == "l" else (side, made, side) if step == "t" else {"": side, step: made}
    found = find(made, "made")
    assert found is not None
    assert eval(found.path, {"made": made}) is lock


def test_parts_of_a_cell_that_is_not_filled_yet() -> None:
    """Looking at a function early does not raise."""

    def outer() -> Iterator[Any]:
        def inner() -> Any:
            return late

        yield list(parts(inner))
        late = 1
        yield late

    seen = next(outer())
    assert ("late", None) in [(key, value) for text, key, value in seen if text == ".__closure__[{}]"]
