"""From a path to an SQLite connection that only this run uses, or to an error that says what to do.

Whatever is refused is left as it was: an existing file is first looked at read-only and without any lock,
by SQLite itself, since opening and closing a database file by hand would drop this process's locks on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import JournalError, OptionError
from .identity import FunctionIdentity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["VERSION", "connect", "file_of", "in_use", "register", "translated", "translating"]

APPLICATION_ID = 0x61757478  # "autx", in SQLite's header: this file is ours
VERSION = 1  # of the schema
PATIENCE_S = 0.25  # how long to wait for a lock: a run that ends just now lets go of it
CHECKED_BYTES = 256 << 20  # larger files are not read through at the start: that takes a second or more

_SCHEMA = """
CREATE TABLE journal (codec TEXT NOT NULL);
CREATE TABLE functions (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, code TEXT, source TEXT);
CREATE TABLE results (function INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL);
CREATE UNIQUE INDEX results_by_key ON results (function, key);
"""
# SQLite's primary result codes.
_BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT = 5, 6, 8, 10, 11
_FULL, _CANTOPEN, _PROTOCOL, _NOTADB = 13, 14, 15, 26


def file_of(path: object) -> str:
    """The absolute path of a journal that may be opened there, as far as the file system tells.

    Raises:
        OptionError: if `path` is no path.
        JournalError: if there is no such directory, it is one, or it may not be written.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise OptionError(f"journal must be the path of a file, not {path!r}")
    file = os.path.realpath(os.fsdecode(path))
    folder = os.path.dirname(file)
    if os.path.isdir(file):
        raise JournalError(f"the journal {file} is a directory; give the path of a file in it")
    if not os.path.isdir(folder):
        raise JournalError(
            f"the journal's directory {folder} does not exist; create it, or give another path"
        )
    if os.path.exists(file) and not os.path.isfile(file):
        raise JournalError(f"the journal {file} is not a regular file; give the path of one")
    for place in (folder, file):
        if os.path.exists(place) and not os.access(place, os.W_OK):
            raise JournalError(f"the journal cannot be used: {place} is not writable; give another path")
    return file


def connect(file: str, codec: str) -> Connection:
    """Open the journal for this run alone; make it, for its owner's eyes only, if there is none.

    Raises:
        JournalError: if another run has it, it is not ours, of a newer version, damaged, or of another codec.
    """
    import sqlite3

    with translating(file):
        if not _made(file) and os.path.getsize(file):
            _inspect(file)
        uri = f"{_uri(file)}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection, file, codec)
        except BaseException:
            connection.close()
            raise
    return connection


def _uri(file: str) -> str:
    from pathlib import Path

    return Path(file).as_uri()


def _made(file: str) -> bool:
    """Whether the file was not there and is now, empty and private."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return False
    return True


def _inspect(file: str) -> None:
    """Look at a file's header without touching the file."""
    import sqlite3

    connection = sqlite3.connect(f"{_uri(file)}?mode=ro&immutable=1", uri=True)
    try:
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    finally:
        connection.close()
    if owner != APPLICATION_ID:
        raise JournalError(
            f"{file} is not a journal of autoexec and was left as it is; give journal= another path"
        )
    if version > VERSION:
        raise JournalError(
            f"the journal {file} was written by a newer autoexec (format {version}, this one knows "
            f"{VERSION}); upgrade autoexec, or give journal= another path"
        )


def _prepare(connection: Connection, file: str, codec: str) -> None:
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # before the first access: then no -shm is made
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        # Not in WAL mode yet: the header that `_inspect` reads must be in the file itself.
        marks = f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION};"
        first = f"INSERT INTO journal VALUES ('{codec}');"
        connection.executescript(f"BEGIN IMMEDIATE; {marks} {_SCHEMA} {first} COMMIT")
    if os.path.getsize(file) <= CHECKED_BYTES:
        _check(connection, file)
    (known,) = connection.execute("SELECT codec FROM journal").fetchone()
    if known != codec:
        raise JournalError(
            f"the journal {file} was written with codec={known!r}, not {codec!r}; give codec={known!r}, or "
            "journal= another path"
        )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _check(connection: Connection, file: str) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise JournalError(_damaged(file, " ".join(verdict.split())))


def register(connection: Connection, identity: FunctionIdentity, file: str) -> int:
    """The number of a function's rows in this journal.

    Raises:
        JournalError: if rows are there of a function of this name with other code.
    """
    row = connection.execute(
        "SELECT id, name, code, source FROM functions WHERE name = ?", (identity.name,)
    ).fetchone()
    if row is None:
        cursor = connection.execute(
            "INSERT INTO functions (name, code, source) VALUES (?, ?, ?)",
            (identity.name, identity.code, identity.source),
        )
        return int(cursor.lastrowid or 0)
    if identity.changed(FunctionIdentity(*row[1:])):
        raise JournalError(
            f"the code of {identity.name} is not what it was when its results were kept in {file}; give "
            "journal= another path to call every item with the new code, or put the old code back to go on. "
            "Nothing in the file was changed"
        )
    return int(row[0])


@contextmanager
def translating(file: str) -> Iterator[None]:
    """Errors of SQLite and of the operating system come out as `JournalError`."""
    import sqlite3

    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise translated(error, file) from error


def in_use(file: str) -> JournalError:
    """The error for a journal that another run has."""
    return JournalError(
        f"the journal {file} is in use by another run; wait until it ends, or give journal= another path"
    )


def translated(error: Exception, file: str) -> JournalError:
    """What an error of SQLite or of the operating system means for a journal, and what to do."""
    if isinstance(error, JournalError):
        return JournalError(*error.args)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (_BUSY, _LOCKED, _PROTOCOL):
        return in_use(file)
    if code == _NOTADB:
        return JournalError(
            f"{file} is not a journal of autoexec and was left as it is; give journal= another path"
        )
    if code == _CORRUPT:
        return JournalError(_damaged(file, str(error)))
    if code in (_FULL, _IOERR):
        return JournalError(
            f"the journal {file} cannot be written ({error}): what was kept before is safe in it; make room "
            "on the disk and run the same call again, which goes on from there"
        )
    if code in (_READONLY, _CANTOPEN) or isinstance(error, OSError):
        return JournalError(f"the journal {file} cannot be opened for writing ({error}); give another path")
    return JournalError(f"the journal {file} cannot be used: {error}")


def _damaged(file: str, what: str) -> str:
    return (
        f"the journal {file} is damaged ({what}); nothing in it was changed. Try the command "
        "`sqlite3 FILE .recover` on a copy of it, or give journal= another path to start anew"
    )
