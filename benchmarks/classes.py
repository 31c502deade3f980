"""Measure what the functions of `labelled.py` are, and compare with what autoexec says they are.

    python benchmarks/classes.py measure [--only NAME ...] [--rounds 3]
    python benchmarks/classes.py check [--only NAME ...] [--repeat 1]

`measure` runs each function in a fresh process: the items one after another, with 2 threads and with 2 forked
processes (both warm, both taking the next item from something shared), and with 16 threads if it waits at
all. This happens in interleaved rounds, each begun in a moment when nothing else runs on the machine, and the
fastest of each way counts. What comes out ambiguous, near a limit or noisy is measured again with three times
the rounds. The label follows from the ratios by these rules, the first that applies:

- SUBPROCESS: children use over 0.3 of the wall time, and over 1.5 times as much CPU as the process itself;
- PARALLEL: the loop alone keeps more than 1.4 cores busy in this process (1.15 to 1.4 is ambiguous);
- IO: over 0.75 is waiting (neither on a core nor queued for one), and 16 threads are over 4 times as fast;
- MIXED: 0.25 to 0.75 of the time is waiting, and 2 threads are at least 1.25 times as fast;
- NATIVE: under 0.15 is waiting, and 2 threads are at least 1.5 times as fast;
- PYTHON: under 0.15 is waiting, 2 threads are under 1.25 times as fast, 2 processes at least 1.4 times;
- ambiguous: anything else, or over 0.1 of the time queued for a core: the machine was too busy to say. These
  are listed and not scored.

`check` asks `autoexec.profile(func, items)` in a fresh process and prints what it got wrong, with the
profile's numbers. It ends with status 1 if fewer than 95 % are right.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labelled import CASES, service

HERE = Path(__file__).resolve().parent
LABELS = HERE / "labels.json"
KINDS = ("IO", "NATIVE", "PYTHON", "PARALLEL", "SUBPROCESS", "MIXED")
AMBIGUOUS = "ambiguous"
ENOUGH = 0.95
ROUND_S = 0.2  # seconds of serial work per round: long beside a timer's error, short enough for 150 functions
PACKAGES = ("numpy", "scipy", "pandas", "pillow", "scikit-image", "mahotas", "requests")

Func = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """How one function scales. Shares are of the wall time of the fastest serial round.

    Attributes:
        name: the function.
        item_ms: milliseconds of one item.
        own: CPU of the calling thread.
        cores: CPU of the whole process: above 1, native threads helped.
        children: CPU of child processes.
        waiting: neither on a core nor queued for one.
        threads: speed-up by 2 threads.
        processes: speed-up by 2 processes.
        many: speed-up by 16 threads, or None if it hardly waits.
        spread: slowest serial round over the fastest, minus 1: how noisy the machine was.
    """

    name: str
    item_ms: float
    own: float
    cores: float
    children: float
    waiting: float
    threads: float
    processes: float
    many: float | None
    spread: float


def label(m: Measured) -> str:
    """The class that the ratios mean, by the rules above."""
    if m.children > 0.3:
        return "SUBPROCESS" if m.children > 1.5 * m.cores else AMBIGUOUS
    if m.cores > 1.15:
        return "PARALLEL" if m.cores > 1.4 else AMBIGUOUS
    if m.waiting > 0.75:
        return "IO" if (m.many or 0) > 4 else AMBIGUOUS
    if m.waiting >= 0.25:
        return "MIXED" if m.threads >= 1.25 else AMBIGUOUS
    if m.waiting >= 0.15 or 1 - m.own - m.waiting > 0.1:
        return AMBIGUOUS
    if m.threads >= 1.5:
        return "NATIVE"
    return "PYTHON" if m.threads < 1.25 and m.processes >= 1.4 else AMBIGUOUS


def borderline(m: Measured) -> bool:
    """Whether one more look is worth its time."""
    near = abs(m.threads - 1.5) < 0.1 or abs(m.threads - 1.25) < 0.08 or abs(m.cores - 1.4) < 0.1
    return label(m) == AMBIGUOUS or near or m.spread > 0.5


# ------------------------------------------------------------------ running


@dataclass(frozen=True, slots=True)
class Clocks:
    """Readings of every clock, in seconds."""

    wall: float
    thread: float
    process: float
    children: float
    queued: float

    def since(self, start: Clocks) -> Clocks:
        """What passed since `start`."""
        return Clocks(*(b - a for a, b in zip(start, self, strict=True)))

    def __iter__(self) -> Iterator[float]:
        return iter((self.wall, self.thread, self.process, self.children, self.queued))


def read_clocks() -> Clocks:
    """All clocks, now."""
    times = os.times()
    children = times.children_user + times.children_system
    return Clocks(time.perf_counter(), time.thread_time(), time.process_time(), children, queued())


def queued() -> float:
    """Seconds in which this thread was ready to run and had no core (Linux; 0 elsewhere)."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def run_serial(func: Func, items: list[Any]) -> Clocks:
    """The plain loop under all clocks."""
    start = read_clocks()
    for item in items:
        func(item)
    return read_clocks().since(start)


