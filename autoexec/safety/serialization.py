"""What it costs to send values to another process: bytes, and seconds for both ends."""

from __future__ import annotations

from ..own_time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle
    from dataclasses import dataclass
else:
    from ..frozen import dataclass

__all__ = ["Crossing", "crosses", "crossing", "dumps"]

ATOMS = (int, float, bool, bytes, type(None), complex)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Bytes of one value and the seconds to pickle it at one end and load it at the other."""

    size: int
    seconds: float


def dumps(value: object, apart: list[pickle.PickleBuffer] | None = None) -> bytes:
    """Pickle `value`, by value where it lives in `__main__` or has no importable name.

    Args:
        value: anything.
        apart: takes the buffers of arrays, which are then not copied into the pickle.

    Raises:
        Exception: whatever pickling raised, when no pickler manages.
    """
    from .. import file_maps

    taken = None if apart is None else apart.append
    try:
        return file_maps.dumps(value, protocol=5, buffer_callback=taken)
    except Exception:  # lambdas, closures, local classes
        from .. import by_value

        if apart is not None:
            apart.clear()
        return by_value.dumps(value, protocol=5, buffer_callback=taken)


def crossing(value: object, *, load: bool = True) -> Crossing | None:
    """Measure one trip of `value` over a process border, or None if it cannot travel.

    Buffers of arrays count with their size, not with the time to copy them: they go through shared memory.

    Args:
        value: anything.
        load: whether to load it again, which may run code of its own; else that is taken to last as long as
            pickling it.

    >>> crossing([1, 2, 3]).size > 0
    True
    """
    import pickle

    apart: list[pickle.PickleBuffer] = []
    began = time.perf_counter()
    try:
        data = dumps(value, apart)
        if load and not isinstance(value, ATOMS):
            pickle.loads(data, buffers=apart)
        size = len(data) + sum(len(buffer.raw()) for buffer in apart)
    except Exception:
        return None
    seconds = time.perf_counter() - began
    return Crossing(size, seconds if load else 2 * seconds)


def crosses(value: object) -> bool:
    """Whether a value can be pickled; its buffers are not copied for that.

    >>> crosses([1, "two"]), crosses(open)
    (True, True)
    """
    from .. import by_value

    try:
        by_value.dumps(value, protocol=5, buffer_callback=lambda buffer: False)
    except Exception:
        return False
    return True
