"""A machine made of files."""

from __future__ import annotations

from pathlib import Path

import pytest


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class Machine:
    """A /proc and the control group mounts it tells of, below one directory."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.mount = root / "cgroup"
        self.lines: list[str] = []
        write(self.proc / "self" / "mountinfo", "")

    def mounted(self, point: Path | str, kind: str, *, root: str = "/", options: str = "rw") -> None:
        escaped = str(point).replace("\\", "\\134").replace(" ", "\\040")
        number = len(self.lines) + 20
        self.lines.append(f"{number} 1 0:{number} {root} {escaped} rw - {kind} {kind} {options}")
        write(self.proc / "self" / "mountinfo", "\n".join(self.lines) + "\n")

    def member(self, text: str) -> None:
        write(self.proc / "self" / "cgroup", text)

    def v2(self, group: str, *, limit: str = "max", used: int = 0, inactive: int = 0, high: str = "max") -> None:
        directory = self.mount / group
        write(directory / "memory.max", limit + "\n")
        write(directory / "memory.high", high + "\n")
        write(directory / "memory.current", f"{used}\n")
        write(directory / "memory.stat", f"anon 1\nfile 999\nactive_file 7\ninactive_file {inactive}\nslab 3\n")

    def v1(self, group: str, *, limit: int, used: int = 0, inactive: int = 0) -> None:
        directory = self.mount / "memory" / group
        write(directory / "memory.limit_in_bytes", f"{limit}\n")
        write(directory / "memory.usage_in_bytes", f"{used}\n")
        write(directory / "memory.stat", f"inactive_file 1\nmapped_file 2\ntotal_inactive_file {inactive}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")
