"""The only door to segments: create, write, seal, attach, head, list, delete."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol

from lithops_shm import host
from lithops_shm.config import StoreSettings
from lithops_shm.errors import InvalidRangeError, SegmentNotFoundError, SessionLostError, StoreError
from lithops_shm.host.system import removes_ipc
from lithops_shm.store import bulk, process, upkeep
from lithops_shm.store.budget import Budget
from lithops_shm.store.erasure import ErasedPages
from lithops_shm.store.keys import bucket_name, decode, locate
from lithops_shm.store.namespace import Namespace
from lithops_shm.store.pages import PagePool
from lithops_shm.store.segment import Segment, SegmentInfo
from lithops_shm.store.session import Session
from lithops_shm.store.tree import Tree
from lithops_shm.store.writer import InPlace, SegmentWriter

__all__ = ["Store"]

logger = logging.getLogger(__name__)

_SMALL_TMPFS = 256 << 20  # Docker's default is 64 MiB
_CHUNK = 4 << 20

_warned: set[str] = set()


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Store:
    """Buckets of immutable segments in memory, shared by all processes of one user on this machine.

    Made by :meth:`open`; may be used by any number of threads, and in children however they were started. A
    ``with`` block or :meth:`close` lets go of it; otherwise the end of the process does.
    """

    def __init__(self, membership: process.Membership, asked: StoreSettings) -> None:
        self._membership: process.Membership | None = membership
        self._asked = asked
        self.settings: StoreSettings = membership.settings
        session = membership.session
        self.session: Session = session
        self._budget = Budget(session.layout.base, self.settings.budget_bytes, membership.state)
        self._pool: PagePool | ErasedPages
        if session.confidential:
            self._pool = ErasedPages(f"{session.directory}/pool", self._budget.release)
        else:
            self._pool = PagePool(f"{session.directory}/pool", self.settings.pool_bytes)
        self._namespace = Namespace(session, membership.state, self._pool, self._budget)

    @classmethod
    def open(cls, settings: StoreSettings | None = None) -> Store:
        """Open the store of these settings (``None``: the defaults), joining a session or starting one.

        Raises
        ------
        UnsafeDirectoryError
            When the base directory belongs to somebody else, is a link, or lets others in.
        ConfidentialityError
            When the store is to be confidential, and these settings would take its data to a disk.
        """
        settings = settings or StoreSettings()
        store = cls(process.enter(settings), settings)
        if settings.session is None:  # a worker's client has been told
            _warn_about(store.session)
        return store

    def close(self) -> None:
        """Let go of the store; the last one of a process ends its session, and removes what it owns."""
        membership, self._membership = self._membership, None
        if membership is not None:
            process.leave(membership)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether it is still what opening it again would give.

        It is not after :meth:`close` and after the end of its session; nor, if its settings leave it to the process
        whether it is confidential, when this process has opened a confidential session since.
        """
        membership = self._membership
        if membership is None or not process.is_usable(membership):
            return False
        return self.session.confidential or not process.is_confidential_by(self._asked)

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket; one that exists is left as it is. Writing an object makes its bucket too."""
        name = bucket_name(bucket)
        try:
            self._own_tree().add_bucket(name)
        except FileNotFoundError:
            raise SessionLostError(self.session.id) from None

    def has_bucket(self, bucket: str) -> bool:
        """Whether any live session has the bucket."""
        return any(True for _ in self._namespace.bucket_trees(bucket))

    def buckets(self) -> list[str]:
        """The names of all buckets, sorted."""
        return sorted({decode(name) for tree in self._namespace.trees() for name in tree.buckets()})

    def delete_bucket(self, bucket: str) -> None:
        """Remove an empty bucket.

        Raises
        ------
        SegmentNotFoundError
            When there is no such bucket.
        StoreError
            When it holds objects.
        """
        self._require_bucket(bucket)
        if self.keys(bucket):
            raise StoreError(f"bucket {bucket!r} holds objects; delete them first")
        for tree in self._namespace.bucket_trees(bucket):
            tree.remove_bucket(bucket_name(bucket))

    def create(self, bucket: str, key: str, size: int | None = None) -> SegmentWriter:
        """Start writing an object, for use in a ``with`` block that ends in ``seal()``.

        Parameters
        ----------
        bucket, key:
            Its name. The bucket is made if need be.
        size:
            How many bytes it will have, if known: it may then be written over recycled pages, and goes to disk from
            the start when memory has no room for all of it.

        Raises
        ------
        InvalidKeyError, SessionLostError, StoreFullError
        """
        return SegmentWriter(
            locate(bucket, key),
            self.session,
            self._namespace,
            self._pool,
            self._budget,
            self._relieve,
            spill=self.settings.spill,
            size=size,
        )

    def put(self, bucket: str, key: str, data: Any) -> SegmentInfo:
        """Store a buffer, or the concatenation of an iterable of buffers, in one copy; in none what is made in place.

        A reader sees the old object or the new one, never a mixture; whoever has the old one mapped keeps it.

        Raises
        ------
        TypeError
            When `data` is not made of buffers (text has to be encoded).
        InvalidKeyError, SessionLostError
        StoreFullError
            When neither memory nor the spill directory has room. What was stored under the key is untouched.
        """
        if isinstance(data, InPlace):
            size = data.nbytes
        else:
            data = bulk.flat(data)
            size = sum(part.nbytes for part in data)
        with self.create(bucket, key, size) as writer:
            writer.write(data)
            return writer.seal()

    def put_if_absent(self, bucket: str, key: str, data: Any) -> SegmentInfo | None:
        """Store as :meth:`put` does, unless there is an object already; ``None``, and it is untouched, if so.

        Of any number of writers at once, in all processes, one stores. Raises as :meth:`put`.
        """
        location = locate(bucket, key)
        parts = bulk.flat(data)
        if self._namespace.head(location) is not None:  # writing it first would be for nothing
            return None
        with self.create(bucket, key, sum(part.nbytes for part in parts)) as writer:
            writer.write(parts)
            try:
                return writer.seal(if_absent=True)
            except FileExistsError:
                return None

    def put_stream(self, bucket: str, key: str, stream: _Readable, size: int | None = None) -> SegmentInfo:
        """Store what a binary file-like gives until its end, never holding more than 4 MiB of it. Raises as `put`."""
        with self.create(bucket, key, size) as writer:
            while chunk := stream.read(_CHUNK):
                writer.write(chunk)
            return writer.seal()

    def attach(self, bucket: str, key: str) -> Segment:
        """Map an object read-only: a view, no copy, and at once whatever its size.

        Raises
        ------
        SegmentNotFoundError
            With an empty key when the bucket is unknown.
        """
        fd, info = self._open(bucket, key)
        try:
            return Segment(info, fd)
        finally:
            os.close(fd)

    def read(self, bucket: str, key: str, start: int = 0, stop: int | None = None) -> bytes:
        """A copy of the bytes from `start` up to, not including, `stop` (``None``: the end; past it: cut off).

        Raises
        ------
        SegmentNotFoundError
        InvalidRangeError
            When a bound is negative or `stop` lies before `start`.
        """
        if start < 0 or (stop is not None and stop < start):
            raise InvalidRangeError(f"{start}:{stop}", "it must be 0 <= start <= stop")
        fd, info = self._open(bucket, key)
        try:
            end = info.size if stop is None else min(stop, info.size)
            return _pread(fd, start, end - start) if end > start else b""
        finally:
            os.close(fd)

    def head(self, bucket: str, key: str) -> SegmentInfo:
        """What is known of an object, without opening it; raises SegmentNotFoundError."""
        info = self._namespace.head(locate(bucket, key))
        if info is None:
            raise self._not_found(bucket, key)
        return info

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys that start with `prefix`, sorted; raises SegmentNotFoundError for an unknown bucket."""
        found = self._namespace.keys(bucket, prefix)
        if not found:
            self._require_bucket(bucket)
        return found

    def delete(self, bucket: str, key: str) -> bool:
        """Remove an object; gives whether there was one. Its mapped views stay as they are."""
        return self._namespace.delete(locate(bucket, key))

    def delete_many(self, bucket: str, keys: Iterable[str]) -> int:
        """Remove objects; gives how many there were."""
        return self._namespace.delete_many(locate(bucket, key) for key in keys)

    def list(self, bucket: str, prefix: str = "") -> list[SegmentInfo]:
        """The objects whose keys start with `prefix`, sorted by key; raises SegmentNotFoundError for no bucket."""
        infos = self._namespace.list(bucket, prefix)
        if not infos:
            self._require_bucket(bucket)
        return infos

    @property
    def bytes_in_use(self) -> int:
        """Bytes of memory that the segments of all sessions take, retired ones included."""
        return self._budget.state.bytes_in_use

    def trim(self) -> int:
        """Give the memory of the pool of retired segments back to the system; gives its bytes."""
        freed = self._pool.drain()
        self._budget.release(freed)
        return freed

    def _open(self, bucket: str, key: str) -> tuple[int, SegmentInfo]:
        opened = self._namespace.open(locate(bucket, key))
        if opened is None:
            raise self._not_found(bucket, key)
        return opened

    def _not_found(self, bucket: str, key: str) -> SegmentNotFoundError:
        return SegmentNotFoundError(bucket, key if self.has_bucket(bucket) else "")

    def _require_bucket(self, bucket: str) -> None:
        if not self.has_bucket(bucket):
            raise SegmentNotFoundError(bucket, "")

    def _own_tree(self) -> Tree:
        return Tree(f"{self.session.directory}/data", self.session.id, spilled=False)

    def _relieve(self) -> None:
        """Make room: give back the pool, and what dead writers of this session have left."""
        self.trim()
        state = self._budget.state
        believed = state.bytes_in_use
        if upkeep.sweep(f"{self.session.directory}/tmp", zero=self.session.confidential):
            state.correct_bytes(upkeep.memory_of(self.session.layout), believed)


