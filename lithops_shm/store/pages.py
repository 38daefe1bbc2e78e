"""The pool of recycled pages: retired segment files whose memory the next segments are written over.

A fresh tmpfs page costs more than the copy into it. What may be written over must be a file that nobody can
still read, and that is proven, not assumed:

1. A file enters the pool by a rename out of the tree. From then on its old path names something else or nothing.
2. Whoever takes it moves it on by a rename, so that one writer has it, then asks the kernel for a write lease
   (``F_SETLEASE``). The kernel grants it only if no other open file description of the inode exists, in any
   process; a mapping holds one open until it is unmapped, in forked children too. No lease, no recycling.
3. A reader that looked the path up before 1 but opens the file after 2 finds, when it compares what it opened
   with what the path names now, that they differ, and looks again (:func:`lithops_shm.store.tree.Tree.open`).
   If they are equal, the file has been sealed and published at that very path since, and is what it asked for.

Files still linked elsewhere (a writer died between linking and renaming) are left alone for the same reason.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal

from lithops_shm.store.segment import UnsealedFile, claim, unsealed_path

__all__ = ["PagePool", "only_ours"]

_SMALLEST = 256 << 10  # below this, recycling costs more calls than it saves faults
_TRIES = 4


class PagePool:
    """Retired segments of one session.

    Parameters
    ----------
    directory:
        The session's ``pool`` directory; file names are ``<bytes>-<inode>``.
    limit:
        Most bytes to keep; 0 keeps nothing.
    """

    def __init__(self, directory: str, limit: int) -> None:
        self._directory = directory
        self._limit = limit if hasattr(fcntl, "F_SETLEASE") else 0

    def place_for(self, status: os.stat_result) -> str | None:
        """Where to move a file of that status to retire it; ``None`` when its pages are not worth keeping.

        The caller renames it there while it holds the key's lock. Named after the inode, so that a file can be in
        the pool only once.
        """
        if not _SMALLEST <= status.st_size <= self._limit or self.size + status.st_size > self._limit:
            return None
        return os.path.join(self._directory, f"{status.st_size}-{status.st_ino}")

    def link(self, path: str, status: os.stat_result) -> str | None:
        """Give a file about to be replaced a name in the pool, where it waits until its old name is gone."""
        place = self.place_for(status)
        if place is None or status.st_nlink > 1:  # it has that name already: of a writer that died after this
            return place
        with contextlib.suppress(OSError):
            os.link(path, place, follow_symlinks=False)
            return place
        return None

    def retired(self, place: str) -> None:
        """A file has no name any longer but this one, in the pool: nothing to do, it waits to be taken."""

    @property
    def size(self) -> int:
        """Bytes in the pool."""
        return sum(size for size, _ in self._files())

    def take(self, wanted: int, tmp: str) -> UnsealedFile | None:
        """A file with pages for a segment of `wanted` bytes, moved into `tmp`; ``None`` when none is free.

        The smallest that holds all of it, else the largest. Files that somebody still maps stay in the pool.
        """
        if wanted < _SMALLEST or not self._limit:
            return None
        files = sorted(self._files())
        fitting = [name for size, name in files if size >= wanted]
        smaller = [name for size, name in reversed(files) if size < wanted]
        for name in (fitting + smaller)[:_TRIES]:
            if (file := self._take(name, tmp)) is not None:
                return file
        return None

    def drain(self) -> int:
        """Give all its memory back to the system; gives the bytes that no reader still holds."""
        freed = 0
        for size, name in self._files():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._directory, name))
                freed += size
        return freed

    def _files(self) -> list[tuple[int, str]]:
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:  # the session has ended; whoever writes next will say so
            return []
        return [(int(name.partition("-")[0]), name) for name in names]

    def _take(self, name: str, tmp: str) -> UnsealedFile | None:
        source = os.path.join(self._directory, name)
        path = unsealed_path(tmp)
        try:
            os.rename(source, path)
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:  # another writer was faster
            return None
        if claim(fd, wait=False):
            status = os.fstat(fd)
            if status.st_nlink == 1 and only_ours(fd):
                return UnsealedFile(fd, path, status.st_size)
            os.close(fd)
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, source)
        return None


def only_ours(fd: int) -> bool:
    """Whether this descriptor is the only open one of its file, on the kernel's word."""
    try:
        # The signal sent when somebody opens the file while we hold the lease would by default kill us.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True
