"""The caller's open handles in a worker that was forked: which are shared, and what becomes of the others.

A fork copies descriptors, not what they lead to. Two processes that speak on one connection get each other's
answers; two that hold the same buffer of a file write it twice; a file lock lasts until the last copy is
closed. So, before a worker's first item:

- a *connection* (a stream with a peer that has an address) is at its end: libraries that open another one by
  themselves do, the others raise an error, which `explain` speaks to. The caller's own is not touched;
- a *datagram* socket with a peer gets a socket of its own to the same peer;
- what multiprocessing does after a fork is done: proxies of a manager connect anew, queues begin empty;
- files were flushed before the fork.

Everything else works as before while the call lasts: listening sockets, pipes, socket pairs, and the
connections of multiprocessing, whose peers have been told apart by their holders. A worker at rest lets go of
those, too (`Copied.let_go`), and of locks.
"""

from __future__ import annotations

import _socket
import gc
import os
import stat
from collections.abc import Callable, Collection, Iterable

from ...introspect import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Copied", "Held", "explain"]

STREAMS = tuple(getattr(_socket, name, -1) for name in ("SOCK_STREAM", "SOCK_SEQPACKET"))
DATAGRAMS = tuple(getattr(_socket, name, -1) for name in ("AF_INET", "AF_INET6", "AF_UNIX"))
FILES = ("BufferedWriter", "BufferedRandom", "TextIOWrapper")  # that buffer what is written
# Holders that open another connection when they find that they have none: module, class, where it stands.
REOPENING = (
    ("logging.handlers", "SocketHandler", "sock"),
    ("logging.handlers", "SysLogHandler", "socket"),
    ("http.client", "HTTPConnection", "sock"),
)
ENDED = (
    "the caller's connections do not go along into worker processes: open them in the function, "
    "or in initializer="
)
DATABASE = ("OperationalError", "InterfaceError")  # what PEP 249 calls a connection that is lost

Where = tuple[int, int]  # device and inode

_ended: list[int] = []  # descriptors of connections that are at their end here


class Held:
    """What this process has open, as it is just before a fork; made in the caller.

    The objects that hold descriptors are looked for only where there is something to find: that takes some
    tens of milliseconds in a process of a million objects.
    """

    def __init__(self) -> None:
        self._reopening: list[tuple[Any, str]] = []
        self._shared: set[int] = set()  # descriptors of multiprocessing's own connections
        found = _open_descriptors()
        logs = _log_files()
        written = any(
            _is_written(fd) for fd, about in found.items() if not _is_socket(about) and fd not in logs
        )
        connected = any(_peer(fd) is not None for fd, about in found.items() if _is_socket(about))
        for stream in logs.values():
            _flush(stream)
        if written or connected:
            self._look(connected)

    def _look(self, connected: bool) -> None:
        import _io

        files = {vars(_io)[name] for name in FILES}
        holders: dict[type, str] = {}
        for module, name, where in REOPENING if connected else ():
            holders.update(dict.fromkeys(_with_subclasses(module, name), where))
        shared = set(_with_subclasses("multiprocessing.connection", "Connection"))
        kinds = {*files, *holders, *shared}
        for obj in gc.get_objects():
            kind = type(obj)
            if kind not in kinds:
                continue
            if kind in files:
                _flush(obj)
            elif kind in shared:
                self._shared.add(getattr(obj, "_handle", None) or -1)
            else:
                self._reopening.append((obj, holders[kind]))

    def leave(self, own: Collection[int]) -> Copied:
        """In the child: settle what becomes of each handle, but for the worker's own descriptors."""
        copied = Copied(own)
        _as_multiprocessing_does()
        for fd in copied.sockets():
            if fd not in self._shared:
                self._settle(fd, copied)
        for holder, where in self._reopening:
            _reopen(holder, where)
        return copied

    @staticmethod
    def _settle(fd: int, copied: Copied) -> None:
        peer = _peer(fd)
        if peer is None:
            return
        family, kind, address = peer
        if kind not in (*STREAMS, _socket.SOCK_DGRAM):
            return
        if kind in STREAMS:
            _end(fd)
            _ended.append(fd)
        elif family not in DATAGRAMS or not _connect_anew(fd, family, kind, address):
            return
        copied.forget(fd)


class Copied:
    """Descriptors that a fork has copied, and what they led to then.

    Args:
        own: the worker's own, which are not among them.
    """

    def __init__(self, own: Collection[int]) -> None:
        self._found = {fd: about for fd, about in _open_descriptors().items() if fd not in own}

    def sockets(self) -> list[int]:
        """Those that are sockets."""
        return [fd for fd, about in self._found.items() if _is_socket(about)]

    def forget(self, fd: int) -> None:
        """This one is the worker's own from now on."""
        self._found.pop(fd, None)

    def let_go(self) -> None:
        """At rest a worker keeps no connection, pipe or file lock of the caller's.

        What used to be one is at its end from then on: an error for whoever uses it, rather than silence.
        """
        logs = _log_files()
        for fd, before in self._found.items():
            try:
                about = os.fstat(fd)
            except OSError:
                continue
            if _where(about) != _where(before):
                continue
            if _is_socket(about) or stat.S_ISFIFO(about.st_mode):
                _end(fd)
            elif stat.S_ISREG(about.st_mode) and fd not in logs:
                _let_go_of_lock(fd, about.st_size)
        self._found = {}


