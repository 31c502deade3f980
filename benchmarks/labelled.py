"""Real functions with inputs, to ask a classifier what they are.

Every function takes one item, and one call lasts between 0.2 and 100 ms. What each one *is* (waiting, holding
the GIL, releasing it, already parallel, ...) is not written here: `classes.py measure` finds it by running
them, and keeps it in `labels.json`.

    entry = CASES["sort_floats"]
    func, items = entry.make()

Libraries are imported inside the functions, so that a fresh process pays only for the one it asks about. The
network functions talk to a small server on loopback, started on first use unless `LABELLED_SERVICE` names one
that runs.
"""

# Most of these libraries ship no types.
# mypy: disable-error-code="import-untyped, no-untyped-call, no-any-return"

from __future__ import annotations

import functools
import itertools
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CASES", "Labelled", "serve", "service"]

Func = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A function to classify: `make()` returns it with a list of items."""

    name: str
    make: Callable[[], tuple[Func, list[Any]]]


CASES: dict[str, Labelled] = {}


def case(inputs: Callable[[], Iterable[Any]], count: int = 200) -> Callable[[Func], Func]:
    """Register a function; its items are the `inputs`, repeated up to `count`."""

    def register(func: Func) -> Func:
        def make() -> tuple[Func, list[Any]]:
            return func, list(itertools.islice(itertools.cycle(inputs()), count))

        CASES[func.__name__] = Labelled(func.__name__, make)
        return func

    return register


# ------------------------------------------------------------------ inputs


def arrays(*shape: int, copies: int = 6, dtype: str = "float64") -> list[Any]:
    """Random arrays of one shape."""
    import numpy as np

    rng = np.random.default_rng(7)
    return [rng.random(shape).astype(dtype) for _ in range(copies)]


def ints(*shape: int, high: int = 1000, copies: int = 6) -> list[Any]:
    """Random integer arrays of one shape."""
    import numpy as np

    rng = np.random.default_rng(7)
    return [rng.integers(0, high, shape) for _ in range(copies)]


def floats(length: int, copies: int = 6) -> list[list[float]]:
    """Lists of random floats."""
    rng = random.Random(7)
    return [[rng.random() for _ in range(length)] for _ in range(copies)]


def words(length: int, copies: int = 6) -> list[list[str]]:
    """Lists of made-up words."""
    rng = random.Random(7)
    letters = "abcdefghijklmnoprstuvw"
    return [
        ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(length)] for _ in range(copies)
    ]


def texts(length: int, copies: int = 6) -> list[str]:
    """Texts of made-up words, `length` words each."""
    return [" ".join(chosen) for chosen in words(length, copies)]


def blobs(size: int, copies: int = 6) -> list[bytes]:
    """Bytes that compress to about a half."""
    rng = random.Random(7)
    return [
        bytes(rng.choices(range(64), k=size // 8)) * 2 + rng.randbytes(size * 3 // 4) for _ in range(copies)
    ]


def records(length: int, copies: int = 6) -> list[list[dict[str, Any]]]:
    """Lists of small dictionaries, such as an API answers with."""
    rng = random.Random(7)
    return [
        [{"id": i, "name": f"item {i}", "price": rng.random(), "tags": ["a", "b"]} for i in range(length)]
        for _ in range(copies)
    ]


def jsons(length: int) -> list[str]:
    """`records` as JSON texts."""
    import json

    return [json.dumps(chosen) for chosen in records(length)]


def frames(length: int, copies: int = 4) -> list[Any]:
    """Data frames with a key, a text and two numbers."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(7)
    names = np.array([f"Name{i:03d}" for i in range(300)], dtype=object)
    return [
        pd.DataFrame(
            {
                "key": rng.integers(0, 200, length),
                "name": names[rng.integers(0, 300, length)],
                "x": rng.random(length),
                "y": rng.random(length),
            }
        )
        for _ in range(copies)
    ]


