"""How much memory new segments may take: the least of the cap, the tmpfs, the cgroup and the machine."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

from lithops_shm import host
from lithops_shm.store.locks import SharedState

__all__ = ["Budget", "in_pages"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
# What a measurement is good for: this long, and until an eighth of what it found has been given out.
_FRESH_S = 0.05
_SHARE = 8
# Left to everybody else. A full tmpfs is only an error; a full machine or cgroup starts to kill processes.
_RESERVED_FRACTION = 0.03
_RESERVED_LEAST = 64 << 20


@dataclass(slots=True)
class Budget:
    """Admits bytes into memory, counting those of all sessions of the base directory.

    Parameters
    ----------
    directory:
        The base directory.
    cap_bytes:
        The configured cap, or ``None``.
    state:
        Holds the count that all processes share.
    """

    directory: str
    cap_bytes: int | None
    state: SharedState
    _room: int = 0
    _measured_at: float = 0.0
    _in_memory: bool | None = None

    def reserve(self, count: int) -> bool:
        """Take `count` bytes of memory if there is room; gives whether there was. Whole pages are counted."""
        if count <= 0:
            return True
        now = time.monotonic()
        if now - self._measured_at > _FRESH_S or count > self._room // _SHARE:
            self._room = self.measure()
            self._measured_at = now
        if count > self._room or not self.state.add_bytes(count, limit=self.cap_bytes):
            return False
        self._room -= count
        return True

    def release(self, count: int) -> None:
        """Give back bytes taken by :meth:`reserve`."""
        if count > 0:
            self.state.add_bytes(-count)

    def measure(self) -> int:
        """Bytes that fit right now, by what the kernel says of this machine; the cap is not part of it."""
        # A tmpfs mounted with no size limit says nothing of its free space: then the machine is the bound.
        free = host.free_bytes(self.directory)
        room = sys.maxsize if free is None else free
        if self._in_memory is None:
            self._in_memory = bool(host.is_tmpfs(self.directory))
        if self._in_memory:
            for free, whole in (
                (host.memory_available(), host.memory_total()),
                (host.cgroup_headroom(), host.cgroup_limit()),
            ):
                if free is not None:
                    reserved = max(_RESERVED_LEAST, int((whole or 0) * _RESERVED_FRACTION))
                    room = min(room, max(0, free - reserved))
        return room

    def describe(self) -> str:
        """The numbers for an error message or a warning."""
        used = self.state.bytes_in_use
        cap = "no cap is set" if self.cap_bytes is None else f"the cap (budget_bytes) is {self.cap_bytes:,}"
        return f"{used:,} bytes are in use, the machine has room for {self.measure():,} more, {cap}"


def in_pages(size: int) -> int:
    """The memory a file of `size` bytes takes."""
    return -(-size // _PAGE) * _PAGE
