"""Rows kept, columns kept or computed, and tables of one schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from seer_integration.errors import OperationError, PlanError
from seer_integration.expressions import Column, Expression, bind, computed, of, resolved

__all__ = ["aligned", "condition", "expressions_of", "filtered", "selected"]

_SMALL_ROWS = 16_384
"""Arrow computes expressions in batches of 32,768 rows. If fewer than half are left of each they are put together."""


def filtered(table: Any, expression: Expression) -> Any:
    """The rows for which an expression is true, in their order; neither those for which it is false nor null.

    Raises
    ------
    PlanError
        When it is not about such rows, or is not a condition.
    """
    kept = table.filter(condition(expression, table.schema).to_arrow())
    chunks = max((column.num_chunks for column in kept.columns), default=0)
    return kept.combine_chunks() if chunks > 1 and kept.num_rows < chunks * _SMALL_ROWS else kept


def condition(expression: Expression, schema: Any) -> Expression:
    """An expression bound to a schema.

    Raises
    ------
    PlanError
        As :func:`~seer_integration.expressions.bind` does, and when its values are not true or false.
    """
    bound, kind = bind(expression, schema)
    if not pa.types.is_boolean(kind):
        raise PlanError(str(expression), f"is no condition: its values are of type {kind}, not true or false")
    return bound


def selected(table: Any, columns: Sequence[str] | Mapping[str, Any]) -> Any:
    """Columns of a table by their names, or new ones by the expressions they are mapped to.

    Columns that are only named are views.

    Raises
    ------
    PlanError
        When there is no such column, or an expression does not fit the table.
    """
    if not isinstance(columns, Mapping):
        return table.select([resolved(name, table.schema) for name in columns])
    bound = {name: bind(each, table.schema)[0] for name, each in expressions_of(columns).items()}
    new = {name: each.to_arrow() for name, each in bound.items() if not isinstance(each, Column)}
    results = computed(table, new) if new else table
    arrays = {
        name: table.column(each.name) if isinstance(each, Column) else results.column(name)
        for name, each in bound.items()
    }
    return pa.table(arrays)


def expressions_of(columns: Mapping[str, Any]) -> dict[str, Expression]:
    """What new columns are mapped to, as expressions.

    Raises
    ------
    OperationError
        When something is none.
    """
    found = {}
    for name, value in columns.items():
        expression = of(value)
        if expression is None:
            raise OperationError("Select", name, value, "is no expression; give a text, or a pyarrow expression")
        found[name] = expression
    return found


def aligned(table: Any, schema: Any) -> Any:
    """The same rows with the columns of a schema, in its order and of its types; a view where these are the same.

    Raises
    ------
    PlanError
        When a column is missing, or its values do not fit.
    """
    chosen = table.select([resolved(name, table.schema) for name in schema.names]).rename_columns(schema.names)
    try:
        return chosen if chosen.schema == schema else chosen.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise PlanError("columns", f"the rows are not of the schema {schema.names}: {error}") from error
