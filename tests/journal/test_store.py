"""The journal's file: what is kept survives, what cannot be used is refused and left alone."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autoexec.errors import JournalError, OptionError
from autoexec.journal import opening
from autoexec.journal.keys import item_key
from autoexec.journal.store import Journal

ROOT = Path(__file__).parents[2]


def double(x: int) -> int:
    """A function to keep results of."""
    return 2 * x


def triple(x: int) -> int:
    """Another one."""
    return 3 * x


def changed() -> Any:
    """A function of the same name as `double`, with other code."""
    namespace: dict[str, Any] = {"__name__": __name__}
    exec("def double(x): return x + x", namespace)
    return namespace["double"]


@contextmanager
def opened(path: Path, func: Any = double, **options: Any) -> Iterator[Journal]:
    """A journal that is closed at the end."""
    journal = Journal.open(path, func, **options)
    try:
        yield journal
    finally:
        journal.close()


def script(text: str, path: Path, *more: object, **options: Any) -> subprocess.Popen[str]:
    """Another process with a journal at `path` in `journal`."""
    head = (
        "import sys\nfrom autoexec.journal.store import Journal\nfrom autoexec.journal.keys import item_key\n"
        "def f(x): return x\njournal = Journal.open(sys.argv[1], f)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + text, path, *map(str, more)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def scripted() -> Any:
    """The function that `script` uses."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(x): return x", namespace)
    return namespace["f"]


def rows_of(journal: Journal, count: int) -> list[bytes]:
    """Row keys of the items 0, 1, ..."""
    return [journal.occurrence(item_key(i)) for i in range(count)]


# Keeping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["pickle", "json"])
def test_kept_results_come_back(tmp_path: Path, codec: str) -> None:
    """In this run and in the next; others are not known."""
    path = tmp_path / "run.sqlite"
    with opened(path, codec=codec) as first:
        rows = rows_of(first, 1200)
        for i, row in enumerate(rows[:-1]):
            first.keep(row, {"n": [i, None]})
        assert len(first) == 1199
    with opened(path, codec=codec) as second:
        assert rows_of(second, 1200) == rows
        assert second.known(rows) == set(rows[:-1])
        assert second.known([]) == second.known(rows[-1:]) == set()
        assert second.load(rows[7]) == {"n": [7, None]}
        assert second.load_some(rows[:3]) == [{"n": [i, None]} for i in range(3)]
        second.keep(rows[7], {"n": "again"})
        assert second.load(rows[7]) == {"n": "again"}
        assert len(second) == 1199
        with pytest.raises(JournalError, match="has lost a result"):
            second.load(rows[-1])


def test_equal_items_have_rows_of_their_own(tmp_path: Path) -> None:
    """The second "a" is another row than the first, and the same one in the next run."""
    seen = []
    for name in "12":
        with opened(tmp_path / name) as journal:
            seen.append([journal.occurrence(item_key(item)) for item in "aabab"])
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 5
    assert {len(row) for row in seen[0]} == {16}


def test_functions_share_a_file_and_no_rows(tmp_path: Path) -> None:
    """Each function sees its own."""
    path = tmp_path / "run.sqlite"
    for func in (double, triple):
        with opened(path, func) as journal:
            (row,) = rows_of(journal, 1)
            assert journal.known([row]) == set()
            journal.keep(row, func.__name__)
            assert len(journal) == 1
    with opened(path, double) as journal:
        assert journal.load(row) == "double"


def test_large_results_come_back_a_few_at_a_time(tmp_path: Path) -> None:
    """`load_some` stops at about a megabyte, and gives at least one."""
    with opened(tmp_path / "run.sqlite") as journal:
        rows = rows_of(journal, 5)
        for row in rows:
            journal.keep(row, bytes(600_000))
        assert len(journal.load_some(rows)) == 2
        journal.keep(rows[0], bytes(3_000_000))
        assert len(journal.load_some(rows)) == 1


