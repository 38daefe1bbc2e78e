"""The most memory that a process and all below it use at once. Linux.

Counted, each page once:

- Anonymous memory: `RssAnon` of each process every time, less what it shares with others since a fork. That share
  (`Anonymous` less `Pss_Anon` of `smaps_rollup`) is looked at more seldom: the kernel walks all pages for it, 10 ms a
  gigabyte of small ones. All are looked at again when one has come or gone; between two looks the share is taken as it
  was.
- Shared memory: the blocks of the files on a tmpfs that are below given directories, or that one of the processes has
  open, deleted ones and memfds included; those opened are found within two seconds, or a fifth if they are mapped.

Not counted: the page cache, in it files that are mapped from a disk, and what is written to a disk; page tables; shared
maps that have neither a name below the directories nor an open descriptor. A process counts from the second time it is
seen, because a vfork has its parent's memory until it is a program of its own; so one that lives for less than two
intervals does not, nor may one whose parent ended before it was seen.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

__all__ = ["Sampler", "Tree", "Usage"]

_INTERVAL_S = 0.02
# A close look at a process is due when one has come or gone, after 2 s, or after 0.2 s if it maps more or less shared
# memory than then; the latter two not before 20 times what the last look took. All of Ray's dozen take 60 ms.
_CLOSE_SHARE, _CLOSE_S, _SOON_S = 20, 2.0, 0.2


@dataclass
class _Process:
    """What the last close look found, in bytes, and when the next is due, or may be."""

    forked: int = 0
    mapped: int = 0
    files: list[str] = field(default_factory=list)
    due: float = 0.0
    soon: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What this process has in memory: bytes that are its alone, and bytes that it maps of files and segments.

    A page of a segment counts as private to the kernel, too, while only one process maps it; but it is the store's, and
    no copy. So anonymous memory is what counts as private here.
    """

    private: int
    shared: int

    @classmethod
    def now(cls) -> Usage:
        """From the kernel's own accounting."""
        found = _fields("/proc/self/smaps_rollup", "Rss", "Anonymous")
        return cls(found["Anonymous"], found["Rss"] - found["Anonymous"])

    def since(self, before: Usage) -> list[int]:
        """By how much both have grown."""
        return [self.private - before.private, self.shared - before.shared]


class Tree:
    """A process and its descendants, as they come and go; one that is orphaned stays one of them."""

    def __init__(self, root: int) -> None:
        self._ours: dict[int, bool] = {}
        self._root = root

    def pids(self) -> list[int]:
        alive = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self._ours = {pid: ours for pid, ours in self._ours.items() if pid in alive}
        parents = {pid: _parent(pid) for pid in alive - self._ours.keys()}
        self._ours |= dict.fromkeys(parents, False)
        self._ours[self._root] = self._root in alive
        found: list[int] | None = None
        while found is None or found:
            found = [pid for pid, parent in parents.items() if not self._ours[pid] and self._ours.get(parent)]
            self._ours |= dict.fromkeys(found, True)
        return [pid for pid, ours in self._ours.items() if ours]


class Sampler:
    """Looks every 20 ms while the `with` block runs, from a thread.

    Parameters
    ----------
    root:
        Its process and all below it are counted.
    directories:
        On a tmpfs; their files are counted, whoever has them open.

    Attributes
    ----------
    first, peak:
        In bytes: when the block was entered, and the most since then.
    """

    def __init__(self, root: int, *directories: str) -> None:
        self.first = self.peak = 0
        self._tree = Tree(root)
        self._directories = directories
        self._seen: set[int] = set()
        self._known: dict[int, _Process] = {}
        self._devices = _tmpfs_devices()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Sampler:
        self.now()
        self.first = self.peak = self.now()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def now(self) -> int:
        """Bytes in use; see the module for what counts."""
        anonymous = 0
        files: set[str] = set()
        seen = set(self._tree.pids())
        before, self._seen = self._seen, seen
        changed = seen & before != self._known.keys()
        self._known = {pid: self._known.get(pid) or _Process() for pid in seen & before}
        for pid, known in self._known.items():
            try:
                private, mapped = _resident(pid)
                if changed or time.monotonic() >= (known.due if mapped == known.mapped else known.soon):
                    self._look_closely(pid, known)
                    known.mapped = mapped
            except (OSError, KeyError, IndexError):  # it has ended
                continue
            anonymous += max(private - known.forked, 0)
            files |= set(known.files)
        for directory in self._directories:
            files |= {os.path.join(at, name) for at, _, names in os.walk(directory) for name in names}
        return anonymous + self._blocks(files)

    def _watch(self) -> None:
        while not self._over.wait(_INTERVAL_S):
            self.peak = max(self.peak, self.now())

    def _look_closely(self, pid: int, known: _Process) -> None:
        started = time.monotonic()
        rollup = _fields(f"/proc/{pid}/smaps_rollup", "Anonymous", "Pss_Anon")
        known.forked = rollup["Anonymous"] - rollup["Pss_Anon"]
        known.files = [path for path in _descriptors(pid) if self._on_tmpfs(path) is not None]
        ended = time.monotonic()
        known.soon = ended + max(_SOON_S, _CLOSE_SHARE * (ended - started))
        known.due = max(known.soon, ended + _CLOSE_S)

    def _blocks(self, paths: set[str]) -> int:
        """Bytes that files on a tmpfs take, each file once."""
        found = (self._on_tmpfs(path) for path in paths)
        sizes = {(status.st_dev, status.st_ino): status.st_blocks * 512 for status in found if status}
        return sum(sizes.values())

    def _on_tmpfs(self, path: str) -> os.stat_result | None:
        """The file's status; None if it is none, or not there."""
        try:
            status = os.stat(path)
        except OSError:  # closed, or removed
            return None
        return status if stat.S_ISREG(status.st_mode) and status.st_dev in self._devices else None


def _parent(pid: int) -> int:
    """The process that started it, or who inherited it; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _resident(pid: int) -> tuple[int, int]:
    """Bytes of anonymous memory and of shared memory that it maps, whoever shares them."""
    with open(f"/proc/{pid}/status", "rb") as file:
        after = file.read().partition(b"RssAnon:")[2].split(maxsplit=7)
    return int(after[0]) * 1024, int(after[6]) * 1024  # RssAnon: 1 kB RssFile: 2 kB RssShmem: 3 kB ...


def _descriptors(pid: int) -> list[str]:
    return [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]


def _fields(path: str, *names: str) -> dict[str, int]:
    """Those lines of a file of the kernel's, which has kilobytes, in bytes."""
    with open(path, encoding="ascii") as file:
        pairs = (line.partition(":")[::2] for line in file)
        return {name: int(value.split()[0]) * 1024 for name, value in pairs if name in names}


def _tmpfs_devices() -> set[int]:
    """/dev/shm, and where the kernel keeps memfds and anonymous shared memory."""
    fd = os.memfd_create("device")
    try:
        devices = {os.fstat(fd).st_dev}
    finally:
        os.close(fd)
    return devices | ({os.stat("/dev/shm").st_dev} if os.path.isdir("/dev/shm") else set())
