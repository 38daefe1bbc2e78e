"""The rows of a table in another order: in memory of their own, or made where they are to be.

Arrow's own `take` costs four times as much for strings as for rows of a fixed size, and always allocates what it gives.
Here strings of one length are taken as such rows, like all that has a fixed size, and others through their views: 16
bytes each, which are taken, and resolved a block at a time. The rest is left to Arrow.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lithops_shm import codec
from lithops_shm.shuffle.refine import Indices
from lithops_shm.store import InPlace

__all__ = ["Gatherer", "gather"]

_VIEW_OF = {
    pa.string().id: pa.string_view(),
    pa.large_string().id: pa.string_view(),
    pa.string_view().id: pa.string_view(),
    pa.binary().id: pa.binary_view(),
    pa.large_binary().id: pa.binary_view(),
    pa.binary_view().id: pa.binary_view(),
}
_LARGE = {pa.string_view().id: pa.large_string(), pa.binary_view().id: pa.large_binary()}
_WIDE = {pa.large_string().id, pa.large_binary().id}

_VIEW_BYTES = 16

_BLOCK_BYTES = 1 << 20
"""Of text, resolved at a time, so that it is still in the cache when it is copied."""

_IN_PLACE_BYTES = 64 << 10
"""Smaller buffers are made at once, and copied: that costs less than to keep them apart."""


def gather(table: Any, indices: Indices) -> Any:
    """The rows of a table at `indices` (integers, (rows,), each at least 0), in that order; a copy.

    Dictionaries are shared with the table, or unified if its chunks have several. Every column has one chunk, but for
    strings with 32-bit offsets of more than 2 GiB.

    Raises
    ------
    IndexError
        When the table has no such row.
    """
    rows = _Rows(indices, table.num_rows)
    columns = [_source(column).taken(rows, _Made.buffer) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


class Gatherer:
    """Gathers rows of a table more than once, having looked at it once.

    Parameters
    ----------
    table:
        A pa.Table, which must not change.
    """

    def __init__(self, table: Any) -> None:
        self._sources = [_source(column) for column in table.columns]
        self._schema = table.schema
        self._rows = table.num_rows

    def at(self, indices: Indices) -> Gathered:
        """The rows at `indices`, at least one, as :func:`gather` has them; raises IndexError."""
        rows = _Rows(indices, self._rows)
        made: dict[int, _Made] = {}

        def reserved(buffer: _Made) -> Any:
            if buffer.nbytes < _IN_PLACE_BYTES:
                return buffer.buffer()
            # Address space that nobody else has, never touched.
            nowhere = pa.py_buffer(mmap.mmap(-1, buffer.nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ))
            made[nowhere.address] = buffer
            return nowhere

        columns = [source.taken(rows, reserved) for source in self._sources]
        encoded = codec.encode(pa.Table.from_arrays(columns, schema=self._schema), codec="arrow")
        parts = [made.pop(pa.py_buffer(part).address, part) for part in encoded.parts]
        if made:  # it would be read as zeros
            raise RuntimeError(f"{len(made)} buffers of a table are in its encoded form under other addresses")
        return Gathered(parts, encoded.nbytes)


class Gathered(InPlace):
    """Rows of a table, encoded, and for the most part yet to be made."""

    def __init__(self, parts: list[Any], nbytes: int) -> None:
        self._parts = parts
        self.nbytes = nbytes

    def write(self, target: memoryview) -> None:
        at = 0
        for part in self._parts:
            here = target[at : at + part.nbytes]
            if isinstance(part, _Made):
                part.fill(here)
            else:
                here[:] = part
            at += part.nbytes

    def __iter__(self) -> Iterator[Any]:
        return (part.buffer() if isinstance(part, _Made) else part for part in self._parts)


class _Made(NamedTuple):
    """A buffer that is yet to be made."""

    nbytes: int
    fill: Callable[[memoryview], None]

    def buffer(self) -> Any:
        made = pa.allocate_buffer(self.nbytes)
        self.fill(memoryview(made).cast("B"))
        return made


class _Rows:
    """Which rows are wanted, of how many.

    Parameters
    ----------
    indices:
        Of the rows, in the order they are wanted in.
    total:
        How many rows there are; all indices are checked to be below.
    """

    def __init__(self, indices: Indices, total: int) -> None:
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < total:
            raise IndexError(f"rows {indices.min()} to {indices.max()} are asked of a table that has {total}")
        self.indices = indices.astype(np.int64, copy=False)

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def as_arrow(self) -> Any:
        return pa.Array.from_buffers(pa.int64(), len(self), [None, pa.py_buffer(np.ascontiguousarray(self.indices))])


class _Source(Protocol):
    """A column whose rows are to be taken."""

    def taken(self, rows: _Rows, made: Callable[[_Made], Any]) -> Any:
        """Rows of it: a pa.Array, or a pa.ChunkedArray if they do not fit into one; `made` makes large buffers."""
        ...


def _source(column: Any) -> _Source:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _Extension(column)
    if kind.id in _VIEW_OF:
        width = 0 if kind.id in _LARGE else _width(column)
        return _Fixed(column, width, texts=True) if width else _Texts(column)
    width = _bytes_of(kind)
    return _Fixed(column, width) if width else _Other(column)


class _Fixed:
    """A column of values, or of strings, that all have one size."""

    def __init__(self, column: Any, width: int, *, texts: bool = False) -> None:
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        self._column = column
        self._width = width
        self._texts = texts
        if texts:
            self._items = [_items(chunk.buffers()[2], int(_offsets(chunk)[0]), len(chunk), width) for chunk in chunks]
        else:
            self._items = [_items(chunk.buffers()[1], chunk.offset * width, len(chunk), width) for chunk in chunks]

    def taken(self, rows: _Rows, made: Callable[[_Made], Any]) -> Any:
        kind = self._column.type
        if not len(rows):
            return pa.array([], kind)
        values = _Made(self._width * len(rows), lambda target: self._fill(target, rows))
        if not self._texts:
            return pa.Array.from_buffers(kind, len(rows), [_validity(self._column, rows), made(values)])
        item = _offset_type(kind)
        if values.nbytes > np.iinfo(item).max:
            return _Texts(self._column).taken(rows, made)
        offsets = np.arange(0, values.nbytes + 1, self._width, dtype=item)
        return pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(offsets), made(values)])

    def _fill(self, target: memoryview, rows: _Rows) -> None:
        out = np.frombuffer(target, self._items[0].dtype)
        # Chunks are joined: copying them in their order costs less than to look a row's chunk up.
        items = self._items[0] if len(self._items) == 1 else np.concatenate(self._items)
        # Not `raise`, which takes into a buffer of its own first; none is outside.
        np.take(items, rows.indices, out=out, mode="clip")


class _Texts:
    """A column of strings of any length, as views of 16 bytes and the buffers these refer to, the column's own."""

    def __init__(self, column: Any) -> None:
        self._column = column
        self._views: Any = None
        try:
            view = _VIEW_OF[column.type.id]
            chunks = [chunk.cast(view) for chunk in column.chunks] or [pa.array([], view)]
            self._views = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
        except pa.ArrowCapacityError:  # a chunk has more than 2 GiB of text
            pass

    def taken(self, rows: _Rows, made: Callable[[_Made], Any]) -> Any:
        kind = self._column.type
        if self._views is None:
            return _joined(self._column.take(rows.as_arrow))
        validity, views, *texts = self._views.buffers()
        whole = self._views
        matrix = pa.Array.from_buffers(pa.binary(_VIEW_BYTES), len(whole), [validity, views], offset=whole.offset)
        matrix = matrix.take(rows.as_arrow)
        taken = pa.Array.from_buffers(whole.type, len(matrix), [*matrix.buffers(), *texts], offset=matrix.offset)
        ends, item = _ends(taken), _offset_type(kind)
        if kind.id in _LARGE or matrix.offset or ends[-1] > np.iinfo(item).max:
            return _resolved(taken, kind)
        text = _Made(int(ends[-1]), lambda target: _resolve(taken, ends, target))
        return pa.Array.from_buffers(
            kind, len(rows), [matrix.buffers()[0], pa.py_buffer(ends.astype(item)), made(text)]
        )


