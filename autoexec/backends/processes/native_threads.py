"""Threads of native libraries at a fork: whose survive it.

What may live here: the tables, and what tells from outside whose threads run. A fork copies the calling
thread alone. Almost every pool is lost then, with its locks as they were, and its next user in the child
waits for ever; so only threads that are known to survive are allowed, and all others forbid a fork.
"""

from __future__ import annotations

import os

__all__ = ["forbidden", "strangers", "surviving"]

# Stops its threads before a fork and starts them again after, on both sides: by pthread_atfork.
SURVIVES = b"openblas"
# What it asks for their number, in order.
ASKED = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")

# Marks in a file's name, or its folder's, and whose they are: libraries whose threads do not survive a fork,
# or that forbid it. Nobody can tell their threads from OpenBLAS's, which often have no names either. Threads
# of libraries that are not here count, too, once there are any.
FORBIDS = (
    (b"libgomp", "libgomp"),
    (b"libiomp", "libiomp"),
    (b"libomp", "libomp"),
    (b"libmkl", "libmkl"),
    (b"libtbb", "libtbb"),
    (b"libblis", "libblis"),
    (b"libcuda", "libcuda"),
    (b"libamdhip", "libamdhip"),
    (b"libtorch", "libtorch"),
    (b"libtensorflow", "tensorflow"),
    (b"libjax", "jax"),
    (b"xla_extension", "jax"),
    (b"libonnxruntime", "onnxruntime"),
    (b"onnxruntime_pybind", "onnxruntime"),
    (b"libgrpc", "libgrpc"),
    (b"/cygrpc", "libgrpc"),
    (b"polars", "polars"),
    (b"duckdb", "duckdb"),
    (b"lancedb", "lance"),
    (b"/_raylet", "ray"),
    (b"libmpi", "libmpi"),
    (b"librdkafka", "librdkafka"),
    (b"libjvm", "libjvm"),
    (b"tokenizers", "tokenizers"),
)


def forbidden(maps: bytes) -> str:
    """The library among those mapped that forbids a fork while any native thread runs, or ""."""
    found = [(mark, name) for mark, name in FORBIDS if mark in maps]
    if not found:
        return ""
    files = b"\n".join({b"/".join(line.rsplit(b"/", 2)[1:]) for line in maps.split(b"\n")})
    return next((name for mark, name in found if mark in files), "")


def surviving(maps: bytes) -> int:
    """How many threads there may be at most of those that survive."""
    lines = [line for line in maps.split(b"\n") if SURVIVES in line]
    files = {line.rpartition(b" ")[2] for line in lines if SURVIVES in line.rpartition(b"/")[2]}
    asked = next((value for name in ASKED if (value := os.environ.get(name, "")).isdecimal()), "")
    return len(files) * max(0, int(asked or len(os.sched_getaffinity(0))) - 1)


def strangers() -> list[str]:
    """Names of threads that are not called as the main one is: whoever made them has named them."""
    names = []
    own = str(os.getpid())
    for number in [own, *os.listdir("/proc/self/task")]:
        try:
            with open(f"/proc/self/task/{number}/comm", "rb", buffering=0) as file:
                names.append(os.fsdecode(file.read().strip()))
        except FileNotFoundError:  # it has just ended
            continue
    return [name for name in names if name != names[0]]
