"""Whether a worker still knows a function: equal states for equal doings, none where nobody can tell."""

# ruff: noqa: E501 -- the texts of functions are one line each

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.safety.fingerprint import state_of, travels


def _made(text: str, **more: Any) -> Callable[..., Any]:
    """`work` of a module of the user's, which has this text."""
    namespace: dict[str, Any] = {"__name__": "a_module_of_the_users", **more}
    exec(compile(text, "/home/user/a_module.py", "exec"), namespace)
    return namespace["work"]  # type: ignore[no-any-return]


SAME = {
    "code": "def work(x): return 2 * x",
    "globals": "A, B = 1, (2, 'three', None, 4.5)\ndef work(x): return A, B",
    "helpers": "def one(): return two()\ndef two(): return 1\ndef work(x): return one()",
    "recursion": "def work(x): return work(x - 1) if x else 0",
    "captured": "def make(v):\n    def work(x): return v\n    return work\nwork = make(7)",
    "defaults": "def work(x, y=3, *, z=frozenset({'a'})): return y, z",
    "library": "import math, json\nfrom pathlib import Path\ndef work(x): return math.sin(x), json.dumps, Path",
    "imports": "def work(x):\n    import math, json.decoder\n    from os import path\n    return path",
    "partial": "from functools import partial\ndef f(a, b, x): return a\nwork = partial(f, 1, b=2)",
    "not a number": "V = float('nan')\ndef work(x): return V",
    "inner": "V = 1\ndef work(x):\n    return [i + V for i in (lambda: range(x))()]",
    "own attribute": "def work(x): return work.v\nwork.v = 5",
    "inner counter": "def work(x):\n    n = 0\n    def add():\n        nonlocal n\n        n += 1\n    add()\n    return n",
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_the_same_text_has_the_same_state(text: str) -> None:
    """Made twice, a function is as it was."""
    state = state_of(_made(text))
    assert state is not None and state == state_of(_made(text)) and hash(state) == hash(state_of(_made(text)))


CHANGED = {
    "code": ("def work(x): return 2 * x", "def work(x): return 3 * x"),
    "type of a constant": ("V = 1\ndef work(x): return V", "V = True\ndef work(x): return V"),
    "one and 1.0": ("V = 1\ndef work(x): return V", "V = 1.0\ndef work(x): return V"),
    "sign of zero": ("V = 0.0\ndef work(x): return V", "V = -0.0\ndef work(x): return V"),
    "tuple": ("V = (1, (2,))\ndef work(x): return V", "V = (1, (3,))\ndef work(x): return V"),
    "new global": ("def work(x): return len(x)", "def len(x): return 0\ndef work(x): return len(x)"),
    "library function": (
        "import math\nf = math.sin\ndef work(x): return f(x)",
        "import math\nf = math.cos\ndef work(x): return f(x)",
    ),
    "which of two": (
        "def make(v): return lambda: v\na, b = make(1), make(2)\nc = a\ndef work(x): return a(), b(), c()",
        "def make(v): return lambda: v\na, b = make(1), make(2)\nc = b\ndef work(x): return a(), b(), c()",
    ),
    "keywords of a partial": (
        "from functools import partial\ndef f(x, b): return b\nwork = partial(f, b=1)",
        "from functools import partial\ndef f(x, b): return b\nwork = partial(f, b=2)",
    ),
    "global of an inner function": (
        "V = 1\ndef work(x): return [(lambda: V)() for _ in x]",
        "V = 2\ndef work(x): return [(lambda: V)() for _ in x]",
    ),
    "wrapped": (
        "from functools import wraps\ndef f(x): return 1\n@wraps(f)\ndef work(x): return f(x)",
        "from functools import wraps\ndef f(x): return 2\n@wraps(f)\ndef work(x): return f(x)",
    ),
}


@pytest.mark.parametrize(("before", "after"), CHANGED.values(), ids=CHANGED)
def test_a_change_is_seen(before: str, after: str) -> None:
    """Whatever the function depends on."""
    assert state_of(_made(before)) is not None and state_of(_made(before)) != state_of(_made(after))


UNSURE = {
    "list": "V = [1]\ndef work(x): return V",
    "dict": "def work(x, y={}): return y",
    "object": "class C: pass\nc = C()\ndef work(x): return c",
    "class": "class C: v = 1\ndef work(x): return C.v",
    "method": "class C:\n    def m(self, x): return x\nwork = C().m",
    "callable": "class C:\n    def __call__(self, x): return x\nwork = C()",
    "builtin method": "work = [].append",
    "cache": "from functools import lru_cache\n@lru_cache\ndef work(x): return x",
    "generator of random numbers": "import random\nr = random.Random(1)\ndef work(x): return r.random()",
    "sets a global": "N = 0\ndef work(x):\n    global N\n    N += 1\n    return N",
    "an inner one sets a global": "N = 0\ndef work(x):\n    def f():\n        global N\n        N += 1\n    f()\n    return N",
    "sets a captured variable": (
        "def make():\n    n = 0\n    def work(x):\n        nonlocal n\n        n += 1\n        return n\n"
        "    return work\nwork = make()"
    ),
    "an inner one sets a captured variable": (
        "def make():\n    n = 0\n    def work(x):\n        def f():\n            nonlocal n\n            n += 1\n"
        "        f()\n        return n\n    return work\nwork = make()"
    ),
    "globals()": "V = 1\ndef work(x): return globals()['V']",
    "eval": "V = 1\ndef work(x): return eval('V')",
    "imports what nobody has": "def work(x):\n    import a_module_that_nobody_has\n    return 1",
    "imports from its own package": "def work(x):\n    from . import something\n    return 1",
    "imports by a name": "import importlib\ndef work(x): return importlib.import_module(x)",
    "imports a test": "def work(x):\n    import tests\n    return tests",
    "empty cell": (
        "def make():\n    def work(x): return v\n    if x_is_never:\n        v = 1\n    return work\n"
        "x_is_never = False\nwork = make()"
    ),
    "unhashable at the bottom": "def f(x, y=([],)): return y\ndef work(x): return f(x)",
}


@pytest.mark.parametrize("text", UNSURE.values(), ids=UNSURE)
def test_where_nobody_can_tell_there_is_no_state(text: str) -> None:
    """Something may change without anybody seeing it, or is remembered from call to call."""
    assert state_of(_made(text)) is None


def test_numpy_functions_are_the_librarys() -> None:
    """Universal functions and dispatched ones; arrays may change."""
    assert (
        state_of(np.sin) is not None
        and state_of(np.sort) is not None
        and state_of(np.sin) != state_of(np.cos)
    )
    assert state_of(_made("def work(x): return np.sin(np.sort(x))", np=np)) is not None
    assert state_of(_made("def work(x): return a + x", a=np.zeros(3))) is None


def test_functions_of_the_library() -> None:
    """By name, as the other side has them."""
    assert state_of(json.dumps) == state_of(json.dumps) != state_of(json.loads)
    assert state_of(math.sin) is not None and state_of(Path) is not None


def test_too_deep_a_chain() -> None:
    """It ends with no answer, not with a RecursionError."""
    call: Any = abs
    for _ in range(2000):
        call = partial(call)
    for _ in range(50):
        call = (lambda inner: lambda x: inner(x))(call)
    assert state_of(call) is None and not travels(call)


def test_an_object_that_resists() -> None:
    """Looking at it raises: nobody can tell."""

    class Resists:
        @property
        def __class__(self) -> Any:
            raise RuntimeError("no")

        def __hash__(self) -> int:
            raise RuntimeError("no")

    held = Resists()
    assert state_of(lambda x: held) is None and not travels(lambda x: held)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary()
        | st.complex_numbers(),
        lambda inner: st.tuples(inner, inner) | st.frozensets(st.integers()),
    )
)
def test_any_constant_has_a_state_that_repeats(value: Any) -> None:
    """Captured, as a global or as a default."""
    for text in ("def work(x): return V", "def work(x, y=V): return y"):
        state = state_of(_made(text, V=value))
        assert state is not None and state == state_of(_made(text, V=value))
        assert state != state_of(_made(text, V=(value, 1)))


