"""A function that is unpickled with values for the modules it reads."""

from __future__ import annotations

import pickle
import sys
import threading
import types

import cloudpickle
import pytest

from autoexec import role
from autoexec.backends.processes.module_globals import WithModuleGlobals, kind_of


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_values_are_there_before_the_function(dumps: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives is the function itself; the modules have the sender's values."""
    module = types.ModuleType("outfitted")
    monkeypatch.setitem(sys.modules, "outfitted", module)
    data = dumps(WithModuleGlobals(len, {("outfitted", "LEVEL"): 3, ("outfitted", "NEW"): [1]}))  # type: ignore[operator]
    assert pickle.loads(data) is len
    assert (module.LEVEL, module.NEW) == (3, [1])


class Holder:
    """Has an attribute that is set."""

    level = 1


class Reads:
    """Looks at what it finds while it is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        return _level, ()


def _level() -> int:
    return Holder.level


def test_attributes_of_classes_stand_before_the_function_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What loading it does is not undone."""
    data = pickle.dumps(WithModuleGlobals(Reads(), {(__name__, "Holder.level"): 7}))
    monkeypatch.setattr(Holder, "level", 1)
    assert pickle.loads(data) == 7


def test_what_cannot_be_sent_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module makes its own lock; a connection that was opened later is named."""
    module = types.ModuleType("outfitted")
    monkeypatch.setitem(sys.modules, "outfitted", module)
    module.GUARD = module.CLIENT = threading.Lock()  # type: ignore[attr-defined]
    unsent = {("outfitted", name): kind_of(module.GUARD) for name in ("GUARD", "CLIENT")}  # type: ignore[attr-defined]
    data = pickle.dumps(WithModuleGlobals(len, {}, unsent=unsent))
    assert pickle.loads(data) is len
    module.CLIENT = None  # type: ignore[attr-defined]
    with pytest.raises(
        TypeError, match=r"outfitted.CLIENT is a _thread.lock here.*NoneType in one that imports"
    ):
        pickle.loads(data)
    del module.CLIENT  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"outfitted.CLIENT .* missing in one"):
        pickle.loads(data)


def test_only_an_empty_main_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a copy of the caller, and in the caller, things stand where they stood."""
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    data = pickle.dumps(WithModuleGlobals(len, {}, {"thing": max}))
    assert pickle.loads(data) is len and not hasattr(main, "thing")
    monkeypatch.setattr(role, "fresh", True)
    assert pickle.loads(data) is len and main.thing is max


def test_a_module_that_is_not_there() -> None:
    """The error names it."""
    data = pickle.dumps(WithModuleGlobals(len, {("nowhere_to_be_found", "LEVEL"): 3}))
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        pickle.loads(data)
