"""HTTP byte ranges (RFC 9110, section 14.1.2), as far as object stores know them: one range, in bytes."""

from __future__ import annotations

import re

from lithops_shm.errors import InvalidRangeError

__all__ = ["resolve"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


def resolve(header: str, size: int) -> tuple[int, int]:
    """The half-open range that a header asks of an object of `size` bytes.

    ``bytes=2-5`` includes both ends, ``bytes=2-`` goes to the end, ``bytes=-3`` is the last three. An end past the
    object is cut off, as is a suffix longer than it.

    Raises
    ------
    InvalidRangeError
        For anything else, several ranges included, and for a range that no byte of the object is in.
    """
    match = _RANGE.fullmatch(header) if isinstance(header, str) else None
    if match is None or header == "bytes=-":
        raise InvalidRangeError(header, "write 'bytes=first-last', 'bytes=first-' or 'bytes=-count'; one range only")
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            raise InvalidRangeError(header, "it ends before it starts")
    if start >= stop:
        raise InvalidRangeError(header, f"no byte of the object is in it, which has {size:,}")
    return start, stop