def test_what_a_library_has_made_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own function inside counts, though the wrapper's code is the library's."""
    states = []
    for factor in (1, 1, 2):
        home = ModuleType("a_module_of_the_users")
        home.__file__ = "/home/user/a_module.py"
        text = f"import contextlib\n@contextlib.contextmanager\ndef inner(x): yield x * {factor}"
        exec(compile(text, home.__file__, "exec"), vars(home))
        monkeypatch.setitem(sys.modules, home.__name__, home)
        work = _made("def work(x):\n    with inner(x) as y: return y", inner=home.inner)
        states.append(state_of(work))
        assert not travels(work)
    assert states[0] is not None and states[0] == states[1] != states[2]


PATCHES = {
    "function": ("json.loads", lambda text: 1),
    "in a submodule": ("os.path.basename", lambda text: 1),
    "method of a class": ("json.JSONDecoder.decode", lambda self, text: 1),
    "setting of a class": ("json.JSONEncoder.item_separator", ";"),
    "setting of a module": ("json.decoder.NaN", 1.0),
    "object": ("json.loads", mock.MagicMock()),
}


@pytest.mark.parametrize(("target", "value"), PATCHES.values(), ids=PATCHES)
def test_what_was_put_into_a_library(target: str, value: Any) -> None:
    """As tests do: the function does something else meanwhile."""
    text = (
        "import json, json.decoder, os\n"
        "def work(x): return json.loads(x), json.JSONDecoder, json.JSONEncoder, json.decoder.NaN, os.path.basename(x)"
    )
    before = state_of(_made(text))
    with mock.patch(target, value):
        during = state_of(_made(text))
    assert before is not None and before != during and before == state_of(_made(text))


# What travels -----------------------------------------------------------------------------------------------


def _of_this_module(x: int) -> int:
    return x


TRAVELS: dict[str, tuple[Any, bool]] = {
    "lambda": (lambda x: x, True),
    "library": (json.dumps, True),
    "captured data": ((lambda d: lambda x: d)({"a": [1, (2, {3})]}), True),
    "captured array": ((lambda a: lambda x: a)(np.zeros(3)), True),
    "captured array of objects": ((lambda a: lambda x: a)(np.array([object()])), False),
    "partial": (partial(lambda a, x: a, 5), True),
    "by name": (_of_this_module, False),
    "calls one by name": (lambda x: _of_this_module(x), False),
    "captures one by name": ((lambda f: lambda x: f(x))(_of_this_module), False),
    "object": ((lambda o: lambda x: o)(threading.Lock()), False),
    "in a list": ((lambda o: lambda x: o)([_of_this_module]), False),
    "imports the library": (_made("def work(x):\n    import json\n    return json"), True),
    "imports the user's": (_made("def work(x):\n    import tests\n    return tests"), False),
    "imports by a name": (_made("def work(x): return __import__(x)"), False),
    "uses a module of the user's": (_made("def work(x): return m", m=type(pytest)("mine")), False),
    "main": (_made("def work(x): return x", __name__="__main__"), True),
}


@pytest.mark.parametrize(("call", "expected"), TRAVELS.values(), ids=TRAVELS)
def test_what_travels_whole(call: Any, expected: bool) -> None:
    """By value, with all that it needs; not what the other side would look up in a module of its own."""
    assert travels(call) == expected
