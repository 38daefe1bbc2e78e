"""Segments: written under a name nobody reads, sealed, and mapped read-only ever after."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass

from lithops_shm.store import bulk, memory

__all__ = ["Segment", "SegmentInfo", "UnsealedFile"]

_names = random.Random()  # seeded by the kernel, and again in every forked child, which may get a pid used before
os.register_at_fork(after_in_child=_names.seed)


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """What is known of a segment without mapping it.

    Parameters
    ----------
    bucket, key:
        Its name.
    size:
        In bytes, exactly what was written.
    modified_ns:
        When it was sealed, in nanoseconds since 1970.
    session:
        Id of the session it belongs to, and with which it goes.
    spilled:
        Whether its bytes are on disk rather than in memory.
    """

    bucket: str
    key: str
    size: int
    modified_ns: int
    session: str
    spilled: bool


class Segment:
    """A sealed segment, mapped read-only into this process.

    The mapping lives as long as this object or any view made from it, whatever happens to the name: deleting or
    overwriting the object leaves what is mapped as it was. Nothing has to be closed.

    Parameters
    ----------
    info:
        The segment as it was when it was opened.
    fd:
        Its open descriptor; the caller closes it, the mapping needs none.
    """

    __slots__ = ("__weakref__", "info", "view")

    view: memoryview
    """All bytes of the segment, read-only; format ``B``, shape ``(size,)``. A view, never a copy."""

    def __init__(self, info: SegmentInfo, fd: int) -> None:
        self.info = info
        self.view = memory.map_file(fd, 0, info.size) if info.size else memoryview(b"")

    @property
    def size(self) -> int:
        """Bytes in the segment."""
        return self.info.size

    def __len__(self) -> int:
        return self.info.size

    def __repr__(self) -> str:
        info = self.info
        return f"<Segment {info.bucket}/{info.key[:80]} {info.size:,} bytes{' spilled' if info.spilled else ''}>"


class UnsealedFile:
    """A file being written in a session's ``tmp`` directory, flocked by its writer until published or dropped.

    The lock is what tells a writer at work from the remains of a dead one.

    Parameters
    ----------
    fd, path:
        The file, open for writing and locked; owned by this object from now on.
    recycled_bytes:
        How many bytes of allocated pages it already has, from 0 on.
    zero:
        Whether it is zeroed when it is dropped.
    """

    def __init__(self, fd: int, path: str, recycled_bytes: int = 0, *, zero: bool = False) -> None:
        self.fd = fd
        self.path = path
        self.size = 0
        self.recycled_bytes = recycled_bytes
        self._pid = os.getpid()
        self._zero = zero

    @classmethod
    def create(cls, directory: str, *, zero: bool = False) -> UnsealedFile:
        """A new empty file; raises FileNotFoundError when the directory is gone with its session."""
        while True:
            path = unsealed_path(directory)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            if claim(fd):
                return cls(fd, path, zero=zero)

    def append(self, parts: Sequence[memoryview]) -> None:
        """Write flat buffers at the end, over recycled pages as far as they reach.

        Raises
        ------
        OSError
            ENOSPC when the file system is full. :attr:`size` is then as before, and so are the bytes up to it.
        """
        at = self.size
        if at < self.recycled_bytes:
            over, parts = bulk.split(parts, self.recycled_bytes - at)
            at += bulk.overwrite(self.fd, at, over)
        self.size = at + bulk.write(self.fd, at, parts)

    def extend(self, nbytes: int) -> memoryview | None:
        """The next `nbytes`, to be written to in place; see :func:`lithops_shm.store.bulk.allocate`."""
        room = bulk.allocate(self.fd, self.size, nbytes, self.recycled_bytes)
        if room is not None:
            self.size += nbytes
        return room

    def seal(self, modified_ns: int) -> None:
        """Cut off recycled pages that were not needed, and stamp the time."""
        if self.recycled_bytes > self.size:
            os.ftruncate(self.fd, self.size)
        os.utime(self.fd, ns=(modified_ns, modified_ns))

    def published(self) -> None:
        """The file has its final name: let go of it, without removing anything."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def drop(self) -> None:
        """Remove the file; dropping twice is dropping once."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        mine = self._pid == os.getpid()  # a forked child inherits the object, the file stays the parent's
        if self._zero and mine:
            bulk.zero(fd)
        os.close(fd)
        if mine:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    __del__ = drop


def unsealed_path(directory: str) -> str:
    """A path in `directory` that no other writer uses."""
    return f"{directory}/{os.getpid()}-{_names.getrandbits(48):012x}"


def claim(fd: int, *, wait: bool = True) -> bool:
    """Lock a file in ``tmp`` for its writer; ``False``, and closed, when it was cleared away just before.

    With `wait` off, also when somebody else has it locked.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            return True
    except BlockingIOError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return False
