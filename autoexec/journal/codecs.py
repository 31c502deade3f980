"""How a result becomes bytes and comes back: "pickle" keeps nearly everything, "json" runs no code."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import JournalError, OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any
else:
    from ..frozen import dataclass

__all__ = ["CODECS", "Codec", "codec_named"]

_STACK_GLOBAL = b"\x93"  # the pickle opcode for anything found by name, such as a class


@dataclass(frozen=True, slots=True)
class Codec:
    """A pair of functions and the name under which a journal remembers them.

    Attributes:
        name: what `codec=` is given.
        encode: value to bytes; raises `JournalError` with the value where that is not possible.
        decode: bytes to value; raises whatever the bytes make it raise.
    """

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def codec_named(name: object) -> Codec:
    """The codec of that name.

    Raises:
        OptionError: if there is none.

    >>> codec_named("json").encode({"a": [1, None]})
    b'{"a":[1,null]}'
    """
    if not isinstance(name, str) or name not in CODECS:
        raise OptionError(f"codec must be one of {', '.join(CODECS)}, not {name!r}")
    return CODECS[name]


def _pickled(value: Any) -> bytes:
    import pickle

    try:
        try:
            data = pickle.dumps(value, protocol=5)
        except Exception:  # lambdas, classes made inside functions: what travels by value
            import cloudpickle

            data = cloudpickle.dumps(value, protocol=5)
        if _STACK_GLOBAL in data:  # some objects pickle and then refuse to come back: better to know now
            pickle.loads(data)
        return data
    except Exception as error:
        raise JournalError(
            f"a result of type {type(value).__qualname__} cannot be kept in the journal: it does not pickle "
            f"({type(error).__name__}: {error}); return plain data from the function",
            value=value,
        ) from error


def _unpickled(data: bytes) -> Any:
    import pickle

    return pickle.loads(data)


def _to_json(value: Any) -> bytes:
    import json

    try:
        problem = _misfit(value, "the result")
        if problem is None:
            return json.dumps(value, separators=(",", ":")).encode()
        cause = None
    except (ValueError, RecursionError) as error:  # a list within itself, an int of very many digits
        problem, cause = f"it cannot be written as JSON ({error})", error
    raise JournalError(
        f"a result of type {type(value).__qualname__} cannot be kept with codec='json': {problem}; return "
        "None, bool, int, float, str, lists and dicts with str keys, or use codec='pickle' and a new journal",
        value=value,
    ) from cause


def _misfit(value: Any, where: str) -> str | None:
    """What in `value` would not come back from JSON as it went, or None."""
    kind = type(value)
    if kind in _PLAIN:
        return None
    if kind is list:
        found = (_misfit(part, f"{where}[{i}]") for i, part in enumerate(value) if type(part) not in _PLAIN)
        return next(filter(None, found), None)
    if kind is dict:
        return _misfit_in_dict(value, where)
    for base, becomes in _BECOMES:
        if isinstance(value, base):
            return f"{where} is {kind.__qualname__!r} and would come back as {becomes}"
    return f"{where} is {kind.__qualname__!r}, for which JSON has nothing"


def _misfit_in_dict(value: dict[Any, Any], where: str) -> str | None:
    for key, part in value.items():
        if type(key) is not str:
            return f"{where} has the key {key!r} of type {type(key).__qualname__!r}, which becomes a str"
        if type(part) not in _PLAIN and (problem := _misfit(part, f"{where}[{key!r}]")):
            return problem
    return None


def _from_json(data: bytes) -> Any:
    import json

    return json.loads(data)


_PLAIN = frozenset({type(None), bool, int, float, str})
_BECOMES: tuple[tuple[type, str], ...] = (
    (tuple, "a list"),
    (list, "a plain list"),
    (dict, "a plain dict"),
    (int, "a plain int"),
    (float, "a plain float"),
    (str, "a plain str"),
)

CODECS = {
    "pickle": Codec("pickle", _pickled, _unpickled),
    "json": Codec("json", _to_json, _from_json),
}
