"""The one table of what changes an object: methods, and functions that change their first argument, by name.

What may live here: names. Whether an object is one that such a method changes is told by its type.
"""

from __future__ import annotations

__all__ = ["ATOMIC", "CHANGING_FUNCTIONS", "CHANGING_METHODS", "LENDING", "RETURNING", "SILENT"]


def _names(*lines: str) -> frozenset[str]:
    return frozenset(name for line in lines for name in line.split())


# Methods that add one thing in one step, whatever other threads do meanwhile.
ATOMIC = _names("append add appendleft put put_nowait")
# Methods that change the object and return what was in it.
RETURNING = _names("pop popleft popitem setdefault")
# Methods that change the object and return nothing.
SILENT = _names(
    "append add appendleft extend extendleft insert remove discard clear sort reverse update fill",
)
CHANGING_METHODS = (
    ATOMIC
    | RETURNING
    | SILENT
    | _names(
        "resize write writelines rotate itemset partition setflags byteswap frombytes fromlist",
        "difference_update intersection_update symmetric_difference_update move_to_end subtract",
        "__setitem__ __delitem__ __iadd__ __isub__ __imul__ __ior__ __iand__ __ixor__",
    )
)
# Functions that change their first argument.
CHANGING_FUNCTIONS = _names(
    "shuffle heappush heappop heapreplace heappushpop heapify insort insort_left insort_right",
    "setattr delattr setitem delitem iadd isub imul ior iand ixor iconcat",
    "copyto putmask place put_along_axis fill_diagonal at",
)
# Methods that return what is in the object, to be changed there.
LENDING = _names("get setdefault values items __getitem__ __iter__")
