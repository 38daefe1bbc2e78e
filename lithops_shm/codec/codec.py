"""Objects to buffers and back: choose a codec, encode, decode."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lithops_shm.codec import layout, pickles
from lithops_shm.codec.layout import Region
from lithops_shm.codec.report import CopyReport
from lithops_shm.errors import NotSerializableError, SegmentCorruptError

__all__ = ["CODECS", "Encoded", "decode", "decode_with_report", "encode"]

# The index is the kind in the header of the layout: append only.
_KINDS = ("", "bytes", "arrow", "pickle")
_BYTES, _ARROW, _PICKLE = range(1, 4)

CODECS = ("auto", *_KINDS[1:])


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object as buffers.

    Parameters
    ----------
    parts:
        To be written one after the other. Flat and of format ``B``; views of the object wherever it is large, so it
        must not change until they are written.
    nbytes:
        The size of all parts, in bytes.
    codec:
        Which codec was chosen: ``"bytes"``, ``"arrow"`` or ``"pickle"``.
    """

    parts: tuple[memoryview, ...]
    nbytes: int
    codec: str


def encode(obj: object, codec: str = "auto", elsewhere: Sequence[tuple[object, object]] = ()) -> Encoded:
    """Turn an object into buffers, without copying its data.

    Parameters
    ----------
    obj:
        ``bytes``, ``bytearray``, ``memoryview`` and ``pyarrow.Buffer`` go as they are. Arrow tables, record batches,
        chunked arrays and arrays go as Arrow IPC. Everything else goes as pickle protocol 5, with NumPy arrays and
        Arrow data at any depth out of band, so that pandas and Polars frames are neither copied here nor when read.
    codec:
        ``"auto"``, or ``"bytes"``, ``"arrow"`` or ``"pickle"`` to insist on one.
    elsewhere:
        Arrow data inside `obj` that need not be carried, each with what to pickle in its place: something that, read
        back, is the data.

    Returns
    -------
    The buffers: views, but for data that is not contiguous in memory, which is copied.

    Raises
    ------
    NotSerializableError
        When the object cannot be carried, or not by the codec asked for.
    ValueError
        When there is no codec of that name.
    """
    if codec not in CODECS:
        raise ValueError(f"no codec {codec!r}; there are {', '.join(CODECS)}")
    if codec in ("auto", "bytes"):
        plain = _dump_plain(obj)
        if plain is not None:
            return _pack(_BYTES, *plain)
        if codec == "bytes":
            raise _refused(obj, codec, "bytes, bytearray, memoryview and pyarrow.Buffer")
    if codec != "pickle" and "pyarrow" in sys.modules:
        from lithops_shm.codec import arrow

        dumped = arrow.dump(obj) if isinstance(obj, arrow.TYPES) else None
        if dumped is not None:
            head, stream = dumped
            return _pack(_ARROW, [head], [stream])
    if codec == "arrow":
        takes = "pyarrow Table, RecordBatch, ChunkedArray and Array without extension types defined in Python"
        raise _refused(obj, codec, takes)
    return _pack(_PICKLE, *pickles.dump(obj, elsewhere))


def decode(view: Any, writable: bool = False) -> Any:
    """Turn buffers back into the object.

    Parameters
    ----------
    view:
        All bytes of one encoded object, contiguous.
    writable:
        Whether the result must own its memory: everything is copied once, and arrays can be written to.

    Returns
    -------
    The object. It holds views into `view`, and is read-only there, unless `writable`. ``bytes``, ``bytearray`` and what
    is inside the pickle stream (Python's own objects) are always copies.

    Raises
    ------
    SegmentCorruptError
        When these are not the bytes that were encoded. Data in out-of-band buffers are not checked.
    LayoutVersionError
        When they were written by a newer release.
    ImportError, AttributeError
        When the code of a pickled class or function is not to be found in this process.
    """
    view = memoryview(view).cast("B")
    view = memoryview(bytearray(view)) if writable else view.toreadonly()
    kind, in_band, buffers = layout.unpack(view)
    if kind == _PICKLE:
        return pickles.load(in_band, buffers, writable=writable)
    if kind == _BYTES:
        return _load_plain(in_band, *buffers)
    if kind == _ARROW:
        from lithops_shm.codec import arrow

        return arrow.load(bytes(in_band), *buffers)
    raise SegmentCorruptError("an encoded object", f"there is no codec of kind {kind}")


def decode_with_report(view: Any, writable: bool = False) -> tuple[Any, CopyReport]:
    """As :func:`decode`, and what of the result is a view of `view`, measured by address."""
    obj = decode(view, writable)
    return obj, CopyReport.measure(obj, view)


def _pack(kind: int, in_band: Sequence[bytes], regions: Sequence[Region]) -> Encoded:
    parts, nbytes = layout.pack(kind, in_band, regions)
    return Encoded(parts, nbytes, _KINDS[kind])


def _dump_plain(obj: Any) -> tuple[list[bytes], list[Region]] | None:
    """Bytes-likes as they are, with the name of their type in band; None for everything else."""
    if type(obj) in (bytes, bytearray):
        return [type(obj).__name__.encode()], [Region([obj], len(obj))]
    if type(obj) is memoryview:
        return _dump_memoryview(obj)
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None and isinstance(obj, pyarrow.Buffer):
        return [b"pyarrow.Buffer"], [Region([obj], len(obj))]
    return None


def _dump_memoryview(obj: memoryview) -> tuple[list[bytes], list[Region]]:
    name = f"memoryview {obj.format} {' '.join(map(str, obj.shape or ()))}".encode()
    data = obj if obj.c_contiguous else memoryview(obj.tobytes())
    try:
        flat = data.cast("B")
        flat.cast(obj.format, obj.shape) if obj.nbytes else flat.cast(obj.format)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        reason = f"nothing can make another of format {obj.format!r} and shape {obj.shape}; store what it is a view of"
        raise NotSerializableError("memoryview", reason) from None
    return [name], [Region([flat], flat.nbytes)]


def _load_plain(in_band: memoryview, data: memoryview) -> Any:
    name, *words = bytes(in_band).decode().split()
    if name == "bytes":
        return bytes(data)
    if name == "bytearray":
        return bytearray(data)
    if name == "memoryview":
        kind, *shape = words
        # A view without elements cannot be cast to a shape of more than one dimension.
        return data.cast(kind, list(map(int, shape))) if data.nbytes else data.cast(kind)  # type: ignore[call-overload]
    import pyarrow as pa

    return pa.py_buffer(data)


def _refused(obj: object, codec: str, takes: str) -> NotSerializableError:
    reason = f"codec {codec!r} takes {takes}; use codec='auto' or codec='pickle'"
    return NotSerializableError(pickles.type_name(obj), reason)
