"""Rows to buckets: by hash of the key, or by the user's function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from lithops_shm.errors import PartitionerError
from lithops_shm.shuffle.keys import hashes

__all__ = ["bucket_order", "bucket_positions", "buckets_by_function", "buckets_by_hash"]

Numbers = np.ndarray[Any, np.dtype[np.int64]]


def buckets_by_hash(table: pa.Table, by: tuple[str, ...], buckets: int) -> Numbers:
    """The bucket of each row, shape (rows,): equal keys share one, in every process and on every platform."""
    # The high bits decide (Lemire, "Fast random integer generation in an interval", 2019): no division, and as even.
    high = hashes(table, by) >> np.uint64(32)
    numbers: Numbers = ((high * np.uint64(buckets)) >> np.uint64(32)).astype(np.int64)
    return numbers


def buckets_by_function(function: Callable[[Any, int], Any], rows: Any, count: int, buckets: int) -> Numbers:
    """What the user's function says of `count` rows, checked.

    Raises
    ------
    PartitionerError
        When it does not give an integer from 0 up to, not including, `buckets` for each row.
    """
    name = getattr(function, "__name__", type(function).__name__)
    try:
        found = function(rows, buckets)
        if isinstance(found, (pa.Array, pa.ChunkedArray)):
            found = found.to_numpy(zero_copy_only=False) if isinstance(found, pa.Array) else found.to_numpy()
        numbers = np.asarray(found)
    except Exception as error:
        raise PartitionerError(f"function {name}", f"it raised {type(error).__name__}: {error}") from error
    if numbers.shape != (count,):
        raise PartitionerError(f"function {name}", f"it gave shape {numbers.shape} for {count} rows")
    if count == 0:
        return np.empty(0, np.int64)
    if numbers.dtype.kind not in "iu":
        raise PartitionerError(f"function {name}", f"it gave {numbers.dtype}, not integers")
    least, most = int(numbers.min()), int(numbers.max())
    if least < 0 or most >= buckets:
        wrong = least if least < 0 else most
        row = int(np.flatnonzero(numbers == wrong)[0])
        raise PartitionerError(f"function {name}", f"it gave {wrong} for row {row}, with partitions 0 to {buckets - 1}")
    return numbers.astype(np.int64, copy=False)


def bucket_order(numbers: Numbers, buckets: int) -> Numbers:
    """The order of rows by bucket, and within one as they were; int64, shape (rows,)."""
    # NumPy sorts 8 and 16 bits by radix when asked for a stable order: in linear time.
    kind: Any = np.uint8 if buckets <= 1 << 8 else np.uint16 if buckets <= 1 << 16 else np.int64
    return np.argsort(numbers.astype(kind), kind="stable")


def bucket_positions(numbers: Numbers, buckets: int) -> Numbers:
    """Where each bucket begins in that order, and the last one ends; int64, shape (buckets + 1,)."""
    return np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=buckets))]).astype(np.int64)
