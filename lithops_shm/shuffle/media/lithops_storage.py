"""Objects in any storage of Lithops: its localhost disk, and whatever else it has a backend for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, Protocol

from lithops_shm.errors import SegmentNotFoundError, ShuffleStorageError, UnsupportedError
from lithops_shm.forks import PerProcess
from lithops_shm.shuffle.media.failures import Failed, Failure, Kind, Table, reported
from lithops_shm.shuffle.media.objects import Buffer, check_key, check_prefix, check_range, flat
from lithops_shm.shuffle.media.retries import RetryPolicy, retried

__all__ = ["LithopsObjects", "LithopsStorage"]

_THREADS = 8  # reads at once; the storages that need it take their time for each


class LithopsStorage(Protocol):
    """What is used of a ``lithops.Storage``."""

    def put_object(self, bucket: str, key: str, body: bytes) -> Any: ...
    def get_object(
        self, bucket: str, key: str, stream: bool | None = ..., extra_get_args: dict[str, str] | None = ...
    ) -> Any: ...
    def delete_objects(self, bucket: str, key_list: list[str]) -> Any: ...
    def list_keys(self, bucket: str, prefix: str | None = ...) -> list[str]: ...


class LithopsObjects:
    """An :class:`~lithops_shm.shuffle.media.objects.ObjectStore` over a storage that was made by somebody else.

    A put is as atomic as the storage's own: on Lithops' localhost disk a reader may see half of an object that is
    being written or replaced, so that keys have to be told to readers after the put, and used once.

    Parameters
    ----------
    storage:
        Not closed with this.
    bucket:
        Where in it.
    name:
        What it calls itself, for messages.
    """

    maps = False

    def __init__(self, storage: LithopsStorage, bucket: str, name: str, policy: RetryPolicy) -> None:
        self._storage = storage
        self._bucket = bucket
        self._where = f"bucket {bucket!r} of Lithops' storage {name!r}"
        self._policy = policy
        self._threads = PerProcess(
            lambda: ThreadPoolExecutor(_THREADS, thread_name_prefix="shm-storage"), ThreadPoolExecutor.shutdown
        )

    def put(self, key: str, parts: Iterable[Buffer]) -> int:
        check_key(key)
        body = b"".join(flat(parts))  # the localhost backend takes nothing but bytes
        self._call(key, lambda: self._storage.put_object(self._bucket, key, body))
        return len(body)

    def put_if_absent(self, key: str, parts: Sequence[Buffer]) -> bool:  # noqa: ARG002 - the protocol's
        raise UnsupportedError(
            f"{self._where} has no conditional put: of several writers none would know whether it is the first. "
            "Use shared memory or S3, or commit by a single process"
        )

    def spilled_bytes(self, key: str) -> int:  # noqa: ARG002 - the protocol's
        return 0

    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        """With `start` but no `stop`, all of the object is read: Lithops knows no open range."""
        check_key(key)
        check_range(start, stop)
        if start == stop:
            return memoryview(b"")
        ranged = {} if stop is None else {"Range": f"bytes={start}-{stop - 1}"}

        def read() -> bytes:
            return bytes(self._storage.get_object(self._bucket, key, extra_get_args=ranged))

        data = memoryview(self._call(key, read))
        if stop is None:
            if start > data.nbytes:
                self._cut_short(key, start, start, data.nbytes)
            return data[start:]
        if data.nbytes != stop - start:
            self._cut_short(key, start, stop, start + data.nbytes)
        return data

    def get_many(self, ranges: Sequence[tuple[str, int, int]]) -> list[memoryview]:
        if len(ranges) <= 1:
            return [self.get(*each) for each in ranges]
        return list(self._threads.get().map(lambda each: self.get(*each), ranges))

    def delete(self, keys: Iterable[str]) -> None:
        doomed = list(keys)
        for key in doomed:
            check_key(key)
        if doomed:
            self._call("", lambda: self._storage.delete_objects(self._bucket, doomed))

    def delete_prefix(self, prefix: str) -> int:
        """The localhost backend reads ``*``, ``?`` and ``[`` in a prefix as patterns, and lists nothing hidden."""
        check_prefix(prefix)
        try:
            listed = self._call(prefix, lambda: self._storage.list_keys(self._bucket, prefix))
        except SegmentNotFoundError:  # no bucket, no objects
            return 0
        doomed = [key for key in listed if key.startswith(prefix)]
        if doomed:
            self._call(prefix, lambda: self._storage.delete_objects(self._bucket, doomed))
        return len(doomed)

    def close(self) -> None:
        self._threads.close()

    def _call(self, key: str, action: Any) -> Any:
        try:
            return retried(action, _TABLE, self._policy, about=key)
        except Failed as failed:
            raise reported(failed, self._where, self._bucket) from failed.__cause__

    def _cut_short(self, key: str, start: int, stop: int, end: int) -> NoReturn:
        reason = f"bytes {start:,} to {stop:,} were asked for, and the storage gave those up to {end:,}"
        raise ShuffleStorageError(f"{self._where}, {key[:80]!r}", reason, "the object is shorter, or was cut short")


def _failure_of(error: Exception) -> Failure:
    words = str(error) or type(error).__name__
    # By name: this room does not know Lithops. Its localhost backend says so of every failure to read.
    if type(error).__name__ == "StorageNoSuchKeyError":
        return Failure(Kind.MISSING, words)
    if (type(error).__module__ or "").partition(".")[0] in ("botocore", "urllib3", "http"):
        from lithops_shm.shuffle.media.clients import failure_of

        return failure_of(error)
    if isinstance(error, PermissionError):
        return Failure(Kind.DENIED, words)
    if isinstance(error, (ConnectionError, TimeoutError)):
        return Failure(Kind.TRANSIENT, words)
    return Failure(Kind.REFUSED, words)


# Lithops and the many libraries below it raise whatever they like, `Exception` itself included.
_TABLE = Table((Exception,), _failure_of)
