"""A client in boto3's shape over the segment store, for code written against ``storage.get_client()``."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lithops_shm.errors import InvalidKeyError, InvalidRangeError, SegmentNotFoundError, StoreError
from lithops_shm.plugin.storage import ranges
from lithops_shm.plugin.storage.backend import entry, etag, modified, stored
from lithops_shm.plugin.storage.stream import SegmentStream
from lithops_shm.store import SegmentInfo, Store

__all__ = ["ShmClient"]

_PAGE = 1000  # keys in a page of a listing, as on S3
_COPY = 4 << 20


class ShmClient:
    """The calls of boto3's S3 client that make sense here; others do not exist.

    Arguments without a meaning in memory (``ContentType``, ``ACL`` and the like) are accepted and ignored. Errors are
    ``botocore.exceptions.ClientError`` with S3's codes.

    Parameters
    ----------
    store:
        Where the objects are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def put_object(self, *, Bucket: str, Key: str, Body: Any = b"", **_: Any) -> dict[str, Any]:
        with _client_errors("PutObject"):
            return _response(ETag=etag(stored(self._store, Bucket, Key, Body)))

    def get_object(self, *, Bucket: str, Key: str, Range: str | None = None, **_: Any) -> dict[str, Any]:
        with _client_errors("GetObject"):
            segment = self._store.attach(Bucket, Key)
            if Range is None:
                return _response(200, Body=SegmentStream(segment.view), **_described(segment.info))
            start, stop = ranges.resolve(Range, segment.size)
            described = {**_described(segment.info), "ContentLength": stop - start}
            described["ContentRange"] = f"bytes {start}-{stop - 1}/{segment.size}"
            return _response(206, Body=SegmentStream(segment.view[start:stop]), **described)

    def head_object(self, *, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        with _client_errors("HeadObject", code="404"):
            return _response(**_described(self._store.head(Bucket, Key)))

    def delete_object(self, *, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        with _client_errors("DeleteObject"):
            self._store.delete(Bucket, Key)
        return _response(204)

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any], **_: Any) -> dict[str, Any]:
        keys = [item["Key"] for item in Delete["Objects"]]
        with _client_errors("DeleteObjects"):
            self._store.delete_many(Bucket, keys)
        return _response() if Delete.get("Quiet") else _response(Deleted=[{"Key": key} for key in keys])

    def copy_object(self, *, Bucket: str, Key: str, CopySource: str | dict[str, str], **_: Any) -> dict[str, Any]:
        if isinstance(CopySource, str):
            source_bucket, _slash, source_key = CopySource.lstrip("/").partition("/")
        else:
            source_bucket, source_key = CopySource["Bucket"], CopySource["Key"]
        with _client_errors("CopyObject"):
            info = self._store.put(Bucket, Key, self._store.attach(source_bucket, source_key).view)
        return _response(CopyObjectResult={"ETag": etag(info), "LastModified": modified(info)})

    def list_objects_v2(
        self,
        *,
        Bucket: str,
        Prefix: str = "",
        Delimiter: str = "",
        MaxKeys: int = _PAGE,
        ContinuationToken: str | None = None,
        StartAfter: str = "",
        **_: Any,
    ) -> dict[str, Any]:
        after = base64.b64decode(ContinuationToken).decode() if ContinuationToken else StartAfter
        page = self._page("ListObjectsV2", Bucket, Prefix, Delimiter, MaxKeys, after)
        last = page.pop("last")
        if page["IsTruncated"]:
            page["NextContinuationToken"] = base64.b64encode(last.encode()).decode()
        return _response(KeyCount=len(page.get("Contents", ())) + len(page.get("CommonPrefixes", ())), **page)

    def list_objects(
        self, *, Bucket: str, Prefix: str = "", Delimiter: str = "", MaxKeys: int = _PAGE, Marker: str = "", **_: Any
    ) -> dict[str, Any]:
        page = self._page("ListObjects", Bucket, Prefix, Delimiter, MaxKeys, Marker)
        last = page.pop("last")
        if page["IsTruncated"]:
            page["NextMarker"] = last
        return _response(**page)

    def get_paginator(self, operation_name: str) -> _Paginator:
        """Pages of ``list_objects`` or ``list_objects_v2``."""
        if operation_name not in ("list_objects", "list_objects_v2"):
            raise ValueError(f"there are pages of list_objects and list_objects_v2, not of {operation_name!r}")
        return _Paginator(self, operation_name)

    def head_bucket(self, *, Bucket: str, **_: Any) -> dict[str, Any]:
        with _client_errors("HeadBucket", code="404"):
            if not self._store.has_bucket(Bucket):
                raise SegmentNotFoundError(Bucket, "")
        return _response()

    def create_bucket(self, *, Bucket: str, **_: Any) -> dict[str, Any]:
        with _client_errors("CreateBucket"):
            self._store.create_bucket(Bucket)
        return _response(Location=f"/{Bucket}")

    def delete_bucket(self, *, Bucket: str, **_: Any) -> dict[str, Any]:
        with _client_errors("DeleteBucket"):
            self._store.delete_bucket(Bucket)
        return _response(204)

    def list_buckets(self, **_: Any) -> dict[str, Any]:
        return _response(Buckets=[{"Name": name} for name in self._store.buckets()])

    def upload_file(self, Filename: str, Bucket: str, Key: str, **_: Any) -> None:
        with open(Filename, "rb") as file, _client_errors("PutObject"):
            self._store.put_stream(Bucket, Key, file, os.fstat(file.fileno()).st_size)

    def upload_fileobj(self, Fileobj: Any, Bucket: str, Key: str, **_: Any) -> None:
        with _client_errors("PutObject"):
            self._store.put_stream(Bucket, Key, Fileobj)

    def download_file(self, Bucket: str, Key: str, Filename: str, **_: Any) -> None:
        with _client_errors("HeadObject", code="404"):
            segment = self._store.attach(Bucket, Key)
        with open(Filename, "wb") as file:
            shutil.copyfileobj(SegmentStream(segment.view), file, _COPY)

    def download_fileobj(self, Bucket: str, Key: str, Fileobj: Any, **_: Any) -> None:
        with _client_errors("HeadObject", code="404"):
            segment = self._store.attach(Bucket, Key)
        shutil.copyfileobj(SegmentStream(segment.view), Fileobj, _COPY)

    def _page(self, call: str, bucket: str, prefix: str, delimiter: str, limit: int, after: str) -> dict[str, Any]:
        """One page of a listing: objects, and with a delimiter what is below it rolled up, in order of keys."""
        with _client_errors(call):
            infos = self._store.list(bucket, prefix)
        contents: list[dict[str, Any]] = []
        rolled_up: list[dict[str, str]] = []
        last, truncated = "", False
        for info in infos:
            found = info.key.find(delimiter, len(prefix)) if delimiter else -1
            name = info.key[: found + len(delimiter)] if found >= 0 else info.key
            if name <= after or (rolled_up and name == rolled_up[-1]["Prefix"]):
                continue
            if len(contents) + len(rolled_up) == limit:
                truncated = True
                break
            last = name
            if found >= 0:
                rolled_up.append({"Prefix": name})
            else:
                contents.append(entry(info))
        page: dict[str, Any] = {
            "Name": bucket,
            "Prefix": prefix,
            "MaxKeys": limit,
            "IsTruncated": truncated,
            "last": last,
        }
        if delimiter:
            page["Delimiter"] = delimiter
        if contents:
            page["Contents"] = contents
        if rolled_up:
            page["CommonPrefixes"] = rolled_up
        return page


