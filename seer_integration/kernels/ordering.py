"""The first rows, each row once, and a sample of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seer_integration.kernels.types import key_column

__all__ = ["distinct", "sample", "top"]

_FEW = 8
"""If fewer than one in so many rows are asked for, those that cannot be among them are left out before sorting."""


def top(table: Any, rows: int, key: Sequence[str], descending: bool) -> Any:
    """The first rows in the order of some columns; without any, of the table. Equal rows keep their order.

    Nulls come last either way, NaN before them.

    Returns
    -------
    A pa.Table: without a key a view, else a copy.
    """
    if not key:
        return table.slice(0, rows)
    order = "descending" if descending else "ascending"
    keys = pa.table({str(place): key_column(table.column(name)) for place, name in enumerate(key)})
    places = None
    if 0 < rows < len(keys) // _FEW:
        places = _candidates(keys.column(0), rows, order)
        keys = keys.take(places)
    chosen = pc.sort_indices(keys, sort_keys=[(name, order) for name in keys.column_names])[:rows]
    return table.take(chosen if places is None else places.take(chosen))


def _candidates(column: Any, rows: int, order: str) -> Any:
    """The rows that are not after so many others by the first key alone, in the order they have."""
    last = pc.select_k_unstable(pa.table({"it": column}), rows, sort_keys=[("it", order)])[-1].as_py()
    bound = column[last]
    if not bound.is_valid or (pa.types.is_floating(column.type) and np.isnan(bound.as_py())):
        return pa.array(np.arange(len(column)))
    within = pc.less_equal(column, bound) if order == "ascending" else pc.greater_equal(column, bound)
    return pa.array(np.flatnonzero(pc.fill_null(within, False).to_numpy()))


def distinct(table: Any, columns: Sequence[str]) -> Any:
    """Each combination of values of some columns once, of all by default; in the order they come first.

    Nulls equal each other, and NaN. Only these columns are in the result, dictionaries as their values.
    """
    names = list(columns) or table.column_names
    keys = pa.table([key_column(table.column(name)) for name in names], names=names)
    return keys.group_by(names, use_threads=False).aggregate([])


def sample(table: Any, fraction: float, seed: int, part: int) -> Any:
    """Rows chosen at random, each with the chance `fraction`.

    Which ones depends on the seed, the number of the part of the data that the table is, and their place in it; not on
    NumPy's release: it promises the same bits of a generator, if not the same floats made of them.
    """
    if fraction >= 1:
        return table
    bits = np.random.PCG64(np.random.SeedSequence((seed, part))).random_raw(table.num_rows)
    chosen = np.asarray(bits, np.uint64) < np.uint64(fraction * 2.0**64)
    return table.filter(pa.array(chosen))