def explain(error: BaseException) -> None:
    """Say of an error that a connection at its end may have caused what can be done about it."""
    lost = isinstance(error, (ConnectionError, EOFError))
    if _ended and (lost or any(base.__name__ in DATABASE for base in type(error).__mro__)):
        from ...errors import add_note

        add_note(error, f"autoexec: {ENDED}")


# Descriptors ------------------------------------------------------------------------------------------------


def _open_descriptors() -> dict[int, os.stat_result]:
    """What is open, but for the standard streams."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2:
                found[int(name)] = os.fstat(int(name))
        except OSError:
            continue
    return found


def _where(about: os.stat_result) -> Where:
    return about.st_dev, about.st_ino


def _is_socket(about: os.stat_result) -> bool:
    return stat.S_ISSOCK(about.st_mode)


def _is_written(fd: int) -> bool:
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        return False


def _peer(fd: int) -> tuple[int, int, Any] | None:
    """Family, kind and address of what a socket is connected to, if that has an address."""
    default = _socket.getdefaulttimeout()
    _socket.setdefaulttimeout(None)  # else to look at a socket would change what all processes share of it
    try:
        sock = _socket.socket(fileno=fd)
    except OSError:
        return None
    finally:
        _socket.setdefaulttimeout(default)
    try:
        address = sock.getpeername()
        return (sock.family, sock.type, address) if address else None
    except OSError:  # it listens, or is not connected
        return None
    finally:
        sock.detach()


def _end(fd: int) -> None:
    """Let a descriptor lead to the end of a connection: nothing to read, and writing is an error."""
    ours, theirs = _socket.socketpair()
    theirs.close()
    os.dup2(ours.fileno(), fd, inheritable=False)
    ours.close()


def _connect_anew(fd: int, family: int, kind: int, address: Any) -> bool:
    """Give a datagram socket that has a peer a successor of its own."""
    sock = _socket.socket(family, kind)
    try:
        sock.connect(address)
        os.set_blocking(sock.fileno(), os.get_blocking(fd))
        os.dup2(sock.fileno(), fd, inheritable=False)
    except OSError:
        return False
    finally:
        sock.close()
    return True


def _let_go_of_lock(fd: int, size: int) -> None:
    """Let a descriptor of a file be this process's own: locks are the opened file's, and outlast its owner.

    A lock may also come later. Only files that are written to at a place which both share stay as they are.
    """
    import fcntl

    try:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        shares_place = flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_APPEND
        if shares_place and size and not _is_locked(fd):
            return
        place = os.lseek(fd, 0, os.SEEK_CUR)
        keep = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK | getattr(os, "O_DSYNC", 0)
        mine = os.open(f"/proc/self/fd/{fd}", flags & keep | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.lseek(mine, place, os.SEEK_SET)
        os.dup2(mine, fd, inheritable=os.get_inheritable(fd))
    finally:
        os.close(mine)


def _is_locked(fd: int) -> bool:
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
            return b"\nlock:" in file.read()
    except OSError:
        return False


# Holders ----------------------------------------------------------------------------------------------------


def _with_subclasses(module: str, name: str) -> Iterable[type]:
    """A class and those derived from it, if its module is there."""
    first = getattr(loaded(module), name, None)
    found: list[type] = [first] if isinstance(first, type) else []
    for kind in found:
        found += kind.__subclasses__()
    return found


def _log_files() -> dict[int, Any]:
    """The files that log handlers write to: they hold nothing back, and are shared on purpose."""
    logging: Any = loaded("logging")
    found = {}
    for reference in list(getattr(logging, "_handlerList", ())):
        stream: Any = getattr(reference(), "stream", None)
        try:
            found[stream.fileno()] = stream
        except Exception:  # none, closed, or no file
            continue
    return found


def _flush(file: Any) -> None:
    """Write what is buffered, or both processes might."""
    try:
        if not file.closed and file.writable():
            file.flush()
    except Exception:  # its disk is full, say: the caller will hear of it when it writes
        pass


def _reopen(holder: Any, where: str) -> None:
    """Let it find that it has no connection."""
    sock = getattr(holder, where, None)
    try:
        if sock is None or sock.fileno() not in _ended:
            return
        close: Callable[[], object] = sock.close
        if where == "sock" and hasattr(holder, "request"):  # what is left of an answer goes, too
            close = holder.close
        close()
    except Exception:
        pass
    setattr(holder, where, None)


def _as_multiprocessing_does() -> None:
    """What its own children do after a fork; a process that forks otherwise leaves it out."""
    util: Any = loaded("multiprocessing.util")
    run = getattr(util, "_run_after_forkers", None)
    if run is not None:
        run()
