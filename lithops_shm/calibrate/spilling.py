"""How fast the disk is that segments spill to."""

from __future__ import annotations

import os
import tempfile
import time

from lithops_shm import host

__all__ = ["spill_bps"]

_BLOCK = 4 << 20
_LEAST_BYTES = 1 << 20
_SHARE = 4  # of the free space, one part in so many is written


def spill_bps(directory: str, nbytes: int) -> float | None:
    """Bytes a second to a directory and back, so that both ways of D bytes take 2 D over it; ``None`` without room.

    Past the page cache, where the system lets us: what is written is waited for, and forgotten before it is read. The
    file has no name, and is gone with this call however it ends.

    Parameters
    ----------
    directory:
        Need not exist; then the nearest above it that does is taken.
    """
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    free = host.filesystem(directory).free_bytes
    nbytes = nbytes if free is None else min(nbytes, free // _SHARE)
    if nbytes < _LEAST_BYTES:
        return None
    block = memoryview(os.urandom(min(_BLOCK, nbytes)))  # some disks compress
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        started = time.perf_counter()
        for _ in range(nbytes // len(block)):
            file.write(block)
        os.fsync(file.fileno())
        written = file.tell()
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        while file.read(_BLOCK):
            pass
        return 2 * written / (time.perf_counter() - started)
