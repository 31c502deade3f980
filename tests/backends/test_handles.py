"""Open handles of the caller in forked workers: connections, datagram sockets, buffers, locks, managers."""

from __future__ import annotations

import fcntl
import http.client
import logging.handlers
import multiprocessing
import os
import select
import socket
import sys
from collections.abc import Callable, Iterator
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pytest

from autoexec.backends.opening import WorkerConfig
from autoexec.backends.processes import messages
from autoexec.backends.processes.payload import load, pack
from autoexec.backends.processes.start import fork_worker
from autoexec.backends.processes.status_page import entries
from autoexec.backends.processes.worker import Worker
from autoexec.worker.invoke import CallSpec

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")

PATIENCE_S = 20.0


class Forked:
    """A forked worker that runs what it is asked to."""

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self.worker: Worker = fork_worker(WorkerConfig(), {1: CallSpec(call, capture=True)}, None)

    def ask(self, item: Any = None) -> Any:
        """What the call returns there, or the error that it raises there."""
        channel = self.worker.seats[0].channel
        channel.send(messages.TASK, pack((1, 0, [item])), 1)
        frame = channel.receive()
        problem, *_ = frame.load()
        assert problem is None, problem
        found = load(next(entries(frame.part(-1))))
        return getattr(found, "error", found)

    def rest(self) -> None:
        """The call is over; what it knows stays. It answers once it rests."""
        self.worker.seats[0].channel.send(messages.REST, pack((1,)))


@pytest.fixture
def forked() -> Iterator[Callable[[Callable[[Any], Any]], Forked]]:
    """Makes workers that are ended after the test."""
    made: list[Forked] = []

    def make(call: Callable[[Any], Any]) -> Forked:
        made.append(Forked(call))
        return made[-1]

    yield make
    for one in made:
        for seat in one.worker.seats:
            seat.leave()


