"""Arrow data as one Arrow IPC stream, taken from where it is and read where it lies.

The stream format, not the file format: there a dictionary may be replaced between chunks. What the writer passes on is
kept by reference, so encoding costs microseconds per chunk whatever its size. Slices are cut out of their parents, with
these exceptions, which Arrow's writer carries whole: a dictionary, the strings of a string or binary view and the
elements of a list view (both compacted here when less than half of a parent is left), and what precedes the end of a
slice in a dense union.

The name `load` is in stored objects: it must stay importable.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any
from zlib import crc32

import pyarrow as pa
from pyarrow import ipc

from lithops_shm.codec.layout import Region
from lithops_shm.codec.pickles import INLINE_BYTES, Reducer, Regions
from lithops_shm.errors import SegmentCorruptError

__all__ = ["TYPES", "dump", "load", "reducer"]

TYPES = (pa.Table, pa.RecordBatch, pa.ChunkedArray, pa.Array)
"""What can be dumped, in the order of the form codes in the head of a dump."""

_TABLE, _BATCH, _CHUNKED, _ARRAY = range(4)

_HEAD = struct.Struct("<II")  # form, CRC-32 of the spans
_SPAN = struct.Struct("<QQ")  # offset and length in the stream, in bytes

# Types whose slices drag their parents along: the size in bytes of an element in the first buffer after the validity.
_VIEWS = {
    pa.string_view().id: 16,
    pa.binary_view().id: 16,
    pa.list_view(pa.null()).id: 4,
    pa.large_list_view(pa.null()).id: 8,
}

# Concatenating copies the elements of list views, but only refers to the strings of string views; casting copies those.
_COPIED_AS = {pa.string_view().id: pa.large_string(), pa.binary_view().id: pa.large_binary()}


def reducer(cls: type) -> Reducer | None:
    """How Arrow data of this class leaves a pickle; None for other types."""
    if issubclass(cls, pa.Array):
        return _reduce_array
    return _reduce if issubclass(cls, TYPES) else None


def dump(data: Any) -> tuple[bytes, Region] | None:
    """Arrow data as an IPC stream.

    Parameters
    ----------
    data:
        One of :data:`TYPES`.

    Returns
    -------
    A head for :func:`load`, and the stream, whose pieces are views of the data. None if the stream could not say all of
    it: extension types defined in Python, whose class the reader may not have registered, and types unknown to IPC.
    """
    schema, batches, form = _batches(data)
    if not all(map(_portable, schema.types)):
        return None
    sink = _Sink()
    try:
        with ipc.new_stream(pa.PythonFile(sink, mode="w"), schema) as writer:
            for batch in batches:
                writer.write(batch)
    except pa.ArrowException:
        return None
    spans, checksum, nbytes = _guard(sink.pieces)
    head = _HEAD.pack(form, checksum) + b"".join(_SPAN.pack(*span) for span in spans)
    return head, Region(sink.pieces, nbytes)


def load(head: bytes, stream: Any) -> Any:
    """The Arrow data that :func:`dump` wrote; a view of `stream`.

    Raises
    ------
    SegmentCorruptError
        When the metadata in the stream are not what was written. The data themselves are not checked.
    """
    form, expected = _HEAD.unpack_from(head)
    view = memoryview(stream)
    checksum = 0
    for offset, nbytes in _SPAN.iter_unpack(head[_HEAD.size :]):
        checksum = crc32(view[offset : offset + nbytes], checksum)
    if checksum != expected:
        raise SegmentCorruptError("an Arrow stream", "the checksum of its metadata does not match")
    reader = ipc.open_stream(pa.py_buffer(view))
    if form == _TABLE:
        return reader.read_all()
    if form == _BATCH:
        return reader.read_next_batch()
    if form == _ARRAY:
        return reader.read_next_batch().column(0)
    return pa.chunked_array([batch.column(0) for batch in reader], type=reader.schema.field(0).type)


class _Sink:
    """A file for Arrow to write to that keeps what it is given: metadata as bytes, data as pa.Buffer."""

    closed = False

    def __init__(self) -> None:
        self.pieces: list[Any] = []
        self.write = self.pieces.append

    def flush(self) -> None: ...

    def close(self) -> None: ...


def _batches(data: Any) -> tuple[Any, Iterable[Any], int]:
    """The schema, the batches to write, and the form to give the result."""
    if isinstance(data, pa.Table):
        return data.schema, [_compact_columns(data)], _TABLE
    if isinstance(data, pa.RecordBatch):
        return data.schema, [_compact_columns(data)], _BATCH
    form, chunks = (_ARRAY, [data]) if isinstance(data, pa.Array) else (_CHUNKED, data.chunks)
    schema = pa.schema([pa.field("", data.type)])
    return schema, _columns(map(_compact, chunks), schema), form


def _columns(arrays: Iterable[Any], schema: Any) -> Iterator[Any]:
    for array in arrays:
        yield pa.RecordBatch.from_arrays([array], schema=schema)


def _portable(kind: Any) -> bool:
    """Whether IPC carries a type completely, into any process."""
    if kind.num_fields:
        return all(_portable(kind.field(index).type) for index in range(kind.num_fields))
    if isinstance(kind, pa.DictionaryType):
        return _portable(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return not isinstance(kind, pa.ExtensionType) and _portable(kind.storage_type)
    return True


def _guard(pieces: Iterable[Any]) -> tuple[list[tuple[int, int]], int, int]:
    """The spans (offset, length) of a stream that are metadata, their CRC-32, and the size of the stream in bytes."""
    spans: list[tuple[int, int]] = []
    checksum = offset = begin = 0
    after_data = False
    for piece in pieces:
        nbytes = len(piece)
        if not isinstance(piece, bytes):
            if begin < offset and not after_data:
                spans.append((begin, offset - begin))
            after_data = True
        elif not after_data or any(piece):  # else it is padding, which nobody reads
            if after_data:
                begin = offset
                after_data = False
            checksum = crc32(piece, checksum)
        offset += nbytes
    if begin < offset and not after_data:
        spans.append((begin, offset - begin))
    return spans, checksum, offset


def _compact_columns(data: Any) -> Any:
    """A table or batch with its view columns compacted where that pays."""
    for index, field in enumerate(data.schema):
        if field.type.id in _VIEWS:
            column = data.column(index)
            if isinstance(column, pa.ChunkedArray):
                column = pa.chunked_array(list(map(_compact, column.chunks)), type=field.type)
            else:
                column = _compact(column)
            data = data.set_column(index, field, column)
    return data


def _compact(array: Any) -> Any:
    """An array of a view type without its parent, if it is a slice of less than half of that; others as they are."""
    kind = array.type
    element_bytes = _VIEWS.get(kind.id)
    if element_bytes is None:
        return array
    if not len(array):
        return pa.array([], kind)
    if array.buffers()[1].size <= 2 * element_bytes * len(array):
        return array
    if kind.id not in _COPIED_AS:
        return pa.concat_arrays([array])
    try:
        return array.cast(_COPIED_AS[kind.id]).cast(kind)
    except pa.ArrowException:  # more than 2 GiB of strings
        return array


def _reduce(data: Any, regions: Regions) -> Any:
    shared = regions.shared(data)
    if shared is not None:
        return shared
    # pyarrow's own pickling is faster for little data. For types that IPC cannot carry it comes back here with the
    # arrays that the data consists of.
    dumped = dump(data) if data.get_total_buffer_size() >= INLINE_BYTES else None
    if dumped is None:
        return NotImplemented
    head, stream = dumped
    return load, (head, regions.announce(stream))


def _reduce_array(array: Any, regions: Regions) -> Any:
    reduced = _reduce(array, regions)
    if reduced is NotImplemented and array.get_total_buffer_size() >= INLINE_BYTES:
        return pa.concat_arrays([array]).__reduce__() if _is_slice(array) else NotImplemented
    return reduced


def _is_slice(array: Any) -> bool:
    """Whether an array is less than half of its parent, which pyarrow's own pickling would take along."""
    try:
        return bool(array.get_total_buffer_size() > 2 * array.nbytes)
    except pa.ArrowException:  # pyarrow 17 cannot tell for views
        return False