def images(side: int, copies: int = 4) -> list[Any]:
    """Pictures with some structure: smooth noise, 8 bit, RGB."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(7)
    small = [rng.integers(0, 255, (side // 16, side // 16, 3)).astype("uint8") for _ in range(copies)]
    return [Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC) for pixels in small]


def encoded(side: int, kind: str) -> list[bytes]:
    """`images` as the bytes of a file."""
    import io

    found = []
    for image in images(side):
        file = io.BytesIO()
        image.save(file, kind)
        found.append(file.getvalue())
    return found


def cells(side: int) -> list[Any]:
    """Blurred blobs on noise, like a fluorescence image."""
    import numpy as np
    from scipy import ndimage

    rng = np.random.default_rng(7)
    found = []
    for _ in range(4):
        points = (rng.random((side, side)) > 0.999).astype(float)
        found.append(ndimage.gaussian_filter(points, 3) * 50 + rng.random((side, side)) * 0.1)
    return found


@functools.cache
def folder() -> Path:
    """A temporary directory that lives as long as this process."""
    kept.append(tempfile.TemporaryDirectory(prefix="labelled-"))
    return Path(kept[-1].name)


kept: list[tempfile.TemporaryDirectory[str]] = []


def files(size: int, copies: int = 6) -> list[str]:
    """Paths of files with random bytes."""
    paths = [folder() / f"{size}-{i}.bin" for i in range(copies)]
    for path, data in zip(paths, blobs(size, copies), strict=True):
        path.write_bytes(data)
    return [str(path) for path in paths]


def text_files(length: int) -> list[str]:
    """Paths of comma-separated tables with `length` rows."""
    paths = []
    for i, rows in enumerate(floats(length * 3, copies=4)):
        paths.append(folder() / f"table-{length}-{i}.csv")
        lines = (",".join(map(str, rows[j : j + 3])) for j in range(0, len(rows), 3))
        paths[-1].write_text("a,b,c\n" + "\n".join(lines))
    return list(map(str, paths))


def trees() -> list[str]:
    """A directory with a few hundred files in it."""
    root = folder() / "tree"
    for i in range(40):
        (root / str(i)).mkdir(parents=True, exist_ok=True)
        for j in range(40):
            (root / str(i) / f"{j}.txt").write_text("x")
    return [str(root)]


def databases(length: int) -> list[str]:
    """Paths of SQLite databases with one table of `length` rows."""
    import sqlite3

    path = folder() / f"table-{length}.db"
    rng = random.Random(7)
    connection = sqlite3.connect(path)
    connection.execute("create table if not exists sale (shop integer, name text, price real)")
    rows = ((rng.randrange(100), f"name {rng.randrange(500)}", rng.random()) for _ in range(length))
    connection.executemany("insert into sale values (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return [str(path)]


# ------------------------------------------------------------------ service


def serve() -> None:
    """Answer `/milliseconds/records` with JSON after that delay, until standard input ends."""
    import json
    import sys
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            _, milliseconds, length = self.path.split("/")
            time.sleep(float(milliseconds) / 1000)
            body = json.dumps(records(int(length), copies=1)[0]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    server.shutdown()


@functools.cache
def service() -> str:
    """Address of the loopback server; a child process of ours unless the environment names another."""
    import subprocess
    import sys

    if running := os.environ.get("LABELLED_SERVICE"):
        return running
    command = [sys.executable, str(Path(__file__)), "serve"]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)  # its input ends when we do
    assert child.stdout is not None
    servers.append(child)
    return f"127.0.0.1:{int(child.stdout.readline())}"


servers: list[Any] = []


def pages(milliseconds: float, length: int) -> list[str]:
    """URLs that answer after a delay with `length` records."""
    return [f"http://{service()}/{milliseconds}/{length}"]


# ------------------------------------------------------------------ pure Python


@case(lambda: range(900, 940))
def collatz(limit: int) -> int:
    """Longest Collatz chain below a number."""
    best = 0
    for start in range(1, limit):
        n, steps = start, 0
        while n != 1:
            n = n // 2 if n % 2 == 0 else 3 * n + 1
            steps += 1
        best = max(best, steps)
    return best


@case(lambda: [22, 23, 24])
def fibonacci(n: int) -> int:
    """Fibonacci numbers the slow way."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@case(lambda: range(20_000, 20_040))
def count_primes(limit: int) -> int:
    """Primes by trial division."""
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, limit // 10))


@case(lambda: [7])
def n_queens(size: int) -> int:
    """All placements of queens on a board."""
    boards = itertools.permutations(range(size))
    return sum(
        len({b[i] + i for i in range(size)}) == len({b[i] - i for i in range(size)}) == size for b in boards
    )


@case(lambda: [x / 40 for x in range(-60, 20)])
def mandelbrot_row(real: float) -> int:
    """One row of the Mandelbrot set."""
    inside = 0
    for step in range(5000):
        z, c = 0j, complex(real, step / 5000)
        for _ in range(60):
            z = z * z + c
            if abs(z) > 2:
                break
        else:
            inside += 1
    return inside


@case(lambda: [(a[:120], b[:120]) for a, b in itertools.pairwise(texts(60))])
def levenshtein(pair: tuple[str, str]) -> int:
    """Edit distance of two texts."""
    a, b = pair
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


@case(lambda: range(500), count=4000)
def digits_small(n: int) -> int:
    """A fraction of a millisecond of plain arithmetic."""
    return sum(int(d) for i in range(1200) for d in str(n * i))


@case(lambda: range(8), count=60)
def long_loop(seed: int) -> int:
    """About a tenth of a second of plain arithmetic."""
    x = seed
    for _ in range(1_200_000):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
    return x


@case(lambda: texts(30_000))
def word_count(text: str) -> int:
    """Count words of a text."""
    from collections import Counter

    return len(Counter(word.strip(".,") for word in text.split()))


@case(lambda: [1500])
def walk_dates(days: int) -> int:
    """Parse and format dates."""
    from datetime import datetime, timedelta

    start = datetime(2024, 1, 1)
    made = ((start + timedelta(days=i)).strftime("%Y-%m-%d %H:%M") for i in range(days))
    return sum(datetime.strptime(text, "%Y-%m-%d %H:%M").day for text in made)


@case(lambda: words(3000))
def close_matches(chosen: list[str]) -> list[str]:
    """Fuzzy search with difflib."""
    import difflib

    return difflib.get_close_matches(chosen[0], chosen)


