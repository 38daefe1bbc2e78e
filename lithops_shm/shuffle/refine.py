"""Sorting by a key of many words, looking at no more of it than decides.

Plain uint64 are sorted (see `packed`) four to twelve times as fast as NumPy, or Arrow, finds the order of rows. So the
most significant bits of the key are packed in front of the number of the row, and that is sorted: the numbers come out
in order, and rows with the same bits in the order they had. Only those are looked at again, with the bits that follow;
the number of their group then stands in front. How many bits a word takes is measured within the groups, so that
constant words, common prefixes and rows that are equal cost no sort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from lithops_shm.shuffle.packed import sort
from lithops_shm.shuffle.physical import Words

__all__ = ["Indices", "Word", "refine"]

Indices = npt.NDArray[np.int64]

Word = Callable[["Indices | None"], Words]
"""The word of a key, of all rows or of those asked for. Rows are first compared by their first word, and so on."""

_WORD_BITS = 64

_SPARE_BITS = 6
"""Sorting starts when there are so many more bits of key than the rows need for their numbers: of evenly spread keys
one row in 2**6 is then tied with another. With more, words are read that decide nothing; with less, more is sorted
again."""


def refine(words: Iterable[Word], rows: int) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """The stable order of rows by the words of their keys.

    Returns
    -------
    The rows in order; and for each place in it, whether the key there differs from the one before (the first does).
    """
    sorting = _Sorting(rows)
    for word in words:
        if not sorting.use(word):
            break
    sorting.settle()
    first = np.ones(rows, np.bool_)
    if sorting.places is not None:
        first[sorting.places] = False
        first[sorting.places[sorting.starts]] = True
    elif rows:
        first[1:] = False
    return sorting.order, first


class _Sorting:
    """An order being refined.

    Attributes
    ----------
    order:
        int64, (rows,): the rows as far as they are in order.
    places:
        int64, (tied,): where in the order are rows with the same key so far, in groups; None for everywhere.
    starts:
        int64, (groups,): where in `places` the groups begin.
    key, bits:
        uint64, (tied,): what is known of the key of those rows and not used for the order yet, and its size in bits.
    """

    def __init__(self, rows: int) -> None:
        self.order: Indices = np.arange(rows, dtype=np.int64)
        self.places: Indices | None = None if rows > 1 else np.empty(0, np.int64)
        self.starts: Indices = np.zeros(1 if rows > 1 else 0, np.int64)
        self.key: Words | None = None
        self.bits = 0

    def use(self, word: Word) -> bool:
        """Order by a further word; whether anything is left to be ordered by others."""
        while self.tied:
            values = word(None if self.places is None else self.order[self.places])
            values, bits = self._above_least(values)
            free = _WORD_BITS - _bits(self.tied) - _bits(len(self.starts)) - self.bits
            used = min(bits, free)
            if used:
                values >>= np.uint64(bits - used)
                if self.key is not None:
                    self.key <<= np.uint64(used)
                    values |= self.key
                self.key = values
                self.bits += used
            if used == bits and self.bits < _bits(self.tied) + _SPARE_BITS:
                return True
            self.settle()
            if used == bits:
                break
        return self.tied > 0

    @property
    def tied(self) -> int:
        return len(self.order) if self.places is None else len(self.places)

    def settle(self) -> None:
        """Order the tied rows by what is known of their keys, and see which are tied still."""
        if self.key is None:
            return
        number_bits = np.uint64(_bits(self.tied))
        packed = self.key
        if len(self.starts) > 1:
            packed |= self._each(np.arange(len(self.starts), dtype=np.uint64)) << np.uint64(self.bits)
        packed <<= number_bits
        packed |= np.arange(self.tied, dtype=np.uint64)
        sort(packed, int(number_bits))
        numbers = (packed & ((np.uint64(1) << number_bits) - np.uint64(1))).view(np.int64)
        packed >>= number_bits
        if self.places is None:
            self.order = numbers
        else:
            self.order[self.places] = self.order[self.places][numbers]
        again = np.zeros(self.tied, np.bool_)  # the key is the one before
        np.equal(packed[1:], packed[:-1], out=again[1:])
        tied = again.copy()
        tied[:-1] |= again[1:]
        kept = np.flatnonzero(tied)
        self.starts = np.flatnonzero(~again[kept])
        self.places = kept if self.places is None else self.places[kept]
        self.key, self.bits = None, 0

    def _above_least(self, values: Words) -> tuple[Words, int]:
        """How far each value is above the least of its group, and how many bits that takes."""
        if len(self.starts) == 1:
            values = values - values.min()
        else:
            values = values - self._each(np.minimum.reduceat(values, self.starts))
        return values, int(values.max()).bit_length()

    def _each(self, of_groups: Words) -> Words:
        """What there is for each group, for each of its rows."""
        return np.repeat(of_groups, np.diff(self.starts, append=self.tied))


def _bits(count: int) -> int:
    """How many bits the numbers below `count` take."""
    return (count - 1).bit_length()
