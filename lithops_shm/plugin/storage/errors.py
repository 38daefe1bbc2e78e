"""What our errors are called by Lithops and by boto3: one row for each error of the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from lithops.storage.utils import StorageNoSuchKeyError

from lithops_shm.errors import (
    ConfigError,
    InvalidKeyError,
    InvalidRangeError,
    SegmentCorruptError,
    SegmentNotFoundError,
    SessionLostError,
    StoreError,
    StoreFullError,
    UnsafeDirectoryError,
    UnsupportedError,
)

__all__ = ["TABLE", "Translation", "as_client_error", "as_lithops_error", "client_exceptions", "code_of"]


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


# The exceptions boto3's S3 client has by name, of those code here raises or code elsewhere may ask for.
_NAMED = (
    "BucketAlreadyExists",
    "BucketAlreadyOwnedByYou",
    "InvalidObjectState",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchUpload",
)


def code_of(error: StoreError) -> str:
    """What S3 calls an error."""
    if isinstance(error, SegmentNotFoundError) and not error.args[1]:
        return "NoSuchBucket"
    return _row(error).code


@lru_cache(maxsize=1)
def client_exceptions() -> Any:
    """What boto3 has as ``client.exceptions``; botocore is imported on first use."""
    from botocore.exceptions import ClientError

    named: dict[str, type[Exception]] = {name: type(name, (ClientError,), {}) for name in _NAMED}

    def from_code(code: str) -> type[Exception]:
        return named.get(code, ClientError)  # type: ignore[no-any-return, unused-ignore]

    return SimpleNamespace(ClientError=ClientError, from_code=from_code, **named)


@contextmanager
def as_lithops_error(bucket: str, key: str) -> Iterator[None]:
    """Errors of the block as Lithops raises them, from ours."""
    try:
        yield
    except StoreError as error:
        if _row(error).no_such_key:
            raise StorageNoSuchKeyError(bucket, key) from error
        raise


@contextmanager
def as_client_error(operation: str, *, refused: Translation | None = None) -> Iterator[None]:
    """Errors of the block as botocore's, from ours: ``ClientError``, and ``ParamValidationError`` for arguments.

    A ``Head...`` operation has no body to name its error in: S3 answers with the number alone, and so do we.

    Parameters
    ----------
    operation:
        S3's name of the call.
    refused:
        What S3 calls it when the store refuses this call with a plain StoreError.
    """
    try:
        yield
    except ConfigError as error:
        from botocore.exceptions import ParamValidationError

        raise ParamValidationError(report=str(error)) from error
    except UnsupportedError as error:
        raise _client_error(operation, "NotImplemented", 501, str(error)) from error
    except StoreError as error:
        row = refused if refused is not None and type(error) is StoreError else _row(error)
        code = code_of(error) if row is not refused else row.code
        if operation.startswith("Head"):
            code = str(row.status)
        raise _client_error(operation, code, row.status, str(error)) from error


def _row(error: StoreError) -> Translation:
    """The row of an error: its class's, or that of the nearest class above."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def _client_error(operation: str, code: str, status: int, message: str) -> Exception:
    kind = client_exceptions().from_code(code)
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = kind(response, operation)
    return error
