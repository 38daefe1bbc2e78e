"""The order of a table's rows by key columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lithops_shm.shuffle.digits import digits
from lithops_shm.shuffle.refine import Indices, refine

__all__ = ["sort_indices"]


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
