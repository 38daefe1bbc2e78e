"""Finding, reading and writing objects: files of this machine, and what is in any storage of Lithops."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from itertools import islice
from typing import Any

import pyarrow as pa

from lithops_shm.errors import SegmentNotFoundError, ShmError, ShuffleStorageError, UnsupportedError
from lithops_shm.placement.storages import storages_of
from lithops_shm.shuffle.media import Medium, ObjectStore, RetryPolicy, S3Settings, open_objects
from lithops_shm.shuffle.media.failures import Failed, Failure, Kind, Table, reported
from lithops_shm.shuffle.media.objects import Buffer
from lithops_shm.shuffle.media.retries import retried
from seer_integration.datasets.files import Files
from seer_integration.datasets.location import Location, Stored, fixed_part, is_hidden, is_pattern, location_of, matches
from seer_integration.datasets.ranged import RangedFile
from seer_integration.errors import DatasetError, SeerError

__all__ = ["AHEAD", "Location", "Places", "Stored", "location_of", "places_of_worker"]

_S3 = ("aws_s3", "minio")
AHEAD = 256 << 10
"""Bytes to read at least of a storage that takes its time: at 100 MB/s in less of it than a request of 10 ms does."""
_NEIGHBOURS = 1000  # names to compare a missing one with: one page of S3's listings

_TODO = {
    errno.EACCES: "let this user read and write there",
    errno.EPERM: "let this user read and write there",
    errno.EISDIR: "name a file, or end it in '/' to mean all in it",
    errno.EEXIST: "a component before the last is a file",
    errno.ENOTDIR: "a component before the last is a file",
    errno.ENOSPC: "make room on that file system",
    errno.EDQUOT: "make room on that file system",
    errno.EROFS: "name a place that can be written to",
    errno.ENODATA: "it has changed since the job began: run it again",
}


class Places:
    """Where datasets are, for one process and one job. Storages and connections are made on first use.

    Used by any number of threads; closing it twice is closing it once. What fails is a DatasetError that names the
    object.

    Parameters
    ----------
    storage_of:
        Gives Lithops' `Storage` by the name of a backend.
    close:
        Called when this is closed.
    """

    def __init__(self, storage_of: Callable[[str], Any], close: Callable[[], object] = lambda: None) -> None:
        self._storage_of = storage_of
        self._closing = ExitStack()
        self._closing.callback(close)
        self._files = Files()
        self._opened: dict[tuple[str, str], ObjectStore] = {}
        self._lock = threading.Lock()
        self._policy = RetryPolicy()

    def find(self, location: Location, *, hidden: bool = False) -> list[Stored]:
        """The objects a location means, sorted by key; none when there are none.

        A key is looked for as it is first, then as a pattern, then as a prefix, to which ``/`` is added. Of prefixes
        and patterns, what is below a name that begins with ``_`` or ``.`` is only found with `hidden`.

        Raises
        ------
        DatasetError
            When the place cannot be read.
        """
        key = location.key
        with self._told(location):
            if key and not key.endswith("/") and (location.storage is None or not is_pattern(key)):
                found = self.head(location)
                if found is not None:
                    return [found]
            if is_pattern(key):
                root = fixed_part(key).rpartition("/")[0] + "/"
                every = self._matching(location)
            else:
                root = key if not key or key.endswith("/") else key + "/"
                every = self._below(location.at(root))
            kept = {each.key: each for each in every if hidden or not is_hidden(each.key.removeprefix(root))}
        return [kept[name] for name in sorted(kept)]

    def head(self, location: Location) -> Stored | None:
        """What is known of one object without reading it; ``None`` when there is none. Raises DatasetError."""
        key = location.key
        with self._told(location):
            if location.storage is None:
                return self._files.head(key)
            storage = self._storage(location)
            try:
                said = self._asked(location, lambda: storage.head_object(location.bucket, key))
            except SegmentNotFoundError:
                return None
            headers = {name.lower(): value for name, value in said.items()}
            return Stored(key, int(headers["content-length"]), headers.get("etag", "").strip('"'))

    def read(self, location: Location, start: int = 0, stop: int | None = None) -> pa.Buffer:
        """The bytes of an object from `start` up to, not including, `stop` (``None``: its end).

        A view for files and shared memory, else a copy, fetched in parts at the same time where it is large.

        Raises
        ------
        DatasetError
            When there is no such object, it ends before `stop`, or it cannot be read.
        """
        with self._told(location):
            return pa.py_buffer(self._objects(location).get(location.key, start, stop))

    def open(self, location: Location, nbytes: int | None = None) -> pa.NativeFile:
        """An object as a file to read from any position, as :meth:`read` does; close it.

        Parameters
        ----------
        nbytes:
            Its size, if known: it need not be asked for.

        Raises
        ------
        DatasetError
            When there is no such object, or it cannot be read.
        """
        size = self.existing(location).nbytes if nbytes is None else nbytes
        ahead = 0 if self.maps(location) else AHEAD
        return pa.PythonFile(RangedFile(lambda start, stop: self.read(location, start, stop), size, ahead), mode="r")

    def existing(self, location: Location) -> Stored:
        """As :meth:`head`; raises DatasetError, which names the nearest, when there is no such object."""
        found = self.head(location)
        if found is None:
            raise self.missing(location)
        return found

    def maps(self, location: Location) -> bool:
        """Whether reading is a view of memory, which costs nothing."""
        with self._told(location):
            return self._objects(location).maps

    def put(self, location: Location, parts: Sequence[Buffer]) -> int:
        """Store the concatenation of the buffers, replacing what was there; gives its bytes.

        Files are written whole under another name, and renamed; directories are made. A reader sees the old object or
        the new one, after a failure too, but on Lithops' ``localhost``, which writes in place.

        Raises
        ------
        DatasetError
            When it cannot be written, as for lack of space.
        """
        with self._told(location):
            return self._objects(location).put(location.key, parts)

    def put_if_absent(self, location: Location, parts: Sequence[Buffer]) -> bool:
        """Store it unless there is an object already; whether it was stored.

        Of many at once one stores: in files, in shared memory, and in an S3 that honours ``If-None-Match``, which is
        found out by trying. Elsewhere it is looked first, so that two that look at once may both store.

        Raises
        ------
        DatasetError
            When it cannot be written.
        """
        with self._told(location):
            objects = self._objects(location)
            try:
                return objects.put_if_absent(location.key, parts)
            except UnsupportedError:
                if self.head(location) is not None:
                    return False
                objects.put(location.key, parts)
                return True

    def delete(self, locations: Iterable[Location]) -> None:
        """Remove objects; those that are not there are fine. Raises DatasetError, with some removed."""
        keys: dict[Location, list[str]] = {}
        for each in locations:
            keys.setdefault(each.at(""), []).append(each.key)
        for place, doomed in keys.items():
            with self._told(place):
                self._objects(place).delete(doomed)

    def delete_prefix(self, location: Location) -> int:
        """Remove all below a prefix, markers and what is hidden included; gives how many there were."""
        found = self.find(location, hidden=True)
        self.delete(location.at(each.key) for each in found)
        return len(found)

    def missing(self, location: Location) -> DatasetError:
        """The error for what is not there, which names what is nearest to it."""
        directory, _, name = location.key.rstrip("/").rpartition("/")
        place = location.at(f"{directory}/" if directory or location.storage is None else "")
        names: list[str] = []
        with contextlib.suppress(ShmError, OSError):
            below = self._below(place, flat=True)
            names = [each.key.rpartition("/")[2] for each in islice(below, _NEIGHBOURS)]
        near = get_close_matches(name, names, 3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        kind = "no file or directory" if location.storage is None else "no such object"
        reason = f"nothing matches{hint}" if is_pattern(location.key) else f"{kind}, nor any below it{hint}"
        todo = "check the path" if location.storage is None else "check bucket and key"
        return DatasetError(str(location), reason, todo)

    def close(self) -> None:
        """Let go of connections and storages; what was read stays."""
        self._closing.close()
        self._opened.clear()

    def __enter__(self) -> Places:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _objects(self, location: Location) -> ObjectStore:
        if location.storage is None:
            return self._files
        name = location.storage, location.bucket
        with self._lock:
            if name not in self._opened:
                self._opened[name] = _open(self._storage(location), *name)
                self._closing.callback(self._opened[name].close)
            return self._opened[name]

    def _storage(self, location: Location) -> Any:
        def connect() -> Any:
            return self._storage_of(str(location.storage))

        try:
            return retried(connect, _TABLE, RetryPolicy(deadline_s=0))
        except Failed as failed:
            reason = f"the storage {location.storage!r} cannot be opened: {failed.failure.reason}"
            todo = f"describe it in Lithops' configuration, in a section `{location.storage}:`"
            raise DatasetError(str(location), reason, todo) from failed.__cause__

    def _below(self, location: Location, *, flat: bool = False) -> Iterator[Stored]:
        """All objects whose keys begin so; with `flat`, files of that directory alone."""
        if location.storage is None:
            return self._files.matching(f"{glob.escape(location.key)}*") if flat else self._files.below(location.key)
        storage = self._storage(location)

        def listed() -> list[dict[str, Any]]:
            return list(islice(_listed(storage, location.bucket, location.key), _NEIGHBOURS if flat else None))

        try:
            found = self._asked(location, listed)
        except SegmentNotFoundError:  # a bucket that is made by the first put
            found = []
        # S3's consoles make empty objects for directories
        names = ((each["Key"], int(each["Size"]), str(each.get("ETag", ""))) for each in found)
        return (
            Stored(key, nbytes, etag.strip('"'))
            for key, nbytes, etag in names
            if key.startswith(location.key) and not key.endswith("/")
        )

    def _matching(self, location: Location) -> Iterator[Stored]:
        if location.storage is None:
            return self._files.matching(location.key)
        every = self._below(location.at(fixed_part(location.key)))
        return (each for each in every if matches(each.key, location.key))

    def _asked(self, location: Location, action: Callable[[], Any]) -> Any:
        """What a storage of Lithops answers; its errors as those of an ObjectStore."""
        try:
            return retried(action, _TABLE, self._policy, about=location.key)
        except Failed as failed:
            raise reported(failed, str(location), location.bucket) from failed.__cause__

    @contextlib.contextmanager
    def _told(self, location: Location) -> Iterator[None]:
        """The errors of all kinds of places, as ours."""
        where = str(location)
        try:
            yield
        except SeerError:
            raise
        except (SegmentNotFoundError, FileNotFoundError) as error:
            raise self.missing(location) from error
        except ShuffleStorageError as error:
            raise DatasetError(where, error.args[1], error.args[2]) from error
        except ShmError as error:
            raise DatasetError(where, str(error), "see what it says") from error
        except OSError as error:
            todo = _TODO.get(error.errno or 0, "see whether that file system works")
            raise DatasetError(where, error.strerror or str(error), todo) from error


def places_of_worker(default_storage: str) -> Places:
    """Those of a worker, by the configuration of its job; close it.

    Parameters
    ----------
    default_storage:
        The job's: it is opened as the job has it.
    """
    from lithops_shm.plugin.calls import storage_of_worker  # loads Lithops, which a worker has loaded

    stack = ExitStack()
    others = stack.enter_context(storages_of(json.loads(os.environ["LITHOPS_CONFIG"])))

    @functools.cache
    def storage_of(name: str) -> Any:
        return storage_of_worker().storage if name == default_storage else others(name)

    return Places(storage_of, stack.close)


def _open(storage: Any, name: str, bucket: str) -> ObjectStore:
    if name == "shm":
        return open_objects(Medium.of_store(storage.storage_handler.store, bucket))
    if name in _S3:
        return open_objects(Medium.of_s3("boto3", S3Settings.from_lithops(storage.config, bucket)))
    return open_objects(Medium.of_lithops(bucket), storage)


def _listed(storage: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    """What a storage lists; an S3 page by page, so that a long listing can be left."""
    if storage.backend in _S3:
        pages = storage.get_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return (each for page in pages for each in page.get("Contents", ()))
    return iter(storage.list_objects(bucket, prefix))


def _failure_of(error: Exception) -> Failure:
    """What an error of Lithops' storages means; those that can be mended by trying again, boto has tried again."""
    # By name: this room does not know Lithops.
    if type(error).__name__ == "StorageNoSuchKeyError":
        return Failure(Kind.MISSING, str(error))
    if type(error).__module__.partition(".")[0] in ("botocore", "urllib3"):
        from lithops_shm.shuffle.media.clients import failure_of

        return failure_of(error)
    return Failure(Kind.REFUSED, str(error) or type(error).__name__)


# Lithops and the many libraries below it raise whatever they like, `Exception` itself included.
_TABLE = Table((Exception,), _failure_of)