class _Paginator:
    def __init__(self, client: ShmClient, operation: str) -> None:
        self._client = client
        self._operation = operation

    def paginate(self, *, PaginationConfig: dict[str, int] | None = None, **arguments: Any) -> Iterator[dict[str, Any]]:
        """The pages, one after the other; ``PaginationConfig`` may give a ``PageSize``."""
        if PaginationConfig and "PageSize" in PaginationConfig:
            arguments["MaxKeys"] = PaginationConfig["PageSize"]
        while True:
            page = getattr(self._client, self._operation)(**arguments)
            yield page
            if not page["IsTruncated"]:
                return
            if self._operation == "list_objects":
                arguments["Marker"] = page["NextMarker"]
            else:
                arguments["ContinuationToken"] = page["NextContinuationToken"]


def _described(info: SegmentInfo) -> dict[str, Any]:
    return {"ContentLength": info.size, "LastModified": modified(info), "ETag": etag(info), "Metadata": {}}


def _response(status: int = 200, **fields: Any) -> dict[str, Any]:
    return {"ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}, **fields}


@contextmanager
def _client_errors(operation: str, code: str | None = None) -> Iterator[None]:
    """Our errors as botocore's, with the codes and statuses of S3; `code` is what a missing key is called."""
    try:
        yield
    except StoreError as error:
        from botocore.exceptions import ClientError

        name, status = _code_of(error)
        if code is not None and status == 404:
            name = code
        response = {"Error": {"Code": name, "Message": str(error)}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(response, operation) from error


def _code_of(error: StoreError) -> tuple[str, int]:
    if isinstance(error, SegmentNotFoundError):
        return ("NoSuchKey", 404) if error.args[1] else ("NoSuchBucket", 404)
    if isinstance(error, InvalidRangeError):
        return "InvalidRange", 416
    if isinstance(error, InvalidKeyError):
        return "InvalidArgument", 400
    return "InternalError", 500
