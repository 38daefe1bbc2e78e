"""Moving bytes into files, as fast as the kernel allows.

Into fresh pages ``writev`` is fastest: the kernel allocates and fills a page in one go. Over pages the file
already has, it still takes the inode's lock and copies page by page; a populated map and ``memmove`` from a few
threads moves two to three times as much (``docs/benchmarks.md``, "Writing over recycled pages").
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["copy_range", "flat", "overwrite", "split", "write"]

_IOV_MAX = 1024  # Linux and macOS: os.sysconf("SC_IOV_MAX")
# One call writes at most 2,147,479,552 bytes on Linux (write(2)); smaller steps keep Ctrl-C responsive.
_STEP = 256 << 20
_MAP_FROM = 4 << 20  # below this, setting up a map costs more than it saves
_THREADS = 4  # one memmove takes about half of a memory channel's bandwidth


def flat(data: Any) -> list[memoryview]:
    """One buffer, or many, as memoryviews of bytes; views, no copy, unless a buffer is not contiguous.

    Raises
    ------
    TypeError
        When `data` is neither a buffer nor an iterable of buffers; text is neither.
    """
    try:
        views = [memoryview(data)]
    except TypeError:
        if isinstance(data, str) or not isinstance(data, Iterable):
            raise TypeError(f"expected bytes or buffers to store, not {type(data).__name__}") from None
        views = [memoryview(part) for part in data]
    return [_bytes_of(view) for view in views if view.nbytes]


def _bytes_of(view: memoryview) -> memoryview:
    if view.format == "B" and view.ndim == 1 and view.contiguous:
        return view
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


def split(parts: Sequence[memoryview], count: int) -> tuple[list[memoryview], list[memoryview]]:
    """The first `count` bytes of the buffers, and the rest of them; views."""
    head: list[memoryview] = []
    for index, part in enumerate(parts):
        if part.nbytes > count:
            return ([*head, part[:count]] if count else head), [part[count:], *parts[index + 1 :]]
        head.append(part)
        count -= part.nbytes
    return head, []


def write(fd: int, offset: int, parts: Sequence[memoryview]) -> int:
    """Write all the buffers at `offset`; gives the bytes written.

    Raises
    ------
    OSError
        ENOSPC when there is no room; bytes from `offset` on are then undefined.
    """
    if len(parts) == 1 and parts[0].nbytes <= _STEP:  # every small object passes here
        written = os.pwrite(fd, parts[0], offset)
        if written == parts[0].nbytes:
            return written
    total = 0
    pending = list(parts)
    while pending:
        step, _ = split(pending[:_IOV_MAX], _STEP)
        written = os.pwritev(fd, step, offset + total)
        total += written
        _, pending = split(pending, written)
    return total


def overwrite(fd: int, offset: int, parts: Sequence[memoryview]) -> int:
    """Write the buffers over bytes the file already holds; gives the bytes written.

    All pages from `offset` on must be allocated: in a hole of a full file system the store would end in SIGBUS.
    """
    total = sum(part.nbytes for part in parts)
    if total < _MAP_FROM or sys.platform != "linux":
        return write(fd, offset, parts)
    start = offset - offset % mmap.ALLOCATIONGRANULARITY
    target = mmap.mmap(fd, offset + total - start, flags=mmap.MAP_SHARED, offset=start)
    _copy(memoryview(target)[offset - start :], parts, total)
    return total


def copy_range(source_fd: int, target_fd: int, count: int) -> None:
    """Copy the first `count` bytes of one file to the start of another, in the kernel."""
    done = 0
    while done < count:
        copied = os.sendfile(target_fd, source_fd, done, min(_STEP, count - done))
        if copied == 0:
            raise EOFError(f"the file ended after {done:,} of {count:,} bytes")
        done += copied


def _copy(target: memoryview, parts: Sequence[memoryview], total: int) -> None:
    """memmove the buffers into `target` from several threads, without the interpreter's lock."""
    from lithops_shm.store import memory

    workers = max(1, min(_THREADS, os.cpu_count() or 1, total // _MAP_FROM))
    share = -(-total // workers)
    rest = list(parts)
    threads = []
    for start in range(0, total, share):
        mine, rest = split(rest, share)
        threads.append(threading.Thread(target=memory.move, args=(target[start:], mine), daemon=True))
    # The first share is copied here; a thread that outlives an interrupt keeps the map alive by its arguments.
    for thread in threads[1:]:
        thread.start()
    try:
        threads[0].run()
    finally:
        for thread in threads[1:]:
            thread.join()