@case(lambda: ["<ul>" + "".join(f"<li class='a'>{w}</li>" for w in ws) + "</ul>" for ws in words(1000)])
def parse_html(text: str) -> int:
    """Walk a page with the standard library's parser."""
    from html.parser import HTMLParser

    class Counter(HTMLParser):
        seen = 0

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.seen += 1

    parser = Counter()
    parser.feed(text)
    return parser.seen


@case(lambda: records(2000))
def copy_deep(value: Any) -> Any:
    """Deep copy of nested data."""
    import copy

    return copy.deepcopy(value)


@case(lambda: texts(8000))
def wrap_text(text: str) -> str:
    """Fill paragraphs."""
    import textwrap

    return textwrap.fill(text, 60)


@case(lambda: [3000])
def parse_urls(count: int) -> int:
    """Split addresses into parts."""
    from urllib.parse import parse_qs, urlsplit

    found = (urlsplit(f"https://host{i}.example/path?q={i}&r=2#top") for i in range(count))
    return sum(len(parse_qs(parts.query)) for parts in found)


# ------------------------------------------------------------------ C code of the stdlib


@case(lambda: floats(60_000))
def sort_floats(values: list[float]) -> list[float]:
    """`sorted` of one long list."""
    return sorted(values)


@case(lambda: words(20_000))
def sort_by_key(values: list[str]) -> list[str]:
    """`sorted` with a key function in C."""
    return sorted(values, key=str.upper)


@case(lambda: jsons(8000))
def json_loads(text: str) -> Any:
    """Parse JSON."""
    import json

    return json.loads(text)


@case(lambda: records(3000))
def json_dumps(value: Any) -> str:
    """Write JSON."""
    import json

    return json.dumps(value)


@case(lambda: jsons(60), count=3000)
def json_small(text: str) -> Any:
    """Parse a small JSON text: a fraction of a millisecond."""
    import json

    return [json.loads(text) for _ in range(3)]


@case(lambda: texts(40_000))
def regex_findall(text: str) -> int:
    """Find all matches of a pattern."""
    import re

    return len(re.findall(r"\b[a-m]+[n-z]*\b", text))


@case(lambda: texts(20_000))
def regex_sub(text: str) -> str:
    """Replace all matches of a pattern."""
    import re

    return re.sub(r"(\w+) (\w+)", r"\2 \1", text)


@case(lambda: [f"{'a' * n}!" for n in (18, 19)])
def regex_backtrack(text: str) -> bool:
    """One long call into the regular expression engine."""
    import re

    return re.match(r"(a+)+$", text) is None


@case(lambda: ["\n".join(",".join(map(str, range(i, i + 8))) for i in range(8000))])
def csv_rows(text: str) -> int:
    """Read comma-separated rows."""
    import csv
    import io

    return sum(len(row) for row in csv.reader(io.StringIO(text)))


@case(lambda: blobs(800_000))
def struct_unpack(data: bytes) -> int:
    """Unpack binary records."""
    import struct

    return sum(a for a, _, _ in struct.iter_unpack("<HIH", data[:400_000]))


@case(lambda: floats(8000))
def statistics_summary(values: list[float]) -> tuple[float, float, float]:
    """Mean, median and deviation by the standard library."""
    import statistics

    return statistics.fmean(values), statistics.median(values), statistics.stdev(values)


@case(lambda: [400, 500])
def decimal_root(digits: int) -> Any:
    """Square roots and logarithms in decimal arithmetic."""
    import decimal

    with decimal.localcontext() as context:
        context.prec = digits
        return sum(decimal.Decimal(n).sqrt() + decimal.Decimal(n).ln() for n in range(2, 10))


@case(lambda: [1500, 1600])
def fraction_sum(terms: int) -> Any:
    """Harmonic numbers as exact fractions."""
    from fractions import Fraction

    return sum(Fraction(1, n) for n in range(1, terms))


@case(lambda: [random.Random(i).getrandbits(2048) | 1 for i in range(20)])
def bigint_pow(n: int) -> int:
    """Modular power of a long integer, one call."""
    return pow(3, n - 1, n)


@case(lambda: [random.Random(i).getrandbits(400_000) for i in range(6)])
def bigint_multiply(n: int) -> int:
    """Product of long integers, one call."""
    return n * (n + 1)


@case(lambda: [19000, 20000])
def factorial_big(n: int) -> int:
    """Factorial of a large number."""
    import math

    return math.factorial(n)


@case(
    lambda: [
        "<a>" + "".join(f"<b i='{i}'>{w}</b>" for i, w in enumerate(ws)) + "</a>" for ws in words(10_000)
    ]
)
def parse_xml(text: str) -> int:
    """Parse XML with expat."""
    from xml.etree import ElementTree

    return len(ElementTree.fromstring(text))


@case(lambda: [Path(os.__file__).read_text()[:36_000]])
def parse_python(text: str) -> Any:
    """Parse Python source into a tree."""
    import ast

    return ast.parse(text[: text.rindex("\ndef ")])


@case(lambda: records(9000))
def pickle_round(value: Any) -> Any:
    """Pickle and load nested data."""
    import pickle

    return pickle.loads(pickle.dumps(value))


@case(lambda: blobs(6_000_000))
def base64_encode(data: bytes) -> bytes:
    """Encode bytes as base 64: long C calls that keep the GIL."""
    import base64

    return base64.b64encode(data)


