"""A worker's output: a file without a name that its client can read when it has died.

First the number of calls it has begun, which its client asks for only then: a message for each would cost more than an
empty call. Then what it has printed to its standard output and standard error.
"""

from __future__ import annotations

import os
import struct
import tempfile

__all__ = ["calls_begun", "new_output", "note_begun", "tail"]

_BEGUN = struct.Struct("=Q")
_TAIL_BYTES = 4096


def new_output() -> int:
    """A descriptor, to be written to from where it stands."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("lithops-shm-worker-output", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.write(descriptor, _BEGUN.pack(0))
    return descriptor


def note_begun(descriptor: int, count: int) -> None:
    """In the worker: so many calls have begun."""
    os.pwrite(descriptor, _BEGUN.pack(count), 0)


def calls_begun(descriptor: int) -> int:
    """How many have begun."""
    return int(_BEGUN.unpack(os.pread(descriptor, _BEGUN.size, 0))[0])


def tail(descriptor: int) -> str:
    """The end of what was printed."""
    start = max(_BEGUN.size, os.fstat(descriptor).st_size - _TAIL_BYTES)
    text = os.pread(descriptor, _TAIL_BYTES, start).decode(errors="replace")
    return text.partition("\nExtension modules: ")[0].strip()  # faulthandler's list of them, longer than all else