def test_a_result_that_does_not_come_back(tmp_path: Path) -> None:
    """The error says which file and what to do; results before it are not held up."""
    with opened(tmp_path / "run.sqlite") as journal:
        rows = rows_of(journal, 3)
        for row in rows:
            journal.keep(row, 1)
        journal._live().execute("UPDATE results SET value = x'00' WHERE key = ?", (rows[1],))
        assert journal.load_some(rows) == [1]
        with pytest.raises(JournalError, match=r"does not come back.*another path"):
            journal.load_some(rows[1:])


def test_many_threads_share_transactions(tmp_path: Path) -> None:
    """Rows that wait while another thread writes are written together, each once."""
    with opened(tmp_path / "run.sqlite") as journal:
        rows = rows_of(journal, 33)
        sizes = []
        write = journal._write

        def counted(batch: list[Any]) -> None:
            sizes.append(len(batch))
            write(batch)

        journal._write = counted  # type: ignore[assignment, method-assign]
        threads = [threading.Thread(target=journal.keep, args=(row, i)) for i, row in enumerate(rows)]
        with journal._lock:
            for thread in threads:
                thread.start()
            while len(journal._queue) < len(rows):
                pass
        for thread in threads:
            thread.join()
        assert sizes == [33]
        assert journal.load_some(rows) == list(range(33))


def test_a_row_that_cannot_be_kept_spoils_no_other(tmp_path: Path) -> None:
    """The one thread has its error with its value, the others' rows are there."""
    with opened(tmp_path / "run.sqlite") as journal:
        rows = rows_of(journal, 6)
        values: list[Any] = [0, threading.Lock(), 2, "x" * 100_000, 4, 5]  # one of no codec, one too long
        journal._live().setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 50_000)
        errors: dict[int, JournalError] = {}

        def keep(i: int) -> None:
            try:
                journal.keep(rows[i], values[i])
            except JournalError as error:
                errors[i] = error

        threads = [threading.Thread(target=keep, args=(i,)) for i in range(6)]
        with journal._lock:
            for thread in threads:
                thread.start()
            while len(journal._queue) < 5:
                pass
        for thread in threads:
            thread.join()
        assert sorted(errors) == [1, 3]
        assert all(errors[i].value is values[i] for i in errors)
        assert len(journal) == 4
        assert journal.load(rows[5]) == 5


def test_an_interrupt_loses_no_other_threads_row(tmp_path: Path) -> None:
    """Ctrl-C in the thread that writes: the rows that it had taken are written by their own threads."""
    with opened(tmp_path / "run.sqlite") as journal:
        rows = rows_of(journal, 2)
        write = journal._write

        def interrupted(batch: list[Any]) -> None:
            journal._write = write  # type: ignore[method-assign]
            raise KeyboardInterrupt

        journal._write = interrupted  # type: ignore[assignment, method-assign]
        other = threading.Thread(target=journal.keep, args=(rows[1], 1))
        with journal._lock:
            other.start()
            while not journal._queue:
                pass
            with pytest.raises(KeyboardInterrupt):
                journal._write_waiting()
        other.join()
        assert journal.load(rows[1]) == 1


# The file ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_the_file_is_private(tmp_path: Path) -> None:
    """Whatever the umask says, also beside the file."""
    old = os.umask(0)
    try:
        with opened(tmp_path / "run.sqlite") as journal:
            journal.keep(rows_of(journal, 1)[0], 1)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(old)
    assert modes == {"run.sqlite": 0o600, "run.sqlite-wal": 0o600}


def test_a_clean_end_leaves_one_file(tmp_path: Path) -> None:
    """Closing folds everything in, and may be done twice; a closed journal says so."""
    with opened(tmp_path / "run.sqlite") as journal:
        rows = rows_of(journal, 2)
        journal.keep(rows[0], 1)
    journal.close()
    assert os.listdir(tmp_path) == ["run.sqlite"]
    for use in (lambda: journal.load(rows[0]), lambda: len(journal)):
        with pytest.raises(JournalError, match="is closed"):
            use()
    with pytest.raises(JournalError, match="is closed") as caught:
        journal.keep(rows[1], "value")
    assert caught.value.value == "value"


def test_an_empty_file_will_do(tmp_path: Path) -> None:
    """A temporary file made by other means becomes a journal."""
    path = tmp_path / "run.sqlite"
    path.touch()
    with opened(path) as journal:
        assert len(journal) == 0


