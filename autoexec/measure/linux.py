"""What Linux says about the machine: topology, control groups, memory, descriptors.

Rules of this file: nothing here raises, whatever the files hold (a missing, unreadable or garbled file is
a limit that is not there); every function reads below `root`, so that a tree in a temporary folder can
stand in for the machine; no import beyond the small standard modules, because every planned call comes by.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "affinity",
    "descriptors",
    "group_dirs",
    "logical_cores",
    "memory",
    "oom_kills",
    "physical_cores",
    "quota",
    "reachable_cores",
]

_CPUS = "sys/devices/system/cpu"
# "No limit" in cgroup v1 is the largest multiple of the page size in 63 bits; nobody owns an exbibyte.
_ENDLESS = 1 << 60
# The kernel's own ceiling for CPUs is 8192; a list that names more is not a list of CPUs.
_MOST_CPUS = 1 << 16
_CAUTIOUS_MEMORY = 1 << 30


def logical_cores(root: Path | str = "/") -> int:
    """Logical processors that are switched on, whatever this process may use of them."""
    online = _cpu_list(_text(os.path.join(root, _CPUS, "online")))
    return len(online) or _system_count()


def physical_cores(root: Path | str = "/") -> int:
    """Physical cores of the hardware; the logical count where the topology is not told."""
    return len(set(_core_of(os.fspath(root)).values())) or logical_cores(root)


def reachable_cores(cpus: frozenset[int], root: Path | str = "/") -> int:
    """Physical cores that the logical processors `cpus` belong to.

    A processor of unknown topology counts as a core of its own.
    """
    cores = _core_of(os.fspath(root))
    return max(1, len({cores.get(cpu, str(cpu)) for cpu in cpus}))


def affinity() -> tuple[frozenset[int], str]:
    """The logical processors this process may run on, and who said so."""
    try:
        return frozenset(os.sched_getaffinity(0)), "sched_getaffinity"
    except OSError:
        return frozenset(range(_system_count())), "all online processors"


def quota(root: Path | str = "/") -> tuple[float, str] | None:
    """CPUs allowed by the tightest control group among the process's own and its parents, and its file.

    None when no group sets a limit.
    """
    return min(_quotas(root), default=None)


def memory(root: Path | str = "/") -> tuple[int, int | None, str]:
    """Bytes that may still be allocated, bytes the control groups allow in all, the file that decided.

    The second is None without a limit. Page cache that the kernel would give back counts as available.
    """
    path = os.path.join(root, "proc/meminfo")
    system = _system_memory(path)
    groups = list(_memory_groups(root))
    rest, source = min(
        [*system, *((left, where) for left, _, where in groups)], default=(_CAUTIOUS_MEMORY, "a guess")
    )
    return rest, min((limit for _, limit, _ in groups), default=None), source


def oom_kills(root: Path | str = "/") -> int:
    """Processes that the kernel has ended for want of memory: a rise explains a SIGKILL.

    Counted by the process's own control group or the nearest parent that does so, else by the whole machine;
    0 where nobody counts (kernels before 4.13).
    """
    unified, legacy = group_dirs("memory", root)
    files = [os.path.join(folder, "memory.events") for folder in unified]
    files += [os.path.join(folder, "memory.oom_control") for folder in legacy]
    for file in (*files, os.path.join(root, "proc/vmstat")):
        count = _number(_entry(_text(file), "oom_kill"))
        if count is not None:
            return count
    return 0


def descriptors(root: Path | str = "/") -> int:
    """File descriptors that this process may still open."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    try:
        return max(0, soft - len(os.listdir(os.path.join(root, "proc/self/fd"))))
    except OSError:
        return soft


