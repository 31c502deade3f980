"""Modules of the user's, however the code comes by them: what is changed in them, and what they hold now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoexec.safety.globals_read import module_state
from tests.safety.looking import looked

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
