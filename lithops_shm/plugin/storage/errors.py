"""What our errors are called by Lithops and by boto3: one row for each error of the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lithops.storage.utils import StorageNoSuchKeyError

from lithops_shm.errors import (
    InvalidKeyError,
    InvalidRangeError,
    SegmentCorruptError,
    SegmentNotFoundError,
    SessionLostError,
    StoreError,
    StoreFullError,
    UnsafeDirectoryError,
)

__all__ = ["TABLE", "Translation", "as_client_error", "as_lithops_error", "translation"]


@dataclass(frozen=True, slots=True)
class Translation:
    """The `code` and HTTP `status` of an error on S3, and whether Lithops calls it a missing key."""

    code: str
    status: int
    no_such_key: bool = False


# Lithops has one error, for what is not there; all others reach its users as they are.
TABLE: dict[type[StoreError], Translation] = {
    SegmentNotFoundError: Translation("NoSuchKey", 404, no_such_key=True),
    InvalidKeyError: Translation("InvalidArgument", 400),
    InvalidRangeError: Translation("InvalidRange", 416),
    SegmentCorruptError: Translation("InternalError", 500),
    StoreFullError: Translation("ServiceUnavailable", 503),
    SessionLostError: Translation("ServiceUnavailable", 503),
    UnsafeDirectoryError: Translation("AccessDenied", 403),
    StoreError: Translation("InternalError", 500),
}


def translation(error: StoreError) -> Translation:
    """The row of an error: its class's, or that of the nearest class above."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


@contextmanager
def as_lithops_error(bucket: str, key: str) -> Iterator[None]:
    """Errors of the block as Lithops raises them, from ours."""
    try:
        yield
    except StoreError as error:
        if translation(error).no_such_key:
            raise StorageNoSuchKeyError(bucket, key) from error
        raise


@contextmanager
def as_client_error(operation: str) -> Iterator[None]:
    """Errors of the block as ``botocore.exceptions.ClientError``, from ours.

    A ``Head...`` operation has no body to name its error in: S3 answers with the number alone, and so do we.
    """
    try:
        yield
    except StoreError as error:
        from botocore.exceptions import ClientError

        row = translation(error)
        code = row.code
        if isinstance(error, SegmentNotFoundError) and not error.args[1]:
            code = "NoSuchBucket"
        if operation.startswith("Head"):
            code = str(row.status)
        response = {"Error": {"Code": code, "Message": str(error)}, "ResponseMetadata": {"HTTPStatusCode": row.status}}
        raise ClientError(response, operation) from error
