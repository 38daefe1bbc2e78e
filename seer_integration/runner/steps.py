"""What the operations of a stage do to the rows of one task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from lithops_shm.shuffle.tables import as_asked, as_table, is_table
from seer_integration import expressions, kernels
from seer_integration.errors import OperationError
from seer_integration.operations import (
    Distinct,
    Filter,
    Limit,
    Operation,
    Sample,
    Select,
    Transform,
)
from seer_integration.operations.records import RecordOperation
from seer_integration.planner.plan import Align, BroadcastJoin, FinalAggregate, PartialAggregate, ShuffledJoin, Step

__all__ = ["Rows", "stepped"]

Rows = Any
"""What flows through a task: a pa.Table; those of several edges or runs, as a tuple; or a list of Python objects."""


def stepped(
    steps: Sequence[Step],
    rows: Rows,
    task: int,
    kept: Callable[[int], pa.Table],
    wanted: Collection[int],
    arguments: Mapping[int, Mapping[str, Any]],
) -> dict[int, Rows]:
    """What the wanted steps give, by number; -1 is the input. Others are let go as soon as nothing needs them.

    Parameters
    ----------
    rows:
        The input of the task.
    task:
        Its number.
    kept:
        Gives what was kept, by number: of broadcast joins.
    arguments:
        More of the users' functions, by step.
    """
    last_use = {step.parent: number for number, step in enumerate(steps)}
    given: dict[int, Rows] = {-1: rows}
    del rows
    for number, step in enumerate(steps):
        given[number] = _done(step.operation, given[step.parent], task, kept, arguments.get(number, {}))
        if last_use[step.parent] == number and step.parent not in wanted:
            del given[step.parent]
    return {number: given[number] for number in wanted}


def _done(
    operation: Operation,
    rows: Rows,
    task: int,
    kept: Callable[[int], pa.Table],
    arguments: Mapping[str, Any],
) -> Rows:
    if isinstance(operation, Filter):
        expression = expressions.of(operation.action)
        if expression is not None:
            return kernels.filtered(rows, expression)
        return _called(operation, operation.action, rows, operation.library, {})
    if isinstance(operation, Transform):
        return _called(operation, operation.action, rows, operation.library, arguments)
    if isinstance(operation, Select):
        return kernels.selected(rows, operation.columns)
    if isinstance(operation, Sample):
        return kernels.sample(rows, operation.fraction, operation.seed, task)
    if isinstance(operation, Limit):
        return kernels.top(rows, operation.rows, tuple(operation.key), operation.descending)
    if isinstance(operation, Distinct):
        return kernels.distinct(rows, tuple(operation.columns))
    if isinstance(operation, PartialAggregate):
        return kernels.partial(rows, tuple(operation.aggregate.by), operation.aggregate.values)
    if isinstance(operation, FinalAggregate):
        by, values = tuple(operation.aggregate.by), operation.aggregate.values
        return kernels.finished(kernels.merged(rows, by, values), by, values)
    if isinstance(operation, (BroadcastJoin, ShuffledJoin)):
        left, right = (rows, kept(operation.kept)) if isinstance(operation, BroadcastJoin) else rows
        join = operation.join
        return kernels.join(left, right, tuple(join.on), tuple(join.right_on or join.on), join.how, join.suffix)
    if isinstance(operation, Align):
        # Columns that nobody needs may have been left out.
        present = pa.schema([field for field in operation.schema if field.name in rows.schema.names])
        return kernels.aligned(rows, present)
    assert isinstance(operation, RecordOperation), operation.name
    return operation.apply(rows, task)


def _called(
    operation: Operation, action: Callable[..., Any], rows: pa.Table, library: str, arguments: Mapping[str, Any]
) -> pa.Table:
    found = action(as_asked(rows, library), **arguments)
    if not is_table(found):
        name = getattr(action, "__name__", repr(action))
        reason = f"gave a {type(found).__qualname__}; it has to give a frame of pandas or Polars, or an Arrow table"
        raise OperationError(operation.name, "action", name, reason)
    return as_table(found)[0]
