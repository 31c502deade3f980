"""The Linux questions, asked of made-up machines in temporary folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.measure import linux

V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = """\
30 23 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
32 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 30 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"""


def write(root: Path, files: dict[str, str]) -> None:
    """Make the named files below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def groups(root: Path, memberships: str, mounts: str, files: dict[str, str]) -> Path:
    """A machine whose process belongs to `memberships`, with `files` below the control groups' folder."""
    write(root, {"proc/self/cgroup": memberships, "proc/self/mountinfo": mounts + "\n"})
    write(root, {f"sys/fs/cgroup/{name}": content for name, content in files.items()})
    return root


def topology(root: Path, cpu: int, **files: str) -> None:
    """What the kernel tells of one logical processor."""
    write(root, {f"sys/devices/system/cpu/cpu{cpu}/topology/{name}": text for name, text in files.items()})


@pytest.mark.parametrize("name", ["thread_siblings_list", "core_cpus_list"])
def test_siblings_share_a_core(tmp_path: Path, name: str) -> None:
    """Four logical processors on two cores are two physical ones, and an affinity mask may reach one."""
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        topology(tmp_path, cpu, **{name: siblings + "\n"})
    write(tmp_path, {"sys/devices/system/cpu/online": "0-3\n"})
    assert (linux.logical_cores(tmp_path), linux.physical_cores(tmp_path)) == (4, 2)
    assert linux.reachable_cores(frozenset({0, 2}), tmp_path) == 1
    assert linux.reachable_cores(frozenset({0, 1}), tmp_path) == 2


