"""How a fresh interpreter is started so that it is like this one: flags, warnings asked for, hash seed.

What may live here: what has to be said before it runs anything. What can be set later is in
`worker.process_state`.
"""

from __future__ import annotations

import os
import sys
from functools import cache

__all__ = ["arguments", "variables"]

# By the names in `sys.flags`; a number above one is a letter more often.
_LETTERS = (
    ("debug", "d"),
    ("optimize", "O"),
    ("dont_write_bytecode", "B"),
    ("no_user_site", "s"),
    ("no_site", "S"),
    ("bytes_warning", "b"),
    ("safe_path", "P"),
)
_ISOLATED = (("isolated", "I"), ("ignore_environment", "E"))  # the first is more than the second
# Options of -X that print, measure, or are for one process.
_OWN = frozenset(("importtime", "showrefcount", "perf", "perf_jit", "presite", "tracemalloc", "cpu_count"))


def arguments() -> list[str]:
    """What is to stand on its command line before the program."""
    flags = sys.flags
    found = [
        f"-{letter * int(getattr(flags, name, 0))}" for name, letter in _LETTERS if getattr(flags, name, 0)
    ]
    found += [f"-{letter}" for name, letter in _ISOLATED if getattr(flags, name)][:1]
    for name, value in sys._xoptions.items():
        if name not in _OWN:
            found += ["-X", name if value is True else f"{name}={value}"]
    for words in sys.warnoptions:
        found += ["-W", words]
    return found


def variables() -> dict[str, str]:
    """Its environment: Python reads its own variables when it begins, as this process has done.

    What the program has made of those since is for other programs; the worker is told of it later. Where this
    process has no seed of hashes by chance, neither has the other.
    """
    found = dict(os.environ)
    if began := _at_the_beginning():
        for name in [name for name in found if name.startswith("PYTHON")]:
            if name not in began:
                del found[name]
        found.update((name, value) for name, value in began.items() if name.startswith("PYTHON"))
    return found if sys.flags.hash_randomization else {**found, "PYTHONHASHSEED": "0"}


@cache
def _at_the_beginning() -> dict[str, str]:
    """What this process was started with; nothing where nobody can tell."""
    try:
        with open("/proc/self/environ", "rb") as file:
            lines = file.read().split(b"\0")[:-1]
    except OSError:
        return {}
    if not lines or not all(b"=" in line for line in lines):  # a title was written over it
        return {}
    return {
        os.fsdecode(name): os.fsdecode(value) for name, _, value in (one.partition(b"=") for one in lines)
    }
