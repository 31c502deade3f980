"""Whether nobody outside could tell that a function was called once more."""

from __future__ import annotations

import builtins
import json
import math
import os
import re
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoexec.safety.repeatable import repeatable

FACTOR = 3
WORDS = {"a": 1}
PATTERN = re.compile("a+")
HERE = Path(__file__)


def _burn(seconds: float = 0.01) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def _numbers(n: int) -> Any:
    _burn()
    limit = FACTOR * n
    return (math.sqrt(k) for k in range(limit))


def _words(text: str) -> Any:
    found = [word.strip().lower() for word in text.split()]
    found.append("end")
    counts = Counter(found)
    counts.update(WORDS)
    return iter(counts.items())


def _locks(x: int) -> Any:
    return threading.Lock() if x else json.loads("[1]")


def _writes(x: int) -> Any:
    with open(HERE, "ab") as file:
        file.write(b"")


def _prints_deep(x: int) -> Any:
    return _says(x)


def _says(x: int) -> Any:
    print(x)


def _runs(x: int) -> Any:
    return subprocess.run(["true"])


def _removes(x: int) -> Any:
    os.unlink("nothing")


def _calls(x: int) -> Any:
    return socket.create_connection(("localhost", x))


def _touches(x: int) -> Any:
    HERE.touch()


def _starts(x: int) -> Any:
    threading.Thread(target=_burn).start()


def _imports(x: int) -> Any:
    import shutil

    return shutil.rmtree("nothing")


def _dumps(x: Any) -> Any:
    json.dump(1, x)


def _reaches(x: int) -> Any:
    return getattr(builtins, "print")(x)  # noqa: B009


class Client:
    """Of the user's: what its methods do, no name tells."""

    def get(self, x: int) -> int:
        """It may be a request."""
        return x


CLIENT = Client()


@pytest.mark.parametrize("func", [_numbers, _words, _locks, lambda x: iter([x]), math.sqrt, str.upper])
def test_what_only_computes(func: Callable[..., Any]) -> None:
    """With helpers, constants, libraries that compute, and variables of its own."""
    assert repeatable(func)


@pytest.mark.parametrize(
    "func",
    [
        _writes, _prints_deep, _runs, _removes, _calls, _touches, _starts, _imports, _dumps, _reaches, print,
        lambda x: CLIENT.get(x), lambda x: exec(x), Client, os.getpid, CLIENT.get,
    ],
)  # fmt: skip
def test_what_may_be_seen_outside(func: Callable[..., Any]) -> None:
    """Or cannot be told."""
    assert not repeatable(func)


def test_arguments_whose_methods_nobody_knows() -> None:
    """A client that is an item may send something."""
    assert repeatable(lambda x: x.index(1), ([1],)) and not repeatable(lambda x: x.get(1), (CLIENT,))