@case(lambda: texts(400_000, copies=2))
def text_replace(text: str) -> int:
    """Search and replace in a long text."""
    return len(text.replace("ab", "xyz").upper())


@case(lambda: [" ".join(ws).replace("e", "é") for ws in words(60_000, copies=3)])
def unicode_normalize(text: str) -> str:
    """Unicode normal form, one long C call."""
    import unicodedata

    return unicodedata.normalize("NFD", text)


@case(lambda: [set(map(str, chosen)) for chosen in floats(60_000)])
def set_algebra(values: set[str]) -> int:
    """Union and difference of large sets."""
    other = {value + "0" for value in values}
    return len(values | other) - len(values & other)


@case(lambda: [9])
def permute(size: int) -> int:
    """Exhaust an iterator of itertools in C."""
    return sum(map(len, itertools.permutations(range(size))))


@case(lambda: [[sorted(part) for part in floats(10_000)]])
def merge_heaps(parts: list[list[float]]) -> float:
    """Merge sorted lists with heapq."""
    import heapq

    return sum(heapq.merge(*parts))


# ------------------------------------------------------------------ hashing, compression


@case(lambda: blobs(8_000_000, copies=3))
def hash_sha256(data: bytes) -> str:
    """SHA-256 of a long buffer."""
    import hashlib

    return hashlib.sha256(data).hexdigest()


@case(lambda: blobs(8_000_000, copies=3))
def hash_blake2b(data: bytes) -> str:
    """BLAKE2b of a long buffer."""
    import hashlib

    return hashlib.blake2b(data).hexdigest()


@case(lambda: blobs(8_000_000, copies=3))
def hash_md5(data: bytes) -> str:
    """MD5 of a long buffer."""
    import hashlib

    return hashlib.md5(data).hexdigest()


@case(lambda: [os.urandom(64) for _ in range(8)])
def hash_many_small(data: bytes) -> str:
    """Thousands of short hashes: the GIL stays held."""
    import hashlib

    for _ in range(8000):
        data = hashlib.sha256(data).digest()
    return data.hex()


@case(lambda: [b"secret %d" % i for i in range(8)])
def hash_password(password: bytes) -> bytes:
    """PBKDF2, as for passwords."""
    import hashlib

    return hashlib.pbkdf2_hmac("sha256", password, b"salt", 30_000)


@case(lambda: [b"secret %d" % i for i in range(8)])
def hash_scrypt(password: bytes) -> bytes:
    """Scrypt, as for passwords."""
    import hashlib

    return hashlib.scrypt(password, salt=b"salt", n=4096, r=8, p=1)


@case(lambda: blobs(20_000_000, copies=2))
def checksum_crc32(data: bytes) -> int:
    """CRC-32 of a long buffer."""
    import zlib

    return zlib.crc32(data)


@case(lambda: blobs(600_000))
def zlib_compress(data: bytes) -> bytes:
    """Deflate."""
    import zlib

    return zlib.compress(data)


@case(lambda: [__import__("zlib").compress(data) for data in blobs(4_000_000, copies=3)])
def zlib_decompress(data: bytes) -> bytes:
    """Inflate."""
    import zlib

    return zlib.decompress(data)


@case(lambda: blobs(300_000))
def gzip_compress(data: bytes) -> bytes:
    """Compress as a gzip file."""
    import gzip

    return gzip.compress(data, 6)


@case(lambda: blobs(150_000))
def bz2_compress(data: bytes) -> bytes:
    """Burrows-Wheeler compression."""
    import bz2

    return bz2.compress(data)


@case(lambda: blobs(100_000))
def lzma_compress(data: bytes) -> bytes:
    """LZMA compression."""
    import lzma

    return lzma.compress(data)


@case(lambda: [__import__("lzma").compress(data) for data in blobs(200_000)])
def lzma_decompress(data: bytes) -> bytes:
    """LZMA decompression."""
    import lzma

    return lzma.decompress(data)


@case(lambda: blobs(24_000), count=3000)
def zlib_small(data: bytes) -> int:
    """A fraction of a millisecond of deflate."""
    import zlib

    return len(zlib.compress(data))


# ------------------------------------------------------------------ files, databases


@case(lambda: files(30_000_000, copies=3))
def read_file(path: str) -> int:
    """Read a cached file at once."""
    with open(path, "rb") as file:
        return len(file.read())


@case(lambda: text_files(8000))
def read_lines(path: str) -> float:
    """Read a text file line by line."""
    with open(path) as file:
        next(file)
        return sum(float(line.split(",")[1]) for line in file)


@case(lambda: files(4_000_000))
def copy_file(path: str) -> int:
    """Copy a file."""
    import shutil

    with tempfile.NamedTemporaryFile() as target:
        shutil.copyfile(path, target.name)
        return os.path.getsize(target.name)


@case(lambda: blobs(200_000))
def write_synced(data: bytes) -> int:
    """Write a file and wait for the disk."""
    with tempfile.TemporaryFile() as file:
        for _ in range(6):
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return file.tell()


@case(trees)
def walk_tree(root: str) -> int:
    """Walk a directory and ask for the size of each file."""
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(root) for name in names)


@case(trees)
def glob_tree(root: str) -> int:
    """Find files by pattern."""
    return sum(1 for _ in Path(root).rglob("*5.txt"))


