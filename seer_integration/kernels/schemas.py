"""What operations make of schemas, found before anything runs: by doing them with tables that have no rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa

from lithops_shm.errors import PartitionerError
from lithops_shm.shuffle.keys import check_keys
from seer_integration.errors import PlanError
from seer_integration.expressions import described, resolved
from seer_integration.kernels.aggregation import finished, merged, partial
from seer_integration.kernels.binding import bound
from seer_integration.kernels.joining import joined_schema
from seer_integration.kernels.ordering import distinct
from seer_integration.kernels.rows import selected
from seer_integration.kernels.types import common_type
from seer_integration.operations import (
    Aggregate,
    Custom,
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
    Transform,
    Union,
)

__all__ = ["schema_after"]


def schema_after(operation: Operation, inputs: Sequence[Any]) -> Any:
    """The schema of the rows an operation gives.

    Parameters
    ----------
    operation:
        Any, bound or not.
    inputs:
        A pa.Schema of each parent, the left one first, or None where it is not known. Of a Scan that of its source.

    Returns
    -------
    A pa.Schema, or None where it is not known: after a user's function, and of parents that are not.

    Raises
    ------
    PlanError
        When columns are missing, or of types the operation cannot take.
    OperationError
        When a text is no expression.
    """
    operation = bound(operation, inputs)
    if isinstance(operation, Transform) or any(each is None for each in inputs):
        return None
    find = _FINDERS.get(type(operation))
    try:
        return inputs[0] if find is None else find(operation, inputs)
    except PartitionerError as error:
        raise PlanError(operation.name, ": ".join(map(str, error.args))) from error
    except PlanError as error:
        where, reason = error.args
        raise PlanError(operation.name, reason if where == operation.name else f"{where}: {reason}") from error


def _scan(operation: Any, inputs: Sequence[Any]) -> Any:
    schema = inputs[0]
    return schema if operation.columns is None else pa.schema([schema.field(name) for name in operation.columns])


def _filter(operation: Any, inputs: Sequence[Any]) -> Any:
    return None if callable(operation.action) else inputs[0]


def _exchange(operation: Any, inputs: Sequence[Any]) -> Any:
    if operation.by is not None:
        check_keys(inputs[0], operation.by, ordered=False)
    return inputs[0]


def _sort(operation: Any, inputs: Sequence[Any]) -> Any:
    check_keys(inputs[0], operation.key, ordered=True)
    return inputs[0]


def _groupby(operation: Any, inputs: Sequence[Any]) -> Any:
    check_keys(inputs[0], operation.key, ordered=False)
    return inputs[0]


def _limit(operation: Any, inputs: Sequence[Any]) -> Any:
    if operation.key:
        check_keys(inputs[0], operation.key, ordered=True)
    return inputs[0]


def _select(operation: Any, inputs: Sequence[Any]) -> Any:
    return selected(inputs[0].empty_table(), operation.columns).schema


def _aggregate(operation: Any, inputs: Sequence[Any]) -> Any:
    by, values = operation.by, operation.values
    if not by and not values:
        raise PlanError("Aggregate", "there is neither a key nor a value; give values={'rows': 'count'}, or by=")
    if by:
        check_keys(inputs[0], by, ordered=False)
    if any(isinstance(function, Custom) for function, _ in values.values()):
        return None
    for name, (function, columns) in values.items():
        try:
            _steps(inputs[0], (), {name: (function, columns)})
        except PlanError as error:
            kinds = " and ".join(str(inputs[0].field(column).type) for column in columns)
            reason = f"{name!r}: {function} of {columns[0]!r} is not possible, its values are of type {kinds}"
            raise PlanError("Aggregate", f"{reason}; cast it in a Select before") from error
    return _steps(inputs[0], by, values)


def _steps(schema: Any, by: Sequence[str], values: Any) -> Any:
    return finished(merged(partial(schema.empty_table(), by, values), by, values), by, values).schema


def _join(operation: Any, inputs: Sequence[Any]) -> Any:
    left, right = inputs
    check_keys(left, operation.on, ordered=False)
    check_keys(right, operation.right_on, ordered=False)
    return joined_schema(left, right, operation.on, operation.right_on, operation.how, operation.suffix)


def _distinct(operation: Any, inputs: Sequence[Any]) -> Any:
    names = operation.columns or tuple(inputs[0].names)
    check_keys(inputs[0], names, ordered=False)
    return distinct(inputs[0].empty_table(), names).schema


def _union(_: Any, inputs: Sequence[Any]) -> Any:
    return reduce(_united, enumerate(inputs[1:], 2), inputs[0])


def _united(schema: Any, numbered: tuple[int, Any]) -> Any:
    number, other = numbered
    for one, two, where in ((schema, other, f"parent {number}"), (other, schema, "parent 1")):
        if missing := [name for name in one.names if name not in two.names]:
            reason = f"{where} has no column {', '.join(map(repr, missing))}, only {described(two.names)}"
            raise PlanError("Union", f"{reason}; make their columns the same in a Select before")
    fields = []
    for field in schema:
        two = other.field(resolved(field.name, other))
        kind = common_type(field.type, two.type)
        if kind is None:
            reason = f"column {field.name!r} is {field.type} in parent 1 and {two.type} in parent {number}"
            raise PlanError("Union", f"{reason}; cast one of them in a Select before")
        fields.append(pa.field(field.name, kind, field.nullable or two.nullable))
    return pa.schema(fields)


_FINDERS: dict[type[Operation], Callable[[Any, Sequence[Any]], Any]] = {
    Scan: _scan,
    Filter: _filter,
    Exchange: _exchange,
    Sort: _sort,
    Groupby: _groupby,
    Limit: _limit,
    Select: _select,
    Aggregate: _aggregate,
    Join: _join,
    Distinct: _distinct,
    Union: _union,
}
