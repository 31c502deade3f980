"""A server that breaks the rules of HTTP, in a process of its own: one port for each way to break them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from autoexec.demo.service import child_service, leave_with_parent

Behaviour = Callable[[StreamReader, StreamWriter], Coroutine[None, None, None]]

ROOT = Path(__file__).parents[2]
HALF = b"x" * 500
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"


@dataclass(frozen=True)
class Broken:
    """Addresses; what follows them in a URL makes no difference.

    Attributes:
        reset: the connection is reset after the request.
        silent: the request is read, and nothing is ever sent.
        hang: half of the promised body comes, then nothing more, until the client leaves.
        short: half of the promised body comes, then the connection is closed.
        garbage: the answer is not HTTP.
        close: the connection is closed at once.
        refused: nobody listens there.
        tls: HTTPS with a self-signed certificate; empty unless `trustme` is installed.
        unknown: a host that no name server knows.
    """

    reset: str
    silent: str
    hang: str
    short: str
    garbage: str
    close: str
    refused: str
    tls: str
    unknown: str = "http://no-such-host.invalid"


@contextmanager
def broken_service() -> Iterator[Broken]:
    """Serve while the block runs; at its end every connection that still hangs is let go."""
    with child_service("tests.servers.broken", folder=ROOT) as line:
        *plain, tls = line.split()
        addresses = [f"http://127.0.0.1:{port}" for port in plain]
        addresses.append(f"https://127.0.0.1:{tls}" if int(tls) else "")
        yield Broken(*addresses)


async def reset(reader: StreamReader, writer: StreamWriter) -> None:
    """A reset is what closing means when nothing may linger."""
    await _request(reader)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silent(reader: StreamReader, writer: StreamWriter) -> None:
    """Read until the client leaves."""
    await reader.read()


async def hang(reader: StreamReader, writer: StreamWriter) -> None:
    """Half of the body, and then the client's patience decides."""
    await _request(reader)
    writer.write(HEAD % (2 * len(HALF)) + HALF)
    await reader.read()


async def short(reader: StreamReader, writer: StreamWriter) -> None:
    """Half of the body, and good-bye."""
    await _request(reader)
    writer.write(HEAD % (2 * len(HALF)) + HALF)


async def garbage(reader: StreamReader, writer: StreamWriter) -> None:
    """Bytes that begin no answer."""
    await _request(reader)
    writer.write(b"\x16\x03\x00 this is no HTTP \xff\xfe\r\n\r\n")


async def close(reader: StreamReader, writer: StreamWriter) -> None:
    """Nothing is sent; what comes is still read, or the end would be a reset too."""
    writer.write_eof()
    await reader.read()


BEHAVIOURS: dict[str, Behaviour] = {
    "reset": reset,
    "silent": silent,
    "hang": hang,
    "short": short,
    "garbage": garbage,
    "close": close,
}


async def fine(reader: StreamReader, writer: StreamWriter) -> None:
    """A right answer, for clients that get as far as asking."""
    await _request(reader)
    writer.write(HEAD % len(HALF) + HALF)


async def _request(reader: StreamReader) -> None:
    """Read all of the request: bytes left unread would turn any end into a reset."""
    head = await reader.readuntil(b"\r\n\r\n")
    if length := re.search(rb"(?i)\r\nContent-Length: *(\d+)", head):
        await reader.readexactly(int(length[1]))


def _politely(behave: Behaviour) -> Behaviour:
    """The behaviour, with the connection closed at its end and clients that leave early forgiven."""

    async def serve_one(reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await behave(reader, writer)
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    return serve_one


async def serve() -> None:
    """Be the child: serve until the process ends."""
    unheard = socket.socket()  # it is bound and does not listen: who calls is refused
    unheard.bind(("127.0.0.1", 0))
    ports = {"refused": unheard.getsockname()[1], "tls": 0}
    for name, behave in BEHAVIOURS.items():
        ports[name] = await _listen(behave)
    if find_spec("trustme"):
        ports["tls"] = await _listen(fine, _self_signed())
    print(*(ports[field.name] for field in fields(Broken) if field.name in ports), flush=True)
    await asyncio.Event().wait()


servers: list[asyncio.Server] = []  # one that nobody holds on to would be closed


async def _listen(behave: Behaviour, context: ssl.SSLContext | None = None) -> int:
    server = await asyncio.start_server(_politely(behave), "127.0.0.1", 0, backlog=1024, ssl=context)
    servers.append(server)
    port: int = server.sockets[0].getsockname()[1]
    return port


def _self_signed() -> ssl.SSLContext:
    """An authority's own certificate, which nobody else has signed, shown by a server."""
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        authority.cert_pem.write_to_path(certificate)
        authority.private_key_pem.write_to_path(key)
        context.load_cert_chain(certificate, key)
    return context


if __name__ == "__main__":
    leave_with_parent()
    asyncio.run(serve())
