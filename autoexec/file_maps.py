"""Memory maps of files as what they are: another process of this machine maps the same part of the same file.

What may live here: how a map is told, and made again. A copy would cost the file's size, and what is written
to it would be lost. Maps that are private (copy on write) travel as copies: what they hold is nowhere else.

On Linux the kernel says what a map maps. A file that has no name any more is opened by way of the
descriptor that its map still holds. Elsewhere numpy's maps know the name that they were opened by.
"""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import sys
from mmap import ACCESS_READ, ACCESS_WRITE, ALLOCATIONGRANULARITY, mmap
from weakref import WeakKeyDictionary

from . import role
from .introspect import ATOMS, isa, loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
    from typing import Any
else:
    from .frozen import dataclass

__all__ = ["Segment", "address", "dumps", "rows"]

WORTH = 16 << 10  # bytes of an array below which it is copied, if it cannot be written to
VIEWS = ("ndarray", "recarray")  # numpy's kinds that may look into a map, besides `memmap`

Reduced = tuple[object, ...]


class Segment(mmap):
    """A map that is a message of our own: it is no file of anybody's.

    Attributes:
        begin: its address, where it is watched (see `written`).
        own: pages of it that were written to, as last seen.
    """

    begin: int
    own: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where in memory a map lies, and what of which file it shows.

    Attributes:
        begin: address of its first byte.
        end: address behind its last byte.
        offset: of its first byte in the file.
        path: a name of the file.
        identity: device and inode of the file.
        writable: whether what is written to it is written to the file.
    """

    begin: int
    end: int
    offset: int
    path: str
    identity: tuple[int, int]
    writable: bool


_rows: dict[type, Callable[[Any], Any]] = {}
_rows_known: list[type] = []  # kinds of numpy's maps that were there when rows were made
_places: WeakKeyDictionary[mmap, tuple[int, Place | None]] = WeakKeyDictionary()  # with the map's length


def dumps(value: object, protocol: int = 5, buffer_callback: Callable[[Any], Any] | None = None) -> bytes:
    """`pickle.dumps`; if buffers go apart, to a process of this machine, maps of files stay maps of files.

    Raises:
        Exception: whatever pickling raises.
    """
    if buffer_callback is None or type(value) in ATOMS or "numpy" not in sys.modules:
        return pickle.dumps(value, protocol, buffer_callback=buffer_callback)  # which refuses `mmap` objects
    with io.BytesIO() as file:
        pickler = pickle.Pickler(file, protocol, buffer_callback=buffer_callback)
        pickler.dispatch_table = {**rows(), **copyreg.dispatch_table}  # what the user has registered, first
        pickler.dump(value)
        return file.getvalue()


def rows() -> dict[type, Callable[[Any], Any]]:
    """How maps, and arrays that look into maps, are pickled: a dispatch table, always the same one."""
    _rows.setdefault(mmap, _map_reduced)
    memmap = getattr(loaded("numpy"), "memmap", None)
    if memmap is not None and not (memmap in _rows and memmap.__subclasses__() == _rows_known):
        _rows_known[:] = memmap.__subclasses__()
        numpy: Any = loaded("numpy")
        kinds = [getattr(numpy, name) for name in VIEWS] + [memmap]
        for kind in kinds:
            _rows.setdefault(kind, _array_reduced)
            if isa_subclass(kind, memmap):
                kinds += type.__subclasses__(kind)
    return _rows


def isa_subclass(kind: type, of: type) -> bool:
    """Whether it is derived from `of`, and pickled as that is."""
    return of in kind.__mro__ and kind.__reduce__ is of.__reduce__


# Pickling ---------------------------------------------------------------------------------------------------


def _map_reduced(found: mmap) -> Any:
    place = _place(found, None)
    if place is None:
        return found.__reduce_ex__(5)  # which refuses
    part = (place.path, place.identity, place.offset, len(found), place.writable)
    return _mapped, (*part, found.tell())


def _array_reduced(array: Any) -> Any:
    base = array.base
    if base is None:
        return array.__reduce_ex__(5)
    above, arrays = array, loaded("numpy").ndarray
    while isa(base, (arrays, memoryview)):
        above, base = base, base.obj if type(base) is memoryview else base.base
    if type(base) is not mmap or array.dtype.hasobject or not array.size:
        return array.__reduce_ex__(5)
    return _mapped_array_reduced(array, base, above) or array.__reduce_ex__(5)


def _mapped_array_reduced(array: Any, base: mmap, above: Any) -> Reduced | None:
    place = _place(base, above)
    if place is None:
        return None
    first = array.__array_interface__["data"][0]
    reach = [(n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)]
    low = first + sum(step for step in reach if step < 0)
    high = first + sum(step for step in reach if step > 0) + array.itemsize
    if low < place.begin or high > place.end or (not place.writable and high - low < WORTH):
        return None
    part = (place.path, place.identity, place.offset + low - place.begin, high - low, place.writable)
    shown = (type(array), array.dtype, array.shape, array.strides, first - low, bool(array.flags.writeable))
    more = {key: getattr(array, key, None) for key in ("filename", "offset", "mode")}
    return _mapped_array, (part, shown, more)


# Loading ----------------------------------------------------------------------------------------------------


def _mapped(
    path: str, identity: tuple[int, int], offset: int, size: int, writable: bool, at: int = 0
) -> mmap:
    """Map a part of a file again.

    Raises:
        OSError: if it cannot be opened, or is another one by now.
    """
    descriptor = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | getattr(os, "O_CLOEXEC", 0))
    try:
        about = os.fstat(descriptor)
        if (about.st_dev, about.st_ino) != identity:
            raise FileNotFoundError(f"{path} is not the file any more that was mapped into memory")
        access = ACCESS_WRITE if writable else ACCESS_READ
        found = mmap(descriptor, size, access=access, offset=offset)
    finally:
        os.close(descriptor)
    found.seek(at)
    return found


def _mapped_array(part: tuple[Any, ...], shown: tuple[Any, ...], more: dict[str, Any]) -> Any:
    """An array that looks into a part of a file."""
    import numpy as np

    path, identity, offset, size, writable = part
    kind, dtype, shape, strides, first, writeable = shown
    aside = offset % ALLOCATIONGRANULARITY
    found = _mapped(path, identity, offset - aside, size + aside, writable)
    made: Any = np.ndarray if kind is np.recarray else kind
    array = np.ndarray.__new__(made, shape, dtype, found, aside + first, strides)
    if made is not kind:
        array = array.view(kind)
    if isinstance(array, np.memmap):
        mode = "r+" if more["mode"] == "w+" else more["mode"]
        vars(array).update(_mmap=found, filename=more["filename"], offset=more["offset"], mode=mode)
    if not writeable:
        array.flags.writeable = False
    return array


# Where a map is ---------------------------------------------------------------------------------------------


def _place(found: mmap, array: Any) -> Place | None:
    """What a map shows, or None where another process cannot map the same, or should not.

    Args:
        found: the map.
        array: the array that was made of it, if one was.

    Raises:
        TypeError: if it can be written to, so that a copy would not do.
    """
    known = _places.get(found)
    if known is None or known[0] != len(found) or not _still(known[1]):
        known = _places[found] = (len(found), _look(found, array))
    return known[1]


def _still(place: Place | None) -> bool:
    """Whether the name still leads to the same file."""
    try:
        return place is None or _identity(os.stat(place.path)) == place.identity
    except OSError:
        return False


def _identity(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def _look(found: mmap, array: Any) -> Place | None:
    if sys.platform != "linux":
        return _as_numpy_says(array)
    begin = address(found)
    area = _area(begin)
    if area is None or not area.shared:
        return None
    named = _named(area) or (None if role.in_worker else _held(area))
    if named is None:
        if area.writable and not role.in_worker:  # a result of a worker, which may end: only it sees the file
            raise TypeError(
                "a memory map that can be written to shows no file that another process could open; "
                "give backend='threads', or map a file that has a name"
            )
        return None
    path, identity = named
    return Place(begin, begin + len(found), area.offset + begin - area.begin, path, identity, area.writable)


def _as_numpy_says(array: Any) -> Place | None:
    name, mode = getattr(array, "filename", None), getattr(array, "mode", "c")
    if name is None or mode == "c":
        return None
    begin = array.__array_interface__["data"][0]
    path = os.path.abspath(name)
    identity = _identity(os.stat(path))
    return Place(begin, begin + array.nbytes, array.offset, path, identity, mode != "r")


def address(found: mmap) -> int:
    """Where in memory a map begins, also one that cannot be written to."""
    import ctypes

    class View(ctypes.Structure):
        """As much of a `Py_buffer` as is needed, and room for the rest."""

        _fields_ = (("buf", ctypes.c_void_p), ("rest", ctypes.c_void_p * 16))

    view = View()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(found), ctypes.byref(view), 0)
    try:
        return view.buf or 0
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))


class _Area:
    """A line of the kernel's list of maps."""

    __slots__ = ("begin", "device", "inode", "offset", "path", "shared", "writable")

    def __init__(
        self, begin: int, mode: bytes, offset: bytes, device: bytes, inode: bytes, path: bytes
    ) -> None:
        self.begin, self.offset = begin, int(offset, 16)
        self.shared, self.writable = mode[3:4] == b"s", mode[1:2] == b"w"
        self.device, self.inode = device, int(inode)
        self.path = os.fsdecode(path.replace(b"\\012", b"\n"))

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode, where the file system does not hide them."""
        major, _, minor = self.device.partition(b":")
        return os.makedev(int(major, 16), int(minor, 16)), self.inode


def _area(address: int) -> _Area | None:
    """What is mapped at an address."""
    with open("/proc/self/maps", "rb") as file:
        for line in file:
            where, mode, offset, device, inode, *path = line.rstrip(b"\n").split(None, 5)
            begin, _, end = where.partition(b"-")
            if int(begin, 16) <= address < int(end, 16):
                return _Area(int(begin, 16), mode, offset, device, inode, path[0] if path else b"")
    return None


def _named(area: _Area) -> tuple[str, tuple[int, int]] | None:
    """The name and identity of its file, if the name leads to that one."""
    if not area.path.startswith("/"):
        return None
    try:
        descriptor = os.open(area.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        identity = _identity(os.fstat(descriptor))
        if identity == area.identity:
            return area.path, identity
        # File systems in layers show other numbers in the list: those of another map tell.
        with mmap(descriptor, 1, access=ACCESS_READ) as other:
            again = _area(address(other))
        same = again is not None and (again.device, again.inode) == (area.device, area.inode)
        return (area.path, identity) if same else None
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)


def _held(area: _Area) -> tuple[str, tuple[int, int]] | None:
    """A way to a file without a name: a descriptor of this process, such as the one its map holds."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if _identity(os.fstat(int(name))) == area.identity and area.inode:
                return f"/proc/{os.getpid()}/fd/{name}", area.identity
        except OSError:
            continue
    return None
