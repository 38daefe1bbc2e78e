"""Objects in an S3 bucket: what is asked of the server, in which order. How it is asked is the engine's affair."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lithops_shm.errors import ShmError, ShuffleStorageError, UnsupportedError
from lithops_shm.shuffle.media.failures import Failed, Kind, reported
from lithops_shm.shuffle.media.objects import Buffer, allocate, check_key, check_prefix, check_range, flat
from lithops_shm.shuffle.media.requests import Answer, Engine, Request, piece_bytes, pieces
from lithops_shm.shuffle.media.retries import RetryPolicy, again_after
from lithops_shm.shuffle.media.settings import S3Settings
from lithops_shm.store.bulk import split

__all__ = ["S3Objects"]

_DELETE_AT_ONCE = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_WRITER = "shm-writer"  # metadata of objects put conditionally: who wrote them
_PROBES = "lithops-shm-probe"


class S3Objects:
    """An :class:`~lithops_shm.shuffle.media.objects.ObjectStore` in a bucket.

    Parameters
    ----------
    settings:
        Which bucket, and how it is named in messages.
    engine:
        Sends the requests, and is closed with this.
    policy:
        For how long an upload is begun anew that a server has forgotten.
    """

    maps = False

    def __init__(self, settings: S3Settings, engine: Engine, policy: RetryPolicy) -> None:
        self._settings = settings
        self._engine = engine
        self._policy = policy
        self._honours_conditions: bool | None = None
        self._probing = threading.Lock()

    def put(self, key: str, parts: Iterable[Buffer]) -> int:
        check_key(key)
        views = flat(parts)
        total = sum(view.nbytes for view in views)
        with self._told():
            # Two pieces or more go at the same time; less is not worth the two requests more.
            if total < 2 * piece_bytes(total):
                self._one(Request("put_object", {"Key": key}, body=views))
            else:
                again_after(Kind.LOST_UPLOAD, lambda: self._put_in_parts(key, views, total), self._policy)
        return total

    def put_if_absent(self, key: str, parts: Sequence[Buffer]) -> bool:
        """One request, so at most 5 GiB."""
        check_key(key)
        with self._told():
            self._require_conditions()
            writer = secrets.token_hex(16)
            arguments = {"Key": key, "IfNoneMatch": "*", "Metadata": {_WRITER: writer}}
            try:
                self._one(Request("put_object", arguments, body=flat(parts)))
                return True
            except Failed as failed:
                if failed.failure.kind is not Kind.EXISTS:
                    raise
            # It may be ours: stored by a try whose answer was lost. Tries cannot be counted, as aiohttp sends a PUT
            # again by itself when a connection that was kept breaks.
            return self._wrote(key, writer)

    def spilled_bytes(self, key: str) -> int:  # noqa: ARG002 - the protocol's
        return 0

    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        if stop is not None:
            return self.get_many([(key, start, stop)])[0]
        check_key(key)
        check_range(start, stop)
        with self._told():
            return self._get_to_end(key, start)

    def get_many(self, ranges: Sequence[tuple[str, int, int]]) -> list[memoryview]:
        for key, start, stop in ranges:
            check_key(key)
            check_range(start, stop)
        targets = [allocate(stop - start) for _, start, stop in ranges]
        groups = [_reads(*range_, target) for range_, target in zip(ranges, targets, strict=True)]
        with self._told():
            answers = iter(self._engine.run([request for group in groups for request in group]))
            for (key, _, _), group in zip(ranges, groups, strict=True):
                self._require_one_version(key, [next(answers) for _ in group])
        return [target.toreadonly() for target in targets]

    def delete(self, keys: Iterable[str]) -> None:
        doomed = list(keys)
        for key in doomed:
            check_key(key)
        with self._told():
            self._delete(doomed)

    def delete_prefix(self, prefix: str) -> int:
        """Uploads in parts that were never finished go as well: they are in no listing, and cost as if they were."""
        check_prefix(prefix)
        count = 0
        with self._told():
            for page in self._pages("list_objects_v2", {"Prefix": prefix}, "ContinuationToken"):
                # Whatever the server has listed: another's objects are not ours to delete.
                keys = [each["Key"] for each in page.get("Contents", []) if each["Key"].startswith(prefix)]
                self._delete(keys)
                count += len(keys)
            # A server without parts has none to forget.
            with contextlib.suppress(Failed):
                self._abort_uploads(prefix)
        return count

    def close(self) -> None:
        self._engine.close()

    def _wrote(self, key: str, writer: str) -> bool:
        """Whether the object is there, and by that writer."""
        try:
            metadata = self._one(Request("head_object", {"Key": key})).response["Metadata"]
        except Failed as failed:
            if failed.failure.kind is Kind.MISSING:  # a rival's, and deleted since
                return False
            raise
        return {name.lower(): value for name, value in metadata.items()}.get(_WRITER) == writer

    def _one(self, request: Request) -> Answer:
        return self._engine.run([request])[0]

    def _put_in_parts(self, key: str, views: Sequence[memoryview], total: int) -> None:
        begun = self._one(Request("create_multipart_upload", {"Key": key})).response
        upload = {"Key": key, "UploadId": begun["UploadId"]}
        size = piece_bytes(total)
        requests = []
        for number in range(1, -(-total // size) + 1):
            body, views = split(views, size)
            requests.append(Request("upload_part", {**upload, "PartNumber": number}, body=body))
        try:
            answers = self._engine.run(requests)
            parts = [{"PartNumber": number, "ETag": answer.etag} for number, answer in enumerate(answers, 1)]
            self._one(Request("complete_multipart_upload", {**upload, "MultipartUpload": {"Parts": parts}}))
        except BaseException:
            with contextlib.suppress(Failed):
                self._one(Request("abort_multipart_upload", upload))
            raise

    def _get_to_end(self, key: str, start: int) -> memoryview:
        """All from `start`: the first answer says how much there is, the rest is read at once."""
        try:
            first = self._one(Request("get_object", {"Key": key}, start=start, stop=start + piece_bytes(0)))
        except Failed as failed:
            if failed.failure.kind is not Kind.PAST_END:
                raise
            total = self._size(key)
            if start == total:  # an object of no bytes has no range to read either
                return memoryview(b"")
            reason = f"bytes from {start:,} on were asked for, and the object has {total:,}"
            raise self._storage_error(key, reason) from failed.__cause__
        announced = first.total_bytes
        # A server that reads no ranges gives all; whether it was all is asked, because no header says so.
        total = self._size(key) if announced is None else announced
        done = len(first.data)
        if start + done == total:
            return memoryview(first.data)
        target = allocate(total - start)
        target[:done] = first.data
        rest = self._engine.run(_reads(key, start + done, total, target[done:]))
        self._require_one_version(key, [first, *rest])
        return target.toreadonly()

    def _size(self, key: str) -> int:
        return int(self._one(Request("head_object", {"Key": key})).response["ContentLength"])

    def _require_one_version(self, key: str, answers: Sequence[Answer]) -> None:
        if len({answer.etag for answer in answers}) > 1:
            raise self._storage_error(key, "the object was replaced while it was being read")

    def _delete(self, keys: Sequence[str]) -> None:
        requests = []
        for at in range(0, len(keys), _DELETE_AT_ONCE):
            named = [{"Key": key} for key in keys[at : at + _DELETE_AT_ONCE]]
            requests.append(Request("delete_objects", {"Delete": {"Objects": named, "Quiet": True}}))
        for answer in self._engine.run(requests):
            for error in answer.response.get("Errors") or []:
                raise self._storage_error(error.get("Key", ""), f"it was not deleted: {error.get('Code')}")

    def _abort_uploads(self, prefix: str) -> None:
        page = self._one(Request("list_multipart_uploads", {"Prefix": prefix})).response
        found = [each for each in page.get("Uploads") or [] if each["Key"].startswith(prefix)]
        doomed = [{"Key": each["Key"], "UploadId": each["UploadId"]} for each in found]
        self._engine.run([Request("abort_multipart_upload", upload) for upload in doomed])

    def _pages(self, operation: str, arguments: dict[str, Any], token: str) -> Iterator[Any]:
        while True:
            page = self._one(Request(operation, arguments)).response
            yield page
            if not page.get("IsTruncated"):
                return
            arguments = {**arguments, token: page[f"Next{token}"]}

    def _require_conditions(self) -> None:
        """Find out, once, whether the server honours conditions: some store the object all the same."""
        with self._probing:
            if self._honours_conditions is None:
                self._honours_conditions = self._probe()
        if not self._honours_conditions:
            raise UnsupportedError(
                f"{self._settings.where} ignores `If-None-Match: *` and would overwrite: of several writers each would "
                "take itself for the first. Use a server that honours it, as S3 does, or commit by a single process"
            )

    def _probe(self) -> bool:
        key = f"{_PROBES}/{secrets.token_hex(8)}"
        request = Request("put_object", {"Key": key, "IfNoneMatch": "*"}, body=[memoryview(b"probe")])
        try:
            self._one(request)
            self._one(request)
        except Failed as failed:
            if failed.failure.kind is Kind.EXISTS:
                return True
            if failed.failure.kind is not Kind.REFUSED:  # a server may also say that it knows no conditions
                raise
        finally:
            with contextlib.suppress(Failed, ShmError):
                self._delete([key])
        return False

    def _storage_error(self, key: str, reason: str) -> ShuffleStorageError:
        return ShuffleStorageError(f"{self._settings.where}, {key[:80]!r}", reason, "see what else writes there")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn a failure into the error a user gets."""
        try:
            yield
        except Failed as failed:
            raise reported(failed, self._settings.where, self._settings.bucket) from failed.__cause__


def _reads(key: str, start: int, stop: int, target: memoryview) -> list[Request]:
    return [
        Request("get_object", {"Key": key}, start=begin, stop=end, into=target[begin - start : end - start])
        for begin, end in pieces(start, stop)
    ]
