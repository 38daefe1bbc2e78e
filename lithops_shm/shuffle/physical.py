"""Key columns as NumPy arrays: what is in an Arrow array, whichever of Arrow's variants of a type it is written in.

Hashing and ordering read keys through this module, so that a string is one key whether it is a `string`, a
`large_string`, a `string_view`, sliced or in chunks. All NumPy arrays are views of the Arrow buffers where the types
allow; what lies under a null is not defined.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Text", "Words", "codes", "family", "floats", "integers", "limbs", "missing", "single"]

Words = npt.NDArray[np.uint64]

_LARGE = {
    pa.string().id: pa.large_string(),
    pa.binary().id: pa.large_binary(),
    pa.string_view().id: pa.large_string(),
    pa.binary_view().id: pa.large_binary(),
}

_VIEWS = {pa.string_view().id, pa.binary_view().id}

_WORD_BYTES = 8

# What is left of a big-endian word that holds 0 to 8 bytes of text.
_MASKS = np.array([(1 << 64) - (1 << 8 * (8 - count)) for count in range(9)], dtype=np.uint64)


def family(kind: Any) -> str | None:
    """How values of a type are read as keys; None for types that cannot be keys.

    "integers" (with booleans, dates, times, timestamps and durations), "floats", "limbs" (decimals), "text" (strings
    and binaries), "dictionary", "null".
    """
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return family(kind.storage_type)
    if types.is_dictionary(kind):
        found = family(kind.value_type)
        return found and "dictionary"
    if types.is_integer(kind) or types.is_boolean(kind):
        return "integers"
    if types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind) or types.is_duration(kind):
        return "integers"
    if types.is_floating(kind):
        return "floats"
    if types.is_decimal(kind):
        return "limbs"
    if kind.id in _LARGE or kind.id in (pa.large_string().id, pa.large_binary().id, pa.binary(1).id):
        return "text"
    return "null" if types.is_null(kind) else None


def single(column: Any) -> Any:
    """A column (chunked or not) as one array of its storage type, views as large strings or binaries.

    A copy if it has several chunks, or views.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    chunks = [chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk for chunk in chunks]
    if not chunks:
        kind = column.type
        chunks = [pa.array([], kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind)]
    kind = chunks[0].type
    if kind.id in _LARGE and (len(chunks) > 1 or kind.id in _VIEWS):  # 32-bit offsets end at 2 GiB
        chunks = [chunk.cast(_LARGE[kind.id]) for chunk in chunks]
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)


def missing(array: Any) -> npt.NDArray[np.bool_] | None:
    """Which values are null, as a copy; None if none is. Nulls among the values of a dictionary do not count here."""
    found: npt.NDArray[np.bool_] | None = None
    if isinstance(array, pa.DictionaryArray):
        array = array.indices
    if array.null_count:
        found = array.is_null().to_numpy(zero_copy_only=False)
    return found


def integers(array: Any) -> npt.NDArray[Any]:
    """Values of the family "integers" as NumPy integers of their own width."""
    kind = array.type
    if pa.types.is_boolean(kind):
        array, kind = array.cast(pa.uint8()), pa.uint8()
    sign = "u" if pa.types.is_unsigned_integer(kind) else "i"
    return _fixed(array, f"<{sign}{kind.bit_width // 8}")


def floats(array: Any) -> npt.NDArray[Any]:
    """Values of the family "floats" as NumPy floats of their own width."""
    return _fixed(array, f"<f{array.type.bit_width // 8}")


def limbs(array: Any) -> npt.NDArray[Any]:
    """Decimals as integers in two's complement, (rows, limbs): int32, int64, or uint64 with the lowest limb first."""
    nbytes = array.type.bit_width // 8
    if nbytes <= _WORD_BYTES:
        return _fixed(array, f"<i{nbytes}").reshape(-1, 1)
    count = nbytes // _WORD_BYTES
    return _fixed(array, "<u8", count)


def codes(array: Any) -> npt.NDArray[np.intp]:
    """Where in its dictionary each value of a dictionary array is; 0 for nulls."""
    found: npt.NDArray[np.intp] = integers(array.indices).astype(np.intp)
    nulls = missing(array)
    if nulls is not None:  # what is under a null may be no place in the dictionary
        found[nulls] = 0
    return found


