"""Joins of two tables.

Keys become numbers: integers that lie close together are such; else the values of the right side get one each, by
Arrow's hash table, and those of the left the number of the value they equal. Rows are matched by counting, and both
sides gathered once. So results come in the order of the left side, the same in every attempt of a task, and any type
can be carried along, where ``Table.join`` takes no lists nor structs. Measured for 2 million rows with 200,000 on the
right, gathering included, against ``Table.join`` of keys and row numbers: twice as fast for large_string.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lithops_shm.shuffle.gather import gather
from seer_integration.errors import PlanError
from seer_integration.kernels.types import common_type, key_column

__all__ = ["join", "joined_schema"]

_Rows = npt.NDArray[np.int64]

_NONE = -1
_SPARSE = 4  # a table of places may be so many times as long as both sides


def join(left: Any, right: Any, on: Sequence[str], right_on: Sequence[str], how: str, suffix: str) -> Any:
    """The rows of two tables whose keys are equal, in the order of the left; those of one key in that of the right.

    Null keys match nothing, also not each other; NaN matches NaN, and -0.0 matches 0.0.

    Parameters
    ----------
    left, right:
        pa.Table.
    on, right_on:
        Key columns of either, as many. Those of the right are not in the result.
    how:
        ``"inner"``, ``"left"``, ``"semi"`` or ``"anti"``, as of :class:`~seer_integration.operations.Join`.
    suffix:
        Of columns of the right that the left has too.

    Returns
    -------
    A pa.Table of new memory, but for semi and anti joins that keep all rows.

    Raises
    ------
    PlanError
        As :func:`joined_schema` does.
    """
    schema = joined_schema(left.schema, right.schema, on, right_on, how, suffix)
    found, numbers, size = _matched(left, right, on, right_on)
    if how in ("semi", "anti"):
        return left.filter(pa.array((found != _NONE) == (how == "semi")))
    outer = how == "left"
    left_rows, right_rows = _pairs(found, numbers, size, outer)
    payload = right.drop_columns(list(right_on))
    columns = [*_rows(left, left_rows).columns, *_rows(payload, right_rows).columns]
    return pa.Table.from_arrays(columns, schema=schema)


def joined_schema(left: Any, right: Any, on: Sequence[str], right_on: Sequence[str], how: str, suffix: str) -> Any:
    """The schema of a join of tables of two schemas.

    Raises
    ------
    PlanError
        When keys cannot be compared, or a column would be there twice.
    """
    for name, other in zip(on, right_on, strict=True):
        one, two = left.field(name).type, right.field(other).type
        kind = common_type(one, two)
        if kind is None or pa.types.is_nested(kind):
            reason = f"{name!r} of the left side is {one}, {other!r} of the right is {two}: they cannot be compared"
            raise PlanError("Join", f"{reason}; cast one of them in a Select before")
    if how in ("semi", "anti"):
        return left
    fields = list(left)
    names = set(left.names)
    for field in right:
        if field.name in right_on:
            continue
        name = field.name + suffix if field.name in left.names else field.name
        if name in names:
            raise PlanError("Join", f"both sides have a column {name!r}; give another suffix than {suffix!r}")
        names.add(name)
        fields.append(field.with_name(name).with_nullable(field.nullable or how == "left"))
    return pa.schema(fields)


def _matched(left: Any, right: Any, on: Sequence[str], right_on: Sequence[str]) -> tuple[_Rows, _Rows, int]:
    """A number for each row of both sides, equal where keys are; -1 for no match, or null. And how many there are."""
    found: _Rows | None = None
    numbers: _Rows | None = None
    size = 0
    for name, other in zip(on, right_on, strict=True):
        one, two = left.column(name), right.column(other)
        kind = common_type(one.type, two.type)
        one, two, many = _numbered(key_column(one, kind), key_column(two, kind))
        if found is None or numbers is None:
            found, numbers, size = one, two, many
        else:  # of pairs of numbers, those that occur are numbered again, so that products stay below 2**63
            one, two = (_paired(first, second, many) for first, second in ((found, one), (numbers, two)))
            found, numbers, size = _numbered(*(pa.array(each, mask=each == _NONE) for each in (one, two)))
    if found is None or numbers is None:
        raise ValueError("no key columns")
    return found, numbers, size


def _numbered(left: Any, right: Any) -> tuple[_Rows, _Rows, int]:
    placed = _placed(left, right)
    if placed is not None:
        return placed
    values = pc.drop_null(pc.unique(right))
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    one, two = (pc.fill_null(pc.index_in(each, value_set=values), _NONE).to_numpy() for each in (left, right))
    return one.astype(np.int64), two.astype(np.int64), len(values)


def _placed(left: Any, right: Any) -> tuple[_Rows, _Rows, int] | None:
    """Integers that lie close together are numbers already, which takes no hash table; ``None`` for others."""
    kind = right.type
    if not pa.types.is_integer(kind) or pa.types.is_uint64(kind):
        return None
    low, high = pc.min_max(right).as_py().values()
    if low is None or high - low > _SPARSE * (len(left) + len(right)):
        return None
    size = high - low + 1
    one, two = (_offsets(each, low, size) for each in (left, right))
    present = np.zeros(size, np.bool_)
    present[two[two != _NONE]] = True
    inside = np.flatnonzero(one != _NONE)
    one[inside[~present[one[inside]]]] = _NONE
    return one, two, size


def _offsets(column: Any, low: int, size: int) -> _Rows:
    """How far values are above the least; -1 for what is not within the size, and for nulls."""
    values = pc.fill_null(column, 0).to_numpy().astype(np.int64)
    # Differences wrap around at 64 bits, where no two values have the same.
    offsets = (values.view(np.uint64) - np.uint64(low % 2**64)).view(np.int64)
    outside = (offsets < 0) | (offsets >= size)
    if column.null_count:
        outside |= np.asarray(pc.is_null(column))
    found: _Rows = np.where(outside, _NONE, offsets)
    return found


def _paired(first: _Rows, second: _Rows, many: int) -> _Rows:
    return np.where((first == _NONE) | (second == _NONE), np.int64(_NONE), first * many + second)


def _pairs(found: _Rows, numbers: _Rows, size: int, outer: bool) -> tuple[_Rows, _Rows]:
    """The rows of both sides that make up the result; -1 on the right where an outer join found none."""
    valid = np.flatnonzero(numbers != _NONE)
    of_valid = numbers[valid]
    counts = np.bincount(of_valid, minlength=size)
    by_number = valid[np.argsort(of_valid, kind="stable")]
    begins = np.cumsum(counts) - counts
    rows = np.flatnonzero(found != _NONE)
    matches = np.zeros(len(found), np.int64)
    matches[rows] = counts[found[rows]]
    times = np.maximum(matches, 1) if outer else matches
    left_rows = np.repeat(np.arange(len(found)), times)
    first = np.zeros(len(found), np.int64)
    first[rows] = begins[found[rows]]
    within = np.arange(len(left_rows)) - np.repeat(np.cumsum(times) - times, times)
    places = np.repeat(first, times) + within
    if not outer:
        return left_rows, by_number[places]
    alone = np.repeat(matches == 0, times)
    right_rows = np.full(len(left_rows), _NONE, np.int64)
    right_rows[~alone] = by_number[places[~alone]]
    return left_rows, right_rows


def _rows(table: Any, rows: _Rows) -> Any:
    """Rows of a table; nulls where the row is -1."""
    missing = rows == _NONE
    if missing.any():
        return table.take(pa.array(rows, mask=missing))
    return gather(table, rows)
