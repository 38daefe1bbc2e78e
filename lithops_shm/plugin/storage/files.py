"""Files and file-likes into the store, and segments back into files."""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from typing import Any

from lithops_shm.store import SegmentInfo, Store

__all__ = ["save", "store_data", "store_file"]

_FIELD_NAME = re.compile(":[^:]*:")  # in the format of a structured buffer (PEP 3118)


class _Binary:
    """Reads a file opened in text mode as UTF-8 bytes, and a binary one as it is."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        if data is None:  # taken for the end, it would cut the object short
            raise BlockingIOError(
                "the stream is in non-blocking mode and has nothing yet; read it first, then store it"
            )
        return data.encode() if isinstance(data, str) else data


def store_data(store: Store, bucket: str, key: str, data: Any) -> SegmentInfo:
    """Store bytes, any buffer, text (as UTF-8), or what a file-like gives from its position on; in one copy.

    Raises
    ------
    TypeError
        When `data` is none of these, or an array of Python objects, whose buffer holds addresses.
    BlockingIOError
        When it is a non-blocking stream that has run dry.
    InvalidKeyError, SessionLostError, StoreFullError
    """
    if isinstance(data, str):
        data = data.encode()
    if hasattr(data, "read"):
        return store.put_stream(bucket, key, _Binary(data))
    try:
        view = memoryview(data)
    except (TypeError, ValueError, BufferError) as error:  # ValueError: NumPy's dates have no buffer
        reason = "give bytes or another buffer, text, or a file; shm.put takes any object"
        raise TypeError(f"cannot store a {type(data).__name__} as it is: {reason}") from error
    if "O" in _FIELD_NAME.sub("", view.format):
        raise TypeError(f"cannot store a {type(data).__name__} of Python objects as bytes; shm.put takes any object")
    return store.put(bucket, key, view)


def store_file(store: Store, bucket: str, key: str, path: str) -> SegmentInfo:
    """Store the file at `path`; raises OSError when it cannot be read, and as :func:`store_data`."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        # Pipes, and files that the kernel makes up as they are read, say that they have no bytes.
        size = status.st_size if stat.S_ISREG(status.st_mode) and status.st_size else None
        return store.put_stream(bucket, key, file, size)


def save(view: memoryview, path: str) -> None:
    """Write a segment to a file, whole or not at all; into pipes and devices, which cannot be replaced, as it comes.

    Raises
    ------
    OSError
        What was at `path` is untouched then.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            file.write(view)
        return
    directory = os.path.dirname(path)
    if directory:
        os.makedirs(directory, exist_ok=True)
    partial = os.path.join(directory, f".{secrets.token_hex(8)}.part")
    try:
        with open(partial, "xb") as file:
            file.write(view)
        os.replace(partial, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(partial)
        raise