def test_a_forgotten_journal_does_not_block_the_next(tmp_path: Path) -> None:
    """One that was never closed goes with its last reference."""
    path = tmp_path / "run.sqlite"
    Journal.open(path, double)
    gc.collect()
    with opened(path):
        pass


def foreign(path: Path) -> None:
    """Somebody else's database."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()


def ours(path: Path, **options: Any) -> None:
    """A journal with some rows."""
    with opened(path, **options) as journal:
        for i, row in enumerate(rows_of(journal, 100)):
            journal.keep(row, "x" * 300 + str(i))


def newer(path: Path) -> None:
    """A journal from the future."""
    ours(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={opening.VERSION + 1}")
    connection.close()


def cut(path: Path) -> None:
    """A journal without its last pages."""
    ours(path)
    os.truncate(path, path.stat().st_size - 3 * 4096)


def scribbled(path: Path) -> None:
    """A journal with noise in the middle."""
    ours(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda path: path.write_bytes(b"hello, this is text\n" * 100),
            "is not a journal of autoexec.*another path",
        ),
        (lambda path: path.write_bytes(b"x"), "is not a journal of autoexec.*another path"),
        (foreign, "is not a journal of autoexec.*another path"),
        (newer, "newer autoexec.*upgrade"),
        (cut, "damaged.*another path"),
        (scribbled, "damaged.*another path"),
        (lambda path: ours(path, codec="json"), "written with codec='json', not 'pickle'; give codec='json'"),
        (
            lambda path: ours(path, func=changed()),
            "code of .*double is not what it was.*put the old code back",
        ),
    ],
)
def test_what_is_refused_is_left_alone(tmp_path: Path, make: Any, words: str) -> None:
    """Each with what to do next; not a byte is changed, nothing is left beside it, twice in a row."""
    path = tmp_path / "run.sqlite"
    make(path)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalError, match=words):
            Journal.open(path, double)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["run.sqlite"]


def test_places_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No directory, a directory, a pipe, no permission, no path, no codec; nothing is made."""
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path / "no" / "run.sqlite", "directory .*no does not exist; create it"),
        (tmp_path, "is a directory; give the path of a file"),
        (tmp_path / "pipe", "not a regular file"),
    ):
        with pytest.raises(JournalError, match=words):
            Journal.open(path, double)
    for wrong in ("", 3, None):
        with pytest.raises(OptionError, match="journal must be the path"):
            Journal.open(wrong, double)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="codec must be one of"):
        Journal.open(tmp_path / "run.sqlite", double, codec="xml")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # a superuser may write everywhere
    with pytest.raises(JournalError, match="is not writable; give another path"):
        Journal.open(tmp_path / "run.sqlite", double)
    assert os.listdir(tmp_path) == ["pipe"]


# Other processes --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_run_at_a_time(tmp_path: Path) -> None:
    """Neither this process nor another gets a journal that is in use, nor do they disturb it."""
    path = tmp_path / "run.sqlite"
    for first in ("new", "there"):
        process = script("print(len(journal), flush=True); sys.stdin.read()", path, stdin=subprocess.PIPE)
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            for _ in range(2):
                with pytest.raises(JournalError, match="in use by another run; wait until it ends"):
                    Journal.open(path, double)
            process.communicate("")
        assert process.returncode == 0, first
    with opened(path) as journal:
        with pytest.raises(JournalError, match="in use by another run"):
            Journal.open(path, double)
        link = tmp_path / "link"
        link.symlink_to(path)
        with pytest.raises(JournalError, match="in use by another run"):
            Journal.open(link, double)
        refused = script("", path, stderr=subprocess.PIPE)
        assert "in use by another run" in refused.communicate()[1]
        journal.keep(rows_of(journal, 1)[0], 1)
        assert len(journal) == 1


