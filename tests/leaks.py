"""A pytest plugin: whatever a test leaves behind fails it, whether it passed or not.

Counted are segments and base directories in shared memory, spill directories, child processes, threads and open
descriptors of this process.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_GRACE_S = 3.0  # for threads and processes that are on their way out


@dataclass(frozen=True)
class Snapshot:
    """What there is at one moment."""

    shared_memory: frozenset[str]
    children: frozenset[str]
    threads: frozenset[str]
    descriptors: frozenset[str]

    @classmethod
    def take(cls) -> Snapshot:
        return cls(_shared_memory(), _children(), _threads(), _descriptors())

    def added_since(self, before: Snapshot) -> list[str]:
        """What is in this one and was not in `before`, a sentence each."""
        return [
            f"{what}: {', '.join(sorted(getattr(self, what) - getattr(before, what)))}"
            for what in ("shared_memory", "children", "threads", "descriptors")
            if getattr(self, what) - getattr(before, what)
        ]


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    before = Snapshot.take()
    yield
    leaks = settled(before)
    if leaks:
        pytest.fail("left behind: " + "; ".join(leaks))


def settled(before: Snapshot, grace_s: float = _GRACE_S) -> list[str]:
    """What is left when all that is about to go has gone."""
    deadline = time.monotonic() + grace_s
    leaks = Snapshot.take().added_since(before)
    if leaks:
        gc.collect()
        leaks = Snapshot.take().added_since(before)
    while leaks and time.monotonic() < deadline:
        time.sleep(0.05)
        leaks = Snapshot.take().added_since(before)
    return leaks


def _shared_memory() -> frozenset[str]:
    found = []
    for parent in (Path("/dev/shm"), Path("/var/tmp")):
        if parent.is_dir():
            found += [str(path) for path in parent.glob("lithops-shm*")]
    return frozenset(found)


def _children() -> frozenset[str]:
    """Processes whose parent is this one, or its dead child's heirs in its own session of tests."""
    mine = str(os.getpid())
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[1] == mine and fields[0] != "Z":
                command = (stat.parent / "cmdline").read_text().replace("\0", " ")
                found.append(f"{stat.parent.name} {command[:80]}")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return frozenset(name for name in found if "resource_tracker" not in name)


def _threads() -> frozenset[str]:
    return frozenset(f"{thread.name} {thread.ident}" for thread in threading.enumerate())


def _descriptors() -> frozenset[str]:
    """Open descriptors of regular files, directories, pipes and sockets, by number and target."""
    found = []
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the descriptor of the listing itself
            continue
        if target != "/dev/null" and "/proc/" not in target and not target.startswith("anon_inode"):
            found.append(f"{name} -> {target}")
    return frozenset(found)
