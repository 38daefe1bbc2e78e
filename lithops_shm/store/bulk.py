"""Moving bytes into files, as fast as the kernel allows.

Large segments are written through a map of huge pages from a few threads: twice as fast as ``write(2)`` into new
pages, and six times over pages the file already has, because a huge page costs one fault where small ones cost 512,
and because ``write(2)`` takes the inode's lock and copies page by page. Where the kernel gives none, new pages are
written with ``writev``, which allocates and fills them in one go (``docs/benchmarks.md``, "Writing").
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lithops_shm.store import memory

__all__ = ["allocate", "copy_range", "flat", "overwrite", "split", "write", "zero"]

_IOV_MAX = 1024  # Linux and macOS: os.sysconf("SC_IOV_MAX")
# One call writes at most 2,147,479,552 bytes on Linux (write(2)); smaller steps keep Ctrl-C responsive.
_STEP = 256 << 20
_MAP_FROM = 4 << 20  # below this, setting up a map costs more than it saves
_THREADS = 4  # one memmove takes about half of a memory channel's bandwidth
_ZERO = bytes(1)
_ZEROS = memoryview(bytes(1 << 20))


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
    if len(parts) == 1 and parts[0].nbytes < _MAP_FROM:  # every small object passes here
        written = os.pwrite(fd, parts[0], offset)
        if written == parts[0].nbytes:
            return written
    total = sum(part.nbytes for part in parts)
    on_huge = _write_on_huge_pages(fd, offset, parts, total) if total >= _MAP_FROM else 0
    _, rest = split(parts, on_huge)
    return on_huge + _write(fd, offset + on_huge, rest)


def overwrite(fd: int, offset: int, parts: Sequence[memoryview]) -> int:
    """Write the buffers over bytes the file already holds; gives the bytes written.

    All pages from `offset` on must be allocated: in a hole of a full file system the store would end in SIGBUS.
    """
    total = sum(part.nbytes for part in parts)
    if total < _MAP_FROM or sys.platform != "linux":
        return _write(fd, offset, parts)
    _fill(fd, offset, parts, memory.populate)
    return total


def allocate(fd: int, offset: int, nbytes: int, allocated: int) -> memoryview | None:
    """Map a part of a file for writing, its pages there: it can be written to without a fault that ends in SIGBUS.

    Parameters
    ----------
    offset, nbytes:
        The part, at least 1 byte.
    allocated:
        How much of the file, from its beginning, has pages already.

    Returns
    -------
    The part; writing to it is writing to the file, so let go of it before the file is sealed. ``None`` where the system
    cannot promise pages.

    Raises
    ------
    OSError
        ENOSPC when there is no room.
    """
    if sys.platform != "linux":
        return None
    fresh, end = max(offset, allocated), offset + nbytes
    if fresh < end:
        until = _begin_huge_pages(fd, fresh, end)
        if until:
            start = fresh // memory.huge_page_bytes() * memory.huge_page_bytes()
            if memory.collapse(memory.map_file(fd, start, until - start, writable=True)):
                fresh = until
        if fresh < end:
            os.posix_fallocate(fd, fresh, end - fresh)
    skip = offset % (memory.huge_page_bytes() or mmap.ALLOCATIONGRANULARITY)
    target = memory.map_file(fd, offset - skip, skip + nbytes, writable=True)[skip:]
    memory.populate(target)
    return target


def copy_range(source_fd: int, target_fd: int, count: int) -> None:
    """Copy the first `count` bytes of one file to the start of another, in the kernel."""
    done = 0
    while done < count:
        copied = os.sendfile(target_fd, source_fd, done, min(_STEP, count - done))
        if copied == 0:
            raise EOFError(f"the file ended after {done:,} of {count:,} bytes")
        done += copied


def zero(fd: int) -> None:
    """Write zeros over all of a file that has pages; holes stay holes."""
    at, size = 0, os.fstat(fd).st_size
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # nothing but a hole up to the end
        end = os.lseek(fd, at, os.SEEK_HOLE)
        while at < end:
            at += os.pwrite(fd, _ZEROS[: end - at], at)


def _write(fd: int, offset: int, parts: Sequence[memoryview]) -> int:
    total = 0
    pending = list(parts)
    while pending:
        step, _ = split(pending[:_IOV_MAX], _STEP)
        written = os.pwritev(fd, step, offset + total)
        total += written
        _, pending = split(pending, written)
    return total


def _write_on_huge_pages(fd: int, offset: int, parts: Sequence[memoryview], total: int) -> int:
    """Write what fills whole huge pages; gives the bytes written, 0 when the kernel gives none."""
    end = _begin_huge_pages(fd, offset, offset + total)
    if not end:
        return 0
    head, _ = split(parts, end - offset)
    return end - offset if _fill(fd, offset, head, memory.collapse) else 0


def _begin_huge_pages(fd: int, offset: int, end: int) -> int:
    """Give each huge page of a range what it can be collapsed from; gives where the last ends, 0 for none."""
    huge = memory.huge_page_bytes()
    end = end // huge * huge if huge else 0
    if end - offset < _MAP_FROM:
        return 0
    if os.fstat(fd).st_size < end:
        os.ftruncate(fd, end)
    # A huge page is made of a range that has a page already: one for the first tells whether any are made of this file.
    start = offset // huge * huge
    os.pwrite(fd, _ZERO, offset)
    if not memory.collapse(memory.map_file(fd, start, huge, writable=True)):
        return 0
    for at in range(start + huge, end, huge):
        os.pwrite(fd, _ZERO, at)
    return end


def _fill(fd: int, offset: int, parts: Sequence[memoryview], prepare: Callable[[memoryview], bool]) -> bool:
    """Copy buffers into a file through a map, from several threads without the interpreter's lock.

    Each prepares the pages of its share, and copies nothing when that fails; whether all were copied.
    """
    unit = memory.huge_page_bytes() or mmap.ALLOCATIONGRANULARITY
    skip = offset % unit
    total = sum(part.nbytes for part in parts)
    target = memory.map_file(fd, offset - skip, skip + total, writable=True)
    workers = max(1, min(_THREADS, os.cpu_count() or 1, total // _MAP_FROM))
    share = -(-(skip + total) // workers // unit) * unit
    filled: list[int] = []

    def fill(start: int, mine: Sequence[memoryview]) -> None:
        if prepare(target[start : start + share]):
            memory.move(target[max(start, skip) : start + share], mine)
            filled.append(start)

    starts = range(0, skip + total, share)
    threads = []
    for start in starts:
        mine, parts = split(parts, start + share - max(start, skip))
        threads.append(threading.Thread(target=fill, args=(start, mine), daemon=True))
    # The first share is copied here; a thread that outlives an interrupt keeps the map alive.
    for thread in threads[1:]:
        thread.start()
    try:
        threads[0].run()
    finally:
        for thread in threads[1:]:
            thread.join()
    return len(filled) == len(starts)
