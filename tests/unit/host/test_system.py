"""Settings of the kernel and of logind, read from trees made for the test."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from lithops_shm import host
from lithops_shm.host import system


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class TestSystem:
    def test_core_dumps(self, tmp_path: Path) -> None:
        write(tmp_path / "sys" / "kernel" / "core_pattern", "|/usr/lib/systemd/systemd-coredump %P %u\n")
        write(tmp_path / "self" / "coredump_filter", "00000033\n")
        found = system.core_dumps(tmp_path)
        assert found.pattern == "|/usr/lib/systemd/systemd-coredump %P %u"
        assert found.filter == 0x33
        soft = resource.getrlimit(resource.RLIMIT_CORE)[0]
        assert found.limit_bytes == (None if soft == resource.RLIM_INFINITY else soft)

    @pytest.mark.parametrize(
        ("limit", "pattern", "enabled"),
        [(0, "core", False), (None, "core", True), (1 << 20, "core", True), (None, "", False), (None, None, True),
         (0, "|/bin/handler", True), (1, "|/bin/handler", False)],
    )  # fmt: skip
    def test_when_cores_are_written(self, limit: int | None, pattern: str | None, enabled: bool) -> None:
        assert system.CoreDumps(limit, pattern, None).enabled is enabled

    def test_no_proc(self, tmp_path: Path) -> None:
        assert system.core_dumps(tmp_path).pattern is None
        assert system.core_dumps(tmp_path).filter is None

    def test_huge_pages(self, tmp_path: Path) -> None:
        home = tmp_path / "kernel" / "mm" / "transparent_hugepage"
        write(home / "enabled", "always [madvise] never\n")
        write(home / "shmem_enabled", "always within_size advise [never] deny force\n")
        assert system.huge_pages(tmp_path) == system.HugePages("madvise", "never")
        assert system.huge_pages(tmp_path / "none") == system.HugePages(None, None)

    @pytest.mark.parametrize(
        ("trace", "environ", "kind"),
        [
            (None, {}, None),
            (".dockerenv", {}, "docker"),
            ("run/.containerenv", {}, "podman"),
            (None, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
            (".dockerenv", {"AWS_LAMBDA_FUNCTION_NAME": "f"}, "lambda"),
            (None, {"container": "lxc"}, "lxc"),
        ],
    )
    def test_container(self, tmp_path: Path, trace: str | None, environ: dict[str, str], kind: str | None) -> None:
        if trace:
            write(tmp_path / trace, "")
        assert system.container(tmp_path, environ) == kind

    @pytest.mark.parametrize(
        ("groups", "kind"),
        [
            ("0::/\n", None),
            ("0::/user.slice/user-1000.slice/docker-notes\n", None),
            ("4:memory:/docker/0123456789ab\n", "docker"),
            ("0::/system.slice/docker-0123456789ab.scope\n", "docker"),
            ("0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-9.scope\n", "kubernetes"),
        ],
    )
    def test_container_by_its_groups(self, tmp_path: Path, groups: str, kind: str | None) -> None:
        write(tmp_path / "proc" / "self" / "cgroup", groups)
        assert system.container(tmp_path, {}) == kind


class TestRemoveIPC:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        (tmp_path / "run" / "systemd" / "seats").mkdir(parents=True)
        write(tmp_path / "etc" / "passwd", "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n")
        return tmp_path

    def test_default_is_yes(self, root: Path) -> None:
        assert host.removes_ipc(1000, root) is True

    def test_no_logind(self, tmp_path: Path) -> None:
        assert host.removes_ipc(1000, tmp_path) is False

    def test_system_users_are_spared(self, root: Path) -> None:
        assert host.removes_ipc(0, root) is False
        assert host.removes_ipc(999, root) is False
        write(root / "etc" / "login.defs", "# SYS_UID_MAX 5\nSYS_UID_MIN 101\nSYS_UID_MAX\t\t499\n")
        assert host.removes_ipc(500, root) is True
        assert host.removes_ipc(499, root) is False

    def test_lingering_users_are_spared(self, root: Path) -> None:
        write(root / "var" / "lib" / "systemd" / "linger" / "ada", "")
        assert host.removes_ipc(1000, root) is False
        assert host.removes_ipc(1001, root) is True

    @pytest.mark.parametrize(
        ("text", "removes"),
        [
            ("[Login]\nRemoveIPC=no\n", False),
            ("[Login]\n RemoveIPC = off \n", False),
            ("[Login]\nRemoveIPC=No\n", False),
            ("[Login]\nRemoveIPC=0\n[Other]\nRemoveIPC=yes\n", False),
            ("[Other]\nRemoveIPC=no\n", True),
            ("[Login]\n#RemoveIPC=yes\n", True),
            ("[Login]\n#RemoveIPC=no\n", False),  # RHEL's own default, as it documents it
            ("[Login]\n;RemoveIPC=no\n", True),
            ("[Login]\nRemoveIPC=no\nRemoveIPC=\n", True),
            ("[Login]\nRemoveIPC=perhaps\n", None),
            ("no sections at all", True),
        ],
    )
    def test_main_file(self, root: Path, text: str, removes: bool | None) -> None:
        write(root / "etc" / "systemd" / "logind.conf", text)
        assert host.removes_ipc(1000, root) is removes

    def test_etc_hides_the_vendors_main_file(self, root: Path) -> None:
        write(root / "usr" / "lib" / "systemd" / "logind.conf", "[Login]\nRemoveIPC=no\n")
        assert host.removes_ipc(1000, root) is False
        write(root / "etc" / "systemd" / "logind.conf", "[Login]\n")
        assert host.removes_ipc(1000, root) is True

    def test_drop_ins_override_in_the_order_of_their_names(self, root: Path) -> None:
        write(root / "etc" / "systemd" / "logind.conf", "[Login]\nRemoveIPC=yes\n")
        write(root / "usr" / "lib" / "systemd" / "logind.conf.d" / "90-vendor.conf", "[Login]\nRemoveIPC=no\n")
        write(root / "etc" / "systemd" / "logind.conf.d" / "10-local.conf", "[Login]\nRemoveIPC=yes\n")
        write(root / "etc" / "systemd" / "logind.conf.d" / "99-backup.conf.old", "[Login]\nRemoveIPC=yes\n")
        assert host.removes_ipc(1000, root) is False

    def test_a_drop_in_hides_its_namesake_further_down(self, root: Path) -> None:
        write(root / "usr" / "lib" / "systemd" / "logind.conf.d" / "50-a.conf", "[Login]\nRemoveIPC=no\n")
        assert host.removes_ipc(1000, root) is False
        write(root / "run" / "systemd" / "logind.conf.d" / "50-a.conf", "[Login]\nRemoveIPC=yes\n")
        assert host.removes_ipc(1000, root) is True
        (root / "etc" / "systemd" / "logind.conf.d").mkdir(parents=True)
        (root / "etc" / "systemd" / "logind.conf.d" / "50-a.conf").symlink_to("/dev/null")  # masked
        write(root / "etc" / "systemd" / "logind.conf", "[Login]\nRemoveIPC=no\n")
        assert host.removes_ipc(1000, root) is False
