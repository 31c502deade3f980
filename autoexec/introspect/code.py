"""What code names, imports and does, read from its bytecode without stepping through it.

What may live here: flat questions about a code object and those inside it; and what single instructions mean
to everybody who reads them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import BuiltinMethodType, CodeType, FunctionType, ModuleType

from . import MAIN, isa, static_attribute
from .layers import MISSING, captured, defaults, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from dis import Instruction
    from typing import Any

__all__ = [
    "IMPORT",
    "codes_of",
    "global_or_builtin",
    "imported",
    "imports_of",
    "modules_imported",
    "modules_of",
    "names_of",
    "parameters",
    "place_of",
    "steps_of",
    "where",
]

IMPORT = "IMPORT_NAME"


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


def imports_of(code: CodeType, scope: dict[str, Any]) -> set[str]:
    """Names of the modules that a function with these globals, or one inside it, imports when it runs."""
    return {
        name
        for part in codes_of(code)
        for steps in (_read(part, IMPORT),)
        for at, step in enumerate(steps)
        if step.opname == IMPORT
        for name in imported(steps, at, scope)
    }


def modules_imported(
    code: CodeType, scope: dict[str, Any], wanted: Callable[[ModuleType], bool]
) -> list[ModuleType]:
    """Those modules themselves, as far as they are loaded and wanted.

    To step through code takes longer than all else: that is done where one of its names may be such a module.
    """
    package = _package(scope).split(".")
    above = [".".join(package[:count]) for count in range(len(package) + 1)]
    names = {f"{home}.{name}".strip(".") for home in above for name in names_of(code)}
    likely: list[Any] = [sys.modules.get(name) for name in names]
    if not any(isa(one, ModuleType) and wanted(one) for one in likely):
        return []
    found: list[Any] = [sys.modules.get(name) for name in sorted(imports_of(code, scope))]
    return [one for one in found if isa(one, ModuleType) and wanted(one)]


def imported(steps: Sequence[Instruction], at: int, scope: dict[str, Any]) -> tuple[str, str]:
    """The full name of the module that an instruction imports, and of the one that it leaves on the stack.

    `import a.b` leaves `a`; `from a.b import c` and `import a.b as c` go on from `a.b`. `scope` holds the
    globals of the function: a relative import begins at its package.
    """
    level, names = [step.argval for step in steps[max(0, at - 6) : at] if step.opname != "EXTENDED_ARG"][-2:]
    name = str(steps[at].argval)
    if level:
        name = ".".join(filter(None, (*_package(scope).split(".")[: 1 - level or None], name)))
    return name, name.partition(".")[0] if names is None and not level else name


def _package(scope: dict[str, Any]) -> str:
    """What relative imports of a module begin at."""
    own, package = str(scope.get("__name__", "")), scope.get("__package__")
    if package is None:
        package = own if "__path__" in scope else own.rpartition(".")[0]
    return str(package)


def global_or_builtin(name: str, scope: dict[str, Any]) -> tuple[Any, bool]:
    """What a function with these globals finds under a name, or MISSING; and whether that is a built-in."""
    if name in scope:
        return scope[name], False
    builtins = scope.get("__builtins__", {})
    return (builtins if isinstance(builtins, dict) else vars(builtins)).get(name, MISSING), True


def steps_of(code: CodeType, *names: str) -> list[tuple[str, str]]:
    """The instructions with these names, and what each is about."""
    return [(step.opname, str(step.argval)) for step in _read(code, *names) if step.opname in names]


def _read(code: CodeType, *names: str) -> list[Instruction]:
    """All instructions, or none where none has one of these names."""
    from opcode import opmap

    if not {opmap[name] for name in names} & {*code.co_code[::2]}:
        return []
    from dis import get_instructions

    return [*get_instructions(code)]


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
    found.update(dict.fromkeys(sorted(filter(None, imports_of(obj.__code__, obj.__globals__)))))
    for value in _held(obj):
        if isa(value, (ModuleType, FunctionType, type)):
            _collect_modules(value, found, seen)


def _held(func: FunctionType) -> Iterator[Any]:
    """Globals that a function's code names, what it has captured, and its defaults."""
    yield from (func.__globals__.get(name) for name in names_of(func.__code__))
    yield from (value for _, value in (*captured(func), *defaults(func)))
