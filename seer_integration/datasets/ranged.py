"""An object as a file that is read from any position, by whoever fetches ranges of it."""

from __future__ import annotations

import io
from collections.abc import Callable

import pyarrow as pa

__all__ = ["RangedFile"]

_FOOTER = 64 << 10  # bytes; Arrow takes so many for Parquet's


class RangedFile:
    """What :class:`pyarrow.PythonFile` asks of a file; its reads are views of what `fetch` gives.

    Parameters
    ----------
    fetch:
        Gives the bytes from a start up to, not including, a stop.
    nbytes:
        Of the object.
    ahead:
        Bytes to fetch at least, for a storage that takes its time for each request. What is read next is often next
        to what was read last: the parts of a footer, the chunks of a column.
    """

    def __init__(self, fetch: Callable[[int, int], pa.Buffer], nbytes: int, ahead: int = 0) -> None:
        self._fetch = fetch
        self._nbytes = nbytes
        self._ahead = ahead
        self._position = 0
        self._kept: tuple[int, pa.Buffer] = 0, pa.py_buffer(b"")
        self.closed = False

    def read(self, nbytes: int | None = None) -> pa.Buffer:
        """Up to so many bytes from the position on, all when ``None``."""
        start = self._position
        stop = self._nbytes if nbytes is None or nbytes < 0 else min(start + nbytes, self._nbytes)
        self._position = max(start, stop)
        if start >= stop:
            return pa.py_buffer(b"")
        at, kept = self._kept
        if not at <= start <= stop <= at + kept.size:
            # near the end it is a footer that is read, from its end on
            at = min(start, max(0, self._nbytes - _FOOTER)) if self._ahead else start
            kept = self._fetch(at, max(stop, min(start + self._ahead, self._nbytes)))
            if self._ahead and stop - start < self._ahead:
                self._kept = at, kept
        return kept.slice(start - at, stop - start)

    read_buffer = read

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._nbytes}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def size(self) -> int:
        return self._nbytes

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Let go of what was read ahead."""
        self._kept = 0, pa.py_buffer(b"")
        self.closed = True