class _Extension:
    """A column of an extension type: its storage."""

    def __init__(self, column: Any) -> None:
        self._kind = column.type
        self._storage = _source(pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type))

    def taken(self, rows: _Rows, made: Callable[[_Made], Any]) -> Any:
        storage = self._storage.taken(rows, made)
        if isinstance(storage, pa.ChunkedArray):
            return pa.chunked_array([self._kind.wrap_array(chunk) for chunk in storage.chunks], self._kind)
        return self._kind.wrap_array(storage)


class _Other:
    """A column that Arrow takes from."""

    def __init__(self, column: Any) -> None:
        several = isinstance(column.type, pa.DictionaryType) and column.num_chunks > 1
        self._column = column.unify_dictionaries() if several else column

    def taken(self, rows: _Rows, _made: Callable[[_Made], Any]) -> Any:
        return _joined(self._column.take(rows.as_arrow))


def _bytes_of(kind: Any) -> int:
    """The bytes of a value of a type that has one buffer of values of one size, whole bytes; else 0."""
    types = pa.types
    plain = types.is_primitive(kind) or types.is_decimal(kind) or types.is_fixed_size_binary(kind)
    return kind.bit_width // 8 if plain and kind.bit_width % 8 == 0 else 0


def _items(buffer: Any, offset: int, rows: int, width: int) -> Any:
    """Values of one size in a buffer, as an array of items of that size."""
    return np.ndarray((rows,), f"u{width}" if width in (1, 2, 4, 8) else f"V{width}", buffer, offset)


