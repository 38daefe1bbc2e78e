"""Keys as words whose order is the order of the keys, which is Arrow's: ascending, then NaN, then null."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lithops_shm.shuffle import physical
from lithops_shm.shuffle.physical import Words
from lithops_shm.shuffle.refine import Word, refine

__all__ = ["digits"]

_SIGN = np.uint64(1 << 63)

_TEXT_WORDS = 8
"""Text is compared by so many words of 8 bytes; what is tied then is ranked by Arrow, as far as it is distinct."""


def digits(columns: Sequence[Any]) -> Iterator[Word]:
    """The words of a key of several columns (pa.ChunkedArray or pa.Array of one length), the most significant first.

    Keys are equal if and only if all their words are. Words are made when they are asked for.
    """
    for column in columns:
        family = physical.family(column.type)
        if family == "null":
            continue
        if family == "dictionary":
            yield _picked(_ranked(column))
            continue
        array = physical.single(column)
        nulls = physical.missing(array)
        if nulls is not None:
            yield _picked(nulls.astype(np.uint64))
        if family == "text":
            yield from _text(array)
            continue
        for words in _READERS[family or ""](array):
            if nulls is not None:
                words[nulls] = 0
            yield _picked(words)


def _picked(words: Words) -> Word:
    return lambda rows: words if rows is None else words[rows]


def _integers(array: Any) -> Iterator[Words]:
    yield _unsigned(physical.integers(array))


def _limbs(array: Any) -> Iterator[Words]:
    limbs = physical.limbs(array)
    highest = limbs.shape[1] - 1
    yield _unsigned(limbs[:, highest].astype(np.int64))
    for index in range(highest - 1, -1, -1):
        yield limbs[:, index].copy()


def _unsigned(numbers: Any) -> Words:
    """Integers moved to where the least of a signed word is 0; a new array."""
    if numbers.dtype.kind == "u":
        return numbers.astype(np.uint64)  # type: ignore[no-any-return]
    return numbers.astype(np.int64).view(np.uint64) ^ _SIGN  # type: ignore[no-any-return]


def _floats(array: Any) -> Iterator[Words]:
    with np.errstate(invalid="ignore"):  # of signalling NaN
        numbers = physical.floats(array) + 0  # -0.0 + 0 is 0.0
    width = 8 * numbers.dtype.itemsize
    # The bits of a float are its sign and its magnitude; NaN of any sign and payload is to be the greatest.
    words = numbers.view(f"u{width // 8}").astype(np.uint64)
    negative = words >> np.uint64(width - 1) != 0
    everything = np.uint64((1 << width) - 1)
    words ^= np.where(negative, everything, np.uint64(1 << (width - 1)))
    words[np.isnan(numbers)] = everything
    yield words


_READERS = {"integers": _integers, "floats": _floats, "limbs": _limbs}


def _text(array: Any) -> Iterator[Word]:
    text = physical.Text(array)
    longest = int(text.lengths.max()) if len(array) else 0
    for number in range(min(-(-longest // 8), _TEXT_WORDS)):
        yield lambda rows, number=number: text.word(number, rows)  # type: ignore[misc]
    if longest > 8 * _TEXT_WORDS:
        yield lambda rows: _ranks_of_text(array if rows is None else array.take(pa.array(rows)))
    elif text.width is None:  # a word does not tell the zeros of a text from those behind its end
        yield _picked(text.lengths.astype(np.uint64))


def _ranks_of_text(array: Any) -> Words:
    """The rank of each string or binary among those that are there; of null, any."""
    encoded = array.dictionary_encode()
    values = encoded.dictionary
    ranks = np.zeros(max(len(values), 1), np.uint64)
    ranks[pc.array_sort_indices(values).to_numpy()] = np.arange(len(values), dtype=np.uint64)
    return ranks[physical.codes(encoded)]


def _ranked(column: Any) -> Words:
    """The rank of each value of a column of dictionary arrays, which may each have a dictionary of its own."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    chunks = [chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk for chunk in chunks]
    if not chunks:
        return np.empty(0, np.uint64)
    values = pa.chunked_array([chunk.dictionary for chunk in chunks])
    order, first = refine(digits([values]), len(values))
    ranks = np.empty(len(values), np.uint64)
    ranks[order] = np.cumsum(first, dtype=np.uint64)
    found = np.empty(sum(map(len, chunks)), np.uint64)
    begin = offset = 0
    # Nulls come after all values; so do nulls in the dictionary, and the two are equal.
    null_rank = np.uint64(len(values) + 1)
    absent = physical.missing(physical.single(values))
    if absent is not None:
        ranks[absent] = null_rank
    for chunk in chunks:
        part = found[begin : begin + len(chunk)]
        if len(chunk.dictionary):
            part[:] = ranks[offset + physical.codes(chunk)]
        nulls = physical.missing(chunk)
        if nulls is not None:
            part[nulls] = null_rank
        begin, offset = begin + len(chunk), offset + len(chunk.dictionary)
    return found