def test_core_numbers_repeat_in_every_package(tmp_path: Path) -> None:
    """Without sibling lists the core is told by package and core number together."""
    for cpu in range(4):
        topology(tmp_path, cpu, physical_package_id=str(cpu // 2), core_id=str(cpu % 2))
    assert linux.physical_cores(tmp_path) == 4


def test_garbled_siblings_fall_back_to_core_numbers(tmp_path: Path) -> None:
    """A sibling list that does not even name its own processor is not believed."""
    for cpu in range(2):
        topology(tmp_path, cpu, thread_siblings_list="7", physical_package_id="0", core_id=str(cpu))
    assert linux.physical_cores(tmp_path) == 2


def test_switched_off_processors_do_not_count(tmp_path: Path) -> None:
    """A processor without topology (hot-unplugged) adds no core to the hardware."""
    topology(tmp_path, 0, thread_siblings_list="0")
    write(tmp_path, {"sys/devices/system/cpu/cpu1/online": "0", "sys/devices/system/cpu/cpufreq/boost": "1"})
    assert linux.physical_cores(tmp_path) == 1


def test_unknown_topology_counts_logical_processors(tmp_path: Path) -> None:
    """Where the kernel tells nothing, every processor is taken for a core."""
    assert linux.physical_cores(tmp_path) == linux.logical_cores(tmp_path) >= 1
    assert linux.reachable_cores(frozenset({0, 5, 9}), tmp_path) == 3
    assert linux.reachable_cores(frozenset(), tmp_path) == 1


def test_no_groups_no_quota(tmp_path: Path) -> None:
    """A machine without control groups limits nothing."""
    assert linux.quota(tmp_path) is None


def test_v2_limit_of_a_grandparent_counts(tmp_path: Path) -> None:
    """The own group is free, only a parent is limited: the parent's quota holds, and its file is named."""
    files = {"a/b/c/cpu.max": "max 100000\n", "a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}
    found = linux.quota(groups(tmp_path, "0::/a/b/c\n", V2, files))
    assert found == (1.5, str(tmp_path / "sys/fs/cgroup/a/cpu.max"))


def test_the_tightest_group_wins(tmp_path: Path) -> None:
    """Of several limits on the way up the smallest decides."""
    files = {"a/b/cpu.max": "400000 100000", "a/cpu.max": "20000 50000", "cpu.max": "max 100000"}
    found = linux.quota(groups(tmp_path, "0::/a/b", V2, files))
    assert found is not None
    assert found[0] == 0.4


def test_groups_of_others_do_not_count(tmp_path: Path) -> None:
    """A sibling's and a child's limit are not ours."""
    files = {"a/other/cpu.max": "10000 100000", "a/b/child/cpu.max": "10000 100000"}
    assert linux.quota(groups(tmp_path, "0::/a/b", V2, files)) is None


def test_v1_limit_of_a_parent_counts(tmp_path: Path) -> None:
    """Version 1 speaks in two files, -1 means no limit, and the mount point's name has a comma."""
    cpu = "cpu,cpuacct"
    files = {
        f"{cpu}/job/step/cpu.cfs_quota_us": "-1\n",
        f"{cpu}/job/step/cpu.cfs_period_us": "100000\n",
        f"{cpu}/job/cpu.cfs_quota_us": "250000\n",
        f"{cpu}/job/cpu.cfs_period_us": "100000\n",
    }
    found = linux.quota(groups(tmp_path, "4:cpu,cpuacct:/job/step\n3:memory:/\n", V1, files))
    assert found == (2.5, str(tmp_path / "sys/fs/cgroup" / cpu / "job/cpu.cfs_quota_us"))


def test_hybrid_machines_are_asked_both_ways(tmp_path: Path) -> None:
    """Version 1 for one controller and version 2 beside it: both limits are seen."""
    mounts = V1 + "\n41 30 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "300000",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "unified/x/cpu.max": "200000 100000",
    }
    root = groups(tmp_path, "4:cpu,cpuacct:/\n0::/x", mounts, files)
    assert linux.quota(root) == (2.0, str(tmp_path / "sys/fs/cgroup/unified/x/cpu.max"))
    write(tmp_path, {"sys/fs/cgroup/unified/x/cpu.max": "max 100000"})
    found = linux.quota(root)
    assert found is not None
    assert found[0] == 3.0


def test_container_sees_its_group_as_the_mount_root(tmp_path: Path) -> None:
    """In a container the path is the host's, while the mount shows only the part from the group on."""
    mounts = V1.replace("0:29 / ", "0:29 /docker/abc ").replace("0:32 / ", "0:32 /docker/abc ")
    files = {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}
    found = linux.quota(groups(tmp_path, "4:cpu,cpuacct:/docker/abc\n", mounts, files))
    assert found is not None
    assert found[0] == 0.5


def test_a_mount_that_shows_the_group_is_preferred(tmp_path: Path) -> None:
    """A second mount of the same hierarchy that shows somebody else's branch is passed over."""
    mounts = "29 23 0:28 /other /host rw - cgroup2 cgroup2 rw\n" + V2
    write(tmp_path, {"host/cpu.max": "10000 100000"})
    found = linux.quota(groups(tmp_path, "0::/a", mounts, {"a/cpu.max": "200000 100000"}))
    assert found is not None
    assert found[0] == 2.0


@pytest.mark.parametrize("path", ["/../../../outside", "/a/../../outside", "/gone (deleted)", "/a\0b"])
def test_odd_groups_never_leave_the_mount(tmp_path: Path, path: str) -> None:
    """Another namespace's, deleted and hostile paths end at the mount point, whose limit still holds."""
    write(tmp_path, {"outside/cpu.max": "1000 100000", "sys/outside/cpu.max": "1000 100000"})
    found = linux.quota(groups(tmp_path, f"0::{path}\n", V2, {"cpu.max": "300000 100000"}))
    assert found == (3.0, str(tmp_path / "sys/fs/cgroup/cpu.max"))


def test_blanks_in_the_mount_point(tmp_path: Path) -> None:
    """The mount table writes a blank as an octal escape."""
    write(tmp_path, {"my groups/cpu.max": "100000 100000"})
    found = linux.quota(groups(tmp_path, "0::/", V2.replace("/sys/fs/cgroup", r"/my\040groups"), {}))
    assert found is not None
    assert found[0] == 1.0


def test_moving_to_another_group_is_noticed(tmp_path: Path) -> None:
    """Folders are remembered for one membership only."""
    files = {"a/cpu.max": "100000 100000", "b/cpu.max": "200000 100000"}
    first = linux.quota(groups(tmp_path, "0::/a", V2, files))
    write(tmp_path, {"proc/self/cgroup": "0::/b"})
    second = linux.quota(tmp_path)
    assert first
    assert second
    assert (first[0], second[0]) == (1.0, 2.0)


@pytest.mark.parametrize(
    "text",
    ["", "max", "max 100000", "0 100000", "-5 100000", "100000 0", "a b", "1e9 1", "9" * 5000, "²  ³", "\0"],
)
def test_garbage_is_no_quota(tmp_path: Path, text: str) -> None:
    """What is not two positive numbers limits nothing and raises nothing."""
    assert linux.quota(groups(tmp_path, "0::/a", V2, {"a/cpu.max": text})) is None


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    """An unreadable entry is as good as a missing one."""
    root = groups(tmp_path, "0::/a", V2, {"a/cpu.max/x": "", "a/memory.max/x": ""})
    assert linux.quota(root) is None
    assert linux.memory(root)[1] is None


def test_memory_without_groups_is_what_the_kernel_says(tmp_path: Path) -> None:
    """MemAvailable, in bytes."""
    write(tmp_path, {"proc/meminfo": "MemTotal:  8000 kB\nMemFree:  10 kB\nMemAvailable:   2000 kB\n"})
    assert linux.memory(tmp_path) == (2000 * 1024, None, str(tmp_path / "proc/meminfo"))


def test_memory_of_an_old_kernel(tmp_path: Path) -> None:
    """Without MemAvailable, free and cached stand in."""
    write(tmp_path, {"proc/meminfo": "MemTotal:  8000 kB\nMemFree:  10 kB\nCached:  5 kB\n"})
    assert linux.memory(tmp_path)[0] == 15 * 1024


def test_memory_unknown_is_a_cautious_guess(tmp_path: Path) -> None:
    """With nothing to read the answer is small and says that it is a guess."""
    available, limit, source = linux.memory(tmp_path)
    assert 0 < available <= 1 << 30
    assert limit is None
    assert source == "a guess"


def test_v2_memory_of_a_parent(tmp_path: Path) -> None:
    """Only the parent is limited; its page cache that can be dropped counts as available."""
    files = {
        "a/b/memory.max": "max",
        "a/b/memory.current": "100",
        "a/memory.max": "5000000",
        "a/memory.high": "max",
        "a/memory.current": "4000000",
        "a/memory.stat": "anon 1000000\nfile 3000000\ninactive_file 2500000\nactive_file 500000\n",
    }
    root = groups(tmp_path, "0::/a/b", V2, files)
    write(tmp_path, {"proc/meminfo": "MemAvailable: 8000000 kB\n"})
    assert linux.memory(root) == (3_500_000, 5_000_000, str(tmp_path / "sys/fs/cgroup/a/memory.max"))


def test_v2_memory_high_throttles_and_so_limits(tmp_path: Path) -> None:
    """memory.high below memory.max is the limit to plan with; usage above it leaves nothing."""
    files = {"a/memory.max": "9000", "a/memory.high": "3000", "a/memory.current": "4000"}
    available, limit, _ = linux.memory(groups(tmp_path, "0::/a", V2, files))
    assert (available, limit) == (0, 3000)


def test_v1_memory(tmp_path: Path) -> None:
    """Version 1's largest number is no limit; a parent's real one is."""
    files = {
        "memory/job/memory.limit_in_bytes": "9223372036854771712",
        "memory/job/memory.usage_in_bytes": "7",
        "memory/memory.limit_in_bytes": "1000000",
        "memory/memory.usage_in_bytes": "600000",
        "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 100000\n",
    }
    available, limit, source = linux.memory(groups(tmp_path, "3:memory:/job", V1, files))
    assert (available, limit) == (500_000, 1_000_000)
    assert source.endswith("memory/memory.limit_in_bytes")


def test_memory_shows_the_scarcer_of_machine_and_group(tmp_path: Path) -> None:
    """A generous group on a full machine leaves what the machine has, and the limit is still told."""
    root = groups(tmp_path, "0::/", V2, {"memory.max": "80000000", "memory.current": "0"})
    write(tmp_path, {"proc/meminfo": "MemAvailable: 1000 kB\n"})
    assert linux.memory(root) == (1_024_000, 80_000_000, str(tmp_path / "proc/meminfo"))


def test_deaths_are_read_from_the_own_group(tmp_path: Path) -> None:
    """Version 2 counts in one file with other events; a parent's count holds those of others as well."""
    files = {
        "a/b/memory.events": "low 0\nhigh 5\nmax 9\noom 4\noom_kill 3\noom_group_kill 1\n",
        "a/memory.events": "oom_kill 70\n",
    }
    root = groups(tmp_path, "0::/a/b\n", V2, files)
    write(tmp_path, {"proc/vmstat": "pgfault 100\noom_kill 500\n"})
    assert linux.oom_kills(root) == 3
    (tmp_path / "sys/fs/cgroup/a/b/memory.events").unlink()
    assert linux.oom_kills(root) == 70
    (tmp_path / "sys/fs/cgroup/a/memory.events").unlink()
    assert linux.oom_kills(root) == 500


def test_deaths_under_version_1(tmp_path: Path) -> None:
    """There they stand beside a switch, since Linux 4.13; before that the machine's count is all there is."""
    files = {"memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"}
    root = groups(tmp_path, "3:memory:/job\n", V1, files)
    write(tmp_path, {"proc/vmstat": "oom_kill 9\n"})
    assert linux.oom_kills(root) == 2
    write(tmp_path, {"sys/fs/cgroup/memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"})
    assert linux.oom_kills(root) == 9


def test_nobody_counts(tmp_path: Path) -> None:
    """An old kernel, or no /proc: nothing rises."""
    assert linux.oom_kills(tmp_path) == 0
    write(tmp_path, {"proc/vmstat": "oom_kill many\n"})
    assert linux.oom_kills(tmp_path) == 0


def test_descriptors_shrink_as_files_open(tmp_path: Path) -> None:
    """An open file is one descriptor less."""
    before = linux.descriptors()
    with open(os.devnull):
        assert linux.descriptors() == before - 1
    assert linux.descriptors(tmp_path) >= before


@given(memberships=st.text(), mounts=st.text(), content=st.text())
def test_parsers_survive_any_text(
    tmp_path_factory: pytest.TempPathFactory, memberships: str, mounts: str, content: str
) -> None:
    """Whatever the files hold, every question has an answer."""
    root = tmp_path_factory.getbasetemp() / "anything"
    path = root / "sys/fs/cgroup/a"
    path.mkdir(parents=True, exist_ok=True)
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    for text, name in ((memberships, "proc/self/cgroup"), (mounts, "proc/self/mountinfo")):
        (root / name).write_text(text, "utf-8", "surrogatepass")
    check_answers(root)
    (root / "proc/self/cgroup").write_text("0::/a\n")
    (root / "proc/self/mountinfo").write_text(V2 + "\n")
    for name in ("cpu.max", "memory.max", "memory.high", "memory.current", "memory.stat", "memory.events"):
        (path / name).write_text(content, "utf-8", "surrogatepass")
    check_answers(root)


def check_answers(root: Path) -> None:
    """Every question has an answer that makes sense."""
    found = linux.quota(root)
    assert found is None or found[0] > 0
    available, limit, _ = linux.memory(root)
    assert available >= 0
    assert limit is None or limit >= 0
    assert linux.oom_kills(root) >= 0


@given(st.text())
def test_cpu_lists_survive_any_text(text: str) -> None:
    """A processor list gives a set of small numbers, or nothing."""
    assert all(0 <= cpu < 1 << 16 for cpu in linux._cpu_list(text))


@given(st.sets(st.integers(0, 300), min_size=1))
def test_cpu_lists_round_trip(cpus: set[int]) -> None:
    """What is written as a list is read back."""
    assert linux._cpu_list(",".join(map(str, sorted(cpus)))) == cpus
