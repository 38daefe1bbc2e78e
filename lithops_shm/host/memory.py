"""The machine's memory and swap, as ``/proc/meminfo`` and ``/proc/swaps`` give them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lithops_shm.host.files import Path, read

__all__ = ["Swap", "memory_available", "memory_total", "private_bytes", "swap_total", "swap_used", "swaps"]


def memory_available(proc: Path = "/proc") -> int | None:
    """Bytes that can be taken without swapping, by the kernel's estimate (``MemAvailable``)."""
    return _field("MemAvailable:", proc)


def memory_total(proc: Path = "/proc") -> int | None:
    """Bytes of memory the machine has."""
    return _field("MemTotal:", proc)


def private_bytes(pid: int, proc: Path = "/proc") -> int:
    """Memory that a process has to itself, in bytes (``RssAnon``); 0 when it cannot be told."""
    found = (read(os.path.join(proc, str(pid), "status")) or "").partition("\nRssAnon:")[2].split(maxsplit=2)
    return int(found[0]) * 1024 if len(found) >= 2 and found[0].isdecimal() else 0


def swap_total(proc: Path = "/proc") -> int | None:
    """Bytes of swap space; 0 where there is none."""
    return _field("SwapTotal:", proc)


def swap_used(proc: Path = "/proc") -> int | None:
    """Bytes of swap space in use."""
    total, free = _field("SwapTotal:", proc), _field("SwapFree:", proc)
    return None if total is None or free is None else max(0, total - free)


@dataclass(frozen=True, slots=True)
class Swap:
    """A swap area: the `path` of its file or device, its `total_bytes` and `used_bytes`."""

    path: str
    total_bytes: int
    used_bytes: int

    @property
    def in_memory(self) -> bool:
        """Whether it is compressed memory, which no disk ever sees."""
        return os.path.basename(self.path).startswith("zram")


def swaps(proc: Path = "/proc") -> list[Swap] | None:
    """The swap areas in use; ``None`` when unknown."""
    text = read(os.path.join(proc, "swaps"))
    if text is None:
        return None
    areas = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        # Columns: file name, type, size and used in KiB, priority.
        if len(fields) >= 4 and fields[2].isdecimal() and fields[3].isdecimal():
            areas.append(Swap(fields[0], int(fields[2]) * 1024, int(fields[3]) * 1024))
    return areas


def _field(name: str, proc: Path) -> int | None:
    text = read(os.path.join(proc, "meminfo"))
    if text is None:
        return None
    start = 0 if text.startswith(name) else text.find("\n" + name) + 1
    if not text.startswith(name, start):
        return None
    value = text[start + len(name) : start + len(name) + 32].split(maxsplit=2)
    # The kernel writes "kB" and means KiB.
    return int(value[0]) * 1024 if len(value) >= 2 and value[0].isdecimal() and value[1] == "kB" else None