@case(lambda: files(6_000_000))
def hash_file(path: str) -> str:
    """Read a file in pieces and hash it."""
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest() if hasattr(hashlib, "file_digest") else ""


@case(lambda: databases(60_000))
def sqlite_aggregate(path: str) -> Any:
    """Group and sum a table in one query."""
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        return connection.execute("select shop, sum(price * 2) from sale group by shop").fetchall()
    finally:
        connection.close()


@case(lambda: databases(20_000))
def sqlite_fetch(path: str) -> int:
    """Fetch all rows of a table."""
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        return len(connection.execute("select * from sale").fetchall())
    finally:
        connection.close()


@case(lambda: databases(10_000))
def sqlite_callback(path: str) -> Any:
    """A query that calls a Python function for every row."""
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        connection.create_function(
            "grade", 1, lambda price: int(price * 10) if price > 0.5 else len(str(price))
        )
        return connection.execute("select sum(grade(price)) from sale").fetchone()
    finally:
        connection.close()


# ------------------------------------------------------------------ waiting


@case(lambda: [0.005])
def sleep_short(seconds: float) -> None:
    """Sleep 5 ms."""
    time.sleep(seconds)


@case(lambda: [0.1], count=60)
def sleep_long(seconds: float) -> None:
    """Sleep 100 ms."""
    time.sleep(seconds)


@case(lambda: [random.Random(i).uniform(0.004, 0.04) for i in range(40)])
def sleep_jitter(seconds: float) -> None:
    """Sleep for a varying time."""
    time.sleep(seconds)


@case(lambda: [0.02])
def wait_event(seconds: float) -> bool:
    """Wait for an event that does not come."""
    import threading

    return threading.Event().wait(seconds)


@case(lambda: [0.015])
def wait_select(seconds: float) -> int:
    """Wait for a socket that stays silent."""
    import select
    import socket

    left, right = socket.socketpair()
    with left, right:
        return len(select.select([left], [], [], seconds)[0])


@case(lambda: [0.02])
def asyncio_sleep(seconds: float) -> None:
    """A coroutine that sleeps, in a loop of its own."""
    import asyncio

    asyncio.run(asyncio.sleep(seconds))


@case(lambda: pages(20, 10))
def urllib_get(url: str) -> int:
    """Fetch a page with the standard library."""
    from urllib.request import urlopen

    with urlopen(url) as answer:
        return len(answer.read())


@case(lambda: pages(30, 10))
def requests_get(url: str) -> int:
    """Fetch a page with requests."""
    import requests

    return len(requests.get(url, timeout=10).json())


@case(lambda: pages(60, 50))
def requests_slow(url: str) -> int:
    """Fetch a slow page with requests."""
    import requests

    return len(requests.get(url, timeout=10).json())


