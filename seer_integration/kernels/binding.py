"""Operations with the names of columns as they are in the data, and texts as expressions that fit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from seer_integration.errors import OperationError, PlanError
from seer_integration.expressions import bind, of, resolved
from seer_integration.kernels.rows import condition, expressions_of
from seer_integration.operations import (
    Aggregate,
    Distinct,
    Exchange,
    Filter,
    Groupby,
    Join,
    Limit,
    Operation,
    Scan,
    Select,
    Sort,
    Write,
)

__all__ = ["bound"]

# Of operations that name columns of their only parent: which parameters do.
_NAMED: dict[type[Operation], str] = {
    Scan: "columns",
    Exchange: "by",
    Sort: "key",
    Groupby: "key",
    Limit: "key",
    Distinct: "columns",
    Write: "index",
}


def bound(operation: Operation, schemas: Sequence[Any]) -> Operation:
    """An operation whose names are resolved, and whose expressions are bound to the schemas of its parents.

    The kernels take it as it is. Names are only those of the data: ``"c0"`` of an older script has become ``"0"``; the
    columns of a Scan are in the order of its source.

    Parameters
    ----------
    operation:
        Any. What is bound already stays.
    schemas:
        A pa.Schema of each parent, or None where it is not known: names that are of such stay as they are, expressions
        are read, and bound by the kernels.

    Raises
    ------
    PlanError
        When a column is missing, there are not as many parents as it takes, or an expression does not fit.
    OperationError
        When a text is no expression.
    """
    parents = 2 if isinstance(operation, Join) else 1
    if len(schemas) < parents or (isinstance(operation, Join) and len(schemas) > parents):
        raise PlanError(operation.name, f"it takes {parents} parents, and has {len(schemas)}")
    try:
        return _bound(operation, schemas)
    except PlanError as error:
        raise PlanError(operation.name, ": ".join(map(str, error.args))) from error


def _bound(operation: Operation, schemas: Sequence[Any]) -> Operation:
    schema = schemas[0]
    if isinstance(operation, Filter):
        expression = of(operation.action)
        if expression is None and not callable(operation.action):
            reason = "is no condition; give a text, a pyarrow expression or a function"
            raise OperationError(operation.name, "action", operation.action, reason)
        if expression is None:
            return operation
        return replace(operation, action=expression if schema is None else condition(expression, schema))
    if isinstance(operation, Select) and isinstance(operation.columns, Mapping):
        expressions = expressions_of(operation.columns)
        if schema is not None:
            expressions = {name: bind(each, schema)[0] for name, each in expressions.items()}
        return replace(operation, columns=expressions)
    if isinstance(operation, Join):
        right_on = operation.right_on or operation.on
        return replace(operation, on=_names(operation.on, schema), right_on=_names(right_on, schemas[1]))
    if schema is None:
        return operation
    if isinstance(operation, Select):
        return replace(operation, columns=_names(operation.columns, schema))
    if isinstance(operation, Aggregate):
        values = {
            name: (function, _names(columns, schema)) if columns else function
            for name, (function, columns) in operation.values.items()
        }
        return replace(operation, by=_names(operation.by, schema), values=values)
    parameter = _NAMED.get(type(operation))
    given = getattr(operation, parameter) if parameter else None
    if parameter is None or given is None or isinstance(given, bool):
        return operation
    names = _names(given, schema)
    if isinstance(operation, Scan):
        names = tuple(name for name in schema.names if name in names)
    return replace(operation, **{parameter: names})


def _names(names: Any, schema: Any) -> tuple[str, ...]:
    return tuple(names) if schema is None else tuple(resolved(name, schema) for name in names)
