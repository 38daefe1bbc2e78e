"""A client in boto3's shape over the segment store, for code written against ``storage.get_client()``."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from lithops_shm.errors import InvalidKeyError, SegmentNotFoundError
from lithops_shm.plugin.storage import ranges
from lithops_shm.plugin.storage.backend import entry, etag, modified
from lithops_shm.plugin.storage.errors import as_client_error
from lithops_shm.plugin.storage.files import save, store_data, store_file
from lithops_shm.plugin.storage.stream import SegmentStream
from lithops_shm.store import SegmentInfo, Store

__all__ = ["ShmClient"]

_PAGE = 1000  # keys in a page of a listing, as on S3


class ShmClient:
    """The calls of boto3's S3 client that make sense here; others do not exist.

    Arguments without a meaning in memory (``ContentType``, ``ACL`` and the like) are accepted and ignored; conditions,
    versions and parts of an object, which would change what is read or overwritten, are refused. Errors are
    ``botocore.exceptions.ClientError`` with S3's codes.

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

    def put_object(self, *, Bucket: str, Key: str, Body: Any = b"", **others: Any) -> dict[str, Any]:
        _refuse("PutObject", others)
        with as_client_error("PutObject"):
            return _response(ETag=etag(store_data(self._store, Bucket, Key, Body)))

    def get_object(self, *, Bucket: str, Key: str, Range: str | None = None, **others: Any) -> dict[str, Any]:
        _refuse("GetObject", others)
        with as_client_error("GetObject"):
            segment = self._store.attach(Bucket, Key)
            if Range is None:
                return _response(200, Body=SegmentStream(segment.view), **_described(segment.info))
            start, stop = ranges.resolve(Range, segment.size)
            described = {**_described(segment.info), "ContentLength": stop - start}
            described["ContentRange"] = f"bytes {start}-{stop - 1}/{segment.size}"
            return _response(206, Body=SegmentStream(segment.view[start:stop]), **described)

    def head_object(self, *, Bucket: str, Key: str, **others: Any) -> dict[str, Any]:
        _refuse("HeadObject", others)
        with as_client_error("HeadObject"):
            return _response(**_described(self._store.head(Bucket, Key)))

    def delete_object(self, *, Bucket: str, Key: str, **others: Any) -> dict[str, Any]:
        _refuse("DeleteObject", others)
        with as_client_error("DeleteObject"):
            self._store.delete(Bucket, Key)
        return _response(204)

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any], **_: Any) -> dict[str, Any]:
        keys = [item["Key"] for item in Delete["Objects"]]
        errors = []
        for key in keys:  # one that cannot be a key is reported, and keeps none of the others
            try:
                self._store.delete(Bucket, key)
            except InvalidKeyError as error:
                errors.append({"Key": key, "Code": "InvalidArgument", "Message": str(error)})
        refused = {item["Key"] for item in errors}
        result: dict[str, Any] = {"Errors": errors} if errors else {}
        if not Delete.get("Quiet"):
            result["Deleted"] = [{"Key": key} for key in keys if key not in refused]
        return _response(**result)

    def copy_object(self, *, Bucket: str, Key: str, CopySource: str | dict[str, str], **others: Any) -> dict[str, Any]:
        _refuse("CopyObject", others)
        if isinstance(CopySource, str):
            source_bucket, _slash, source_key = unquote(CopySource).lstrip("/").partition("/")
        else:
            source_bucket, source_key = CopySource["Bucket"], CopySource["Key"]
        with as_client_error("CopyObject"):
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
        with as_client_error("ListObjectsV2"):
            after = StartAfter if ContinuationToken is None else _name_in(ContinuationToken)
            page = self._page(Bucket, Prefix, Delimiter, MaxKeys, after, resumed=ContinuationToken is not None)
        last = page.pop("last")
        if page["IsTruncated"]:
            page["NextContinuationToken"] = base64.b64encode(last.encode()).decode()
        return _response(KeyCount=len(page.get("Contents", ())) + len(page.get("CommonPrefixes", ())), **page)

    def list_objects(
        self, *, Bucket: str, Prefix: str = "", Delimiter: str = "", MaxKeys: int = _PAGE, Marker: str = "", **_: Any
    ) -> dict[str, Any]:
        with as_client_error("ListObjects"):
            page = self._page(Bucket, Prefix, Delimiter, MaxKeys, Marker, resumed=True)
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
        with as_client_error("HeadBucket"):
            if Bucket != self._own_bucket and not self._store.has_bucket(Bucket):
                raise SegmentNotFoundError(Bucket, "")
        return _response()

    def create_bucket(self, *, Bucket: str, **_: Any) -> dict[str, Any]:
        with as_client_error("CreateBucket"):
            self._store.create_bucket(Bucket)
        return _response(Location=f"/{Bucket}")

    def delete_bucket(self, *, Bucket: str, **_: Any) -> dict[str, Any]:
        with as_client_error("DeleteBucket"):
            self._store.delete_bucket(Bucket)
        return _response(204)

    def list_buckets(self, **_: Any) -> dict[str, Any]:
        names = sorted({*self._store.buckets(), self._own_bucket})
        return _response(Buckets=[{"Name": name} for name in names])

    def upload_file(
        self,
        Filename: str,
        Bucket: str,
        Key: str,
        ExtraArgs: Any = None,
        Callback: Callable[[int], object] | None = None,
        Config: Any = None,
    ) -> None:
        with as_client_error("PutObject"):
            info = store_file(self._store, Bucket, Key, Filename)
        _report(Callback, info.size)

    def upload_fileobj(
        self,
        Fileobj: Any,
        Bucket: str,
        Key: str,
        ExtraArgs: Any = None,
        Callback: Callable[[int], object] | None = None,
        Config: Any = None,
    ) -> None:
        with as_client_error("PutObject"):
            info = store_data(self._store, Bucket, Key, Fileobj)
        _report(Callback, info.size)

    def download_file(
        self,
        Bucket: str,
        Key: str,
        Filename: str,
        ExtraArgs: Any = None,
        Callback: Callable[[int], object] | None = None,
        Config: Any = None,
    ) -> None:
        """Write an object to a file, whole or not at all."""
        with as_client_error("HeadObject"):
            segment = self._store.attach(Bucket, Key)
        save(segment.view, Filename)
        _report(Callback, segment.size)

    def download_fileobj(
        self,
        Bucket: str,
        Key: str,
        Fileobj: Any,
        ExtraArgs: Any = None,
        Callback: Callable[[int], object] | None = None,
        Config: Any = None,
    ) -> None:
        with as_client_error("HeadObject"):
            segment = self._store.attach(Bucket, Key)
        Fileobj.write(segment.view)
        _report(Callback, segment.size)

    def _infos(self, bucket: str, prefix: str) -> list[SegmentInfo]:
        try:
            return self._store.list(bucket, prefix)
        except SegmentNotFoundError:
            if bucket == self._own_bucket:
                return []
            raise

    def _page(
        self, bucket: str, prefix: str, delimiter: str, limit: int, after: str, *, resumed: bool
    ) -> dict[str, Any]:
        """One page of a listing: objects, and with a delimiter what is below it rolled up, in order of keys.

        With `resumed`, `after` may be a rolled-up prefix of the page before, all of which has been told.
        """
        contents: list[dict[str, Any]] = []
        rolled_up: list[dict[str, str]] = []
        limit = min(limit, _PAGE)
        last, truncated = "", False
        for info in self._infos(bucket, prefix) if limit > 0 else ():
            found = info.key.find(delimiter, len(prefix)) if delimiter else -1
            name = info.key[: found + len(delimiter)] if found >= 0 else info.key
            told = (resumed and name == after) or (rolled_up and name == rolled_up[-1]["Prefix"])
            if info.key <= after or told:
                continue
            if len(contents) + len(rolled_up) == limit:
                truncated = True
                break
            last = name
            if found >= 0:
                rolled_up.append({"Prefix": name})
            else:
                contents.append(entry(info))
        page: dict[str, Any] = {"Name": bucket, "Prefix": prefix, "MaxKeys": limit, "IsTruncated": truncated}
        page["last"] = last
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


def _refuse(operation: str, arguments: dict[str, Any]) -> None:
    """Arguments that nobody would want to see ignored."""
    for name in arguments:
        if name.startswith(("If", "CopySourceIf")) or name in ("PartNumber", "VersionId"):
            from botocore.exceptions import ClientError

            message = f"storage 'shm' has no {name}: objects have one version, and puts no conditions"
            error = {"Code": "NotImplemented", "Message": message}
            raise ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": 501}}, operation)


def _name_in(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode()
    except ValueError:
        raise InvalidKeyError("continuation token", token, "it is not one that a listing gave") from None


def _report(callback: Callable[[int], object] | None, count: int) -> None:
    """boto3 tells of the bytes moved as they are; ours are moved at once."""
    if callback is not None:
        callback(count)


def _described(info: SegmentInfo) -> dict[str, Any]:
    return {"ContentLength": info.size, "LastModified": modified(info), "ETag": etag(info), "Metadata": {}}


def _response(status: int = 200, **fields: Any) -> dict[str, Any]:
    return {"ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}, **fields}
