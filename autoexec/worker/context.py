"""What an item finds around it: its own copy of the context variables, and an initializer that has run.

What surrounds an item on every backend belongs here. What differs between backends (threads, pages, sockets)
does not. The copy itself is made beside the call, in `invoke`.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType

from ..errors import BrokenWorker
from ..introspect import bare, name_of, static_attribute
from ..resources import current, here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .invoke import CallSpec

__all__ = [
    "carried",
    "changed",
    "for_a_thread",
    "may_set_variables",
    "of_call",
    "prepare",
    "prepared",
    "taken_up",
]

# Names in code by which a context variable may be set, by way of a token, another context, or decimal.
_SETTING = frozenset(("set", "reset", "ContextVar", "copy_context", "localcontext", "setcontext"))


def changed(before: contextvars.Context, after: contextvars.Context) -> str:
    """The name of a context variable that differs between a context and its copy; "" if none does.

    >>> variable = contextvars.ContextVar("level")
    >>> before = contextvars.copy_context()
    >>> after = before.copy()
    >>> _ = after.run(variable.set, 1)
    >>> changed(before, after), changed(before, before.copy())
    ('level', '')
    """
    for variable in after:
        if variable not in before or after[variable] is not before[variable]:
            return variable.name
    return "" if len(before) == len(after) else "a variable that was reset"


def may_set_variables(call: Any) -> bool:
    """Whether a function's own code names a way to set a context variable.

    What its callees do is not seen: whoever relies on this compares contexts as well.
    """
    code = static_attribute(bare(call), "__code__", None)
    if type(code) is not CodeType:
        return type(call) is not BuiltinFunctionType or isinstance(call.__self__, contextvars.ContextVar)
    return _names_setting(code)


def _names_setting(code: CodeType) -> bool:
    if not _SETTING.isdisjoint(code.co_names):
        return True
    return any(_names_setting(const) for const in code.co_consts if type(const) is CodeType)


def prepare(spec: CallSpec) -> dict[contextvars.ContextVar[Any], Any]:
    """Run the initializer of a call, if there is one and it has not run in this worker.

    Returns:
        The context variables that it has set: its items find them, the caller's own context does not.

    Raises:
        BrokenWorker: if it raises.
    """
    if spec.initializer is None:
        return {}
    made = here().made
    if spec.token not in made:
        context = contextvars.copy_context() if spec.context is None else of_call(spec.context)
        before = context.copy()
        try:
            context.run(spec.initializer, *spec.initargs)
        except Exception as error:
            raise BrokenWorker(
                f"the initializer {name_of(spec.initializer)} raised {type(error).__qualname__}: {error}"
            ) from error
        made[spec.token] = {
            variable: value
            for variable, value in context.items()
            if variable not in before or value is not before[variable]
        }
    found: dict[contextvars.ContextVar[Any], Any] = made[spec.token]
    return found


def prepared(
    fresh: Callable[[], contextvars.Context], found: dict[contextvars.ContextVar[Any], Any]
) -> contextvars.Context:
    """A context of an item, with what `prepare` has found."""
    context = fresh()
    for variable, value in found.items():
        context.run(variable.set, value)
    return context


def of_call(context: contextvars.Context) -> contextvars.Context:
    """A copy of a call's own context, in which this worker's objects are found."""
    own = for_a_thread(context)
    own.run(current.set, current.get())
    return own


def for_a_thread(context: contextvars.Context) -> contextvars.Context:
    """A copy of a context, for one thread: decimal's own is a variable, too, but is changed in place."""
    own = context.copy()
    decimal = sys.modules.get("decimal")
    if decimal is not None and any(variable.name == _DECIMAL_VARIABLE for variable in context):
        own.run(_own_decimal, decimal)
    return own


def _own_decimal(decimal: Any) -> None:
    decimal.setcontext(decimal.getcontext().copy())


def carried(
    context: contextvars.Context | None, crosses: Callable[[Any], bool] | None = None
) -> dict[tuple[str, str], Any]:
    """What of a context can go to another process: by module and name, where a variable has such a name.

    Args:
        context: the caller's, at the call.
        crosses: says of a value whether it can be pickled; None tries it.
    """
    found: dict[tuple[str, str], Any] = {}
    for variable, value in (context or {}).items():
        if variable is current:
            continue
        home = _DECIMAL if variable.name == _DECIMAL_VARIABLE else _home(variable)
        if home is not None and (crosses or _crosses)(value):
            found[home] = value
    return found


# The variable of decimal's own context stands in no module: it is read and set by functions.
_DECIMAL, _DECIMAL_VARIABLE = ("decimal", "setcontext"), "decimal_context"
# Where variables were found; those that were not are looked for again once other modules are there.
_homes: dict[contextvars.ContextVar[Any], tuple[tuple[str, str] | None, int]] = {}
_REMEMBERED = 1024  # variables


def _crosses(value: object) -> bool:
    import pickle

    try:
        pickle.dumps(value, 5)
    except Exception:
        return False
    return True


def _home(variable: contextvars.ContextVar[Any]) -> tuple[str, str] | None:
    """The module and the name there by which a variable can be found in another process.

    Looking through all modules takes a millisecond, and each submitted call asks.
    """
    home, modules = _homes.get(variable, (None, -1))
    if home is None and modules != len(sys.modules):
        if len(_homes) >= _REMEMBERED:
            _homes.clear()
        home = _look_for(variable)
        _homes[variable] = home, len(sys.modules)
    return home


def _look_for(variable: contextvars.ContextVar[Any]) -> tuple[str, str] | None:
    """Where it comes from, rather than in `__main__`: a fresh interpreter has another one of that."""
    homes = [*_named(variable, variable.name)] or [*_named(variable, None)]
    main = sys.modules.get("__main__")  # it may have other names, too
    elsewhere = (home for home in homes if sys.modules.get(home[0]) is not main)
    return next(elsewhere, homes[0] if homes else None)


def _named(variable: contextvars.ContextVar[Any], name: str | None) -> Iterator[tuple[str, str]]:
    """Where a variable stands under a name; under any name if that is None."""
    for module_name, module in list(sys.modules.items()):
        names = getattr(module, "__dict__", None)
        if module_name.startswith("autoexec.") or type(names) is not dict:
            continue
        if name is not None:
            if names.get(name) is variable:
                yield module_name, name
        else:
            yield from ((module_name, key) for key, value in list(names.items()) if value is variable)


def taken_up(values: dict[tuple[str, str], Any]) -> contextvars.Context:
    """A context with values from another process; a variable that is not to be found here is left out."""
    from importlib import import_module

    context = contextvars.copy_context()
    for (module, name), value in values.items():
        try:
            variable = getattr(import_module(module), name)
        except Exception:
            continue
        if isinstance(variable, contextvars.ContextVar):
            context.run(variable.set, value)
        elif (module, name) == _DECIMAL:
            context.run(variable, value)
    return context