def group_dirs(controller: str, root: Path | str = "/") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Folders of the process's group and all its parents, own group first: (version 2, version 1).

    `controller` is "cpu" or "memory". Hybrid machines have both versions.
    """
    memberships = _text(os.path.join(root, "proc/self/cgroup"))
    return _group_dirs(controller, os.fspath(root), memberships)


@functools.lru_cache(maxsize=16)
def _group_dirs(controller: str, root: str, memberships: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    # The mount table can have thousands of lines; it is read again only when the process changed its group.
    mounts = list(_mounts(_text(os.path.join(root, "proc/self/mountinfo"))))
    unified: list[str] = []
    legacy: list[str] = []
    for controllers, path in _memberships(memberships):
        if not controllers:
            unified += _first_walk(root, path, (m for m in mounts if m[2] == "cgroup2"))
        elif controller in controllers:
            legacy += _first_walk(root, path, (m for m in mounts if m[2] == "cgroup" and controller in m[3]))
    return tuple(unified), tuple(legacy)


def _memberships(text: str) -> Iterator[tuple[list[str], str]]:
    r"""(controllers, path) per line of /proc/self/cgroup; version 2 has no controllers.

    >>> list(_memberships("4:cpu,cpuacct:/a:b\n0::/user.slice\nnonsense"))
    [(['cpu', 'cpuacct'], '/a:b'), ([], '/user.slice')]
    """
    for line in text.split("\n"):
        parts = line.split(":", 2)
        if len(parts) == 3 and parts[2].startswith("/"):
            yield [name for name in parts[1].split(",") if name], parts[2]


def _mounts(text: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """(root inside the file system, mount point, type, options) of each control-group mount."""
    for line in text.split("\n"):
        before, dash, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if dash and len(left) >= 6 and len(right) >= 3 and right[0] in ("cgroup", "cgroup2"):
            yield _unescaped(left[3]), _unescaped(left[4]), right[0], right[2].split(",")


def _unescaped(text: str) -> str:
    r"""A path of the mount table, where a blank stands as \040.

    >>> _unescaped(r"/my\040groups")
    '/my groups'
    """
    if "\\" not in text:
        return text
    import re

    return re.sub(r"\\([0-3][0-7]{2})", lambda match: chr(int(match[1], 8)), text)


def _first_walk(root: str, path: str, mounts: Iterator[tuple[str, str, str, list[str]]]) -> list[str]:
    """The walk through the first mount that shows the group; else only the top of the first mount."""
    seen = [(inside, point) for inside, point, _, _ in mounts]
    walks = (_walk(path, inside, point) for inside, point in seen)
    folders = next(filter(None, walks), [point for _, point in seen[:1]])
    return [os.path.join(root, folder.lstrip("/")) for folder in folders]


def _walk(path: str, inside: str, point: str) -> list[str]:
    """From the group `path` up to the mount point, where the mount shows the hierarchy from `inside` on.

    >>> _walk("/docker/abc/job", "/docker/abc", "/sys/fs/cgroup")
    ['/sys/fs/cgroup/job', '/sys/fs/cgroup']

    Nothing for a group that the mount does not show (another namespace's):

    >>> _walk("/../other", "/", "/sys/fs/cgroup")
    []
    """
    names, above = _names(path), _names(inside)
    if ".." in names + above or names[: len(above)] != above:
        return []
    below = names[len(above) :]
    return ["/".join([point.rstrip("/"), *below[:depth]]) for depth in range(len(below), -1, -1)]


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _quotas(root: Path | str) -> Iterator[tuple[float, str]]:
    unified, legacy = group_dirs("cpu", root)
    for folder in unified:
        file = os.path.join(folder, "cpu.max")
        limit, period = [*_text(file).split(), "", ""][:2]
        if (cpus := _share(limit, period)) is not None:
            yield cpus, file
    for folder in legacy:
        file = os.path.join(folder, "cpu.cfs_quota_us")
        if (cpus := _share(_text(file), _text(os.path.join(folder, "cpu.cfs_period_us")))) is not None:
            yield cpus, file


def _share(limit: str, period: str) -> float | None:
    """CPUs that a quota and its period stand for.

    >>> _share("150000", "100000"), _share("max", "100000"), _share("-1", "100000")
    (1.5, None, None)
    """
    microseconds, per = _number(limit), _number(period)
    return microseconds / per if microseconds and per else None


def _memory_groups(root: Path | str) -> Iterator[tuple[int, int, str]]:
    """(bytes left, limit, file) of every group that limits memory."""
    unified, legacy = group_dirs("memory", root)
    for folder in unified:
        for name in ("memory.max", "memory.high"):
            yield from _memory_group(folder, name, "memory.current", "inactive_file")
    for folder in legacy:
        yield from _memory_group(
            folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        )


def _memory_group(folder: str, name: str, usage: str, cache: str) -> Iterator[tuple[int, int, str]]:
    file = os.path.join(folder, name)
    limit = _number(_text(file))
    if limit is None or limit >= _ENDLESS:
        return
    used = _number(_text(os.path.join(folder, usage))) or 0
    reclaimable = _number(_entry(_text(os.path.join(folder, "memory.stat")), cache)) or 0
    yield max(0, limit - max(0, used - reclaimable)), limit, file


def _system_memory(path: str) -> list[tuple[int, str]]:
    """What /proc/meminfo says is available (kernels before 3.14 only tell free and cached)."""
    text = _text(path)
    kibibytes = _number(_entry(text, "MemAvailable:"))
    if kibibytes is None:
        parts = [_number(_entry(text, key)) for key in ("MemFree:", "Cached:")]
        kibibytes = sum(part or 0 for part in parts) or None
    return [] if kibibytes is None else [(kibibytes * 1024, path)]


def _entry(text: str, key: str) -> str:
    r"""The word after `key` in a file of one entry per line.

    >>> _entry("MemTotal: 10 kB\nMemFree: 4 kB", "MemFree:")
    '4'
    """
    for line in text.split("\n"):
        words = line.split()
        if len(words) >= 2 and words[0] == key:
            return words[1]
    return ""


@functools.cache
def _core_of(root: str) -> dict[int, str]:
    """The physical core of every logical processor; topology does not change, so it is read once."""
    folder = os.path.join(root, _CPUS)
    try:
        names = os.listdir(folder)
    except OSError:
        return {}
    cpus = (
        int(name[3:])
        for name in names
        if name[:3] == "cpu" and name[3:].isascii() and name[3:].isdigit() and len(name) < 9
    )
    named = ((cpu, _core(cpu, os.path.join(folder, f"cpu{cpu}", "topology"))) for cpu in cpus)
    return {cpu: core for cpu, core in named if core}


def _core(cpu: int, folder: str) -> str:
    """A name for the core of `cpu`: its lowest sibling, or package and core number, or "" (switched off)."""
    # Core numbers are unique only within a die or cluster on some machines; sibling lists always are.
    for file in ("core_cpus_list", "thread_siblings_list"):
        siblings = _cpu_list(_text(os.path.join(folder, file)))
        if cpu in siblings:
            return f"sibling {min(siblings)}"
    package, core = (
        _number(_text(os.path.join(folder, name))) for name in ("physical_package_id", "core_id")
    )
    return "" if core is None else f"package {package} core {core}"


def _cpu_list(text: str) -> frozenset[int]:
    """The processors that a list in the kernel's notation names; none at all if it is garbled.

    >>> sorted(_cpu_list("0-2,8"))
    [0, 1, 2, 8]
    >>> _cpu_list("0-99999999999") | _cpu_list("2-x") | _cpu_list("")
    frozenset()
    """
    cpus: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        low, high = _number(first), _number(last if dash else first)
        if low is None or high is None or not low <= high < _MOST_CPUS:
            return frozenset()
        cpus.update(range(low, high + 1))
    return frozenset(cpus)


def _number(text: str) -> int | None:
    """A plain non-negative decimal of at most 64 bits or so, else None ("max", "-1", garbage)."""
    text = text.strip()
    return int(text) if len(text) <= 20 and text.isascii() and text.isdigit() else None


def _text(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode("utf-8", "surrogateescape")
    except (OSError, ValueError):  # ValueError: a NUL in a path
        return ""


def _system_count() -> int:
    """Not `os.cpu_count`, which since Python 3.13 answers with PYTHON_CPU_COUNT where that is set."""
    try:
        return max(1, os.sysconf("SC_NPROCESSORS_ONLN"))
    except (OSError, ValueError):
        return 1
