"""What the columns of some rows hold: least and greatest values, nulls, and all values when they are few."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from seer_integration.expressions import ColumnStatistics

__all__ = ["Statistics", "alike", "has_bounds", "merged", "statistics_of"]

Statistics = Mapping[str, ColumnStatistics]

_FEW = 32  # values that are listed: a category's, and no more than two bounds cost
_LOOKED_AT = 4096  # rows in which a column that has more values than that shows it, most often
_LONG = 256  # bytes or characters of a value that is written down; longer ones are not known


def statistics_of(table: pa.Table, columns: Sequence[str]) -> dict[str, ColumnStatistics]:
    """Of some columns of a table. What is not known is ``None``.

    Bounds leave NaN out, as :class:`~seer_integration.expressions.ColumnStatistics` has it. Nested columns have none.
    """
    return {name: _of_column(table.column(name)) for name in columns}


def merged(parts: Sequence[Statistics]) -> dict[str, ColumnStatistics]:
    """Of the columns that all of several parts know, one at least, in all their rows."""
    names = [name for name in parts[0] if all(name in each for each in parts)]
    return {name: _merged([each[name] for each in parts]) for name in names}


def has_bounds(kind: pa.DataType) -> bool:
    """Whether values of this type have an order, and Python has values that are equal to them."""
    if kind in (pa.float16(), pa.time64("ns")):  # Python's times have microseconds
        return False
    tests = (
        pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal128, pa.types.is_decimal256,
        pa.types.is_date, pa.types.is_time, pa.types.is_timestamp,
        pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
    )  # fmt: skip
    return any(test(kind) for test in tests)


def alike(stored: pa.DataType, read: pa.DataType) -> bool:
    """Whether what is stored as one type and read as the other is the same to Python, and in the same order."""
    if not (has_bounds(read) and has_bounds(stored)):
        return False
    kinds = (pa.types.is_integer, _is_text, _is_bytes, pa.types.is_date, pa.types.is_time)
    return stored == read or any(kind(stored) and kind(read) for kind in kinds) or _same_zone(stored, read)


def _python_value(scalar: pa.Scalar) -> Any:
    """The value; ``None`` when Python has none that is equal, as of the year 10000, or when it is long, or NaN."""
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError):
        return None
    long = isinstance(value, (str, bytes)) and len(value) > _LONG
    return None if long or value != value else value  # NaN


def _of_column(column: pa.ChunkedArray) -> ColumnStatistics:
    nulls = column.null_count
    least = greatest = values = None
    if nulls == len(column):
        values = frozenset[Any]()
    elif has_bounds(column.type):
        bounds = pc.min_max(column)
        least, greatest = _python_value(bounds["min"]), _python_value(bounds["max"])
        values = _few_values(column)
    return ColumnStatistics(least=least, greatest=greatest, nulls=nulls, rows=len(column), values=values)


def _few_values(column: pa.ChunkedArray) -> frozenset[Any] | None:
    if pa.types.is_floating(column.type):  # a set of Python's has one zero, and any number of NaN
        return None
    if len(column) > _LOOKED_AT and len(pc.unique(column.slice(0, _LOOKED_AT))) > _FEW + 1:
        return None
    found = pc.drop_null(pc.unique(column))
    values = [_python_value(each) for each in found] if len(found) <= _FEW else [None]
    return None if None in values else frozenset(values)


def _bound(choose: Any, bounds: Sequence[Any]) -> Any:
    return None if not bounds or any(bound is None for bound in bounds) else choose(bounds)


def _sum(counts: Iterable[int | None]) -> int | None:
    every = list(counts)
    return None if None in every else sum(each for each in every if each is not None)


def _merged(every: Sequence[ColumnStatistics]) -> ColumnStatistics:
    rows = _sum(part.rows for part in every)
    nulls = _sum(part.nulls for part in every)
    # Parts in which it is all null do not count for its bounds.
    some = [part for part in every if part.rows is None or part.nulls is None or part.nulls < part.rows]
    values = None
    if all(part.values is not None for part in some):
        values = frozenset[Any]().union(*(part.values or () for part in some))
    return ColumnStatistics(
        least=_bound(min, [part.least for part in some]),
        greatest=_bound(max, [part.greatest for part in some]),
        nulls=nulls,
        rows=rows,
        values=values if values is not None and len(values) <= _FEW else None,
    )


def _same_zone(one: pa.DataType, other: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(one) and pa.types.is_timestamp(other) and one.tz == other.tz)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
