"""Calls for the workers of somebody else's executor: what crosses is bytes of ours, item by item.

What may live here: both ends of that way. An executor pickles a whole task, so that one result that cannot
be sent would take its neighbours along, and by its own rules, which differ: some run the script again to find
a class of it. So each item and each outcome is packed by itself, and what lives in `__main__` goes by value.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

from ..by_value import dumps
from ..known_objects import at_hand
from ..own_time import time
from .context import of_call, taken_up
from .invoke import CallSpec, Error, run_items

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..known_objects import Known

__all__ = ["load_home", "load_outcomes", "pack_home", "pack_items", "run_packed"]


def pack_items(items: Sequence[Any], known: Known | None = None) -> list[bytes]:
    """Each item as bytes; one that cannot be sent is sent as the error that says so.

    Args:
        items: the items.
        known: the table of the function that they are for.

    >>> [pickle.loads(item) for item in pack_items([1, "a"])]
    [1, 'a']
    """
    with at_hand(known, None if known is None else known.shared(known.sent, grows=True)):
        return [_packed(item, "args", "an item cannot be sent to a worker") for item in items]


def run_packed(
    data: bytes, items: Sequence[bytes], place: int, values: bytes | None = None
) -> tuple[list[bytes], float, float, str, bytes]:
    """In a worker: load what is called (once per worker) and the items, run them, and pack what comes.

    Args:
        data: what is called.
        items: the items; see `pack_items`.
        place: of the first of them.
        values: of the context variables of a call of its own.

    Returns:
        The outcomes, each as bytes; the seconds and CPU seconds that the items took; what was lost there, in
        words, or ""; and as bytes what goes home.
    """
    spec = _loaded.get(data)
    if spec is None:
        spec = _loaded[data] = pickle.loads(data)
    fresh = partial(of_call, taken_up(pickle.loads(values))) if values else None
    outcomes: list[Any] = []
    surround, loaded = spec.surround, _arrived(items, spec.known)
    if surround is not None and items:
        first = next(loaded)
        loaded = chain((first,), loaded)
        spec.begin(first)
    cpu, wall = time.thread_time(), time.perf_counter()
    for item in loaded:
        if type(item) is Error:
            outcomes.append(item)
        else:
            run_items(spec, (item,), outcomes, fresh, place=place + len(outcomes))
        if not spec.capture and type(outcomes[-1]) is Error:
            break
    wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
    lost, home = ("", []) if surround is None else surround.end()
    with at_hand(spec.known):
        unfit, entries = pack_home(home)
        back = [_packed(outcome, "result", "a result cannot be sent back") for outcome in outcomes]
    return back, wall, cpu, unfit or lost, entries


_loaded: dict[bytes, CallSpec] = {}


def pack_home(entries: list[Any]) -> tuple[str, bytes]:
    """What goes home: what is wrong with it, or "", and the entries as bytes."""
    try:
        return "", dumps(entries) if entries else b""
    except Exception:
        return f"what was added to {entries[0][0]!r} cannot be sent home", b""


def load_home(entries: bytes, known: Known | None = None) -> tuple[str, list[Any]]:
    """What goes home, on the caller's side: what is wrong with it, or "", and the entries."""
    try:
        with at_hand(known):
            return "", pickle.loads(entries) if entries else []
    except Exception as error:
        return f"what was added to a memo cannot be made again here ({type(error).__name__}: {error})", []


def load_outcomes(outcomes: Sequence[bytes], known: Known | None = None) -> list[Any]:
    """What came, on the caller's side; what cannot be made again here is an error in its place."""
    return list(_arrived(outcomes, known))


def _arrived(pieces: Sequence[bytes], known: Known | None) -> Iterator[Any]:
    for piece in pieces:
        try:
            with at_hand(known):
                value = pickle.loads(piece)
        except Exception as error:
            value = Error(error)
        yield value


def _packed(value: object, name: str, problem: str) -> bytes:
    from ..introspect import ATOMS

    if type(value) in ATOMS:
        return pickle.dumps(value, protocol=5)
    try:
        return dumps(value)
    except Exception as error:
        from ..unpicklable import refused

        return pickle.dumps(Error(refused(value, name, error, problem)))
