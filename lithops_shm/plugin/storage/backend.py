"""Lithops' storage contract on the segment store."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from lithops.constants import JOBS_PREFIX, SESSION_ID_ENV, STORAGE_CLI_MSG, TOTAL_EXECUTORS_ENV
from lithops.libs.globber import match
from lithops.storage.utils import StorageNoSuchKeyError
from lithops.utils import is_lithops_worker

from lithops_shm.errors import InvalidKeyError, SegmentNotFoundError, ShmError, UnsupportedError
from lithops_shm.plugin import running
from lithops_shm.plugin.section import confidential_settings, store_settings
from lithops_shm.plugin.storage import ranges
from lithops_shm.plugin.storage.arguments import require_harmless
from lithops_shm.plugin.storage.errors import as_lithops_error
from lithops_shm.plugin.storage.files import save, store_data, store_file
from lithops_shm.plugin.storage.objects import entry, etag, modified
from lithops_shm.plugin.storage.stream import SegmentStream
from lithops_shm.store import SegmentInfo, Store
from lithops_shm.store.keys import locate
from lithops_shm.store.layout import KEPT

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
    ConfigError, UnsafeDirectoryError, ConfidentialityError
    """

    def __init__(self, config: dict[str, Any]) -> None:
        settings = replace(store_settings(config), confidential=confidential_settings(config).confidential)
        if _is_lithops_storage_put():
            # The command ends at once: what it stores has no process to live for.
            settings = replace(settings, lifetime=KEPT)
        self.config = config
        self.store = Store.open(settings)
        self._bucket = settings.storage_bucket
        self._pid = os.getpid()
        if self.store.session.id != KEPT:
            config["session"] = self.store.session.id
        logger.info(STORAGE_CLI_MSG.format("Shared memory"))

    def __reduce__(self) -> tuple[type[ShmStorageBackend], tuple[dict[str, Any]]]:
        """Pickled, it is its configuration; where it arrives, it joins the session."""
        return type(self), (self.config,)

    def get_client(self) -> Any:
        """A client in boto3's shape over the same objects."""
        from lithops_shm.plugin.storage.client import ShmClient

        return ShmClient(self.store, self._bucket)

    def generate_bucket_name(self) -> str:
        """The bucket of the settings: memory is private to its user, and needs no name unique in the world."""
        self.config["storage_bucket"] = self._bucket
        return self._bucket

    def create_bucket(self, bucket_name: str) -> None:
        """Make a bucket; one that exists is left as it is."""
        self.store.create_bucket(bucket_name)

    def put_object(self, bucket_name: str, key: str, data: Any) -> None:
        """Store bytes, any buffer, text (as UTF-8), or what a file-like gives; in one copy.

        Raises
        ------
        TypeError
            When `data` is none of these.
        InvalidKeyError, SessionLostError
        UnsupportedError
            For the data of a job, in a forked child of the process that made the executor.
        StoreFullError
            What was stored under the key is untouched.
        """
        # Lithops' own workers fork too, one child for the one call that both are there for.
        if self._pid != os.getpid() and key.startswith(f"{JOBS_PREFIX}/") and not is_lithops_worker():
            raise UnsupportedError(
                "this executor was made before its process was forked, and the parent's jobs would be mixed up with "
                "those of the child: make another executor in the child"
            )
        store_data(self.store, bucket_name, key, data)

    def get_object(
        self, bucket_name: str, key: str, stream: bool = False, extra_get_args: Mapping[str, Any] | None = None
    ) -> bytes | SegmentStream:
        """An object as bytes (a copy), or with `stream` as a file over the segment itself (no copy).

        Parameters
        ----------
        extra_get_args:
            ``{"Range": "bytes=0-9"}`` for a part of it; boto3's other arguments as :mod:`.arguments` has it.

        Raises
        ------
        StorageNoSuchKeyError
        InvalidRangeError, ConfigError, UnsupportedError
        """
        extra = extra_get_args or {}
        require_harmless(extra, ("Range",))
        header = extra.get("Range")
        with as_lithops_error(bucket_name, key):
            if header is None and not stream:
                return self._read(bucket_name, key)
            # A range is taken of the object it was measured on, should another replace it meanwhile.
            view = self.store.attach(bucket_name, key).view
            if header is not None:
                start, stop = ranges.resolve(header, len(view))
                view = view[start:stop]
            return SegmentStream(view) if stream else bytes(view)

    def _read(self, bucket: str, key: str) -> bytes:
        if (status := running.kept(key)) is not None:
            return status
        try:
            return self.store.read(bucket, key)
        except SegmentNotFoundError:
            if not running.wait(key):
                raise
        return running.kept(key) or self.store.read(bucket, key)

    def upload_file(
        self, file_name: str, bucket: str, key: str | None = None, extra_args: Any = None, config: Any = None
    ) -> bool:
        """Store a file, without `key` under its name without directories.

        ``False``, with the reason in the log, when that fails, as Lithops' own backends do.
        """
        require_harmless(extra_args or {})
        name = os.path.basename(file_name) if key is None else key
        return _succeeds(
            lambda: store_file(self.store, bucket, name, file_name), f"could not upload {file_name} to {bucket}/{name}"
        )

    def download_file(
        self, bucket: str, key: str, file_name: str | None = None, extra_args: Any = None, config: Any = None
    ) -> bool:
        """Write an object to a file, whole or not at all; without `file_name`, below the working directory.

        ``False``, with the reason in the log, when that fails.
        """

        require_harmless(extra_args or {})

        def download() -> None:
            path = _path_for(key) if file_name is None else file_name
            save(self.store.attach(bucket, key).view, path)

        return _succeeds(download, f"could not download {bucket}/{key}" + (f" to {file_name}" if file_name else ""))

    def head_object(self, bucket_name: str, key: str) -> dict[str, str]:
        """Size, time and tag of an object as HTTP headers; raises StorageNoSuchKeyError."""
        from email.utils import format_datetime

        with as_lithops_error(bucket_name, key):
            info = self.store.head(bucket_name, key)
        return {
            "content-length": str(info.size),
            "last-modified": format_datetime(modified(info), usegmt=True),
            "etag": etag(info),
        }

    def delete_object(self, bucket_name: str, key: str) -> None:
        """Remove an object; one that is not there is no error, as on S3."""
        self.store.delete(bucket_name, key)

    def delete_objects(self, bucket_name: str, key_list: Iterable[str]) -> list[dict[str, Any]]:
        """Remove any number of objects, and report them as S3 does: those included that were not there.

        Raises
        ------
        InvalidKeyError
            For the first key that cannot be one, when all the others are gone.
        """
        keys: list[str] = []
        invalid: InvalidKeyError | None = None
        for key in key_list:
            try:
                locate(bucket_name, key)
                keys.append(key)
            except InvalidKeyError as error:
                invalid = invalid or error
        self.store.delete_many(bucket_name, keys)
        if invalid is not None:
            raise invalid
        return [{"ResponseMetadata": {"HTTPStatusCode": 200}, "Deleted": [{"Key": key} for key in keys]}]

    def head_bucket(self, bucket_name: str) -> dict[str, Any]:
        """Raises StorageNoSuchKeyError when there is no such bucket."""
        with as_lithops_error(bucket_name, ""):
            if bucket_name != self._bucket and not self.store.has_bucket(bucket_name):
                raise SegmentNotFoundError(bucket_name, "")
        return {"ResponseMetadata": {"HTTPStatusCode": 200}}

    def list_objects(
        self, bucket_name: str, prefix: str | None = None, match_pattern: str | None = None
    ) -> list[dict[str, Any]]:
        """The objects under a prefix, by key; with `match_pattern`, those whose whole key the glob matches."""
        infos: list[SegmentInfo] = self._listing(bucket_name, prefix, self.store.list)
        return [entry(info) for info in infos if match_pattern is None or match(match_pattern, info.key)]

    def list_keys(self, bucket_name: str, prefix: str | None = None) -> list[str]:
        """The keys under a prefix, sorted; raises StorageNoSuchKeyError for an unknown bucket."""
        return list(self._listing(bucket_name, prefix, self.store.keys))

    def _listing(self, bucket: str, prefix: str | None, listing: Callable[[str, str], list[Any]]) -> list[Any]:
        try:
            with as_lithops_error(bucket, prefix or ""):
                return listing(bucket, prefix or "")
        except StorageNoSuchKeyError:
            # The bucket Lithops keeps its own objects in always exists: its cleaner process still lists it when
            # the session that made it is gone.
            if bucket == self._bucket:
                return []
            raise


