"""Key columns: which there can be, and their hashes, the same in every process, on every machine and in every release.

Hashes depend on the values alone: not on PYTHONHASHSEED, chunks, slices, nor on which of Arrow's variants of a type
holds the values. Integers, dates, times and booleans hash as 64-bit integers; floats as float64, with all NaN equal,
and -0.0 equal to 0.0; decimals as their digits without the point.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lithops_shm.errors import PartitionerError
from lithops_shm.shuffle import physical
from lithops_shm.shuffle.physical import Words

__all__ = ["check_keys", "hashes"]

# The finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014, variant 13 of
# Stafford); the golden ratio is its increment.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

# Of nulls, before text, and before the next column: hexadecimal digits of pi, so that nothing hides in them.
_NULL, _TEXT, _NEXT = np.uint64(0x243F6A8885A308D3), np.uint64(0x13198A2E03707344), np.uint64(0xA4093822299F31D1)

_NAN = np.uint64(0x7FF8000000000000)

_BLOCK = 16384
"""Rows hashed at a time: two such blocks of 8 bytes a row stay in a second-level cache of 256 KiB."""

_LONG = 512
"""Text of more bytes than this is hashed value by value: BLAKE2b at 1 GB/s overtakes words of 8 bytes in NumPy."""


def check_keys(schema: Any, by: tuple[str, ...], ordered: bool) -> None:
    """See that rows of this schema can be told apart by the columns `by`.

    Parameters
    ----------
    schema:
        A pa.Schema.
    by:
        Names of columns.
    ordered:
        Whether the rows shall be ordered by them, not only hashed. It makes a difference to the message alone.

    Raises
    ------
    PartitionerError
        When there is no such column or more than one, or values of its type are neither hashed nor ordered.
    """
    if not by:
        raise PartitionerError("no column", "name at least one key column")
    for name in by:
        count = len(schema.get_all_field_indices(name))
        if count == 0:
            raise PartitionerError(f"column {name!r}", f"there is none of that name, only {_named(schema.names)}")
        if count > 1:
            raise PartitionerError(
                f"column {name!r}", f"{count} columns have that name; rename them in the map function"
            )
        kind = schema.field(name).type
        if physical.family(kind) is None:
            what = "ordered" if ordered else "hashed"
            advice = "name a part of it as a column of its own" if _nested(kind) else "cast it in the map function"
            raise PartitionerError(f"column {name!r}", f"values of type {kind} cannot be {what}; {advice}")


def hashes(table: Any, by: Sequence[str]) -> Words:
    """The hash of each row of a table by the columns `by`: uint64, (rows,), all 64 bits well mixed.

    The columns have to be such that :func:`check_keys` accepts.
    """
    total: Words | None = None
    for name in by:
        column = table.column(name)
        found = np.empty(len(column), np.uint64)
        begin = 0
        for chunk in column.chunks:
            _hash(chunk, found[begin : begin + len(chunk)])
            begin += len(chunk)
        total = found if total is None else _mixed(total * _NEXT + found)
    if total is None:
        raise ValueError("no key columns")
    return total


def _hash(array: Any, out: Words) -> None:
    """Write the hashes of an array's values to `out`."""
    if isinstance(array, pa.ExtensionArray):
        return _hash(array.storage, out)
    family = physical.family(array.type)
    if family == "null":
        out[:] = _NULL
    elif family == "dictionary":
        values = np.empty(len(array.dictionary), np.uint64)
        _hash(array.dictionary, values)
        if len(values):
            np.take(values, physical.codes(array), out=out)
    elif family == "text":
        _text(physical.Text(physical.single(array)), out)
    else:
        _numbers(_READERS[family or ""](array), out)
    nulls = physical.missing(array)
    if nulls is not None:
        out[nulls] = _NULL
    return None


def _mixed(words: Words) -> Words:
    """The words mixed, in place."""
    words ^= words >> np.uint64(30)
    words *= _FIRST
    words ^= words >> np.uint64(27)
    words *= _SECOND
    words ^= words >> np.uint64(31)
    return words


def _numbers(numbers: Any, out: Words) -> None:
    """Hash rows of one or more numbers, (rows, numbers), each becoming a word."""
    for begin in range(0, len(out), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        words = out[part]
        words[:] = _GOLDEN
        for index in range(numbers.shape[1]):
            words ^= _word(numbers[part, index])
            _mixed(words)


def _word(numbers: Any) -> Words:
    if numbers.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # of signalling NaN
            wide = numbers.astype(np.float64) + 0.0  # -0.0 + 0.0 is 0.0
        bits: Words = wide.view(np.uint64)
        bits[np.isnan(wide)] = _NAN
        return bits
    # Signed numbers keep their sign in the wider word, so that a number hashes alike at any width.
    words: Words = numbers.astype(np.int64).view(np.uint64) if numbers.dtype.kind == "i" else numbers.astype(np.uint64)
    return words


_READERS: dict[str, Callable[[Any], Any]] = {
    "integers": lambda array: physical.integers(array)[:, None],
    "floats": lambda array: physical.floats(array)[:, None],
    "limbs": physical.limbs,
}


def _text(text: physical.Text, out: Words) -> None:
    for begin in range(0, len(out), _BLOCK):
        part = text.part(begin, begin + _BLOCK)
        words = out[begin : begin + _BLOCK]
        words[:] = part.lengths
        words *= _GOLDEN
        words ^= _TEXT
        _mixed(words)
        longest = int(part.lengths.max())
        for number in range(-(-min(longest, _LONG) // 8)):
            active = (part.lengths > 8 * number) & (part.lengths <= _LONG)
            if active.all():
                words ^= part.word(number)
                _mixed(words)
            else:
                rows = np.flatnonzero(active)
                words[rows] = _mixed(words[rows] ^ part.word(number, rows))
        if longest > _LONG:
            _long(part, words)


def _long(text: physical.Text, words: Words) -> None:
    """Mix what long values hold into the hashes of their lengths."""
    for row in np.flatnonzero(text.lengths > _LONG):
        start = text.starts[row]
        value = text.data[start : start + text.lengths[row]].tobytes()
        digest = hashlib.blake2b(value, digest_size=8).digest()
        words[row] ^= np.uint64(int.from_bytes(digest, "little"))


def _nested(kind: Any) -> bool:
    while isinstance(kind, (pa.BaseExtensionType, pa.DictionaryType)):
        kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind.value_type
    return bool(pa.types.is_nested(kind)) and not pa.types.is_run_end_encoded(kind)


def _named(names: list[str], limit: int = 10) -> str:
    return ", ".join(map(repr, names[:limit])) + (", ..." if len(names) > limit else "")
