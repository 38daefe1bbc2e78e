"""Hashes of keys whose types the two sides of a join may not share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lithops_shm.shuffle.partition import buckets_by_hash
from seer_integration.kernels.types import plain

__all__ = ["HashedAlike", "hash_of"]


class HashedAlike:
    """A partition function by which keys meet that are equal as numbers, or as times, whatever their types.

    Integers beyond 2**53 meet some that differ from them, too.
    """

    def __call__(self, keys: pa.Table, partitions: int) -> Any:
        alike = pa.table({name: _alike(keys.column(name)) for name in keys.column_names})
        return buckets_by_hash(alike, tuple(keys.column_names), partitions)


def hash_of(left: pa.Schema | None, right: pa.Schema | None, on: Sequence[str], right_on: Sequence[str]) -> Any:
    """The kind of the shuffles of two sides: ``"hash"`` where that is the same for both."""
    if left is None or right is None:
        return HashedAlike()
    for name, other in zip(on, right_on, strict=True):
        one, two = plain(left.field(name).type), plain(right.field(other).type)
        if one != two and not (pa.types.is_integer(one) and pa.types.is_integer(two)):
            return HashedAlike()
    return "hash"


def _alike(column: pa.ChunkedArray) -> pa.ChunkedArray:
    types, kind = pa.types, plain(column.type)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return pc.cast(column, pa.float64(), safe=False)
    if types.is_date(kind) or types.is_timestamp(kind):
        return pc.cast(column, pa.timestamp("us", getattr(kind, "tz", None)), safe=False)
    if types.is_string(kind) or types.is_large_string(kind):
        return pc.cast(column, pa.large_string())
    return pc.cast(column, kind)