def _path_for(key: str) -> str:
    """The path a key names below the working directory; a key is no reason to write anywhere else."""
    if os.path.isabs(key) or ".." in key.split("/") or key.endswith("/"):
        raise InvalidKeyError("key", key, "it names no file below the working directory; say which one to write")
    return key


def _succeeds(action: Callable[[], object], failure: str) -> bool:
    try:
        action()
    except (ShmError, OSError, ValueError) as error:  # ValueError: a NUL in a file name
        # Its text alone: a log that keeps its records would keep, with the error, the mapping.
        logger.error("%s: %s", failure, str(error))
        return False
    return True


def _is_lithops_storage_put() -> bool:
    """Whether this process is the command `lithops storage put`, however it was started."""
    click = sys.modules.get("click")
    context = click.get_current_context(silent=True) if click is not None else None
    names = []
    while context is not None:
        names.append(context.command.name)
        context = context.parent
    return names == ["put", "storage", "lithops_cli"]


def _name_executors_anew() -> None:
    """In a forked child: Lithops would count on, as its siblings do, and executors of both would have one name."""
    if not is_lithops_worker():
        os.environ[SESSION_ID_ENV] = secrets.token_hex(3)
        os.environ.pop(TOTAL_EXECUTORS_ENV, None)


os.register_at_fork(after_in_child=_name_executors_anew)
