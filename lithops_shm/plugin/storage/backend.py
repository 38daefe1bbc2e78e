"""Lithops' storage contract on the segment store."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from lithops.constants import STORAGE_CLI_MSG
from lithops.storage.utils import StorageNoSuchKeyError

from lithops_shm.config import SECTION
from lithops_shm.errors import ConfigError, SegmentNotFoundError, ShmError
from lithops_shm.plugin.storage import ranges
from lithops_shm.plugin.storage.config import settings_of
from lithops_shm.plugin.storage.stream import SegmentStream
from lithops_shm.store import SegmentInfo, Store
from lithops_shm.store.session import KEPT

__all__ = ["ShmStorageBackend"]

logger = logging.getLogger(__name__)


class ShmStorageBackend:
    """Objects in shared memory, through the methods Lithops calls.

    Parameters
    ----------
    config:
        The section `shm`. The session's id is written into it: Lithops ships it to the workers, which join.

    Raises
    ------
    ConfigError, UnsafeDirectoryError
    """

    def __init__(self, config: dict[str, Any]) -> None:
        settings = settings_of(config)
        if _from_the_command_line():
            # `lithops storage put` ends at once: what it stores has no process to live for.
            settings = replace(settings, lifetime=KEPT)
        self.config = config
        self.store = Store.open(settings)
        self._bucket = settings.storage_bucket
        if self.store.session.id != KEPT:
            config["session"] = self.store.session.id
        logger.debug(STORAGE_CLI_MSG.format("Shared memory"))

    def get_client(self) -> Any:
        """A client in boto3's shape over the same objects."""
        from lithops_shm.plugin.storage.client import ShmClient

        return ShmClient(self.store)

    def generate_bucket_name(self) -> str:
        self.config["storage_bucket"] = self._bucket
        return self._bucket

    def create_bucket(self, bucket_name: str) -> None:
        self.store.create_bucket(bucket_name)

    def put_object(self, bucket_name: str, key: str, data: Any) -> None:
        """Store bytes, any buffer, text (as UTF-8), or what a file-like gives; in one copy."""
        stored(self.store, bucket_name, key, data)

    def get_object(
        self, bucket_name: str, key: str, stream: bool = False, extra_get_args: Mapping[str, Any] | None = None
    ) -> bytes | SegmentStream:
        """An object as bytes (a copy), or with `stream` as a file over the segment itself (no copy).

        Parameters
        ----------
        extra_get_args:
            ``{"Range": "bytes=0-9"}`` for a part of it; boto3's other arguments have no meaning here and are refused.

        Raises
        ------
        StorageNoSuchKeyError
        InvalidRangeError, ConfigError
        """
        header = _range_of(extra_get_args)
        with self._no_such_key(bucket_name, key):
            if stream:
                view = self.store.attach(bucket_name, key).view
                start, stop = ranges.resolve(header, len(view)) if header is not None else (0, len(view))
                return SegmentStream(view[start:stop])
            if header is None:
                return self.store.read(bucket_name, key)
            start, stop = ranges.resolve(header, self.store.head(bucket_name, key).size)
            return self.store.read(bucket_name, key, start, stop)

    def upload_file(
        self, file_name: str, bucket: str, key: str | None = None, extra_args: Any = None, config: Any = None
    ) -> bool:
        """Store a file; ``False``, with the reason in the log, when that fails, as Lithops' own backends do."""

        def upload() -> None:
            with open(file_name, "rb") as file:
                self.store.put_stream(bucket, key or os.path.basename(file_name), file, os.fstat(file.fileno()).st_size)

        return _succeeds(upload, f"could not upload {file_name} to {bucket}/{key}")

    def download_file(
        self, bucket: str, key: str, file_name: str | None = None, extra_args: Any = None, config: Any = None
    ) -> bool:
        """Write an object to a file, whole or not at all; ``False``, with the reason in the log, when that fails."""
        path = file_name or key

        def download() -> None:
            view = self.store.attach(bucket, key).view
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            partial = f"{path}.{secrets.token_hex(4)}.part"
            try:
                with open(partial, "xb") as file:
                    shutil.copyfileobj(SegmentStream(view), file, 4 << 20)
                os.replace(partial, path)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(partial)
                raise

        return _succeeds(download, f"could not download {bucket}/{key} to {path}")

    def head_object(self, bucket_name: str, key: str) -> dict[str, str]:
        """Size, time and tag of an object as HTTP headers; raises StorageNoSuchKeyError."""
        with self._no_such_key(bucket_name, key):
            info = self.store.head(bucket_name, key)
        return {
            "content-length": str(info.size),
            "last-modified": modified(info).strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "etag": etag(info),
        }

    def delete_object(self, bucket_name: str, key: str) -> None:
        """Remove an object; one that is not there is no error, as on S3."""
        self.store.delete(bucket_name, key)

    def delete_objects(self, bucket_name: str, key_list: Iterable[str]) -> None:
        self.store.delete_many(bucket_name, key_list)

    def head_bucket(self, bucket_name: str) -> dict[str, Any]:
        """Raises StorageNoSuchKeyError when there is no such bucket."""
        if bucket_name != self._bucket and not self.store.has_bucket(bucket_name):
            missing = SegmentNotFoundError(bucket_name, "")
            raise StorageNoSuchKeyError(bucket_name, "") from missing
        return {"ResponseMetadata": {"HTTPStatusCode": 200}}

    def list_objects(
        self, bucket_name: str, prefix: str | None = None, match_pattern: str | None = None
    ) -> list[dict[str, Any]]:
        """The objects under a prefix, by key; with `match_pattern`, those whose key that regular expression starts."""
        infos: list[SegmentInfo] = self._listing(bucket_name, prefix, self.store.list)
        return [entry(info) for info in infos if match_pattern is None or re.match(match_pattern, info.key)]

    def list_keys(self, bucket_name: str, prefix: str | None = None) -> list[str]:
        """The keys under a prefix, sorted."""
        return list(self._listing(bucket_name, prefix, self.store.keys))

    def _listing(self, bucket: str, prefix: str | None, listing: Callable[[str, str], list[Any]]) -> list[Any]:
        try:
            return listing(bucket, prefix or "")
        except SegmentNotFoundError as error:
            # The bucket Lithops keeps its own objects in always exists: its cleaner process still lists it when
            # the session that made it is gone.
            if bucket == self._bucket:
                return []
            raise StorageNoSuchKeyError(bucket, prefix or "") from error

    @contextmanager
    def _no_such_key(self, bucket: str, key: str) -> Iterator[None]:
        """The one place where our errors become Lithops' own; all others it has no class for, and pass as they are."""
        try:
            yield
        except SegmentNotFoundError as error:
            raise StorageNoSuchKeyError(bucket, key) from error