@case(lambda: [service()])
def socket_fetch(address: str) -> int:
    """Ask over a bare socket."""
    import socket

    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as link:
        link.sendall(b"GET /10/5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return sum(len(part) for part in iter(lambda: link.recv(65536), b""))


@case(lambda: [service()])
def http_client_burst(address: str) -> int:
    """Three requests over one connection."""
    from http.client import HTTPConnection

    connection = HTTPConnection(address)
    total = 0
    for _ in range(3):
        connection.request("GET", "/8/5")
        total += len(connection.getresponse().read())
    connection.close()
    return total


# ------------------------------------------------------------------ child processes


@case(lambda: range(8), count=60)
def run_python(number: int) -> bytes:
    """Start another Python."""
    import subprocess
    import sys

    command = [sys.executable, "-I", "-S", "-c", f"print(sum(range({number} + 300_000)))"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


@case(lambda: files(600_000))
def run_gzip(path: str) -> int:
    """Compress a file with a command."""
    import subprocess

    return len(subprocess.run(["gzip", "-c", path], stdout=subprocess.PIPE, check=True).stdout)


@case(lambda: text_files(6000))
def run_sort(path: str) -> int:
    """Sort a file with a command."""
    import subprocess

    return len(subprocess.run(["sort", "-n", path], stdout=subprocess.PIPE, check=True).stdout)


@case(lambda: [8000])
def run_shell(count: int) -> str:
    """Let a shell count."""
    return os.popen(f"bash -c 'for ((i=0; i<{count}; i++)); do :; done; echo $i'").read()


@case(lambda: ["0.03"])
def run_sleep(seconds: str) -> int:
    """Wait for a command that sleeps."""
    import subprocess

    return subprocess.run(["sleep", seconds], check=True).returncode


# ------------------------------------------------------------------ mixed


@case(lambda: [16_000])
def sleep_and_loop(count: int) -> int:
    """Sleep, then compute for about as long."""
    time.sleep(0.01)
    return sum(i * i % 7 for i in range(count * 10))


@case(lambda: [20_000])
def sleep_between(count: int) -> int:
    """Short sleeps between short computations."""
    total = 0
    for _ in range(4):
        time.sleep(0.004)
        total += sum(i * i % 7 for i in range(count * 2))
    return total


@case(lambda: arrays(150_000))
def sleep_and_sort(values: Any) -> Any:
    """Sleep, then sort an array without the GIL."""
    import numpy as np

    time.sleep(0.008)
    return np.sort(np.sin(values))


@case(lambda: blobs(10_000_000, copies=2))
def sleep_and_hash(data: bytes) -> str:
    """Sleep, then hash without the GIL."""
    import hashlib

    time.sleep(0.01)
    return hashlib.sha1(data).hexdigest()


@case(lambda: pages(15, 50))
def fetch_and_crunch(url: str) -> int:
    """Fetch a page, then work on it in Python."""
    from urllib.request import urlopen

    with urlopen(url) as answer:
        data = answer.read()
    return sum(byte * byte % 7 for byte in data * 40)


# ------------------------------------------------------------------ numpy


@case(lambda: arrays(300_000))
def np_sort(values: Any) -> Any:
    """Sort an array."""
    import numpy as np

    return np.sort(values)


@case(lambda: arrays(100_000))
def np_argsort(values: Any) -> Any:
    """Order of an array."""
    import numpy as np

    return np.argsort(values, kind="stable")


@case(lambda: arrays(1_000_000, copies=3))
def np_trigonometry(values: Any) -> Any:
    """Elementwise functions of an array."""
    import numpy as np

    return np.sin(values) * np.exp(values)


@case(lambda: arrays(30_000), count=3000)
def np_trigonometry_small(values: Any) -> float:
    """A fraction of a millisecond of elementwise work."""
    import numpy as np

    return float(np.tan(np.sin(values) + 1).sum())


@case(lambda: arrays(500_000, copies=3))
def np_fft(values: Any) -> Any:
    """Fourier transform by numpy."""
    import numpy as np

    return np.abs(np.fft.rfft(values))


@case(lambda: arrays(500_000, copies=3))
def np_median(values: Any) -> Any:
    """Percentiles of an array."""
    import numpy as np

    return np.percentile(values, [5, 50, 95])


@case(lambda: ints(200_000))
def np_unique(values: Any) -> int:
    """Distinct values of an array."""
    import numpy as np

    return len(np.unique(values, return_counts=True)[0])


@case(lambda: range(20))
def np_random(seed: int) -> float:
    """Draw normal numbers."""
    import numpy as np

    return float(np.random.default_rng(seed).normal(size=1_000_000).mean())


@case(lambda: arrays(60, 60))
def np_svd_small(matrix: Any) -> Any:
    """Singular values of a small matrix, many times."""
    import numpy as np

    return [np.linalg.svd(matrix + i, compute_uv=False)[0] for i in range(20)]


@case(lambda: arrays(300_000))
def np_interp(values: Any) -> Any:
    """Linear interpolation."""
    import numpy as np

    knots = np.linspace(0, 1, 1000)
    return np.interp(values, knots, knots**2)


@case(lambda: arrays(400_000))
def np_histogram(values: Any) -> Any:
    """Histogram of an array."""
    import numpy as np

    return np.histogram(values, bins=np.linspace(0, 1, 70) ** 2)[0]


@case(lambda: arrays(3))
def np_tiny_vectors(vector: Any) -> float:
    """Thousands of calls on vectors of three."""
    import numpy as np

    total = vector.copy()
    for _ in range(2000):
        total = np.cross(total, vector) + vector * 0.5
    return float(total.sum())


@case(lambda: arrays(4))
def np_tiny_sums(vector: Any) -> float:
    """Thousands of sums of four numbers."""
    import numpy as np

    return float(sum(np.add(vector, i).sum() for i in range(3000)))


@case(lambda: [values.astype(object) for values in ints(100_000)])
def np_object_sum(values: Any) -> Any:
    """Arithmetic on an array of Python objects."""
    return (values * values + 1).sum()


@case(lambda: [values.astype(object) for values in arrays(15_000)])
def np_object_sort(values: Any) -> Any:
    """Sort an array of Python objects."""
    import numpy as np

    return np.sort(values)


@case(lambda: arrays(30_000))
def np_vectorize(values: Any) -> Any:
    """A Python function over an array."""
    import numpy as np

    return np.vectorize(lambda x: x * 2 if x > 0.5 else -x)(values)


@case(lambda: floats(200_000))
def np_from_list(values: list[float]) -> float:
    """Turn a list into an array and back."""
    import numpy as np

    return sum(np.array(values).tolist()[:10])


@case(lambda: arrays(2000, 200))
def np_apply_rows(matrix: Any) -> Any:
    """A numpy function along each row."""
    import numpy as np

    return np.apply_along_axis(lambda row: row[row > 0.5].mean(), 1, matrix)


@case(lambda: text_files(4000))
def np_loadtxt(path: str) -> float:
    """Read a table of numbers."""
    import numpy as np

    return float(np.loadtxt(path, delimiter=",", skiprows=1).sum())


@case(lambda: arrays(700, 700, copies=3), count=80)
def np_dot(matrix: Any) -> Any:
    """Matrix product by the BLAS, with its own threads."""
    return matrix @ matrix


@case(lambda: arrays(3000, 250, copies=3))
def np_covariance(matrix: Any) -> Any:
    """Covariance of columns."""
    import numpy as np

    return np.cov(matrix, rowvar=False)


@case(lambda: arrays(700, 700, copies=3), count=80)
def np_solve(matrix: Any) -> Any:
    """Solve linear equations by the LAPACK, with its own threads."""
    import numpy as np

    return np.linalg.solve(matrix, matrix.T)


@case(lambda: arrays(500, 500, copies=3), count=80)
def np_inverse(matrix: Any) -> Any:
    """Inverse of a matrix."""
    import numpy as np

    return np.linalg.inv(matrix)


@case(lambda: arrays(300, 300, copies=3), count=80)
def np_eigh(matrix: Any) -> Any:
    """Eigenvalues of a symmetric matrix."""
    import numpy as np

    return np.linalg.eigh(matrix + matrix.T)[0]


@case(lambda: arrays(60, 60))
def np_dot_small(matrix: Any) -> Any:
    """Products of small matrices."""
    total = matrix
    for _ in range(300):
        total = matrix @ total / 30
    return total


# ------------------------------------------------------------------ scipy


@case(lambda: arrays(400, 400))
def ndimage_gaussian(image: Any) -> Any:
    """Blur an image."""
    from scipy import ndimage

    return ndimage.gaussian_filter(image, 4)


@case(lambda: arrays(200, 200))
def ndimage_median(image: Any) -> Any:
    """Median of neighbourhoods."""
    from scipy import ndimage

    return ndimage.median_filter(image, 5)


@case(lambda: arrays(600, 600))
def ndimage_label(image: Any) -> int:
    """Connected components."""
    from scipy import ndimage

    return int(ndimage.label(image > 0.6)[1])


@case(lambda: arrays(200, 200))
def ndimage_zoom(image: Any) -> Any:
    """Enlarge an image with splines."""
    from scipy import ndimage

    return ndimage.zoom(image, 1.7)


@case(lambda: arrays(500, 500))
def ndimage_distance(image: Any) -> Any:
    """Euclidean distance transform."""
    from scipy import ndimage

    return ndimage.distance_transform_edt(image > 0.01)


@case(lambda: arrays(40, 40))
def ndimage_generic(image: Any) -> Any:
    """A Python function on every neighbourhood."""
    from scipy import ndimage

    return ndimage.generic_filter(image, lambda window: window.max() - window.min(), 3)


@case(lambda: arrays(900, 900, copies=3))
def scipy_fft2(image: Any) -> Any:
    """Two-dimensional Fourier transform."""
    from scipy import fft

    return fft.fft2(image)


@case(lambda: arrays(1200, 1200, copies=3), count=80)
def scipy_fft2_workers(image: Any) -> Any:
    """Two-dimensional Fourier transform with threads of its own."""
    from scipy import fft

    return fft.fft2(image, workers=os.cpu_count())


@case(lambda: arrays(700, 700))
def signal_convolve(image: Any) -> Any:
    """Convolution through the frequency domain."""
    from scipy import signal

    return signal.fftconvolve(image, image[:40, :40], mode="same")


@case(lambda: arrays(900_000))
def signal_filter(values: Any) -> Any:
    """Recursive digital filter."""
    from scipy import signal

    return signal.lfilter([0.1, 0.2, 0.1], [1.0, -0.5, 0.2], values)


@case(lambda: arrays(150_000))
def signal_median(values: Any) -> Any:
    """Running median."""
    from scipy import signal

    return signal.medfilt(values, 7)


@case(lambda: [1.1 + i / 10 for i in range(8)])
def optimize_minimize(start: float) -> Any:
    """Minimise a Python function."""
    from scipy import optimize

    return optimize.minimize(optimize.rosen, [start, 0.7, start, 1.2, 0.5, start], method="Nelder-Mead").x


@case(lambda: [20 + i for i in range(8)])
def integrate_quad(frequency: float) -> float:
    """Integrate a Python function."""
    from math import sin

    from scipy import integrate

    return sum(integrate.quad(lambda x: sin(frequency * x) ** 2, n, n + 2)[0] for n in range(200))


@case(lambda: [0.5 + i / 10 for i in range(8)])
def integrate_ode(damping: float) -> Any:
    """Solve a differential equation with a Python right-hand side."""
    from scipy.integrate import solve_ivp

    return solve_ivp(lambda t, y: (y[1], -y[0] - damping * y[1]), (0, 600), (1.0, 0.0)).y[0, -1]


@case(lambda: arrays(20_000, 3))
def spatial_query(points: Any) -> float:
    """Nearest neighbours in a k-d tree."""
    from scipy.spatial import cKDTree

    return float(cKDTree(points).query(points[:6000], k=4)[0].sum())


@case(lambda: arrays(1200, 12))
def spatial_cdist(points: Any) -> float:
    """All distances of two sets of points."""
    from scipy.spatial.distance import cdist

    return float(cdist(points, points).max())


@case(lambda: arrays(120_000))
def interpolate_spline(values: Any) -> Any:
    """Fit a cubic spline."""
    import numpy as np
    from scipy.interpolate import CubicSpline

    return CubicSpline(np.arange(len(values)), values)(0.5)


@case(lambda: [2000, 2100])
def sparse_product(size: int) -> int:
    """Product of sparse matrices."""
    from scipy import sparse

    matrix = sparse.diags([1.0] * 40, range(40), shape=(size, size), format="csr")
    return int((matrix @ matrix).nnz)


@case(lambda: arrays(5000))
def stats_tests(values: Any) -> float:
    """A few statistical tests."""
    from scipy import stats

    return float(sum(stats.ttest_ind(values[i : i + 50], values[-50:]).pvalue for i in range(10)))


# ------------------------------------------------------------------ images


@case(lambda: images(1000))
def pillow_resize(image: Any) -> Any:
    """Scale a picture."""
    from PIL import Image

    return image.resize((700, 700), Image.Resampling.LANCZOS).size


@case(lambda: images(500))
def pillow_blur(image: Any) -> Any:
    """Blur a picture."""
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(5)).size


@case(lambda: encoded(1000, "jpeg"))
def pillow_jpeg_decode(data: bytes) -> Any:
    """Read a JPEG picture."""
    import io

    from PIL import Image

    return Image.open(io.BytesIO(data)).convert("L").getextrema()


@case(lambda: images(1600))
def pillow_jpeg_encode(image: Any) -> int:
    """Write a JPEG picture."""
    import io

    file = io.BytesIO()
    image.save(file, "jpeg", quality=90)
    return file.tell()


@case(lambda: images(300))
def pillow_png_encode(image: Any) -> int:
    """Write a PNG picture."""
    import io

    file = io.BytesIO()
    image.save(file, "png")
    return file.tell()


@case(lambda: images(800))
def pillow_rotate(image: Any) -> Any:
    """Turn a picture."""
    from PIL import Image

    return image.rotate(12, Image.Resampling.BICUBIC).size


@case(lambda: images(240))
def pillow_pixels(image: Any) -> int:
    """Visit every pixel from Python."""
    pixels = image.load()
    return sum(max(pixels[x, y]) for x in range(image.width) for y in range(image.height))


@case(lambda: cells(700))
def skimage_gaussian(image: Any) -> Any:
    """Blur with scikit-image."""
    from skimage.filters import gaussian

    return gaussian(image, sigma=4)


@case(lambda: cells(900))
def skimage_otsu(image: Any) -> float:
    """Threshold by Otsu's method."""
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(image))


