"""Results by key in an SQLite file, written by many threads in few transactions.

    keep ─► encode ─► queue ─┐            the first thread that gets the lock writes all that wait,
    keep ─► encode ─► queue ─┼─► lock ─► one transaction; the others find their rows written
    keep ─► encode ─► queue ─┘

A row is safe from a kill of the process once `keep` returns. (From a loss of power it is after the next
checkpoint; the file stays sound in any case.)
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from ..errors import JournalError
from . import claims, opening
from .codecs import Codec, codec_named
from .identity import FunctionIdentity, function_identity
from .keys import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from os import PathLike
    from sqlite3 import Connection
    from typing import Any

__all__ = ["Journal"]

LOOKUP = 500  # keys per query: SQLite before 3.32 takes at most 999 parameters
LOADED_BYTES = 1 << 20  # of stored results that are brought back at once


class _Row:
    """A row on its way into the file."""

    __slots__ = ("data", "done", "error", "key")

    def __init__(self, key: bytes, data: bytes) -> None:
        self.key, self.data = key, data
        self.done = False
        self.error: Exception | None = None


class Journal:
    """What a function returned for the items of earlier runs and of this one; see `Journal.open`.

    Attributes:
        path: the file, absolute.
        key: the user's own `key=`, or None.
    """

    def __init__(self, path: str, codec: Codec, key: Callable[..., Any] | None) -> None:
        self.path, self.key = path, key
        self._codec = codec
        self._connection: Connection | None = None
        self._function = 0
        self._empty = True
        self._met: dict[bytes, int] = {}
        self._lock = threading.Lock()
        self._queue: deque[_Row] = deque()

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        func: Callable[..., Any],
        *,
        codec: str = "pickle",
        key: Callable[..., Any] | None = None,
        changed: tuple[Any, ...] = (),
    ) -> Journal:
        """Open or make a journal for the results of `func`, for this run alone.

        The file is readable by its owner only. With codec="pickle" it holds pickles, which run code when they
        are loaded: open only what comes from a trusted place. With codec="json" it holds none.

        Args:
            path: the file; one file may hold the results of several functions.
            func: the function; a changed one is refused.
            codec: "pickle" or "json".
            key: from an item to a string or number that stands for it; None takes the item itself.
            changed: objects bound to `func` that its calls change; see `function_identity`.

        Raises:
            OptionError: if `path` or `codec` cannot be meant.
            JournalError: if the file cannot be used; it is as it was before, then.
        """
        identity = function_identity(func, changed)
        journal = cls(opening.file_of(path), codec_named(codec), key)
        if not claims.claim(journal):
            raise opening.in_use(journal.path)
        try:
            journal._begin(identity)
        except BaseException:
            journal.close()
            raise
        return journal

    def _begin(self, identity: FunctionIdentity) -> None:
        self._connection = opening.connect(self.path, self._codec.name)
        with self._errors():
            self._function = opening.register(self._connection, identity, self.path)
            self._empty = not len(self)

    # Reading ----------------------------------------------------------------------------------------------

    def occurrence(self, key: bytes) -> bytes:
        """The row key of the next item with this key in this run: equal items have a row each.

        Not thread-safe: rows are numbered in the order of the items.
        """
        before = self._met.get(key, 0)
        self._met[key] = before + 1
        return digest(b"%b%d" % (key, before)) if before else key

    def known(self, row_keys: Sequence[bytes]) -> set[bytes]:
        """Those of the row keys for which an earlier run kept a result."""
        found: set[bytes] = set()
        if self._empty:
            return found
        with self._lock, self._errors():
            for start in range(0, len(row_keys), LOOKUP):
                part = row_keys[start : start + LOOKUP]
                marks = ",".join("?" * len(part))
                query = f"SELECT key FROM results WHERE function = ? AND key IN ({marks})"
                found.update(row[0] for row in self._live().execute(query, (self._function, *part)))
        return found

    def load(self, row_key: bytes) -> Any:
        """The result that was kept under a row key.

        Raises:
            JournalError: if there is none, or it cannot be brought back.
        """
        return self.load_some([row_key])[0]

    def load_some(self, row_keys: Sequence[bytes]) -> list[Any]:
        """The results of the first of the row keys, at least of one, up to about a megabyte of them."""
        rows: list[bytes] = []
        size = 0
        with self._lock, self._errors():
            connection = self._live()
            for row_key in row_keys:
                row = connection.execute(_SELECT, (self._function, row_key)).fetchone()
                if row is None:
                    raise JournalError(
                        f"the journal {self.path} has lost a result; was it changed meanwhile?"
                    )
                rows.append(row[0])
                size += len(row[0])
                if size >= LOADED_BYTES:
                    break
        values: list[Any] = []
        for data in rows:
            try:
                values.append(self._decoded(data))
            except JournalError:
                if not values:
                    raise
                break  # it is raised when its turn comes
        return values

    def _decoded(self, data: bytes) -> Any:
        try:
            return self._codec.decode(data)
        except Exception as error:
            raise JournalError(
                f"a result kept in {self.path} does not come back ({type(error).__name__}: {error}); make "
                "importable what it was when it was kept, or give journal= another path to start anew"
            ) from error

    def __len__(self) -> int:
        """How many results of this function are kept."""
        with self._lock, self._errors():
            query = "SELECT count(*) FROM results WHERE function = ?"
            return int(self._live().execute(query, (self._function,)).fetchone()[0])

    # Writing ----------------------------------------------------------------------------------------------

    def keep(self, row_key: bytes, value: Any) -> None:
        """Keep a result; when this returns it survives a kill of the process. Thread-safe.

        Raises:
            JournalError: if it cannot be encoded or written; `value` is the result.
        """
        row = _Row(row_key, self._codec.encode(value))
        self._queue.append(row)
        with self._lock:
            if not row.done:
                self._write_waiting(row)
        if row.error is not None:
            error = opening.translated(row.error, self.path)
            error.value = value
            raise error from row.error

    def _write_waiting(self, own: _Row | None = None) -> None:
        """Write all rows that wait, in one transaction; if that fails, each in its own."""
        rows = [self._queue.popleft() for _ in range(len(self._queue))]
        if own is not None and own not in rows:
            rows.append(own)  # the thread that had taken it was interrupted
        try:
            self._write(rows)
        except Exception as error:
            if len(rows) == 1:
                rows[0].error = error
            else:
                self._write_singly(rows)
        for row in rows:
            row.done = True

    def _write_singly(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            try:
                self._write([row])
            except Exception as error:
                row.error = error

    def _write(self, rows: Iterable[_Row]) -> None:
        connection = self._live()
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, [(self._function, row.key, row.data) for row in rows])
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk may have ended it already
                connection.execute("ROLLBACK")
            raise

    # The end ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Write what waits and let the file go; after that, nothing is left beside it."""
        with self._lock:
            connection, queue = self._connection, self._queue
            if connection is not None:
                try:
                    if queue:
                        self._write_waiting()
                finally:
                    self._connection = None
                    connection.close()  # the last one to close folds the -wal into the file
        claims.release(self)

    def leave(self) -> None:
        """Be closed, in a forked child, without a word to SQLite: the file is the parent's."""
        if self._connection is not None:
            import ctypes

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))  # never freed, hence never closed
            self._connection = None
        self._lock = threading.Lock()
        self._queue.clear()

    def _live(self) -> Connection:
        if self._connection is None:
            raise JournalError(f"the journal {self.path} is closed")
        return self._connection

    def _errors(self) -> AbstractContextManager[None]:
        return opening.translating(self.path)


_SELECT = "SELECT value FROM results WHERE function = ? AND key = ?"
_INSERT = "INSERT OR REPLACE INTO results (function, key, value) VALUES (?, ?, ?)"