@pytest.fixture(params=["inet", "unix"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """A server that listens; whoever connects waits in its queue."""
    if request.param == "inet":
        made = socket.create_server(("127.0.0.1", 0))
    else:
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(tmp_path / "server"))
        made.listen()
    made.settimeout(PATIENCE_S)
    with made:
        yield made


def _connected(server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection: the client's and the server's."""
    mine = socket.socket(server.family)
    mine.connect(server.getsockname())
    theirs, _ = server.accept()
    theirs.settimeout(PATIENCE_S)
    return mine, theirs


def test_a_connection_of_the_caller_is_at_its_end_in_a_worker(server: socket.socket, forked: Any) -> None:
    """Nothing of what a worker writes reaches the other side, it reads no answer, and the error says why."""
    mine, theirs = _connected(server)
    with mine, theirs:
        theirs.sendall(b"answer")

        def speak(_: Any) -> Any:
            said = mine.recv(6)
            mine.sendall(b"from the worker")
            return said

        def listen(_: Any) -> Any:
            return mine.recv(6)

        error = forked(speak).ask()
        assert isinstance(error, ConnectionError) and "connections do not go along" in error.__notes__[-1]
        assert forked(listen).ask() == b""
        mine.sendall(b"from the caller")
        assert mine.recv(6) == b"answer" and theirs.recv(100) == b"from the caller"


def test_closing_it_there_does_not_disturb_the_caller(server: socket.socket, forked: Any) -> None:
    """Not even a shutdown, which would end the connection for all."""
    mine, theirs = _connected(server)
    with mine, theirs:

        def close(_: Any) -> bool:
            try:
                mine.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            mine.close()
            return True

        assert forked(close).ask() is True
        mine.sendall(b"still there")
        assert theirs.recv(100) == b"still there"


def test_the_callers_socket_stays_as_it_is(server: socket.socket, forked: Any) -> None:
    """A default timeout makes Python change sockets that it looks at; the caller's are the same thing."""
    mine, theirs = _connected(server)
    with mine, theirs:
        before = os.get_blocking(mine.fileno()), os.get_blocking(server.fileno())
        default = socket.getdefaulttimeout()
        socket.setdefaulttimeout(5.0)
        try:
            assert forked(lambda _: socket.getdefaulttimeout()).ask() == 5.0
        finally:
            socket.setdefaulttimeout(default)
        assert (os.get_blocking(mine.fileno()), os.get_blocking(server.fileno())) == before


def test_http_connections_connect_again(forked: Any) -> None:
    """Without an error: the library opens one of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        client = http.client.HTTPConnection("127.0.0.1", server.getsockname()[1])
        client.connect()
        first, _ = server.accept()

        def request(_: Any) -> bool:
            client.request("GET", "/worker")
            return True

        with first:
            assert forked(request).ask() is True
            second, _ = server.accept()
            with second:
                second.settimeout(PATIENCE_S)
                assert second.recv(100).startswith(b"GET /worker")
            client.request("GET", "/caller")
            first.settimeout(PATIENCE_S)
            assert first.recv(100).startswith(b"GET /caller")
        client.close()


def test_log_handlers_with_sockets_keep_working(forked: Any) -> None:
    """Nothing is lost: neither the first record nor one after the worker has rested."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        handler = logging.handlers.SocketHandler("127.0.0.1", server.getsockname()[1])
        log = logging.getLogger("autoexec.tests.handles")
        log.addHandler(handler)
        log.warning("the caller's")
        first, _ = server.accept()
        with first:
            worker = forked(lambda text: log.warning(text))
            worker.ask("the worker's")
            second, _ = server.accept()
            with second:
                second.settimeout(PATIENCE_S)
                assert b"the worker's" in second.recv(10_000)
                worker.rest()
                worker.ask("a later one")
                assert b"a later one" in second.recv(10_000)
            first.settimeout(PATIENCE_S)
            assert b"the worker's" not in first.recv(10_000)
        log.removeHandler(handler)
        handler.close()


@pytest.mark.parametrize("kind", ["inet", "unix"])
def test_datagrams_reach_the_same_peer(kind: str, tmp_path: Path, forked: Any) -> None:
    """Also after the worker has rested; an answer comes to whoever asked."""
    family = socket.AF_INET if kind == "inet" else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_DGRAM) as peer, socket.socket(family, socket.SOCK_DGRAM) as mine:
        peer.settimeout(PATIENCE_S)
        peer.bind(("127.0.0.1", 0) if kind == "inet" else str(tmp_path / "peer"))
        mine.connect(peer.getsockname())
        worker = forked(lambda text: mine.send(text))
        for text in (b"first", b"second"):
            worker.ask(text)
            said, where = peer.recvfrom(100)
            assert said == text
            assert kind == "unix" or where != mine.getsockname()
            worker.rest()


def test_pipes_pairs_and_listeners_work_while_the_call_lasts(forked: Any) -> None:
    """They have no peer with an address: who uses them in a worker means to."""
    reader, writer = os.pipe()
    mine, peer = socket.socketpair()
    ours, theirs = multiprocessing.Pipe()
    with socket.create_server(("127.0.0.1", 0)) as server, mine, peer, ours, theirs:

        def write(_: Any) -> str:
            os.write(writer, b"pipe")
            mine.sendall(b"pair")
            ours.send("multiprocessing")
            with socket.create_connection(server.getsockname()):
                server.accept()[0].close()
            return "done"

        assert forked(write).ask() == "done"
        assert os.read(reader, 100) == b"pipe" and peer.recv(100) == b"pair"
        assert theirs.recv() == "multiprocessing"
    os.close(reader)
    os.close(writer)


def test_connections_of_multiprocessing_stay(forked: Any) -> None:
    """A client of a listener speaks in messages of its own, and may be used in several processes."""
    with connection.Listener(("127.0.0.1", 0)) as listener, socket.socket() as raw:
        raw.connect(listener.address)  # its other side answers only when it is asked to accept
        theirs = listener.accept()
        with connection.Connection(raw.detach()) as mine, theirs:
            assert forked(lambda _: mine.send("from a worker")).ask() is None
            assert theirs.poll(PATIENCE_S) and theirs.recv() == "from a worker"


def test_a_worker_at_rest_writes_nowhere_in_silence(forked: Any) -> None:
    """What was a pipe of the caller's is an error there, rather than a place where things vanish."""
    reader, writer = os.pipe()
    worker = forked(lambda _: os.write(writer, b"x"))
    assert worker.ask() == 1
    os.close(writer)
    worker.rest()
    assert isinstance(worker.ask(), BrokenPipeError)
    assert os.read(reader, 100) == b"x" and os.read(reader, 100) == b""  # at its end: the worker let go of it
    os.close(reader)


# Files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w", "wb", "a", "r+", "w+b"])
def test_what_the_caller_had_buffered_is_written_once(mode: str, tmp_path: Path, forked: Any) -> None:
    """A worker that flushes or closes the file has nothing of the caller's to write."""
    path = tmp_path / "file"
    path.touch()
    head, own = ("head\n", "own\n") if "b" not in mode else (b"head\n", b"own\n")
    with open(path, mode) as file:
        file.write(head)

        def write(_: Any) -> bool:
            file.write(own)
            file.close()
            return True

        assert forked(write).ask() is True
        os.lseek(file.fileno(), 0, os.SEEK_END)
    assert path.read_text() == "head\nown\n"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("mode", ["w", "a", "r"])
def test_a_worker_at_rest_holds_no_lock(when: str, mode: str, tmp_path: Path, forked: Any) -> None:
    """Whether the file was locked before the fork or later: it is free when the caller closes it."""
    path = tmp_path / "lock"
    path.touch()
    with open(path, mode) as file:
        if when == "before":
            fcntl.flock(file, fcntl.LOCK_EX)
        worker = forked(lambda item: item)
        worker.ask()
        worker.rest()
        assert worker.ask(5) == 5
        if when == "after":
            fcntl.flock(file, fcntl.LOCK_EX)
    with open(path) as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_files_that_are_written_to_keep_their_common_place(tmp_path: Path, forked: Any) -> None:
    """After a rest, too: a worker's lines follow the caller's, and the other way round."""
    path = tmp_path / "log"
    handler = logging.FileHandler(path, mode="w")
    log = logging.getLogger("autoexec.tests.handles")
    log.addHandler(handler)
    worker = forked(lambda text: log.warning(text))
    worker.ask("1")
    log.warning("2")
    worker.rest()
    worker.ask("3")
    log.warning("4")
    log.removeHandler(handler)
    handler.close()
    assert path.read_text() == "1\n2\n3\n4\n"


# Multiprocessing --------------------------------------------------------------------------------------------


def test_proxies_of_a_manager_connect_anew(forked: Any) -> None:
    """Each process has its own connection, as in multiprocessing's own children."""
    with multiprocessing.Manager() as manager:
        shared: Any = manager.list()

        def connected(item: Any) -> int:
            shared.append(item)
            return os.fstat(shared._tls.connection.fileno()).st_ino

        own = connected("caller")
        assert len({own, *(forked(connected).ask(number) for number in range(2))}) == 3
        assert connected("caller") == own and list(shared) == ["caller", 0, 1, "caller"]


def test_queues_of_multiprocessing_reach_the_caller(forked: Any) -> None:
    """What a worker puts in arrives."""
    queue: Any = multiprocessing.Queue()
    worker = forked(lambda item: queue.put(item))
    for number in range(3):
        assert worker.ask(number) is None
        assert select.select([queue._reader], [], [], PATIENCE_S)[0]
        assert queue.get() == number
    queue.close()
    queue.join_thread()