def _pread(fd: int, offset: int, count: int) -> bytes:
    data = os.pread(fd, count, offset)
    if len(data) == count:
        return data
    parts = [data]  # one call reads at most 2,147,479,552 bytes on Linux (read(2))
    while data and (got := sum(map(len, parts))) < count:
        data = os.pread(fd, count - got, offset + got)
        parts.append(data)
    return b"".join(parts)


def _warn_about(session: Session) -> None:
    """Say once per process what of this machine will hurt."""
    base = session.layout.base
    if session.confidential and f"{base} swap" not in _warned:
        _warned.add(f"{base} swap")
        areas = host.swaps()
        if host.filesystem(base).option("noswap") is None and not (
            areas is not None and all(each.in_memory for each in areas)
        ):
            logger.warning(
                "confidential data can reach the disk: under pressure the kernel writes what is in %s to %s. Turn swap "
                "off (`swapoff -a`), encrypt it, or set `shm: {directory: ...}` to a tmpfs mounted with `noswap`",
                base,
                ", ".join(each.path for each in areas or () if not each.in_memory) or "swap, if there is any",
            )
    if base in _warned:
        return
    _warned.add(base)
    filesystem = host.filesystem(base)
    if not filesystem.in_memory:
        logger.warning("%s is not in memory (no tmpfs): segments work, at the speed of that file system", base)
    elif filesystem.total_bytes is not None and filesystem.total_bytes < _SMALL_TMPFS:
        logger.warning(
            "only %d MiB of shared memory at %s, as in a container by default: start it with `--shm-size`, or set "
            "`shm: {directory: ...}` to a larger tmpfs; what does not fit goes to disk",
            filesystem.total_bytes >> 20,
            base,
        )
    if base.startswith("/dev/shm/") and removes_ipc():
        logger.warning(
            "logind removes your files in /dev/shm when you log out (RemoveIPC=yes in logind.conf): for jobs that "
            "outlive a login set RemoveIPC=no or run `loginctl enable-linger`"
        )