class _Binary:
    """Reads a file opened in text mode as UTF-8 bytes, and a binary one as it is."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        return data.encode() if isinstance(data, str) else data


def stored(store: Store, bucket: str, key: str, data: Any) -> SegmentInfo:
    """Store bytes, any buffer, text (as UTF-8), or what a file-like gives."""
    if isinstance(data, str):
        data = data.encode()
    if hasattr(data, "read"):
        return store.put_stream(bucket, key, _Binary(data))
    return store.put(bucket, key, data)


def modified(info: SegmentInfo) -> datetime:
    return datetime.fromtimestamp(info.modified_ns / 1e9, tz=timezone.utc)


def etag(info: SegmentInfo) -> str:
    """A tag that changes with every write; not a digest, which would cost a pass over the data."""
    return f'"{info.modified_ns:x}-{info.size:x}"'


def entry(info: SegmentInfo) -> dict[str, Any]:
    """An object in a listing, in boto3's shape."""
    return {"Key": info.key, "Size": info.size, "LastModified": modified(info), "ETag": etag(info)}


def _range_of(extra: Mapping[str, Any] | None) -> str | None:
    unknown = sorted(set(extra or ()) - {"Range"})
    if unknown:
        raise ConfigError(
            f"extra_get_args of storage '{SECTION}' knows 'Range' only, not {', '.join(map(repr, unknown))}"
        )
    return (extra or {}).get("Range")


def _succeeds(action: Callable[[], None], failure: str) -> bool:
    try:
        action()
    except (ShmError, OSError) as error:
        logger.error("%s: %s", failure, error)
        return False
    return True


def _from_the_command_line() -> bool:
    """Whether this process is the command `lithops storage ...`."""
    click = sys.modules.get("click")
    context = click.get_current_context(silent=True) if click is not None else None
    return context is not None and context.command_path.split()[1:2] == ["storage"]
