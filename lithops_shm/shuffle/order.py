"""The order of a table's rows by key columns, and the rows in it.

What Arrow's own `take` does with strings costs four times what it does with rows of a fixed size. So strings of one
length are taken as such rows, and others through their views: 16 bytes each, which are taken, and resolved at the end
in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lithops_shm.shuffle.digits import digits
from lithops_shm.shuffle.refine import Indices, refine

__all__ = ["gather", "sort_indices"]

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

_SMALL_ROWS = 4096
"""Chunks of fewer rows are joined first: to look at one takes longer than to copy it."""


def sort_indices(table: Any, by: Sequence[str]) -> Indices:
    """The rows of a table in ascending order of the columns `by`, those with equal keys in the order they have.

    The order is that of pyarrow.compute.sort_indices: NaN after the numbers, null after NaN, -0.0 equal to 0.0, text by
    its bytes, dictionaries by their values. Rows that come in sorted runs are faster by themselves: there is nothing to
    say about them. The columns have to be such that :func:`~lithops_shm.shuffle.keys.check_keys` accepts.

    Returns
    -------
    int64, (rows,).
    """
    return refine(digits([table.column(name) for name in by]), table.num_rows)[0]


def gather(table: Any, indices: Indices) -> Any:
    """The rows of a table at `indices` (integers, (rows,), each at least 0), in that order; a copy.

    Dictionaries are shared with the table, or unified if its chunks have several. Every column has one chunk, but for
    strings with 32-bit offsets of more than 2 GiB. If the table has several chunks it takes memory for a second copy of
    a column while it runs.
    """
    places = pa.array(indices, pa.int64())
    return pa.Table.from_arrays([_taken(column, places) for column in table.columns], schema=table.schema)


def _taken(column: Any, indices: Any) -> Any:
    """Rows of a column: a pa.Array, or a pa.ChunkedArray if they do not fit into one."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        storage = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
        return _wrapped(_taken(storage, indices), kind)
    if isinstance(kind, pa.DictionaryType) and column.num_chunks > 1:
        column = column.unify_dictionaries()
    if kind.id in _VIEW_OF:
        if column.num_chunks > 1 and len(column) < _SMALL_ROWS * column.num_chunks and kind.id not in _LARGE:
            column = column.combine_chunks()
            column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
        width = _width(column)
        if width:
            return _taken_at_width(column, indices, width)
        try:
            return _taken_as_views(column, indices)
        except pa.ArrowCapacityError:  # a chunk has more than 2 GiB of text
            pass
    return _joined(column.take(indices))


def _wrapped(column: Any, kind: Any) -> Any:
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([kind.wrap_array(chunk) for chunk in column.chunks], kind)
    return kind.wrap_array(column)


def _joined(column: Any) -> Any:
    """The chunks of a column as one array, if they fit."""
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def _width(column: Any) -> int:
    """The length in bytes of all strings of a column if it is the same, there are no nulls and it is not 0; else 0."""
    width = 0
    if column.type.id in _LARGE:
        return width
    for chunk in column.chunks:
        if chunk.null_count:
            return 0
        if len(chunk):
            offsets = _offsets(chunk)
            width = width or int(offsets[1] - offsets[0])
            # The sum is seen at once, and seldom right when the lengths differ.
            if offsets[-1] - offsets[0] != width * len(chunk) or not (offsets[1:] - offsets[:-1] == width).all():
                return 0
    return width


def _offsets(array: Any) -> Any:
    item = 8 if array.type.id in _WIDE else 4
    return np.ndarray((len(array) + 1,), f"<i{item}", array.buffers()[1], array.offset * item)


def _taken_at_width(column: Any, indices: Any, width: int) -> Any:
    """Strings of one length are an array of fixed-size binaries, without copying."""
    kind = column.type
    item = np.dtype(np.int64 if kind.id in _WIDE else np.int32)
    rows = []
    for chunk in filter(len, column.chunks):
        text = chunk.buffers()[2].slice(int(_offsets(chunk)[0]), width * len(chunk))
        rows.append(pa.Array.from_buffers(pa.binary(width), len(chunk), [None, text]))
    matrix = pa.chunked_array(rows)

    def take(part: Any) -> Any:
        taken = _joined(matrix.take(part))
        offsets = np.arange(len(part) + 1, dtype=item) * item.type(width)
        return pa.Array.from_buffers(kind, len(part), [None, pa.py_buffer(offsets), taken.buffers()[1]])

    most = np.iinfo(item).max // width
    return take(indices) if len(indices) <= most else pa.chunked_array(list(map(take, _parts(indices, most))))


def _taken_as_views(column: Any, indices: Any) -> Any:
    """Strings of any length are views of 16 bytes and the buffers these refer to."""
    kind = column.type
    view = _VIEW_OF[kind.id]
    chunks = [chunk.cast(view) for chunk in column.chunks] or [pa.array([], view)]
    whole = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    validity, views, *texts = whole.buffers()
    matrix = pa.Array.from_buffers(pa.binary(_VIEW_BYTES), len(whole), [validity, views], offset=whole.offset)

    def take(part: Any) -> list[Any]:
        taken = matrix.take(part)
        rows = pa.Array.from_buffers(view, len(taken), [*taken.buffers(), *texts], offset=taken.offset)
        # Casting copies the text; without, a column of views would hold all it was taken from.
        try:
            return [rows.cast(_LARGE[kind.id]).cast(kind) if kind.id in _LARGE else rows.cast(kind)]
        except pa.ArrowException:  # 32-bit offsets end at 2 GiB
            if len(part) < 2:
                raise
            return [array for half in _parts(part, -(-len(part) // 2)) for array in take(half)]

    arrays = take(indices)
    return arrays[0] if len(arrays) == 1 else pa.chunked_array(arrays)


def _parts(indices: Any, rows: int) -> list[Any]:
    return [indices.slice(begin, rows) for begin in range(0, len(indices), rows)]