@case(lambda: cells(250))
def skimage_regions(image: Any) -> float:
    """Label cells and measure each."""
    from skimage.measure import label, regionprops

    return float(sum(region.area * region.eccentricity for region in regionprops(label(image > 0.3))))


@case(lambda: cells(300))
def skimage_canny(image: Any) -> int:
    """Find edges."""
    from skimage.feature import canny

    return int(canny(image, sigma=2).sum())


@case(lambda: cells(300))
def skimage_denoise(image: Any) -> Any:
    """Total-variation denoising."""
    from skimage.restoration import denoise_tv_chambolle

    return denoise_tv_chambolle(image, max_num_iter=10)


@case(lambda: cells(300))
def skimage_rotate(image: Any) -> Any:
    """Turn an image."""
    from skimage.transform import rotate

    return rotate(image, 12, order=3)


@case(lambda: cells(450))
def skimage_watershed(image: Any) -> int:
    """Split touching cells."""
    from skimage.segmentation import watershed

    return int(watershed(-image, mask=image > 0.2).max())


@case(lambda: cells(500))
def mahotas_nuclei(image: Any) -> int:
    """Count nuclei with mahotas."""
    import mahotas

    return int(mahotas.label(mahotas.gaussian_filter(image, 4) > 0.2)[1])


