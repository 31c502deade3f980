"""What code names, imports and does, read from its bytecode without stepping through it.

What may live here: flat questions about a code object and those inside it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import BuiltinMethodType, CodeType, FunctionType, ModuleType

from . import MAIN, isa, static_attribute
from .layers import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "codes_of",
    "imported_by",
    "imports_of",
    "modules_of",
    "names_of",
    "parameters",
    "place_of",
    "steps_of",
    "where",
]


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """A code object and those of the functions inside it."""
    yield code
    for part in code.co_consts:
        if isa(part, CodeType):
            yield from codes_of(part)


def names_of(code: CodeType) -> tuple[str, ...]:
    """Names of globals and attributes that a function, or one inside it, uses; each once."""
    return tuple(dict.fromkeys(name for part in codes_of(code) for name in part.co_names))


def where(code: CodeType) -> str:
    """`file.py:LINE` of a function."""
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"


def place_of(func: Any) -> str:
    """Where the function inside a callable stands, in words.

    >>> place_of(len)
    '<built-in len>'
    """
    core, _, _ = layers(func)
    if isa(core, FunctionType):
        return where(core.__code__)
    named = isa(core, (type, BuiltinMethodType))
    return f"<built-in {core.__name__ if named else type(core).__name__}>"


def parameters(func: Any) -> tuple[str, ...]:
    """The names of a plain function's positional parameters; none of anything else."""
    return func.__code__.co_varnames[: func.__code__.co_argcount] if isa(func, FunctionType) else ()


def imports_of(code: CodeType) -> set[str]:
    """Names of the modules that a function, or one inside it, imports when it runs."""
    return {name for part in codes_of(code) for _, name in steps_of(part, "IMPORT_NAME")}


def imported_by(code: CodeType, scope: dict[str, Any]) -> list[ModuleType]:
    """The loaded modules that code imports when it runs; relative ones by the names of its packages."""
    names = [name for _, name in steps_of(code, "IMPORT_NAME")]
    if not names:
        return []
    home = str(scope.get("__package__") or "").split(".")
    homes = [".".join(home[:count]) for count in range(len(home) + 1)]
    found: list[Any] = [sys.modules.get(f"{home}.{name}".strip(".")) for name in names for home in homes]
    return [module for module in found if isa(module, ModuleType)]


def steps_of(code: CodeType, *names: str) -> list[tuple[str, str]]:
    """The instructions with these names, and what each is about."""
    from opcode import opmap

    if not {opmap[name] for name in names} & {*code.co_code[::2]}:
        return []
    from dis import get_instructions

    return [(step.opname, str(step.argval)) for step in get_instructions(code) if step.opname in names]


def modules_of(func: object) -> tuple[str, ...]:
    """The modules that a function needs where it is sent, as far as its code says: what it and the functions
    of its own module name, and what they import.

    >>> modules_of(lambda path: os.stat(path)), modules_of(len)
    (('autoexec.introspect.code', 'os'), ('builtins',))
    """
    found: dict[str, None] = {}
    _collect_modules(func, found, set())
    return tuple(found)


def _collect_modules(obj: Any, found: dict[str, None], seen: set[int]) -> None:
    obj = obj if isa(obj, ModuleType) else layers(obj)[0]
    home = static_attribute(obj, "__module__")
    if isa(obj, ModuleType):
        home = obj.__name__
    if isa(home, str) and home not in MAIN:
        found.setdefault(home)
    if not isa(obj, FunctionType) or id(obj) in seen:
        return
    seen.add(id(obj))
    found.update(dict.fromkeys(sorted(filter(None, imports_of(obj.__code__)))))
    for value in _held(obj):
        if isa(value, (ModuleType, FunctionType, type)):
            _collect_modules(value, found, seen)


def _held(func: FunctionType) -> Iterator[Any]:
    """Globals that a function's code names, and what it has captured."""
    yield from (func.__globals__.get(name) for name in names_of(func.__code__))
    for cell in func.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it is empty
            continue
