"""What a shuffle asks of the place where it keeps its objects, and what all places share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import pyarrow as pa

from lithops_shm.errors import InvalidKeyError, InvalidRangeError
from lithops_shm.store.bulk import flat

__all__ = ["Buffer", "ObjectStore", "allocate", "check_key", "check_prefix", "check_range", "flat"]

Buffer = Any  # an object of the buffer protocol; collections.abc.Buffer is new in Python 3.12

_MAX_KEY = 1024  # bytes of UTF-8; https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html


class ObjectStore(Protocol):
    """Objects by key, whole or by byte range. Used by any number of threads, and on both sides of a fork.

    A key is one or more components with ``/`` between them; see :func:`check_key`. Every method may raise
    ShuffleStorageError when the place fails, and InvalidKeyError for a key that cannot be stored everywhere.

    Attributes
    ----------
    maps:
        Whether a read is a view of memory and costs nothing: then store whole tables and slice their rows.
    """

    maps: bool

    def put(self, key: str, parts: Iterable[Buffer]) -> int:
        """Store the concatenation of the buffers, replacing what was there; gives its bytes.

        A reader sees the old object or the new one, after a failure too.
        """
        ...

    def put_if_absent(self, key: str, parts: Sequence[Buffer]) -> bool:
        """Store it unless there is an object already; whether it was stored. Of many at once, one stores.

        Raises
        ------
        UnsupportedError
            When the place ignores the condition: found out by trying, never taken from what it says it is.
        """
        ...

    def spilled_bytes(self, key: str) -> int:
        """How many bytes of an object are on disk because memory had no room; 0 where that is no question."""
        ...

    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        """The bytes from `start` up to, not including, `stop` (``None``: the end), read-only.

        A view where `maps`, else a copy of the caller's own. All of them: an object that ends before `stop` is an
        error. An empty range asks nothing, and so does not find out whether there is an object.

        Raises
        ------
        SegmentNotFoundError
        InvalidRangeError
            When a bound is negative or `stop` lies before `start`.
        ShuffleStorageError
            When the object ends before `stop`, too.
        """
        ...

    def get_many(self, ranges: Sequence[tuple[str, int, int]]) -> list[memoryview]:
        """Many (key, start, stop), at the same time where that helps; results in the same order. Raises as `get`."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are fine."""
        ...

    def delete_prefix(self, prefix: str) -> int:
        """Remove all objects whose keys start with `prefix`, which may not be empty; gives how many.

        For cleaning up after a shuffle: data is never found by listing.
        """
        ...

    def close(self) -> None:
        """Let go of connections, threads and sessions; twice is once."""
        ...


def check_key(key: str) -> None:
    """Refuse a key that some place would not keep as it is.

    ``.``, ``..`` and empty components are paths to elsewhere on a disk, control characters have no form in the XML of
    S3's listings and deletions.

    Raises
    ------
    InvalidKeyError
    """
    if not isinstance(key, str) or not key:
        raise InvalidKeyError("key", key, "it must be a text that is not empty")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise InvalidKeyError("key", key, "no component between slashes may be empty, '.' or '..'")
    _check_text(key)


def check_prefix(prefix: str) -> None:
    """Refuse a prefix of everything, or of no key there can be; raises InvalidKeyError."""
    check_key(prefix.removesuffix("/"))


def check_range(start: int, stop: int | None) -> None:
    """Refuse bounds that are no range; raises InvalidRangeError."""
    if start < 0 or (stop is not None and stop < start):
        raise InvalidRangeError(f"{start}:{stop}", "it must be 0 <= start <= stop")


def allocate(size: int) -> memoryview:
    """`size` writable bytes of no particular value, aligned as Arrow likes it (64 bytes); freed with the last view."""
    return memoryview(pa.allocate_buffer(size)).cast("B")


def _check_text(key: str) -> None:
    if any(ord(character) < 0x20 or character == "\x7f" for character in key):
        raise InvalidKeyError("key", key, "it holds a control character")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidKeyError("key", key, "it holds half of a surrogate pair, which has no UTF-8 form") from None
    if length > _MAX_KEY:
        raise InvalidKeyError("key", key, f"it takes {length:,} bytes in UTF-8, of at most {_MAX_KEY:,}")
