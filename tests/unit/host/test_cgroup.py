"""Limits of control groups, read from trees made for the test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lithops_shm import host

GIB = 1 << 30


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class TestControlGroups:
    def test_version_2_counts_reclaimable_cache_as_free(self, machine: Any) -> None:
        machine.mounted(machine.mount, "cgroup2")
        machine.member("0::/job\n")
        machine.v2("job", limit=str(8 * GIB), used=5 * GIB, inactive=GIB)
        assert host.cgroup_limit(machine.proc) == 8 * GIB
        assert host.cgroup_headroom(machine.proc) == 4 * GIB

    def test_nested_limits_bind_all_below(self, machine: Any) -> None:
        machine.mounted(machine.mount, "cgroup2")
        machine.member("0::/slice/service/worker\n")
        machine.v2("slice", limit=str(4 * GIB), used=3 * GIB)
        machine.v2("slice/service", limit=str(2 * GIB), used=GIB // 2)
        machine.v2("slice/service/worker", limit="max", used=GIB // 2)
        assert host.cgroup_limit(machine.proc) == 2 * GIB
        assert host.cgroup_headroom(machine.proc) == GIB  # of the slice, whose other services took the rest

    def test_memory_high_is_a_limit_too(self, machine: Any) -> None:
        machine.mounted(machine.mount, "cgroup2")
        machine.member("0::/job\n")
        machine.v2("job", limit=str(8 * GIB), high=str(2 * GIB), used=GIB)
        assert host.cgroup_limit(machine.proc) == 2 * GIB
        assert host.cgroup_headroom(machine.proc) == GIB

    def test_over_the_limit_leaves_nothing(self, machine: Any) -> None:
        machine.mounted(machine.mount, "cgroup2")
        machine.member("0::/job\n")
        machine.v2("job", limit="1000", used=5000)
        assert host.cgroup_headroom(machine.proc) == 0

    def test_cache_of_others_does_not_exceed_the_limit(self, machine: Any) -> None:
        machine.mounted(machine.mount, "cgroup2")
        machine.member("0::/job\n")
        machine.v2("job", limit="1000", used=10, inactive=5000)
        assert host.cgroup_headroom(machine.proc) == 1000

    def test_version_1(self, machine: Any) -> None:
        machine.mounted(machine.mount / "cpu", "cgroup", options="rw,cpu,cpuacct")
        machine.mounted(machine.mount / "memory", "cgroup", options="rw,memory")
        machine.member("9:name=systemd:/\n4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n")
        machine.v1("", limit=9223372036854771712, used=7 * GIB)
        machine.v1("docker", limit=9223372036854771712, used=7 * GIB)
        machine.v1("docker/abc", limit=4 * GIB, used=2 * GIB, inactive=GIB)
        assert host.cgroup_limit(machine.proc) == 4 * GIB
        assert host.cgroup_headroom(machine.proc) == 3 * GIB

    @pytest.mark.parametrize("unlimited", [9223372036854771712, 9223372036854710272, (1 << 63) - 1])
    def test_version_1_writes_no_limit_as_a_huge_one(self, machine: Any, unlimited: int) -> None:
        machine.mounted(machine.mount / "memory", "cgroup", options="rw,memory")
        machine.member("4:memory:/\n")
        machine.v1("", limit=unlimited)
        assert host.cgroup_limit(machine.proc) is None
        assert host.cgroup_headroom(machine.proc) is None

    def test_hybrid_with_memory_in_version_1(self, machine: Any) -> None:
        machine.mounted(machine.mount / "unified", "cgroup2")
        machine.mounted(machine.mount / "memory", "cgroup", options="rw,memory")
        machine.member("4:memory:/job\n0::/job\n")
        machine.v1("job", limit=GIB, used=0)
        write(machine.mount / "unified" / "job" / "cgroup.procs", "1\n")
        assert host.cgroup_headroom(machine.proc) == GIB

    def test_hybrid_with_memory_in_version_2(self, machine: Any) -> None:
        machine.mounted(machine.mount, "cgroup2")
        machine.mounted(machine.mount / "pids", "cgroup", options="rw,pids")
        machine.member("4:pids:/elsewhere\n0::/job\n")
        machine.v2("job", limit="5000", used=1000)
        assert host.cgroup_headroom(machine.proc) == 4000

    def test_container_with_a_namespace(self, machine: Any) -> None:
        machine.mounted(machine.mount, "cgroup2")
        machine.member("0::/\n")
        machine.v2("", limit="5000", used=1000)
        assert host.cgroup_headroom(machine.proc) == 4000

    def test_container_whose_mount_begins_at_its_group(self, machine: Any) -> None:
        machine.mounted(machine.mount / "memory", "cgroup", root="/docker/abc", options="rw,memory")
        machine.member("4:memory:/docker/abc/inner\n")
        machine.v1("", limit=5000, used=1000)
        machine.v1("inner", limit=3000, used=1000)
        assert host.cgroup_limit(machine.proc) == 3000
        assert host.cgroup_headroom(machine.proc) == 2000

    @pytest.mark.parametrize("path", ["/../other", "/somewhere/else", "/abcdef"])
    def test_group_outside_the_mount_leaves_the_top_of_it(self, machine: Any, path: str) -> None:
        machine.mounted(machine.mount, "cgroup2", root="/abc")
        machine.member(f"0::{path}\n")
        machine.v2("", limit="5000", used=1000)
        assert host.cgroup_headroom(machine.proc) == 4000

    def test_of_two_mounts_the_one_with_more_ancestors_counts(self, machine: Any, tmp_path: Path) -> None:
        machine.mounted(tmp_path / "bound", "cgroup2", root="/a/b")
        machine.mounted(machine.mount, "cgroup2")
        machine.member("0::/a/b\n")
        machine.v2("a", limit="5000", used=0)
        machine.v2("a/b", limit="9000", used=0)
        assert host.cgroup_limit(machine.proc) == 5000

    def test_mount_point_with_a_space(self, machine: Any) -> None:
        machine.mount = machine.mount.with_name("with space")
        machine.mounted(machine.mount, "cgroup2")
        machine.member("0::/\n")
        machine.v2("", limit="5000", used=1000)
        assert host.cgroup_headroom(machine.proc) == 4000

    def test_group_that_moves_is_followed(self, machine: Any) -> None:
        machine.mounted(machine.mount, "cgroup2")
        machine.v2("a", limit="1000")
        machine.v2("b", limit="2000")
        machine.member("0::/a\n")
        assert host.cgroup_limit(machine.proc) == 1000
        machine.member("0::/b\n")
        assert host.cgroup_limit(machine.proc) == 2000

    @pytest.mark.parametrize("member", ["", "nonsense\n", "0::\n", "4:memory\n", "0::/gone\n", "\x00\xff"])
    def test_no_limit_where_nothing_is_understood(self, machine: Any, member: str) -> None:
        machine.mounted(machine.mount, "cgroup2")
        machine.member(member)
        assert host.cgroup_limit(machine.proc) is None
        assert host.cgroup_headroom(machine.proc) is None

    def test_limit_without_a_reading_of_use(self, machine: Any) -> None:
        machine.mounted(machine.mount, "cgroup2")
        machine.member("0::/\n")
        write(machine.mount / "memory.max", "5000\n")
        assert host.cgroup_limit(machine.proc) == 5000
        assert host.cgroup_headroom(machine.proc) is None

    def test_no_control_groups(self, tmp_path: Path) -> None:
        assert host.cgroup_limit(tmp_path) is None
        assert host.usable_cpus(tmp_path) >= 1


class TestCpus:
    @pytest.fixture(autouse=True)
    def _eight(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)

    @pytest.mark.parametrize(
        ("quota", "count"),
        [
            ("max 100000", 8),
            ("200000 100000", 2),
            ("150000 100000", 2),
            ("5000 100000", 1),
            ("9900000 100000", 8),
            ("", 8),
        ],
    )
    def test_quota_of_version_2(self, machine: Any, quota: str, count: int) -> None:
        machine.mounted(machine.mount, "cgroup2")
        machine.member("0::/a/b\n")
        write(machine.mount / "a" / "cpu.max", quota)
        write(machine.mount / "a" / "b" / "cpu.max", "max 100000\n")
        assert host.usable_cpus(machine.proc) == count

    @pytest.mark.parametrize(("quota", "period", "count"), [(-1, 100000, 8), (300000, 100000, 3), (100000, 0, 8)])
    def test_quota_of_version_1(self, machine: Any, quota: int, period: int, count: int) -> None:
        machine.mounted(machine.mount / "cpu", "cgroup", options="rw,cpu,cpuacct")
        machine.member("1:cpu,cpuacct:/job\n")
        write(machine.mount / "cpu" / "job" / "cpu.cfs_quota_us", f"{quota}\n")
        write(machine.mount / "cpu" / "job" / "cpu.cfs_period_us", f"{period}\n")
        assert host.usable_cpus(machine.proc) == count