def _fixed(array: Any, dtype: str, count: int = 1) -> npt.NDArray[Any]:
    """The values of an array as a view of its buffer, (rows,), or (rows, count)."""
    shape = (len(array),) if count == 1 else (len(array), count)
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(shape, dtype)
    view: npt.NDArray[Any] = np.ndarray(shape, dtype, buffer, array.offset * count * np.dtype(dtype).itemsize)
    return view


class Text:
    """Strings or binaries (no views) of an array, read eight bytes at a time.

    Attributes
    ----------
    starts, lengths:
        int64, (rows,), in bytes; the length of a null is 0.
    data:
        uint8, all bytes of the array, and of its parent if it is a slice.
    width:
        The length of all values, if they lie one behind the other and have the same; otherwise None.
    """

    def __init__(self, array: Any) -> None:
        kind, rows = array.type, len(array)
        nulls = missing(array)
        self.starts: npt.NDArray[np.int64]
        self.lengths: npt.NDArray[np.int64]
        if kind.id == pa.binary(1).id:
            self.starts = (np.arange(rows) + array.offset) * kind.byte_width
            self.lengths = np.full(rows, kind.byte_width)
        else:
            wide = kind.id in (pa.large_string().id, pa.large_binary().id)
            item, buffer = 8 if wide else 4, array.buffers()[1]
            empty = not rows or buffer is None
            offsets = np.zeros(rows + 1, np.int64)
            if not empty:
                offsets = np.ndarray((rows + 1,), f"<i{item}", buffer, array.offset * item).astype(np.int64, copy=False)
            self.starts, self.lengths = offsets[:-1], np.diff(offsets)
        buffer = array.buffers()[-1]
        self.data = np.frombuffer(b"" if buffer is None else buffer, np.uint8)
        if len(self.data) < _WORD_BYTES:  # a word could not be read from it
            self.data = np.append(self.data, np.zeros(_WORD_BYTES, np.uint8))
        if nulls is not None:
            self.lengths[nulls] = 0
        first = int(self.lengths[0]) if rows else 0
        self.width = first if first and nulls is None and bool((self.lengths == first).all()) else None

    def part(self, begin: int, end: int) -> Text:
        """The rows from `begin` to `end`, as a view."""
        part = object.__new__(Text)
        part.starts, part.lengths = self.starts[begin:end], self.lengths[begin:end]
        part.data, part.width = self.data, self.width
        return part

    def word(self, number: int, rows: npt.NDArray[np.int64] | None = None) -> Words:
        """Bytes 8 * `number` to 8 * `number` + 7 of each value (or of those at `rows`) as big-endian numbers.

        Behind the end of a value the bytes are 0. A new array.
        """
        skip = _WORD_BYTES * number
        if self.width is not None and rows is None and self.width >= max(_WORD_BYTES, skip + 1):
            # Twenty times as fast as looking up each start.
            over = max(skip + _WORD_BYTES - self.width, 0)  # read so much earlier, and shift it out
            begin = int(self.starts[0]) + skip - over
            words: Words = np.ndarray((len(self.starts),), ">u8", self.data, begin, (self.width,)).astype(np.uint64)
            if over:
                words <<= np.uint64(8 * over)
            return words
        starts, lengths = (self.starts, self.lengths) if rows is None else (self.starts[rows], self.lengths[rows])
        last = len(self.data) - _WORD_BYTES
        anywhere = np.ndarray((last + 1,), ">u8", self.data, strides=(1,))
        wanted = starts + skip
        if len(wanted) and int(wanted.max()) > last:
            begin_at = np.minimum(wanted, last)
            words = anywhere[begin_at].astype(np.uint64)
            # A shift of 8 bytes or more only happens behind the end of a value, where all is masked.
            words <<= np.minimum(8 * (wanted - begin_at), 56).astype(np.uint64)
        else:
            words = anywhere[wanted].astype(np.uint64)
        words &= _MASKS[np.clip(lengths - skip, 0, _WORD_BYTES)]
        return words