# ------------------------------------------------------------------ pandas


@case(lambda: frames(300_000))
def pandas_group_sum(frame: Any) -> Any:
    """Group and aggregate in C."""
    return frame.groupby("key")[["x", "y"]].mean()


@case(lambda: frames(5000))
def pandas_group_apply(frame: Any) -> Any:
    """A Python function per group."""
    return frame.groupby("key")["x"].apply(lambda values: values.max() - values.min())


@case(lambda: frames(40_000))
def pandas_text_upper(frame: Any) -> Any:
    """Text operations on a column."""
    return frame["name"].str.upper().str.replace("NAME", "n")


@case(lambda: frames(2000))
def pandas_apply_rows(frame: Any) -> Any:
    """A Python function per row."""
    return frame.apply(lambda row: row["x"] * row["y"] + row["key"], axis=1)


@case(lambda: frames(100_000))
def pandas_merge(frame: Any) -> int:
    """Join two frames."""
    return len(frame.merge(frame.iloc[:200].drop_duplicates("key"), on="key"))


@case(lambda: frames(100_000))
def pandas_sort(frame: Any) -> Any:
    """Sort by a column."""
    return frame.sort_values("x")["y"].iloc[0]


@case(lambda: frames(300_000))
def pandas_rolling(frame: Any) -> Any:
    """Running means."""
    return frame["x"].rolling(20).mean().sum()


@case(lambda: text_files(60_000))
def pandas_read_csv(path: str) -> int:
    """Read a table."""
    import pandas as pd

    return len(pd.read_csv(path))


@case(lambda: frames(4000))
def pandas_write_csv(frame: Any) -> int:
    """Write a table as text."""
    return len(frame.to_csv())


@case(lambda: [[f"2024-{i % 12 + 1:02d}-{i % 28 + 1:02d} 10:00:{i % 60:02d}" for i in range(30_000)]])
def pandas_dates(texts: list[str]) -> Any:
    """Parse a column of dates."""
    import pandas as pd

    return pd.to_datetime(texts).max()


if __name__ == "__main__":
    serve()
