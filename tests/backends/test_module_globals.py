"""A function that is unpickled with values for the modules it reads."""

from __future__ import annotations

import pickle
import sys
import types

import cloudpickle
import pytest

from autoexec.backends.processes.module_globals import WithModuleGlobals


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_values_are_there_before_the_function(dumps: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives is the function itself; the modules have the sender's values."""
    module = types.ModuleType("outfitted")
    monkeypatch.setitem(sys.modules, "outfitted", module)
    data = dumps(WithModuleGlobals(len, {("outfitted", "LEVEL"): 3, ("outfitted", "NEW"): [1]}))  # type: ignore[operator]
    assert pickle.loads(data) is len
    assert (module.LEVEL, module.NEW) == (3, [1])


def test_a_module_that_is_not_there() -> None:
    """The error names it."""
    data = pickle.dumps(WithModuleGlobals(len, {("nowhere_to_be_found", "LEVEL"): 3}))
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        pickle.loads(data)
