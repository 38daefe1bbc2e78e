"""Copying into mapped memory without holding the interpreter's lock (ctypes lets go of it during foreign calls)."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence

__all__ = ["move"]


class _PyBuffer(ctypes.Structure):
    """The C struct of PEP 3118; only `buf` and `len` are read here."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_SIMPLE = 0  # PyBUF_SIMPLE
_WRITABLE = 1  # PyBUF_WRITABLE

_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_get_buffer.restype = ctypes.c_int
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)
_release_buffer.restype = None

# Linux 5.14: map a range's pages for writing in one call, in place of a fault for each (madvise(2)).
_MADV_POPULATE_WRITE = 23

_madvise = ctypes.CDLL(None).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_madvise.restype = ctypes.c_int


def move(target: memoryview, parts: Sequence[memoryview]) -> None:
    """Copy the buffers one after the other to the start of `target`, a part of a writable mapping.

    Raises
    ------
    ValueError
        When they do not fit.
    """
    if sum(part.nbytes for part in parts) > target.nbytes:
        raise ValueError("the buffers do not fit in the target")
    into = _PyBuffer()
    _get_buffer(target, ctypes.byref(into), _WRITABLE)
    try:
        at = into.buf
        _populate(at, sum(part.nbytes for part in parts))
        for part in parts:
            source = _PyBuffer()
            _get_buffer(part, ctypes.byref(source), _SIMPLE)
            try:
                ctypes.memmove(at, source.buf, source.len)
            finally:
                _release_buffer(ctypes.byref(source))
            at += part.nbytes
    finally:
        _release_buffer(ctypes.byref(into))


def _populate(address: int, length: int) -> None:
    """Map the pages of a range; where the kernel cannot, they are mapped as they are written to."""
    start = address - address % mmap.PAGESIZE
    _madvise(start, address + length - start, _MADV_POPULATE_WRITE)
