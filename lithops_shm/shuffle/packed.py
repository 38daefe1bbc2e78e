"""Sorting plain uint64 by what is fastest for the numbers and on this machine; the result is the same.

- A few ascending runs are merged. NumPy's stable sort (timsort) looks for runs.
- All else is for NumPy's quicksort, of vector instructions. But AMD's Zen 4 takes a hundred cycles for the one that
  stores (github.com/numpy/x86-simd-sort, issue 6), which makes it four times as slow as elsewhere.
- There, and where NumPy has no such instructions, blocks that fit the cache are sorted by their highest digits, which
  all but makes them runs. NumPy's stable sort of 16 bits is a radix sort.
"""

from __future__ import annotations

import time
from functools import cache

import numpy as np

from lithops_shm.shuffle.physical import Words

__all__ = ["block_sort", "sort"]

_RUNS = 8
_RUNS_OF_BLOCKS = 128
"""So many runs are merged in the time the quicksort takes, or the sort of blocks. Twice as many are a pass more."""

_BLOCK = 1 << 17
_DIGIT_BITS = 16
_DIGITS = 2
_TRIAL = 1 << 14


def sort(words: Words, above: int = 0) -> None:
    """Sort in place.

    Parameters
    ----------
    words:
        uint64, (rows,), contiguous.
    above:
        So many of the lowest bits need no look: they ascend already wherever the others are equal.
    """
    runs = 1 + np.count_nonzero(words[1:] < words[:-1])
    if runs <= _RUNS:
        words.sort(kind="stable")
    elif len(words) <= _TRIAL or _quicksort_is_fast():  # to find out costs more than a small sort
        words.sort()
    elif runs <= _RUNS_OF_BLOCKS:
        words.sort(kind="stable")
    else:
        block_sort(words, above)


def block_sort(words: Words, above: int = 0) -> None:
    """As :func:`sort`, by the highest digits of blocks; what is left of disorder, merging them sets right."""
    bits = int(words.max(initial=0)).bit_length()
    lowest = max(above, bits - _DIGITS * _DIGIT_BITS)
    for begin in range(0, len(words), _BLOCK):
        block = words[begin : begin + _BLOCK]
        for low in range(lowest, bits, _DIGIT_BITS):
            digit = (block >> np.uint64(low)).astype(np.uint16)
            block = block[np.argsort(digit, kind="stable")]
        words[begin : begin + _BLOCK] = block
    words.sort(kind="stable")


@cache
def _quicksort_is_fast() -> bool:
    """Tried once in a process, which takes two milliseconds."""
    numbers: Words = np.random.default_rng(0).integers(0, 1 << 63, _TRIAL, np.uint64)
    quick, by_blocks = [float("inf")], [float("inf")]
    for _ in range(3):
        for times, way in ((quick, np.ndarray.sort), (by_blocks, block_sort)):
            copy = numbers.copy()
            started = time.perf_counter()
            way(copy)
            times.append(time.perf_counter() - started)
    return min(quick) < min(by_blocks)
