"""File systems and their room, by mounts made for the test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lithops_shm import host
from lithops_shm.host import files


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class TestFileSystems:
    def test_longest_mount_point_wins_and_of_equals_the_last(self, machine: Any, tmp_path: Path) -> None:
        machine.mounted("/", "ext4")
        machine.mounted(tmp_path / "a", "ext4")
        machine.mounted(tmp_path / "a", "tmpfs", options="rw,size=65536k,huge=never,noswap")
        machine.mounted(tmp_path / "ab", "xfs")
        (tmp_path / "a").mkdir()
        found = host.filesystem(tmp_path / "a" / "not" / "yet", machine.proc)
        assert (found.type, found.mount_point, found.in_memory) == ("tmpfs", str(tmp_path / "a"), True)
        assert found.option("size") == "65536k"
        assert found.option("noswap") == ""
        assert found.option("swap") is None
        assert host.is_tmpfs(tmp_path / "a", machine.proc) is True
        assert host.is_tmpfs(tmp_path / "abc", machine.proc) is False

    @pytest.mark.parametrize("name", ["with space", "tab\there", "back\\slash", "umläut", "new\nline"])
    def test_escapes_in_mount_points(self, machine: Any, tmp_path: Path, name: str) -> None:
        (tmp_path / name).mkdir()
        machine.mounted(tmp_path / name.replace("\\", "\x01"), "tmpfs")
        text = (
            machine.lines[-1]
            .replace("\t", "\\011")
            .replace("\n", "\\012")
            .replace("\x01", "\\134")
            .replace("ä", "\\303\\244")
        )
        write(machine.proc / "self" / "mountinfo", text + "\n")
        assert host.filesystem(tmp_path / name, machine.proc).mount_point == str(tmp_path / name)

    def test_links_are_followed(self, machine: Any, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        machine.mounted("/", "ext4")
        machine.mounted(tmp_path / "real", "tmpfs")
        assert host.is_tmpfs(tmp_path / "link" / "x", machine.proc) is True

    @pytest.mark.parametrize("text", ["", "garbage\n", "1 2 3 - \n", " - ext4 x rw\n"])
    def test_unknown_mounts(self, machine: Any, tmp_path: Path, text: str) -> None:
        write(machine.proc / "self" / "mountinfo", text)
        found = host.filesystem(tmp_path, machine.proc)
        assert found.type is None
        assert found.total_bytes is not None  # the kernel is still asked for the room
        assert host.is_tmpfs(tmp_path, machine.proc) is None

    def test_room_without_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        unbounded = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda path: unbounded)  # as a tmpfs mounted with size=0 answers
        assert host.free_bytes("/") is None
        assert host.filesystem("/").total_bytes is None

    @pytest.mark.parametrize("path", ["/no/such/place", "nul\x00", ""])
    def test_paths_that_cannot_be(self, path: str) -> None:
        assert host.free_bytes(path) is None
        host.filesystem(path)
        host.is_tmpfs(path)


class TestReading:
    def test_long_files_are_read_to_their_end(self, tmp_path: Path) -> None:
        text = "0123456789\n" * 20_000
        write(tmp_path / "long", text)
        assert files.read(tmp_path / "long") == text

    def test_mountinfo_longer_than_a_page(self) -> None:
        if not os.path.exists("/proc/self/smaps"):
            pytest.skip("no /proc")
        with open("/proc/self/smaps", "rb") as file:
            expected = file.read().count(b"VmFlags:")
        assert abs((files.read("/proc/self/smaps") or "").count("VmFlags:") - expected) < 8

    def test_a_directory_and_nothing_are_none(self, tmp_path: Path) -> None:
        assert files.read(tmp_path) is None
        assert files.number(tmp_path / "nothing") is None
