"""How a fresh interpreter is started so that it is like this one: flags, warnings asked for, hash seed.

What may live here: what has to be said before it runs anything. What can be set later is in
`worker.process_state`.
"""

from __future__ import annotations

import sys

__all__ = ["arguments", "seed"]

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


def seed() -> dict[str, str]:
    """The variable of its hash seed, where this one has none by chance."""
    return {} if sys.flags.hash_randomization else {"PYTHONHASHSEED": "0"}