def _validity(column: Any, rows: _Rows) -> Any:
    """Which values are there, as Arrow's bits; None for all."""
    return _joined(column.is_valid().take(rows.as_arrow)).buffers()[1] if column.null_count else None


def _joined(column: Any) -> Any:
    """The chunks of a column as one array, if they fit."""
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def _width(column: Any) -> int:
    """The length in bytes of all strings of a column if it is the same, there are no nulls and it is not 0; else 0."""
    if column.null_count or not len(column):
        return 0
    # The sum is seen at once, and seldom right when the lengths differ.
    first = next(chunk for chunk in column.chunks if len(chunk))
    begin, end = _offsets(first)[[0, -1]].tolist()
    if (end - begin) % len(first):
        return 0
    shortest, longest = (each.as_py() for each in pc.min_max(pc.binary_length(column)).values())
    return int(longest) if shortest == longest else 0


def _offsets(array: Any) -> Any:
    item = 8 if array.type.id in _WIDE else 4
    return np.ndarray((len(array) + 1,), f"<i{item}", array.buffers()[1], array.offset * item)


def _offset_type(kind: Any) -> Any:
    return np.dtype(np.int64 if kind.id in _WIDE else np.int32)


def _ends(views: Any) -> Any:
    """Where the text of each view ends, if all lie one behind the other; int64, (views + 1,), the first 0."""
    if not len(views):
        return np.zeros(1, np.int64)
    # The first four bytes of a view are the length of its string; what is under a null is not defined.
    lengths = np.ndarray((len(views), 4), np.int32, views.buffers()[1], _VIEW_BYTES * views.offset)[:, 0]
    if views.null_count:
        lengths = np.where(views.is_null().to_numpy(zero_copy_only=False), 0, lengths)
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _resolve(views: Any, ends: Any, target: memoryview) -> None:
    """Copy the text of views to where it is to be, a block at a time."""
    large = pa.large_string() if pa.types.is_string_view(views.type) else pa.large_binary()
    step = max(1, len(views) * _BLOCK_BYTES // max(1, int(ends[-1])))
    for begin in range(0, len(views), step):
        text = views.slice(begin, step).cast(large).buffers()[2]  # casting copies it
        here, end = int(ends[begin]), int(ends[min(begin + step, len(views))])
        if end > here:
            target[here:end] = memoryview(text).cast("B")[: end - here]


def _resolved(views: Any, kind: Any) -> Any:
    """Views as strings of a type, with text of their own; several arrays where one cannot hold it."""
    try:
        # Casting copies the text; without, a column of views would hold all it was taken from.
        return views.cast(_LARGE[kind.id]).cast(kind) if kind.id in _LARGE else views.cast(kind)
    except pa.ArrowException:  # 32-bit offsets end at 2 GiB
        if len(views) < 2:
            raise
        half = -(-len(views) // 2)
        halves = [_resolved(views.slice(begin, half), kind) for begin in (0, half)]
        return pa.chunked_array([chunk for each in halves for chunk in getattr(each, "chunks", [each])])
