"""Locks between processes and threads, and the two counters they guard.

The locks are POSIX record locks (``fcntl``), one byte each, in one file. Unlike ``flock`` they are owned by the
process and not inherited by ``fork``: a child forked while a thread holds one can neither keep it nor release it,
and the kernel releases those of a process that dies. Threads of one process do not exclude each other through
them, so each byte has a mutex as well. They are held for a rename and a few ``stat``, never while data moves.

POSIX drops all locks of a process on a file when *any* of its descriptors of that file is closed, so a process
opens the file once; that is why :class:`SharedState` is made by the session, and nobody else opens its files.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import weakref
from types import TracebackType
from zlib import crc32

__all__ = ["SharedState"]

_SLOTS = 256  # keys that fall in the same slot wait for each other, for microseconds
_LEDGER_SLOT = _SLOTS  # taken inside a key's slot, never the other way round
_LEDGER = struct.Struct("=Qq")  # generation, bytes in use

_instances: weakref.WeakSet[SharedState] = weakref.WeakSet()


class SharedState:
    """What all processes of a base directory share besides the files: locks by key, and the ledger.

    Parameters
    ----------
    directory:
        The base directory; the files ``locks`` and ``ledger`` are made in it.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(os.path.join(directory, "locks"), flags, 0o600)
        ledger = os.open(os.path.join(directory, "ledger"), flags, 0o600)
        try:
            # Written, not truncated to size: a page that exists cannot be refused later with SIGBUS.
            if os.fstat(ledger).st_size < _LEDGER.size:
                os.pwrite(ledger, bytes(_LEDGER.size), 0)
            self._ledger = mmap.mmap(ledger, _LEDGER.size)
        except BaseException:
            os.close(self._fd)
            raise
        finally:
            os.close(ledger)
        self._locks: dict[int, _SlotLock] = {}
        _instances.add(self)

    def key_locked(self, path: str) -> _SlotLock:
        """Exclude every other writer of the object at `path`, in all processes, while the block runs."""
        return self._slot_locked(crc32(path.encode()) % _SLOTS)

    def _slot_locked(self, slot: int) -> _SlotLock:
        return self._locks.get(slot) or self._locks.setdefault(slot, _SlotLock(self._fd, slot))

    @property
    def generation(self) -> int:
        """How often a tree was added, or an object moved between two; see :mod:`lithops_shm.store.namespace`."""
        return int(_LEDGER.unpack_from(self._ledger)[0])

    @property
    def bytes_in_use(self) -> int:
        """Memory taken by the files of all sessions, in bytes. A killed writer leaves it too high, never too low."""
        return int(_LEDGER.unpack_from(self._ledger)[1])

    def advance_generation(self) -> None:
        with self._slot_locked(_LEDGER_SLOT):
            generation, used = _LEDGER.unpack_from(self._ledger)
            _LEDGER.pack_into(self._ledger, 0, generation + 1, used)

    def add_bytes(self, count: int, *, limit: int | None = None) -> bool:
        """Add to the bytes in use; refuse, changing nothing, when that would pass `limit`."""
        with self._slot_locked(_LEDGER_SLOT):
            generation, used = _LEDGER.unpack_from(self._ledger)
            if limit is not None and used + count > limit:
                return False
            _LEDGER.pack_into(self._ledger, 0, generation, max(0, used + count))
            return True

    def correct_bytes(self, measured: int, believed: int) -> None:
        """Replace what `believed` was the bytes in use by what was `measured`, keeping changes made meanwhile."""
        self.add_bytes(measured - believed)

    def is_current(self) -> bool:
        """Whether these are still the files of the base directory, which the last session there removes."""
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(os.path.join(self._directory, "locks")))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        _instances.discard(self)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._locks = {}
            self._ledger.close()


class _SlotLock:
    """One byte of the file and the mutex of this process for it; held by a ``with`` block."""

    __slots__ = ("_fd", "_mutex", "_slot")

    def __init__(self, fd: int, slot: int) -> None:
        self._fd = fd
        self._slot = slot
        self._mutex = threading.Lock()

    def __enter__(self) -> None:
        self._mutex.acquire()
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, self._slot)
        except BaseException:
            self._mutex.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, self._slot)
        finally:
            self._mutex.release()


def _renew_locks() -> None:
    """In a forked child: the threads that held a mutex do not exist here."""
    for state in _instances:
        state._locks = {}


os.register_at_fork(after_in_child=_renew_locks)
