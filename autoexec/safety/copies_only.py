"""What a program has registered with the interpreter, and what no other process can be given.

What may live here: whether code names such a thing. What can be sent is in `globals_read`, and in
`worker.registries`.
"""

from __future__ import annotations

import codecs
import encodings

from ..introspect.code import codes_of, names_of
from ..introspect.libraries import replaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

__all__ = ["displaces", "own_codecs"]

CODING = frozenset(
    ("encode", "decode", "open", "codecs", "TextIOWrapper", "reconfigure", "read_text", "write_text")
)


def displaces(value: type, module: str, name: str) -> bool:
    """Whether a class stands in the place of one that it derives from, which no name leads to any more.

    >>> displaces(bool, "builtins", "int"), displaces(bool, "builtins", "bool")
    (True, False)
    """
    return any((base.__module__, base.__qualname__) == (module, name) for base in value.__mro__[1:])


def _own_codec(name: str) -> bool:
    """Whether the program has registered it: Python's own search, which is asked first, has not found it."""
    try:
        if replaced(codecs.lookup_error(name)):
            return True
    except LookupError:
        pass
    known = vars(encodings).get("_cache", {})
    plain = name.lower().replace("-", "_")
    if not any(known.get(one, name) is None for one in (name, plain, encodings.normalize_encoding(name))):
        return False
    try:
        return codecs.lookup(name) is not None
    except LookupError:
        return False


def own_codecs(code: CodeType) -> list[str]:
    """Codecs, and handlers of their errors, that the program has registered and a function names.

    >>> own_codecs((lambda text: text.encode("utf-8", "replace")).__code__)
    []
    """
    if CODING.isdisjoint(names_of(code)):
        return []
    consts = (const for part in codes_of(code) for const in part.co_consts)
    return [const for const in consts if type(const) is str and _own_codec(const)]
