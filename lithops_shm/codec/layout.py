"""The bytes of an encoded object: a checked header, then aligned buffers.

All integers are little-endian; offsets and lengths are bytes, counted from the first byte of the object::

       0   8  magic
       8   4  layout version (1)
      12   4  kind: which codec reads the rest
      16   4  number of buffers, n
      20   4  zero
      24   8  header length: where the in-band stream ends, H
      32   8  total length
      40  20  zero
      60   4  CRC-32 of bytes [0, 60) and [64, H)
      64 16n  table: offset and length of each buffer, ascending, none overlapping
     ...      in-band stream, up to H
     ...      the buffers, each starting at a multiple of 64

The checksum guards everything that is interpreted: prefix, table and in-band stream. It leaves out the buffers,
which are the data itself: reading them to check them would cost more than using them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from lithops_shm.errors import LayoutVersionError, SegmentCorruptError

__all__ = ["ALIGNMENT", "MAGIC", "VERSION", "Region", "Unpacked", "pack", "unpack"]

# As in PNG: a byte that is no text, and line ends that any text-mode transfer would spoil.
MAGIC = b"\x89LSHM\r\n\n"
VERSION = 1

# A cache line, and what Arrow recommends; mappings start on a page, so offsets align addresses.
ALIGNMENT = 64

_FIXED = struct.Struct("<8sIIIIQQ20x")
_CRC = struct.Struct("<I")
_PREFIX_BYTES = _FIXED.size + _CRC.size
_ENTRY_BYTES = 16
_PADDING = bytes(ALIGNMENT)

# Pieces shorter than this are copied together: 4 KiB are copied in the time that one more entry of a writev costs.
_COALESCE_BYTES = 4096


class Region(NamedTuple):
    """One out-of-band buffer, possibly still in several pieces.

    Parameters
    ----------
    pieces:
        Contiguous bytes-likes whose ``len`` is their size in bytes; referenced, not copied.
    nbytes:
        The sum of their sizes.
    """

    pieces: Sequence[Any]
    nbytes: int


class Unpacked(NamedTuple):
    """An object taken apart again; both members are views."""

    kind: int
    in_band: memoryview
    buffers: list[memoryview]


def pack(kind: int, in_band: Sequence[bytes], regions: Sequence[Region]) -> tuple[tuple[memoryview, ...], int]:
    """Lay out an object.

    Parameters
    ----------
    kind:
        Stored in the header and given back by :func:`unpack`.
    in_band:
        The pieces of the in-band stream, in order.
    regions:
        The out-of-band buffers, in order.

    Returns
    -------
    The buffers to write one after the other, and their size together in bytes. Large ones are views of what was
    given, which must not change until they are written; small ones are copied together.
    """
    header_bytes = _PREFIX_BYTES + _ENTRY_BYTES * len(regions) + sum(map(len, in_band))
    entries: list[int] = []
    end = header_bytes
    for region in regions:
        start = -(-end // ALIGNMENT) * ALIGNMENT
        entries += (start, region.nbytes)
        end = start + region.nbytes
    fixed = _FIXED.pack(MAGIC, VERSION, kind, len(regions), 0, header_bytes, end)
    table = struct.pack(f"<{len(entries)}Q", *entries)
    checksum = crc32(table, crc32(fixed))
    for piece in in_band:
        checksum = crc32(piece, checksum)
    parts = _coalesce(_pieces((fixed, _CRC.pack(checksum), table, *in_band), header_bytes, regions))
    return parts, end


def unpack(view: memoryview) -> Unpacked:
    """Check an object and take it apart, without copying.

    Parameters
    ----------
    view:
        All bytes of one object: one-dimensional, format ``B``.

    Raises
    ------
    LayoutVersionError
        When it was written by a newer release.
    SegmentCorruptError
        When it is not such an object, is truncated, or the header is not what was written.
    """
    total = len(view)
    if total < _PREFIX_BYTES:
        raise _corrupt(f"{total} bytes are too few for a header")
    magic, version, kind, count, _, header_bytes, total_bytes = _FIXED.unpack_from(view)
    if magic != MAGIC:
        raise _corrupt(f"it starts with {magic!r}, which is not the mark of an encoded object")
    if version > VERSION:
        raise LayoutVersionError(version, VERSION)
    if total_bytes != total:
        raise _corrupt(f"it was written as {total_bytes:,} bytes and has {total:,}")
    table_end = _PREFIX_BYTES + _ENTRY_BYTES * count
    if not table_end <= header_bytes <= total:
        raise _corrupt(f"a header of {header_bytes:,} bytes with {count:,} buffers does not fit in {total:,} bytes")
    (checksum,) = _CRC.unpack_from(view, _FIXED.size)
    if crc32(view[_PREFIX_BYTES:header_bytes], crc32(view[: _FIXED.size])) != checksum:
        raise _corrupt("the checksum of its header does not match")
    if version < 1:
        raise _corrupt(f"layout version {version} never existed")
    table = struct.unpack_from(f"<{2 * count}Q", view, _PREFIX_BYTES)
    return Unpacked(kind, view[table_end:header_bytes], _slice(view, header_bytes, table))


def _slice(view: memoryview, end: int, table: tuple[int, ...]) -> list[memoryview]:
    """The buffers of a table, each of which must start at or after `end` of what is before it."""
    total = len(view)
    buffers = []
    for start, nbytes in zip(table[::2], table[1::2], strict=True):
        if not end <= start <= total - nbytes:
            raise _corrupt(f"a buffer of {nbytes:,} bytes at {start:,} is out of bounds or overlaps another")
        end = start + nbytes
        buffers.append(view[start:end])
    return buffers


def _pieces(header: Iterable[bytes], end: int, regions: Iterable[Region]) -> Iterable[Any]:
    """Everything in the order of writing, padding included."""
    yield from header
    for region in regions:
        padding = -end % ALIGNMENT
        if padding:
            yield _PADDING[:padding]
        yield from region.pieces
        end += padding + region.nbytes


def _coalesce(pieces: Iterable[Any]) -> tuple[memoryview, ...]:
    """The same bytes in fewer parts: runs of small pieces copied together, large ones viewed."""
    parts: list[memoryview] = []
    small = bytearray()
    for piece in pieces:
        if len(piece) < _COALESCE_BYTES:
            small += piece
            continue
        if small:
            parts.append(memoryview(small))
            small = bytearray()
        parts.append(memoryview(piece).cast("B"))
    if small:
        parts.append(memoryview(small))
    return tuple(parts)


def _corrupt(what: str) -> SegmentCorruptError:
    return SegmentCorruptError("an encoded object", what)
