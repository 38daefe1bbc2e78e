"""Memory and swap, read from files made for the test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lithops_shm import host


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class TestMemory:
    MEMINFO = (
        "MemTotal:       24684084 kB\nMemFree:        99 kB\nMemAvailable:   1000 kB\n"
        "SwapCached: 7 kB\nSwapTotal:      2048 kB\nSwapFree:       1024 kB\nHugePages_Total:       0\n"
    )

    def test_values_are_bytes(self, tmp_path: Path) -> None:
        write(tmp_path / "meminfo", self.MEMINFO)
        assert host.memory_total(tmp_path) == 24684084 * 1024
        assert host.memory_available(tmp_path) == 1000 * 1024
        assert host.swap_total(tmp_path) == 2048 * 1024
        assert host.swap_used(tmp_path) == 1024 * 1024

    @pytest.mark.parametrize(
        "text", ["", "MemAvailable:", "MemAvailable: x kB\n", "MemAvailable: 5\n", "NotMemAvailable: 5 kB\n"]
    )
    def test_what_cannot_be_understood_is_none(self, tmp_path: Path, text: str) -> None:
        write(tmp_path / "meminfo", text)
        assert host.memory_available(tmp_path) is None
        assert host.swap_used(tmp_path) is None

    def test_no_proc(self, tmp_path: Path) -> None:
        nowhere = tmp_path / "nowhere"
        assert host.memory_available(nowhere) is None
        assert host.swaps(nowhere) is None

    def test_swap_areas(self, tmp_path: Path) -> None:
        write(
            tmp_path / "swaps",
            "Filename Type Size Used Priority\n/dev/zram0 partition 1000 10 100\n/swap file 2000 0 -2\n",
        )
        areas = host.swaps(tmp_path)
        assert areas == [host.Swap("/dev/zram0", 1024000, 10240), host.Swap("/swap", 2048000, 0)]
        assert [area.in_memory for area in areas] == [True, False]

    def test_this_machine(self) -> None:
        if not os.path.exists("/proc/meminfo"):
            pytest.skip("no /proc")
        available, total = host.memory_available(), host.memory_total()
        assert available is not None
        assert total is not None
        assert 0 < available <= total
