"""What a request can come to, told from what the server or the network said. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from lithops_shm.errors import SegmentNotFoundError, ShmError, ShuffleStorageError

__all__ = ["Failed", "Failure", "Kind", "ShortReadError", "Table", "WrongRangeError", "of_answer", "reported"]


class Kind(Enum):
    """What to make of a failure."""

    TRANSIENT = auto()  # the same may work in a moment
    MISSING = auto()  # no such key
    NO_BUCKET = auto()
    LOST_UPLOAD = auto()  # the server has forgotten an upload in parts
    EXISTS = auto()  # the condition of a conditional put does not hold
    PAST_END = auto()  # the range starts behind the object's end
    DENIED = auto()
    REFUSED = auto()  # anything else: the same again will fail again


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind, and the reason in the server's words or the library's."""

    kind: Kind
    reason: str


class Failed(Exception):
    """A request that came to nothing. Raised from the error it stands for, and never leaves this package."""

    def __init__(self, failure: Failure, about: str, tries: int, seconds: float) -> None:
        super().__init__(failure, about, tries, seconds)
        self.failure = failure
        self.about = about  # the key, or nothing
        self.tries = tries
        self.seconds = seconds


class ShortReadError(Exception):
    """A body ended before all its bytes had come. ``args``: bytes that came, bytes that should have."""

    def __str__(self) -> str:
        came, expected = self.args
        return f"{came:,} of {expected:,} bytes came"


class WrongRangeError(Exception):
    """The server answered, but not with the bytes that were asked for. ``args``: the reason."""


@dataclass(frozen=True, slots=True)
class Table:
    """The one place where the errors of a library become failures.

    Parameters
    ----------
    errors:
        What the library raises.
    failure_of:
        What one of those means.
    """

    errors: tuple[type[Exception], ...]
    failure_of: Callable[[Exception], Failure]


# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; what is not here goes by its status.
_CODES = {
    "NoSuchKey": Kind.MISSING,
    "NoSuchBucket": Kind.NO_BUCKET,
    "NoSuchUpload": Kind.LOST_UPLOAD,
    "PreconditionFailed": Kind.EXISTS,
    "InvalidRange": Kind.PAST_END,
    # 400, but about this one transfer.
    "RequestTimeout": Kind.TRANSIENT,
    "IncompleteBody": Kind.TRANSIENT,
    "BadDigest": Kind.TRANSIENT,
    "XAmzContentSHA256Mismatch": Kind.TRANSIENT,
    # 409: another writer of the key is at work; S3 asks to try again.
    "ConditionalRequestConflict": Kind.TRANSIENT,
    "OperationAborted": Kind.TRANSIENT,
    "SlowDown": Kind.TRANSIENT,
    "Throttling": Kind.TRANSIENT,
    "ThrottlingException": Kind.TRANSIENT,
    "RequestLimitExceeded": Kind.TRANSIENT,
    "BandwidthLimitExceeded": Kind.TRANSIENT,
    # 400, but about who asks.
    "ExpiredToken": Kind.DENIED,
    "InvalidToken": Kind.DENIED,
    "AuthorizationHeaderMalformed": Kind.DENIED,
}
_STATUSES = {
    401: Kind.DENIED,
    403: Kind.DENIED,
    404: Kind.MISSING,
    412: Kind.EXISTS,
    416: Kind.PAST_END,
    **dict.fromkeys((408, 429, 500, 502, 503, 504), Kind.TRANSIENT),
}


def of_answer(status: int, code: str, message: str) -> Failure:
    """The failure of an answer with that HTTP status and S3's error code, which may be the status as a text."""
    kind = _CODES.get(code) or _STATUSES.get(status, Kind.REFUSED)
    said = f"HTTP {status} {code}" if code and code != str(status) else f"HTTP {status}"
    return Failure(kind, f"{said}: {message}" if message else said)


def reported(failed: Failed, where: str, bucket: str) -> ShmError:
    """The error a user gets; to be raised from the one behind `failed`.

    Parameters
    ----------
    where:
        The place, as a person would name it: service, bucket, endpoint.
    bucket:
        What it calls itself.
    """
    kind, reason, key = failed.failure.kind, failed.failure.reason, failed.about
    about = f"{where}, {key[:80]!r}" if key else where
    if kind is Kind.MISSING:
        return SegmentNotFoundError(bucket, key)
    if kind is Kind.NO_BUCKET:
        return ShuffleStorageError(where, f"there is no such bucket ({reason})", "create it, or name another")
    if kind is Kind.DENIED:
        todo = "check the access key, the secret key, the session token, the region, and what they allow on the bucket"
        return ShuffleStorageError(about, f"access was denied ({reason})", todo)
    if kind is Kind.PAST_END:
        return ShuffleStorageError(about, f"it has fewer bytes than were asked for ({reason})", "put it again")
    if kind in (Kind.TRANSIENT, Kind.LOST_UPLOAD):
        tried = f"gave up after {failed.tries} tries in {failed.seconds:.1f} s"
        return ShuffleStorageError(about, f"{tried}: {reason}", "see whether the server runs and can be reached")
    return ShuffleStorageError(about, reason, "the same request will fail again: see what the server says about it")