def run_threads(func: Func, items: list[Any], count: int) -> float:
    """Seconds of `count` bare threads that share one iterator."""
    shared = iter(items)
    threads = [threading.Thread(target=lambda: [func(item) for item in shared]) for _ in range(count)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def await_quiet(patience: float = 3.0) -> None:
    """Wait until nothing but this thread is running on the machine, or patience ends (Linux)."""
    deadline = time.perf_counter() + patience
    calm = 0
    while calm < 6 and time.perf_counter() < deadline:
        calm = calm + 1 if running() <= 1 else 0
        time.sleep(0.004)


def running() -> int:
    """How many threads of the whole machine are on a core or queued for one."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("procs_running"))
    except (OSError, StopIteration):
        return 0


class Forked:
    """Two warm worker processes that share one counter over the items they inherited."""

    def __init__(self, func: Func, items: list[Any]) -> None:
        import multiprocessing

        context = multiprocessing.get_context("fork")
        self.counter = context.Value("l", 0)
        pipes = [context.Pipe() for _ in range(2)]
        self.links = [ours for ours, _ in pipes]
        self.workers = [
            context.Process(target=self.work, args=(func, items, theirs), daemon=True) for _, theirs in pipes
        ]
        for worker in self.workers:
            worker.start()
        for link in self.links:
            link.recv()

    def work(self, func: Func, items: list[Any], link: Any) -> None:
        """In the worker: take numbers until the round is over, round after round."""
        func(items[0])
        link.send("warm")
        for total in iter(link.recv, 0):
            while (index := self.take()) < total:
                func(items[index % len(items)])
            link.send("done")

    def take(self) -> int:
        """The next number."""
        with self.counter.get_lock():
            self.counter.value += 1
            return int(self.counter.value) - 1

    def run(self, total: int) -> float:
        """Seconds for `total` items."""
        self.counter.value = 0
        start = time.perf_counter()
        for link in self.links:
            link.send(total)
        for link in self.links:
            link.recv()
        return time.perf_counter() - start

    def close(self) -> None:
        """End the workers."""
        for link in self.links:
            link.send(0)
        for worker in self.workers:
            worker.join()


def measure_one(name: str, rounds: int) -> Measured:
    """Run one function in every way, in this process."""
    func, items = CASES[name].make()
    batch = sized(func, items, ROUND_S, at_least=6)
    forked = Forked(func, items)
    serial, threads, processes = [], [], []
    for _ in range(rounds):
        await_quiet()
        serial.append(run_serial(func, batch))
        threads.append(run_threads(func, batch, 2))
        processes.append(forked.run(len(batch)))
    forked.close()
    best = min(serial, key=lambda clocks: clocks.wall)
    each = best.wall / len(batch)
    waiting = max(0.0, 1 - (best.thread + best.queued) / best.wall)
    return Measured(
        name=name,
        item_ms=round(each * 1000, 3),
        own=round(best.thread / best.wall, 3),
        cores=round(best.process / best.wall, 3),
        children=round(best.children / best.wall, 3),
        waiting=round(waiting, 3),
        threads=round(best.wall / min(threads), 2),
        processes=round(best.wall / min(processes), 2),
        many=round(each / many_each(func, items, each), 2) if waiting > 0.15 else None,
        spread=round(max(clocks.wall for clocks in serial) / best.wall - 1, 2),
    )


def sized(func: Func, items: list[Any], seconds: float, at_least: int) -> list[Any]:
    """As many items as fill the time; an even number, the input repeated if it is short."""
    func(items[0])  # imports, caches
    start = time.perf_counter()
    done = 0
    while time.perf_counter() - start < seconds / 4 or done < 2:
        func(items[done % len(items)])
        done += 1
    each = (time.perf_counter() - start) / done
    total = 2 * max(round(seconds / each / 2), at_least // 2)
    return list(itertools.islice(itertools.cycle(items), total))


def many_each(func: Func, items: list[Any], each: float) -> float:
    """Seconds per item with 16 threads, the best of three."""
    total = max(64, 16 * round(ROUND_S / each / 2))
    batch = list(itertools.islice(itertools.cycle(items), min(total, 1600)))
    return min(run_threads(func, batch, 16) for _ in range(3)) / len(batch)


# ------------------------------------------------------------------ commands


def fresh(*arguments: str) -> dict[str, Any]:
    """Run a command of this file in a process of its own; its last line is JSON."""
    command = [sys.executable, str(Path(__file__).resolve()), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        return {"error": "no answer after 180 s"}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return {"error": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


@contextmanager
def serving() -> Iterator[None]:
    """One loopback server for all the processes: a sibling, so that its CPU is nobody's child's."""
    os.environ["LABELLED_SERVICE"] = service()
    yield
    del os.environ["LABELLED_SERVICE"]


def measure(names: list[str], rounds: int) -> int:
    """Label the functions and write `labels.json`; the borderline ones are measured again, longer."""
    with serving():
        for name in names:
            entry = measured_entry(name, rounds)
            if entry is not None:
                keep(name, entry)
                print(f"{name:24} {entry['label']:10} {summary(entry)}", flush=True)
    print(Counter(entry["label"] for entry in read_labels()["functions"].values()))
    return 0


def keep(name: str, entry: dict[str, Any]) -> None:
    """Write one entry into `labels.json`, in the order of `labelled.py`."""
    functions = read_labels()["functions"] | {name: entry}
    ordered = {name: functions[name] for name in CASES if name in functions}
    LABELS.write_text(json.dumps({"versions": versions(), "functions": ordered}, indent=1) + "\n")


def measured_entry(name: str, rounds: int) -> dict[str, Any] | None:
    """What `labels.json` holds for one function, or None if it cannot run here."""
    answer = fresh("one", name, "--rounds", str(rounds))
    if "error" not in answer and borderline(Measured(**answer)):
        answer = fresh("one", name, "--rounds", str(3 * rounds))
    if "error" in answer:
        print(f"{name:24} {answer['error']}", flush=True)
        return None
    m = Measured(**answer)
    return {"label": label(m), **{key: value for key, value in asdict(m).items() if key != "name"}}


def summary(entry: dict[str, Any]) -> str:
    """The ratios on one line."""
    many = "" if entry["many"] is None else f", 16 threads {entry['many']:.1f}x"
    return (
        f"{entry['item_ms']:8.2f} ms, 2 threads {entry['threads']:.2f}x, "
        f"2 processes {entry['processes']:.2f}x{many}, "
        f"cores {entry['cores']:.2f}, children {entry['children']:.2f}, waiting {entry['waiting']:.2f}, "
        f"spread {entry['spread']:.2f}"
    )


def versions() -> dict[str, str]:
    """What the labels depend on."""
    import platform
    from importlib.metadata import version

    found = {"python": platform.python_version(), "system": platform.system(), "cores": str(os.cpu_count())}
    return found | {package: version(package) for package in PACKAGES}


def read_labels() -> dict[str, Any]:
    """The measured labels."""
    if not LABELS.exists():
        return {"functions": {}}
    found: dict[str, Any] = json.loads(LABELS.read_text())
    return found


def profile_one(name: str) -> dict[str, Any]:
    """What autoexec finds, in this process."""
    sys.path.insert(0, str(HERE.parent))
    import autoexec

    func, items = CASES[name].make()
    profile: Any = autoexec.profile(func, items)  # type: ignore[attr-defined,unused-ignore]
    fields = (
        "items",
        "wall_s",
        "held_s",
        "free_s",
        "wait_s",
        "other_threads_s",
        "children_s",
        "held_share",
        "evidence",
    )
    return {"kind": profile.kind.name, **{field: getattr(profile, field) for field in fields}}


def check(names: list[str], repeat: int) -> int:
    """Compare classes with labels; 1 if fewer than 95 % are right."""
    functions = read_labels()["functions"]
    scored = [name for name in names if name in functions and functions[name]["label"] != AMBIGUOUS]
    confusion: Counter[tuple[str, str]] = Counter()
    with serving():
        for _, name in itertools.product(range(repeat), scored):
            entry, answer = functions[name], fresh("profile", name)
            kind = answer.get("kind", "error")
            confusion[entry["label"], kind] += 1
            if kind != entry["label"]:
                print_miss(name, entry, kind, answer)
    print_confusion(confusion)
    print_ambiguous({name: functions[name] for name in names if name in functions and name not in scored})
    right = sum(count for (wanted, got), count in confusion.items() if wanted == got)
    share = right / max(1, confusion.total())
    print(f"\n{right} of {confusion.total()} right: {share:.1%}")
    return 0 if share >= ENOUGH else 1


def print_miss(name: str, entry: dict[str, Any], kind: str, answer: dict[str, Any]) -> None:
    """One wrong answer, with what was measured on both sides."""
    print(f"{name}: {entry['label']} taken for {kind}")
    print(f"    measured: {summary(entry)}")
    shown = (
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in answer.items()
    )
    print(f"    profile:  {', '.join(shown)}", flush=True)


def print_confusion(confusion: Counter[tuple[str, str]]) -> None:
    """Labels down, answers across."""
    columns = sorted({got for _, got in confusion}, key=lambda kind: (kind not in KINDS, kind))
    print("\n" + " " * 12 + "".join(f"{column:>11}" for column in columns))
    for kind in KINDS:
        print(f"{kind:12}" + "".join(f"{confusion[kind, column] or '.':>11}" for column in columns))


def print_ambiguous(entries: dict[str, dict[str, Any]]) -> None:
    """The functions that are not scored."""
    if entries:
        print("\nnot scored, ambiguous by measurement:")
    for name, entry in entries.items():
        print(f"  {name:24} {summary(entry)}")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Label functions by measured scaling; check autoexec's classes."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("measure", "check"):
        sub = commands.add_parser(command)
        sub.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), metavar="NAME")
    commands.choices["measure"].add_argument("--rounds", type=int, default=3)
    commands.choices["check"].add_argument("--repeat", type=int, default=1)
    for command in ("one", "profile"):  # what the two above run in fresh processes
        commands.add_parser(command).add_argument("name", choices=list(CASES), metavar="NAME")
    commands.choices["one"].add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


def main() -> int:
    """Run one command."""
    options = parse()
    if options.command == "measure":
        return measure(options.only, options.rounds)
    if options.command == "check":
        return check(options.only, options.repeat)
    answer = (
        profile_one(options.name)
        if options.command == "profile"
        else asdict(measure_one(options.name, options.rounds))
    )
    print("\n" + json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
