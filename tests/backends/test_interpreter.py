"""A fresh interpreter is started as this one was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
ASK = "import json, sys; FOUND = [list(map(int, sys.flags)), sys._xoptions, sys.warnoptions, hash('a key')]"
PROGRAM = f"""
import sys
sys.path.insert(0, {ROOT!r})
{ASK}
import subprocess
from autoexec.backends.processes.interpreter import arguments, variables
import os
ask = {ASK + "; print(json.dumps(FOUND))"!r}
environment = variables()
command = [sys.executable, *arguments(), "-c", ask]
out = subprocess.run(command, stdout=subprocess.PIPE, env=environment).stdout
print(json.dumps([FOUND, json.loads(out)]))
"""


@pytest.mark.parametrize(
    "words",
    [
        *("", "-O", "-OO", "-B -s", "-b", "-X dev", "-X utf8=1", "-W error::UserWarning -W ignore"),
        *("-P", "-E", "-I"),
    ],
)
def test_flags_are_handed_on(words: str) -> None:
    """All that say how code runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PYTHONHASHSEED"] = "0"
    out = subprocess.run(
        [sys.executable, *words.split(), "-c", PROGRAM],
        stdout=subprocess.PIPE,
        env=environment,
        check=True,
        timeout=60,
    ).stdout
    mine, other = json.loads(out)
    if words in ("-E", "-I"):  # which do not ask the environment, and have a seed by chance
        mine[-1] = other[-1] = None
    assert mine == other
