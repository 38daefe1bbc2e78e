"""Objects in shared memory: segments of the store, read where they lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lithops_shm.errors import SegmentNotFoundError, ShuffleStorageError
from lithops_shm.shuffle.media.objects import Buffer, check_key, check_prefix, check_range
from lithops_shm.store import Store

__all__ = ["SharedObjects"]


class SharedObjects:
    """An :class:`~lithops_shm.shuffle.media.objects.ObjectStore` in a bucket of a store, which is closed with it."""

    maps = True

    def __init__(self, store: Store, bucket: str) -> None:
        self._store = store
        self._bucket = bucket

    def put(self, key: str, parts: Iterable[Buffer]) -> int:
        check_key(key)
        return self._store.put(self._bucket, key, parts).size

    def put_if_absent(self, key: str, parts: Sequence[Buffer]) -> bool:
        check_key(key)
        return self._store.put_if_absent(self._bucket, key, parts) is not None

    def spilled_bytes(self, key: str) -> int:
        info = self._store.head(self._bucket, key)
        return info.size if info.spilled else 0

    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        """A view of the mapped segment, which stays as it is whatever becomes of the object."""
        check_key(key)
        check_range(start, stop)
        if start == stop:
            return memoryview(b"")
        try:
            view = self._store.attach(self._bucket, key).view
        except SegmentNotFoundError:
            raise SegmentNotFoundError(self._bucket, key) from None  # also when it is the bucket that is not there
        end = view.nbytes if stop is None else stop
        if max(start, end) > view.nbytes:
            reason = f"bytes {start:,} to {end:,} were asked for, and the object has {view.nbytes:,}"
            raise ShuffleStorageError(f"bucket {self._bucket!r} in shared memory, {key[:80]!r}", reason, "put it again")
        return view[start:end]

    def get_many(self, ranges: Sequence[tuple[str, int, int]]) -> list[memoryview]:
        return [self.get(key, start, stop) for key, start, stop in ranges]

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            check_key(key)
            self._store.delete(self._bucket, key)

    def delete_prefix(self, prefix: str) -> int:
        check_prefix(prefix)
        try:
            return self._store.delete_many(self._bucket, self._store.keys(self._bucket, prefix))
        except SegmentNotFoundError:  # no bucket, no objects
            return 0

    def close(self) -> None:
        self._store.close()
