"""A client in boto3's shape over the segment store, for code written against ``storage.get_client()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lithops_shm.errors import SegmentNotFoundError, StoreError
from lithops_shm.plugin.storage import ranges
from lithops_shm.plugin.storage.arguments import require_harmless
from lithops_shm.plugin.storage.errors import Translation, as_client_error, client_exceptions, code_of
from lithops_shm.plugin.storage.files import save, store_data, store_file
from lithops_shm.plugin.storage.listing import V1, V2, Request, answer
from lithops_shm.plugin.storage.objects import etag, modified
from lithops_shm.plugin.storage.paginator import Paginator
from lithops_shm.plugin.storage.stream import SegmentStream
from lithops_shm.store import SegmentInfo, Store

__all__ = ["ShmClient"]

Progress = Callable[[int], object]


class ShmClient:
    """The calls of boto3's S3 client that make sense here; others do not exist.

    Arguments are checked as :mod:`.arguments` has it. Errors are ``botocore.exceptions.ClientError`` with S3's codes,
    ``client.exceptions.NoSuchKey`` and the like among them, and ``ParamValidationError`` for unknown arguments.

    Parameters
    ----------
    store:
        Where the objects are.
    own_bucket:
        The bucket of the configuration, which always exists.
    """

    def __init__(self, store: Store, own_bucket: str) -> None:
        self._store = store
        self._own_bucket = own_bucket

    @property
    def exceptions(self) -> Any:
        """The exception classes, as on boto3's client."""
        return client_exceptions()

    def close(self) -> None:
        """boto3's closes connections; here there are none, and the store is Lithops' to close."""

    def put_object(self, *, Bucket: str, Key: str, Body: Any = b"", **more: Any) -> dict[str, Any]:
        with as_client_error("PutObject"):
            require_harmless(more, ("Bucket", "Key", "Body"))
            return _response(ETag=etag(store_data(self._store, Bucket, Key, Body)))

    def get_object(self, *, Bucket: str, Key: str, Range: str | None = None, **more: Any) -> dict[str, Any]:
        """``Body`` is a :class:`SegmentStream`: a file over the segment, not copied."""
        with as_client_error("GetObject"):
            require_harmless(more, ("Bucket", "Key", "Range"))
            segment = self._store.attach(Bucket, Key)
            described = _described(segment.info)
            if Range is None:
                return _response(Body=SegmentStream(segment.view), **described)
            start, stop = ranges.resolve(Range, segment.size)
            described["ContentLength"] = stop - start
            described["ContentRange"] = f"bytes {start}-{stop - 1}/{segment.size}"
            return _response(206, Body=SegmentStream(segment.view[start:stop]), **described)

    def head_object(self, *, Bucket: str, Key: str, **more: Any) -> dict[str, Any]:
        with as_client_error("HeadObject"):
            require_harmless(more, ("Bucket", "Key"))
            return _response(**_described(self._store.head(Bucket, Key)))

    def delete_object(self, *, Bucket: str, Key: str, **more: Any) -> dict[str, Any]:
        with as_client_error("DeleteObject"):
            require_harmless(more, ("Bucket", "Key"))
            self._require_bucket(Bucket)
            self._store.delete(Bucket, Key)
        return _response(204)

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Any number of keys; those that could not be deleted are under ``Errors``."""
        deleted: list[dict[str, str]] = []
        errors: list[dict[str, str]] = []
        with as_client_error("DeleteObjects"):
            require_harmless(more, ("Bucket", "Delete"))
            self._require_bucket(Bucket)
            for item in Delete["Objects"]:
                try:
                    self._store.delete(Bucket, item["Key"])
                    deleted.append({"Key": item["Key"]})
                except StoreError as error:
                    errors.append({"Key": item["Key"], "Code": code_of(error), "Message": str(error)})
        response = _response()
        if deleted and not Delete.get("Quiet"):
            response["Deleted"] = deleted
        if errors:
            response["Errors"] = errors
        return response

    def copy_object(self, *, Bucket: str, Key: str, CopySource: str | dict[str, str], **more: Any) -> dict[str, Any]:
        with as_client_error("CopyObject"):
            require_harmless(more, ("Bucket", "Key", "CopySource"))
            if isinstance(CopySource, str):
                source_bucket, _, source_key = CopySource.removeprefix("/").partition("/")
            else:
                require_harmless(CopySource, ("Bucket", "Key"))
                source_bucket, source_key = CopySource["Bucket"], CopySource["Key"]
            info = self._store.put(Bucket, Key, self._store.attach(source_bucket, source_key).view)
        return _response(CopyObjectResult={"ETag": etag(info), "LastModified": modified(info)})

    def list_objects_v2(self, **arguments: Any) -> dict[str, Any]:
        """A page of a listing, as :mod:`.listing` makes it."""
        with as_client_error(V2):
            request = Request.of(V2, arguments)
            return answer(request, self._infos(request.bucket, request.prefix))

    def list_objects(self, **arguments: Any) -> dict[str, Any]:
        """A page of a listing, as :mod:`.listing` makes it."""
        with as_client_error(V1):
            request = Request.of(V1, arguments)
            return answer(request, self._infos(request.bucket, request.prefix))

    def get_paginator(self, operation_name: str) -> Paginator:
        """Pages of ``list_objects`` or ``list_objects_v2``."""
        return Paginator(self._infos, operation_name)

    def head_bucket(self, *, Bucket: str, **more: Any) -> dict[str, Any]:
        with as_client_error("HeadBucket"):
            require_harmless(more, ("Bucket",))
            self._require_bucket(Bucket)
        return _response()

    def create_bucket(self, *, Bucket: str, **more: Any) -> dict[str, Any]:
        with as_client_error("CreateBucket"):
            require_harmless(more, ("Bucket",))
            self._store.create_bucket(Bucket)
        return _response(Location=f"/{Bucket}")

    def delete_bucket(self, *, Bucket: str, **more: Any) -> dict[str, Any]:
        """Raises ``BucketNotEmpty`` when it holds objects."""
        with as_client_error("DeleteBucket", refused=Translation("BucketNotEmpty", 409)):
            require_harmless(more, ("Bucket",))
            if Bucket != self._own_bucket or self._store.has_bucket(Bucket):
                self._store.delete_bucket(Bucket)
        return _response(204)

    def list_buckets(self, **more: Any) -> dict[str, Any]:
        with as_client_error("ListBuckets"):
            require_harmless(more)
            names = sorted({*self._store.buckets(), self._own_bucket})
        return _response(Buckets=[{"Name": name} for name in names])

    def upload_file(
        self,
        Filename: str,
        Bucket: str,
        Key: str,
        ExtraArgs: Any = None,
        Callback: Progress | None = None,
        Config: Any = None,
    ) -> None:
        with as_client_error("PutObject"):
            require_harmless(ExtraArgs or {})
            info = store_file(self._store, Bucket, Key, Filename)
        _report(Callback, info.size)

    def upload_fileobj(
        self,
        Fileobj: Any,
        Bucket: str,
        Key: str,
        ExtraArgs: Any = None,
        Callback: Progress | None = None,
        Config: Any = None,
    ) -> None:
        with as_client_error("PutObject"):
            require_harmless(ExtraArgs or {})
            info = store_data(self._store, Bucket, Key, Fileobj)
        _report(Callback, info.size)

    def download_file(
        self,
        Bucket: str,
        Key: str,
        Filename: str,
        ExtraArgs: Any = None,
        Callback: Progress | None = None,
        Config: Any = None,
    ) -> None:
        """Write an object to a file, whole or not at all."""
        with as_client_error("HeadObject"):
            require_harmless(ExtraArgs or {})
            segment = self._store.attach(Bucket, Key)
        save(segment.view, Filename)
        _report(Callback, segment.size)

    def download_fileobj(
        self,
        Bucket: str,
        Key: str,
        Fileobj: Any,
        ExtraArgs: Any = None,
        Callback: Progress | None = None,
        Config: Any = None,
    ) -> None:
        with as_client_error("HeadObject"):
            require_harmless(ExtraArgs or {})
            segment = self._store.attach(Bucket, Key)
        Fileobj.write(segment.view)
        _report(Callback, segment.size)

    def _infos(self, bucket: str, prefix: str) -> list[SegmentInfo]:
        """All objects under a prefix, by key; raises SegmentNotFoundError for no bucket."""
        try:
            return self._store.list(bucket, prefix)
        except SegmentNotFoundError:
            if bucket == self._own_bucket:
                return []
            raise

    def _require_bucket(self, bucket: str) -> None:
        if bucket != self._own_bucket and not self._store.has_bucket(bucket):
            raise SegmentNotFoundError(bucket, "")


def _report(callback: Progress | None, count: int) -> None:
    """boto3 tells of the bytes moved as they are; ours are moved at once."""
    if callback is not None:
        callback(count)


def _described(info: SegmentInfo) -> dict[str, Any]:
    return {
        "ContentLength": info.size,
        "ContentType": "binary/octet-stream",  # S3's, when nobody named one
        "AcceptRanges": "bytes",
        "LastModified": modified(info),
        "ETag": etag(info),
        "Metadata": {},
    }


def _response(status: int = 200, **fields: Any) -> dict[str, Any]:
    return {"ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}, **fields}
