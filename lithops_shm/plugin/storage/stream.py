"""A segment as a file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

__all__ = ["SegmentStream"]

_BLOCK = 8192  # bytes looked through at a time for the end of a line


class SegmentStream(io.RawIOBase):
    """Reads a mapped segment, or a range of it, from any position; what boto3's streaming bodies offer included.

    Parameters
    ----------
    view:
        The bytes, read-only. Nothing is copied until it is read, and :meth:`getbuffer` never copies.
    """

    def __init__(self, view: memoryview) -> None:
        super().__init__()
        self._view = view
        self._position = 0

    def getbuffer(self) -> memoryview:
        """All the bytes, whatever the position: a read-only view that stays valid after :meth:`close`."""
        self._require_open()
        return self._view

    def close(self) -> None:
        """Let go of the mapping, which lives on in what :meth:`getbuffer` gave."""
        self._view = memoryview(b"")
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._require_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._require_open()
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._view)}
        if whence not in origins:
            raise ValueError(f"whence must be 0, 1 or 2, not {whence}")
        if origins[whence] + offset < 0:
            raise ValueError(f"cannot seek to {origins[whence] + offset}, before the start")
        self._position = origins[whence] + offset
        return self._position

    def read(self, amt: int | None = -1) -> bytes:
        """Up to `amt` bytes from the position on, all when negative or ``None``: a copy. boto3 names it so."""
        self._require_open()
        stop = None if amt is None or amt < 0 else self._position + amt
        data = bytes(self._view[self._position : stop])
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        self._require_open()
        target = memoryview(buffer).cast("B")
        part = self._view[self._position : self._position + len(target)]
        target[: len(part)] = part
        self._position += len(part)
        return len(part)

    def readline(self, size: int | None = -1, /) -> bytes:
        self._require_open()
        limit = len(self._view) if size is None or size < 0 else min(len(self._view), self._position + size)
        at = self._position
        while at < limit:
            block = bytes(self._view[at : min(at + _BLOCK, limit)])
            found = block.find(b"\n")
            at += len(block) if found < 0 else found + 1
            if found >= 0:
                break
        return self.read(at - self._position) if at > self._position else b""

    def iter_chunks(self, chunk_size: int = 1024) -> Iterator[bytes]:
        """The rest, in copies of `chunk_size` bytes."""
        while chunk := self.read(chunk_size):
            yield chunk

    def iter_lines(self, chunk_size: int = 1024, keepends: bool = False) -> Iterator[bytes]:
        """The rest by lines, as :meth:`bytes.splitlines` has them; `chunk_size` is accepted for boto3's sake."""
        for line in self:
            yield from line.splitlines(keepends)

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError("the stream is closed")

    def __reduce__(self) -> Any:
        raise TypeError("a stream of a segment cannot be pickled; send the bucket and the key instead")
