"""memmove between buffers without holding the interpreter's lock (ctypes lets go of it during foreign calls)."""

from __future__ import annotations

import ctypes
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


def move(target: memoryview, parts: Sequence[memoryview]) -> None:
    """Copy the buffers one after the other to the start of the writable `target`.

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
