"""Memory maps of files reach workers as maps of the same files: not copied, and writable where they are."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import pytest

from autoexec import by_value, file_maps
from tests.processes import work

np = pytest.importorskip("numpy")

SIZE = 40_000


def run(call: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
    """All results of a map in worker processes."""
    return list(work.run(call, items, on_error="raise"))


class OwnMap(np.memmap):  # type: ignore[misc, name-defined, unused-ignore]
    """A user's kind of map."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of numbers, each of them its place."""
    np.arange(SIZE, dtype="i8").tofile(tmp_path / "data")
    return tmp_path / "data"


def _whole(path: Path, mode: str) -> Any:
    return np.memmap(path, dtype="i8", mode=mode)


def _part(path: Path, mode: str) -> Any:
    return np.memmap(path, dtype="i8", mode=mode)[1000:30_000]


def _aside(path: Path, mode: str) -> Any:
    return np.memmap(path, dtype="i8", mode=mode, offset=5 * 8, shape=(30_000,))


def _backwards(path: Path, mode: str) -> Any:
    return np.memmap(path, dtype="i8", mode=mode)[::-2]


def _columns(path: Path, mode: str) -> Any:
    return np.memmap(path, dtype="i8", mode=mode, shape=(200, 200), order="F")[3:, 1:].T


def _plain(path: Path, mode: str) -> Any:
    return np.asarray(np.memmap(path, dtype="i8", mode=mode))[7:]


def _records(path: Path, mode: str) -> Any:
    return np.memmap(path, dtype=[("a", "i8"), ("b", "i8")], mode=mode).view(np.recarray)


def _own(path: Path, mode: str) -> Any:
    return OwnMap(path, dtype="i8", mode=mode)


def _buffer(path: Path, mode: str) -> Any:
    with open(path, "r+b" if mode == "r+" else "rb") as file:
        access = mmap.ACCESS_WRITE if mode == "r+" else mmap.ACCESS_READ
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=access), dtype="i8")


SHAPES = [_whole, _part, _aside, _backwards, _columns, _plain, _records, _own, _buffer]


def _facts(array: Any) -> tuple[Any, ...]:
    base = array
    while not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else base.base
    about = (type(array).__name__, array.shape, array.strides, array.dtype, array.flags.writeable)
    return *about, array.tobytes(), type(base).__name__


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_arrays_that_look_into_a_file_do_so_in_workers(mode: str, path: Path, start: str) -> None:
    """Whatever they look like, as items and captured: same values, same layout, and a map of the file."""
    arrays = [shape(path, mode) for shape in SHAPES]
    facts = [_facts(array) for array in arrays]
    assert run(_facts, iter(arrays)) == facts
    assert run(lambda i: _facts(arrays[i]), iter(range(len(arrays)))) == facts


@pytest.mark.parametrize("way", ["captured", "item", "within an item", "default", "results"])
def test_what_workers_write_is_in_the_file(way: str, tmp_path: Path, start: str) -> None:
    """As in the loop: the file, and the caller's map of it, have what each item has written."""
    paths = [tmp_path / str(i) for i in range(4)]
    for path in paths:
        np.arange(SIZE, dtype="i8").tofile(path)
    shapes = (_whole, _backwards, _plain, _own)
    outs = [shape(path, "r+") for shape, path in zip(shapes, paths, strict=True)]

    def fill(i: int, outs: Any = outs) -> None:
        for out in outs:
            out[i] = -7

    if way == "captured":
        run(lambda i: [out.__setitem__(i, -7) for out in outs] and None, iter(range(30)))
    elif way == "default":
        run(fill, iter(range(30)))
    elif way == "item":
        run(lambda item: item[1].__setitem__(item[0], -7), ((i, out) for i in range(30) for out in outs))
    elif way == "within an item":
        run(lambda item: fill(item["i"], item["outs"][0]), ({"i": i, "outs": [outs]} for i in range(30)))
    else:
        for i, backs in enumerate(run(lambda i: outs, iter(range(30)))):
            fill(i, backs)
    for out, path in zip(outs, paths, strict=True):
        assert (out[:30] == -7).all() and not (out[30:100] == -7).any()
        assert np.count_nonzero(np.fromfile(path, dtype="i8") == -7) == 30


def test_a_file_that_was_made_by_its_map(tmp_path: Path, start: str) -> None:
    """Mode "w+" makes a file anew: not again in each worker."""
    out = np.memmap(tmp_path / "out", dtype="i8", shape=(SIZE,), mode="w+")
    out[:] = 1

    def fill(i: int) -> str:
        out[i] = 7
        return str(out.mode)

    assert set(run(fill, iter(range(30)))) <= {"r+", "w+"}
    assert (out[:30] == 7).all() and (out[30:] == 1).all()


def test_private_maps_travel_as_copies(path: Path, start: str) -> None:
    """What the caller has written to one is in no file."""
    private = np.memmap(path, dtype="i8", mode="c")
    private[3] = -1
    assert (run(lambda i: int(private[i]), iter(range(5)))) == [0, 1, 2, -1, 4]
    assert np.fromfile(path, dtype="i8")[3] == 3


