"""Mapping files so that huge pages can map them, and copying into maps without holding the interpreter's lock.

A file on a tmpfs is given huge pages by ``MADV_COLLAPSE`` (Linux 6.1), whatever its mount says of them, unless the
system forbids them (``shmem_enabled`` is ``deny``). They are mapped whole only at addresses that are multiples of their
size, which :class:`mmap.mmap` cannot ask for; it also keeps a descriptor for every map. Hence libc's own ``mmap``.

A process with confidential data keeps what it maps out of core dumps, and can let go of a file without its views
noticing: they go on with a private copy at the same address.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import os
import sys
import weakref
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from lithops_shm.host.files import number

__all__ = ["collapse", "huge_page_bytes", "keep_out_of_dumps", "make_private", "map_file", "move", "populate"]

# From Linux' uapi headers; the first is the same wherever there is an mmap.
_MAP_FIXED = 0x10
_MADV_POPULATE_WRITE = 23  # Linux 5.14: map a range's pages for writing in one call, in place of a fault for each
_MADV_COLLAPSE = 25  # Linux 6.1
_MADV_DONTDUMP = 16
_MREMAP_TO = 1 | 2  # MREMAP_MAYMOVE | MREMAP_FIXED: to an address, in place of what is there

_PROT_NONE = 0
_FAILED = ctypes.c_void_p(-1).value
_LARGEST_HUGE = 32 << 20  # larger ones (512 MB, where base pages have 64 KB) would leave most segments without any


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

_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_get_buffer.restype = ctypes.c_int
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)
_release_buffer.restype = None

_libc = ctypes.CDLL(None, use_errno=True)
_mmap = _libc.mmap
_mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_mmap.restype = ctypes.c_void_p
_munmap = _libc.munmap
_munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_munmap.restype = ctypes.c_int
_madvise = _libc.madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_madvise.restype = ctypes.c_int
if sys.platform == "linux":
    _mremap = _libc.mremap
    _mremap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p)
    _mremap.restype = ctypes.c_void_p

# What is mapped for reading by (device, inode, address) of a file, in a process that has confidential data; else None.
_readers: weakref.WeakValueDictionary[tuple[int, int, int], Any] | None = None


class _Unmapped:
    """Mixed into a ctypes array laid over a map: the map goes with the last view of the array."""

    def __del__(self, unmap: Any = _munmap, at: Any = ctypes.addressof, size: Any = ctypes.sizeof) -> None:
        unmap(at(self), size(self))


@functools.lru_cache(maxsize=256)
def _map_of(size: int) -> Any:
    """The type of a map of that many bytes. Sizes are rounded up, so that there are few."""
    return type("_Map", (_Unmapped, ctypes.c_char * size), {})


@functools.lru_cache(maxsize=1)
def huge_page_bytes() -> int:
    """The size of the huge pages a file may have; 0 where it can have none."""
    if sys.platform != "linux":
        return 0
    size = number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size") or 0
    return size if size <= _LARGEST_HUGE else 0


def map_file(fd: int, offset: int, size: int, *, writable: bool = False) -> memoryview:
    """Map a part of a file, shared; from 1 huge page on at an address where huge pages can be mapped.

    Parameters
    ----------
    fd:
        Not needed any longer once this returns.
    offset:
        Multiple of the page size, and of the huge page size for them to be used.
    size:
        In bytes, at least 1. The pages have to be allocated before they are touched.

    Returns
    -------
    memoryview
        Format ``B``; the map is gone when no view of it is left.

    Raises
    ------
    OSError
        ENOMEM when there is no address space, or there are too many maps.
    """
    if sys.platform != "linux":
        prot = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
        return memoryview(mmap.mmap(fd, size, prot=prot, offset=offset))
    prot = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
    huge = huge_page_bytes()
    if huge and size >= huge:
        length = -(-size // huge) * huge
        address = _aligned(fd, offset, length, prot, huge)
    else:
        length = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        address = _mapped(None, length, prot, mmap.MAP_SHARED, fd, offset)
    region = _map_of(length).from_address(address)
    if _readers is not None:
        _madvise(address, length, _MADV_DONTDUMP)
        if not writable:
            status = os.fstat(fd)
            region.used = size
            _readers[status.st_dev, status.st_ino, address] = region
    view = memoryview(region).cast("B")[:size]
    return view if writable else view.toreadonly()


def keep_out_of_dumps() -> None:
    """From now on, what this process maps is left out of its core dumps, and :func:`make_private` knows of it."""
    global _readers
    if _readers is None:
        _readers = weakref.WeakValueDictionary()


def make_private(files: Collection[tuple[int, int]]) -> None:
    """Let go of files that this process has mapped for reading: their views go on with copies at the same addresses.

    Parameters
    ----------
    files:
        By device and inode. Those mapped before :func:`keep_out_of_dumps` are not known, and stay.

    Raises
    ------
    OSError
        ENOMEM, when there is no memory for a copy; that file stays mapped.
    """
    for (device, inode, _), region in list((_readers or {}).items()):
        if (device, inode) in files:
            _replace_by_copy(region)


def _replace_by_copy(region: Any) -> None:
    address, length = ctypes.addressof(region), ctypes.sizeof(region)
    copy = _mapped(None, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    ctypes.memmove(copy, address, region.used)
    _madvise(copy, length, _MADV_DONTDUMP)
    _libc.mprotect(ctypes.c_void_p(copy), ctypes.c_size_t(length), mmap.PROT_READ)
    # Other threads that read meanwhile find the one or the other, in one step of the kernel's.
    moved: int | None = _mremap(copy, length, length, _MREMAP_TO, address)
    if moved is None or moved == _FAILED:
        error = ctypes.get_errno()
        _munmap(copy, length)
        raise OSError(error, os.strerror(error))


def _aligned(fd: int, offset: int, length: int, prot: int, alignment: int) -> int:
    # Address space for all that may be needed; the file goes over the aligned part of it, the rest is given back.
    start = _mapped(None, length + alignment, _PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    address = -(-start // alignment) * alignment
    try:
        _mapped(address, length, prot, mmap.MAP_SHARED | _MAP_FIXED, fd, offset)
    except BaseException:
        _munmap(start, length + alignment)
        raise
    if address > start:
        _munmap(start, address - start)
    _munmap(address + length, start + alignment - address)
    return address


def _mapped(address: int | None, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
    result: int | None = _mmap(address, length, prot, flags, fd, offset)
    if result is None or result == _FAILED:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def collapse(target: memoryview) -> bool:
    """Put a part of a writable map on huge pages, zeros where the file had none; whether all of it is.

    What is not stays as it was, holes included, and must not be touched before it is allocated.

    Parameters
    ----------
    target:
        Begins at a multiple of the size of a huge page in the file, and holds whole ones, each with at least one page
        of the file allocated.
    """
    if sys.platform != "linux":
        return False
    return _advise(target, _MADV_COLLAPSE)


def populate(target: memoryview) -> bool:
    """Map the pages of a part of a writable map, all of them allocated; ``True``.

    Where the kernel cannot in one go, they are mapped as they are written to.
    """
    if sys.platform == "linux":
        _advise(target, _MADV_POPULATE_WRITE)
    return True


def move(target: memoryview, parts: Sequence[memoryview]) -> None:
    """Copy the buffers one after the other to the start of `target`, a part of a writable map.

    Raises
    ------
    ValueError
        When they do not fit.
    """
    if sum(part.nbytes for part in parts) > target.nbytes:
        raise ValueError("the buffers do not fit in the target")
    with _address_of(target) as at:
        for part in parts:
            with _address_of(part) as source:
                ctypes.memmove(at, source, part.nbytes)
            at += part.nbytes


def _advise(target: memoryview, advice: int) -> bool:
    with _address_of(target) as address:
        start = address - address % mmap.PAGESIZE
        failed: int = _madvise(start, address + target.nbytes - start, advice)
        return failed == 0


@contextlib.contextmanager
def _address_of(view: memoryview) -> Iterator[int]:
    """Where its bytes are, which stay there while the block runs."""
    buffer = _PyBuffer()
    _get_buffer(view, ctypes.byref(buffer), _SIMPLE)
    try:
        yield buffer.buf
    finally:
        _release_buffer(ctypes.byref(buffer))
