"""Aggregates in three steps: parts of the data where they are, the parts of a key together, and their values.

A partial table has the key columns and one or two columns of state for each value. Merging such tables gives one of the
same schema, and may be done any number of times, in any order. Groups come in the order in which they are met, the same
in every attempt of a task.

Sums of integers are int64 or uint64 as in Arrow, where DuckDB's are wider; one that does not fit is an error, and never
wraps around. Of decimals they have 38 digits. Means are float64, from sums of float64. NaN is left out of the least and
greatest. No rows at all without a key give one row: counts of 0, else nulls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from seer_integration.errors import PlanError
from seer_integration.kernels import custom
from seer_integration.kernels.grouping import grouped
from seer_integration.kernels.types import key_column, plain
from seer_integration.operations import Custom

__all__ = ["finished", "merged", "partial"]

Values = Mapping[str, tuple[Any, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class _State:
    """A column of a partial table: what it is of a column, and of itself when it is merged."""

    name: str
    column: str | None
    function: str
    merge: str
    floats: bool = False


def partial(table: Any, by: Sequence[str], values: Values) -> Any:
    """The state of each group of a table.

    Parameters
    ----------
    table:
        pa.Table.
    by:
        Key columns; none for one group of all rows.
    values:
        As of :class:`~seer_integration.operations.Aggregate` when it was made.

    Raises
    ------
    PlanError
        When a column has values that cannot be aggregated so, or a sum does not fit.
    """
    states = [state for each in _states(by, values).values() for state in each]
    columns = [key_column(table.column(name)) for name in by]
    names = list(by)
    for state in states:
        if state.column is not None:
            columns.append(_input(table.column(state.column), state))
            names.append(state.name)
    # A column of its own keeps the number of rows where there is no other.
    rows = pa.table([*columns, pa.nulls(table.num_rows)], names=[*names, ""])
    found = _grouped(rows, by, [(state.name, state.function) for state in states])
    return custom.partial(found, table, by, _customs(by, values))


def merged(table: Any, by: Sequence[str], values: Values) -> Any:
    """The state of each group of a table of states, as :func:`partial` gave them."""
    states = [state for each in _states(by, values).values() for state in each]
    found = _grouped(table, by, [(state.name, state.merge) for state in states])
    return custom.merged(found, table, by, _customs(by, values))


def finished(table: Any, by: Sequence[str], values: Values) -> Any:
    """The values of a table of states that has each group once: the key columns, then the values."""
    states, customs = _states(by, values), _customs(by, values)
    columns = [table.column(name) for name in by]
    for name, (function, _) in values.items():
        if name in customs:
            columns.append(custom.finished(table.column(customs[name][0]), function, name))
            continue
        first = table.column(states[name][0].name)
        if function == "count":
            columns.append(pc.fill_null(first, 0))
        elif function == "mean":
            columns.append(pc.divide(first, pc.cast(table.column(states[name][1].name), pa.float64())))
        else:
            columns.append(first)
    return pa.table(columns, names=[*by, *values])


def _states(by: Sequence[str], values: Values) -> dict[str, list[_State]]:
    found = {}
    for name, state in _names(by, values).items():
        function, columns = values[name]
        if isinstance(function, Custom):
            continue
        column = columns[0] if columns else None
        if function == "mean":
            found[name] = [_State(state, column, "sum", "sum", True), _State(f"{state} count", column, "count", "sum")]
        elif function == "count":
            found[name] = [_State(state, column, "count" if column else "count_all", "sum")]
        else:
            found[name] = [_State(state, column, function, function)]
    return found


def _customs(by: Sequence[str], values: Values) -> custom.Customs:
    names = _names(by, values)
    return {name: (names[name], *values[name]) for name in values if isinstance(values[name][0], Custom)}


def _names(by: Sequence[str], values: Values) -> dict[str, str]:
    """Names of states that no key column has: those begin with fewer dashes."""
    dashes = max((len(name) - len(name.lstrip("-")) for name in by), default=0) + 1
    return {name: f"{'-' * dashes}{place}" for place, name in enumerate(values)}


def _input(column: Any, state: _State) -> Any:
    kind = pa.float64() if state.floats and not pa.types.is_null(column.type) else plain(column.type)
    if state.function == "count" or column.type == kind:
        return column
    if state.floats and not _is_number(plain(column.type)):
        raise PlanError("Aggregate", f"the mean of {state.column!r} is of numbers, not of {column.type}")
    return pc.cast(column, kind, safe=False)


def _is_number(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _grouped(table: Any, by: Sequence[str], functions: Sequence[tuple[str, str]]) -> Any:
    """Arrow's aggregates of columns, each under the column's name, after the key columns."""
    exact: dict[str, Any] = {}
    for name, function in functions:
        if function == "sum" and pa.types.is_integer(kind := table.schema.field(name).type) and _overflows(table[name]):
            exact[name] = pa.uint64() if pa.types.is_unsigned_integer(kind) else pa.int64()
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, pc.cast(table.column(name), pa.decimal128(38, 0)))
    asked = [([], function) if function == "count_all" else (name, function) for name, function in functions]
    try:
        found = grouped(table, by, asked)
    except pa.ArrowNotImplementedError as error:
        raise PlanError("Aggregate", str(error)) from error
    found = found.rename_columns([*by, *(name for name, _ in functions)])
    for name, kind in exact.items():
        try:
            found = found.set_column(found.schema.get_field_index(name), name, pc.cast(found.column(name), kind))
        except pa.ArrowInvalid as error:
            advice = "sum it as DOUBLE or DECIMAL: CAST it in a Select before"
            raise PlanError("Aggregate", f"a sum of integers does not fit into {kind}; {advice}") from error
    return found


def _overflows(column: Any) -> bool:
    """Whether sums of a column of integers could leave 64 bits."""
    ends = pc.min_max(column).as_py()
    if ends["min"] is None:
        return False
    return bool(max(abs(ends["min"]), abs(ends["max"])) * len(column) >= 2**63)