def test_maps_without_numpy(path: Path, start: str) -> None:
    """`mmap` objects, which pickle refuses: read and written, at the place where they stood."""
    with open(path, "r+b") as file:
        whole = mmap.mmap(file.fileno(), 0)
    with open(path, "rb") as file:
        part = mmap.mmap(file.fileno(), 8192, access=mmap.ACCESS_READ, offset=4096 * 2)
    part.seek(16)

    def read(i: int) -> tuple[int, int]:
        whole[8 * i : 8 * i + 8] = (100 + i).to_bytes(8, "little")
        return len(part), int.from_bytes(part[part.tell() : part.tell() + 8], "little")

    assert (run(read, iter(range(5)))) == [(8192, 1026)] * 5
    assert [*np.fromfile(path, dtype="i8")[:5]] == [100, 101, 102, 103, 104]
    whole.close()
    part.close()


def test_arrays_in_the_callers_shared_memory(start: str) -> None:
    """They look into the same memory in workers, and it is there when those have gone."""
    memory = shared_memory.SharedMemory(create=True, size=8 * SIZE)
    try:
        array: Any = np.ndarray((SIZE,), dtype="i8", buffer=memory.buf)
        array[:] = 1

        run(lambda item: item[1].__setitem__(item[0], 7), ((i, array) for i in range(30)))
        assert (array[:30] == 7).all() and (array[30:] == 1).all()
    finally:
        array = None
        memory.close()
        memory.unlink()


def test_a_file_without_a_name(start: str) -> None:
    """A temporary file that was deleted while it is mapped."""
    with tempfile.TemporaryFile() as file:
        out = np.memmap(file, dtype="i8", shape=(SIZE,), mode="w+")

    def fill(i: int) -> None:
        out[i] = 7

    run(fill, iter(range(30)))
    assert (out[:30] == 7).all() and not out[30:].any()


def test_a_name_that_leads_to_another_file_by_now(path: Path, start: str) -> None:
    """The map's file is found by its descriptor; the other one is left alone."""
    out = np.memmap(path, dtype="i8", mode="r+")
    path.unlink()
    np.zeros(SIZE, dtype="i8").tofile(path)
    run(lambda i: out.__setitem__(i, -7), iter(range(30)))
    assert (out[:30] == -7).all() and int(out[31]) == 31 and not np.fromfile(path, dtype="i8").any()


def test_what_cannot_be_mapped_elsewhere_is_not_copied_in_silence(path: Path, monkeypatch: Any) -> None:
    """A map that can be written to is refused in words; one that cannot is copied."""
    monkeypatch.setattr(file_maps, "_held", lambda area: None)
    written, read = np.memmap(path, dtype="i8", mode="r+"), np.memmap(path, dtype="i8", mode="r")
    path.unlink()
    for dumps in (file_maps.dumps, by_value.dumps):
        with pytest.raises(TypeError, match="no file that another process could open"):
            dumps(written, buffer_callback=lambda _: None)
        again = pickle.loads(dumps(read, buffer_callback=lambda _: True))
        assert (again == read).all()


def test_a_file_that_changes_on_the_way_is_told(path: Path) -> None:
    """Whoever loads it finds another file under the name: an error, never other data."""
    data = file_maps.dumps(np.memmap(path, dtype="i8", mode="r"), buffer_callback=lambda _: None)
    assert (pickle.loads(data) == np.arange(SIZE)).all()
    path.rename(path.with_name("moved"))
    path.write_bytes(bytes(8 * SIZE))
    with pytest.raises(FileNotFoundError, match="not the file any more"):
        pickle.loads(data)


def test_file_systems_in_layers_show_other_numbers(path: Path, monkeypatch: Any) -> None:
    """There the list of maps names another device: a map of the same file tells that it is the same."""
    monkeypatch.setattr(file_maps._Area, "identity", property(lambda area: (0, 0)))
    array = np.memmap(path, dtype="i8", mode="r+")
    data = file_maps.dumps(array, buffer_callback=lambda _: None)
    pickle.loads(data)[5] = -7
    assert array[5] == -7 and len(data) < 1000


def test_elsewhere_the_name_is_known_by_numpy(path: Path, monkeypatch: Any) -> None:
    """Where no kernel tells."""
    monkeypatch.setattr("sys.platform", "darwin")
    array = np.memmap(path, dtype="i8", mode="r+", offset=40)
    data = file_maps.dumps(array[3:4000], buffer_callback=lambda _: None)
    pickle.loads(data)[0] = -7
    assert array[3] == -7 and len(data) < 1000


def test_for_other_machines_maps_are_copies(path: Path) -> None:
    """Executors of others pickle without buffers apart; so do journals."""
    array = np.memmap(path, dtype="i8", mode="r+")
    for dumps in (file_maps.dumps, by_value.dumps):
        pickle.loads(dumps(array))[0] = -7
    assert array[0] == 0


def test_pickles_of_the_users_stay_as_they_are(path: Path) -> None:
    """Nothing is registered for all."""
    file_maps.rows()
    array = np.memmap(path, dtype="i8", mode="r+")
    with io.BytesIO() as file:
        pickle.dump(array, file)
        assert len(file.getvalue()) > 8 * SIZE


def test_small_parts_that_are_only_read_are_copied(path: Path) -> None:
    """That is quicker than to map them."""
    kept: list[Callable[[], Any]] = []
    array = np.memmap(path, dtype="i8", mode="r")
    data = file_maps.dumps(array[:100], buffer_callback=kept.append)
    assert (pickle.loads(data, buffers=kept) == np.arange(100)).all() and os.fspath(path) not in str(data)
