"""Zeroing the memory of confidential segments before it goes back to the system.

The kernel gives no process a page before it has cleared it; until then the bytes are in memory, and in a dump of it.
What somebody may still read must stay as it is: a file is zeroed when the kernel grants a write lease for it, the proof
that recycling rests on (see pages.py). One that is still mapped keeps a name, in the session's ``pool`` or in the
trash, until it is not; whoever works on the session next, ends it or reclaims it tries again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection
from random import SystemRandom

from lithops_shm.store import bulk, memory
from lithops_shm.store.budget import in_pages
from lithops_shm.store.pages import only_ours
from lithops_shm.store.segment import UnsealedFile

__all__ = ["ErasedPages", "erase", "erase_tree"]

_TRIES = 4  # files of earlier deletions that are looked at with each operation
_LOOKS_S = 0.01  # nothing tells when a lease can be had

_random = SystemRandom()  # a user who has seeded `random` gets the same numbers from it, whatever we do


def erase(path: str, *, unread: bool = False) -> bool:
    """Zero a file and remove it; ``False``, and it is untouched, when somebody else has it open or mapped.

    Parameters
    ----------
    unread:
        That nobody can read it is known: do not ask.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        if not (unread or only_ours(fd)):
            return False
        bulk.zero(fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return True
    finally:
        os.close(fd)


def erase_tree(directory: str, *, unread: Collection[str] = (), patience_s: float = 0.0) -> int:
    """Zero and remove all files below a directory, and the directories that are empty then; gives how many files stay.

    What this process itself has mapped it goes on reading, from private copies.

    Parameters
    ----------
    unread:
        Entries of `directory` that nobody reads, whoever has them open.
    patience_s:
        How long to wait for other processes that read.
    """
    deadline = time.monotonic() + patience_s
    left = _erase_below(directory, unread)
    if left:
        with contextlib.suppress(OSError):  # no memory for the copies: then it waits for whoever comes next
            memory.make_private(left)
        left = _erase_below(directory, unread)
    while left and time.monotonic() < deadline:
        time.sleep(_LOOKS_S)
        left = _erase_below(directory, unread)
    return len(left)


def _erase_below(directory: str, unread: Collection[str]) -> set[tuple[int, int]]:
    """One attempt; gives the files that stay, by device and inode."""
    left: set[tuple[int, int]] = set()
    for folder, _, files in os.walk(directory, topdown=False):
        first = os.path.relpath(folder, directory).split(os.sep)[0]
        for name in files:
            path = os.path.join(folder, name)
            if not erase(path, unread=(name if first == "." else first) in unread):
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(path, follow_symlinks=False)
                    left.add((status.st_dev, status.st_ino))
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    return left


class ErasedPages:
    """What a confidential session has in place of a :class:`~lithops_shm.store.pages.PagePool`: nothing is recycled.

    A deleted file goes through the same directory, because a name is needed until it is zeroed.

    Parameters
    ----------
    directory:
        The session's ``pool`` directory; file names are ``<bytes>-<inode>``.
    release:
        Told of bytes of memory that went back.
    """

    def __init__(self, directory: str, release: Callable[[int], None]) -> None:
        self._directory = directory
        self._release = release

    def place_for(self, status: os.stat_result) -> str:
        """Where to move a file of that status, while its key's lock is held."""
        return os.path.join(self._directory, f"{status.st_size}-{status.st_ino}")

    def link(self, path: str, status: os.stat_result) -> str:
        """Give a file about to be replaced a name here; raises OSError, for without one it could not be zeroed."""
        place = self.place_for(status)
        with contextlib.suppress(FileExistsError):  # named after the inode: that of a writer that died after this
            os.link(path, place, follow_symlinks=False)
        return place

    def retired(self, place: str) -> None:
        """A file has no name any longer but this one: zero it, if nobody reads it, and some of those before it."""
        self._erase([place, *self._some()])

    def take(self, wanted: int, tmp: str) -> UnsealedFile | None:  # noqa: ARG002  (as the pool's)
        """Never a file; but with each one that is written, some of those that were still mapped are looked at again."""
        self._erase(self._some())
        return None

    def drain(self) -> int:
        """Zero and remove what nobody reads any longer; gives its bytes."""
        return self._erased(self._paths())

    def _erase(self, paths: list[str]) -> None:
        self._release(self._erased(paths))

    def _erased(self, paths: list[str]) -> int:
        freed = 0
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                # With a second name it is an object still: its writer is between link and rename, or died there.
                if os.stat(path, follow_symlinks=False).st_nlink == 1 and erase(path):
                    freed += in_pages(int(os.path.basename(path).partition("-")[0]))
        return freed

    def _some(self) -> list[str]:
        paths = self._paths()
        return _random.sample(paths, min(_TRIES, len(paths)))

    def _paths(self) -> list[str]:
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:  # the session has ended; whoever writes next will say so
            return []
        return [os.path.join(self._directory, name) for name in names]