KEEPING = """
import os
from threading import Thread
def work(start):
    for i in range(start, 10**9, int(sys.argv[2])):
        journal.keep(item_key(i), ("result", i))
        os.write(1, b"%d\\n" % i)
for start in range(int(sys.argv[2])):
    Thread(target=work, args=(start,)).start()
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 8])
def test_a_kill_loses_nothing(tmp_path: Path, threads: int) -> None:
    """Every row for which `keep` had returned is there, three kills in a row, and the file is sound."""
    path = tmp_path / "run.sqlite"
    told: set[int] = set()
    for kill in range(1, 4):
        with script(KEEPING, path, threads) as process:
            assert process.stdout is not None
            for _ in range(700 * kill):
                told.add(int(process.stdout.readline()))
            process.send_signal(signal.SIGKILL)
            told |= {int(line) for line in process.stdout.read().split("\n")[:-1]}
        assert (tmp_path / "run.sqlite-wal").exists()
        with opened(path, scripted()) as journal:
            assert journal.known([item_key(i) for i in told]) == {item_key(i) for i in told}
            assert len(told) <= len(journal) <= len(told) + threads * kill
            assert all(journal.load(item_key(i)) == ("result", i) for i in told)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.slow
def test_a_kill_at_the_start_is_no_harm(tmp_path: Path) -> None:
    """Killed after any of the statements that make a file, the next run finds a journal or makes one."""
    text = """
import os, signal, sys
import sqlite3
from autoexec.journal.store import Journal
left = int(sys.argv[2])
class Connection(sqlite3.Connection):
    def execute(self, *args):
        global left
        left -= 1
        if left < 0: os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*args)
    def executescript(self, text):
        for statement in text.split(";"): self.execute(statement)
connect = sqlite3.connect
sqlite3.connect = lambda *args, **options: connect(*args, **options, factory=Connection)
def f(x): return x
Journal.open(sys.argv[1], f).close()
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for statements in range(40):
        path = tmp_path / f"{statements}.sqlite"
        done = subprocess.run([sys.executable, "-c", text, path, str(statements)], env=env, check=False)
        with opened(path, scripted()) as journal:
            assert len(journal) == 0
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert statements > 10


FORKING = """
import os, signal
for i in range(100): journal.keep(item_key(i), i)
if not os.fork():
    try: journal.keep(item_key(0), 0)
    except Exception as error: print(error, flush=True)
    journal.close()
    sys.exit()
os.wait()
for i in range(100, 200): journal.keep(item_key(i), i)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.slow
def test_a_forked_child_takes_nothing_away(tmp_path: Path) -> None:
    """A child that ends in the usual way neither writes to the journal nor removes what the parent writes."""
    path = tmp_path / "run.sqlite"
    assert "is closed" in script(FORKING, path).communicate()[0]
    with opened(path, scripted()) as journal:
        assert len(journal) == 200


# A full disk ------------------------------------------------------------------------------------------------


def test_a_full_disk(tmp_path: Path) -> None:
    """The error holds the result and says what is safe; with room again the same journal goes on."""
    path = tmp_path / "run.sqlite"
    with opened(path) as journal:
        rows = rows_of(journal, 200)
        journal._live().execute("PRAGMA max_page_count=30")

        def fill() -> None:
            for row in rows:
                journal.keep(row, "x" * 1000)

        with pytest.raises(JournalError, match=r"full.*before is safe.*run the same call again") as caught:
            fill()
        assert caught.value.value == "x" * 1000
        kept = len(journal)
        assert 10 < kept < 200
        journal._live().execute("PRAGMA max_page_count=1000000")
        journal.keep(rows[kept], "room")
    with opened(path) as journal:
        assert journal.known(rows) == set(rows[: kept + 1])


FILLING = """
import resource
from autoexec.errors import JournalError
kept = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    while True:
        journal.keep(item_key(kept), "x" * 1000)
        kept += 1
except JournalError as error:
    print(kept, error.value == "x" * 1000, error)
journal.close()
"""


@pytest.mark.skipif(os.name != "posix", reason="resource limits")
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """What the operating system refuses to write ends in the same error, and nothing is lost."""
    path = tmp_path / "run.sqlite"
    said = script(FILLING, path).communicate()[0].split(maxsplit=2)
    assert said[1] == "True"
    assert "what was kept before is safe" in said[2]
    with opened(path, scripted()) as journal:
        assert len(journal) == int(said[0]) > 10
