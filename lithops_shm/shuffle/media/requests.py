"""One request to an S3, as both engines understand it, and what must be true of its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lithops_shm.shuffle.media.failures import ShortReadError, WrongRangeError

__all__ = ["CONNECTIONS", "Answer", "Engine", "Request", "check_length", "piece_bytes", "pieces"]

# Ranges and parts of 8 to 16 MB over many connections are what AWS recommends:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html
_PIECE = 8 << 20
_MAX_PARTS = 10_000  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
CONNECTIONS = 12  # at once, by one process; 75-90 MB/s each make more than a function's network

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Request:
    """A call of an S3 client, by the name of its method.

    Parameters
    ----------
    operation, arguments:
        The method and its keyword arguments; bucket and region are the engine's affair.
    body:
        What to send, put together when it is sent; ``None`` for nothing.
    start, stop:
        The byte range to read, for ``get_object``; both ``None`` for a read without one.
    into:
        Where the bytes read go, `stop` - `start` of them; ``None`` to have them in the answer, however many come.
    """

    operation: str
    arguments: Mapping[str, Any]
    body: Sequence[memoryview] | None = None
    start: int | None = None
    stop: int | None = None
    into: memoryview | None = None

    @property
    def key(self) -> str:
        """The key it is about, or the prefix, or nothing."""
        return str(self.arguments.get("Key") or self.arguments.get("Prefix") or "")

    def all_arguments(self, bucket: str) -> dict[str, Any]:
        """What the method is called with; copies the body."""
        arguments = {"Bucket": bucket, **self.arguments}
        if self.body is not None:
            arguments["Body"] = b"".join(self.body)
        if self.start is not None and self.stop is not None:
            arguments["Range"] = f"bytes={self.start}-{self.stop - 1}"
        return arguments

    def check_answer(self, answer: Mapping[str, Any]) -> None:
        """Whether the answer to a read is about the range asked for; before any of its body is read.

        Raises
        ------
        WrongRangeError
        """
        if self.start is None or self.stop is None:
            return
        match = _CONTENT_RANGE.fullmatch(answer.get("ContentRange") or "")
        if match is None:
            # Only what is there at all counts, not the status: rclone answers ranges with 200.
            if self.into is None and self.start == 0:
                return
            raise WrongRangeError(f"bytes {self.start}-{self.stop} were asked for, and the server ignored that")
        begin, end, total = match.groups()
        if int(begin) != self.start or (self.into is not None and int(end) + 1 != self.stop):
            raise WrongRangeError(
                f"bytes {self.start} to {self.stop} were asked for, and {begin} to {int(end) + 1} came: "
                f"the object has {total}"
            )


@dataclass(slots=True)
class Answer:
    """What came back: the response without its body, and the body's bytes unless they went elsewhere."""

    response: Mapping[str, Any]
    data: bytes = b""

    @property
    def etag(self) -> str:
        return str(self.response.get("ETag", ""))

    @property
    def total_bytes(self) -> int | None:
        """The size of the object that a range was read of, if the server says it."""
        match = _CONTENT_RANGE.fullmatch(self.response.get("ContentRange") or "")
        return int(match.group(3)) if match and match.group(3) != "*" else None


class Engine(Protocol):
    """Sends requests to one bucket, each tried again while that may help. Safe to use by many threads, and forks."""

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        """Send all, up to `CONNECTIONS` at once; the answers in the same order.

        Raises
        ------
        Failed
            When one fails for good, from its error; none of the others is under way any more.
        """
        ...

    def close(self) -> None: ...


def check_length(came: int, answer: Mapping[str, Any], request: Request) -> None:
    """Whether a body had all its bytes: as many as were asked for, and as each header says; raises ShortReadError."""
    expected = [] if request.into is None else [request.into.nbytes]
    if answer.get("ContentLength") is not None:
        expected.append(answer["ContentLength"])
    if match := _CONTENT_RANGE.fullmatch(answer.get("ContentRange") or ""):
        expected.append(int(match.group(2)) + 1 - int(match.group(1)))
    if any(came != count for count in expected):
        raise ShortReadError(came, max(expected))


def piece_bytes(total: int) -> int:
    """How large the parts of an upload of that size are, in bytes, so that they are not too many."""
    return max(_PIECE, -(-total // _MAX_PARTS))


def pieces(start: int, stop: int) -> list[tuple[int, int]]:
    """A byte range cut into such as are read by one request each."""
    return [(at, min(at + _PIECE, stop)) for at in range(start, stop, _PIECE)]
