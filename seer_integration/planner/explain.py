"""A plan in words."""

from __future__ import annotations

from collections.abc import Mapping

from lithops_shm.sizes import size
from seer_integration import expressions
from seer_integration.operations import (
    Distinct,
    Filter,
    Join,
    Limit,
    Operation,
    Sample,
    Select,
    Transform,
)
from seer_integration.operations.records import MapRecords, ReducePairs
from seer_integration.planner.plan import (
    BroadcastJoin,
    CachedInput,
    ExchangeInput,
    FinalAggregate,
    PartialAggregate,
    Plan,
    Reading,
    ScanInput,
    ShuffledJoin,
    StagePlan,
    ToExchange,
    ToKept,
    ValuesInput,
)

__all__ = ["explained"]


def explained(plan: Plan, tasks: Mapping[int, int]) -> str:
    """The stages of a plan, what each reads, does and leaves.

    Parameters
    ----------
    tasks:
        Of stages, where it is known before they run, how many.
    """
    lines = []
    for stage in plan.stages:
        count = tasks.get(stage.number)
        many = "as many tasks as partitions" if count is None else f"{count:,} task{'s' * (count != 1)}"
        lines.append(f"{_title(stage)}, {many}")
        lines += [f"  {line}" for line in _input(plan, stage)]
        lines += [f"  {_step(plan, step.operation)}" for step in stage.steps]
        lines += [f"  {_output(plan, output)}" for output in stage.outputs]
    return "\n".join([*lines, *(f"note: {note}" for note in plan.notes)])


def _title(stage: StagePlan) -> str:
    return f"[{stage.number}] of stage {' and '.join(stage.names)}"


def _input(plan: Plan, stage: StagePlan) -> list[str]:
    source = stage.input
    if isinstance(source, ScanInput):
        return _reading(plan.readings[source.reading])
    if isinstance(source, CachedInput):
        return [f"reads what was cached: {size(plan.cached[source.cached].nbytes)}"]
    if isinstance(source, ValuesInput):
        return [f"takes {len(plan.values[source.values]):,} values"]
    if isinstance(source, ExchangeInput):
        return [
            f"takes partitions {_by(plan, edge)}, from {_those(plan.edges[edge].producers)}" for edge in source.edges
        ]
    return [f"takes all that {_those(plan.kept[source.kept].producers)} kept"]


def _reading(reading: Reading) -> list[str]:
    survey = reading.survey
    objects = f"{len(survey.objects):,} object{'s' * (len(survey.objects) != 1)}"
    lines = [f"scans {survey.source.location}: {objects}, {size(survey.nbytes)} of {survey.source.format}"]
    if reading.columns is not None:
        lines.append(f"  only columns {', '.join(reading.columns)}")
    if reading.where is not None:
        lines.append(f"  only rows where {reading.where}")
    if reading.note:
        lines.append(f"  {reading.note}: {size(survey.nbytes - reading.nbytes)} less to read")
    return lines


def _step(plan: Plan, operation: Operation) -> str:
    if isinstance(operation, Filter):
        expression = expressions.of(operation.action)
        return f"Filter {expression if expression is not None else _called(operation.action)}"
    if isinstance(operation, Transform):
        return f"{operation.name} {_called(operation.action)}"
    if isinstance(operation, Select):
        if isinstance(operation.columns, Mapping):
            return f"Select {', '.join(f'{text} AS {name}' for name, text in operation.columns.items())}"
        return f"Select {', '.join(operation.columns)}"
    if isinstance(operation, Sample):
        return f"Sample {operation.fraction:.3g}"
    if isinstance(operation, Limit):
        order = f" by {', '.join(operation.key)}{' descending' * operation.descending}" if operation.key else ""
        return f"Limit {operation.rows:,}{order}"
    if isinstance(operation, Distinct):
        return f"Distinct {', '.join(operation.columns)}".rstrip()
    if isinstance(operation, (PartialAggregate, FinalAggregate)):
        aggregate = operation.aggregate
        values = ", ".join(f"{name}={_value(*each)}" for name, each in aggregate.values.items())
        by = f" by {', '.join(aggregate.by)}" if aggregate.by else ""
        part = " of each part" if isinstance(operation, PartialAggregate) else ""
        return f"Aggregate{part} {values}{by}"
    if isinstance(operation, BroadcastJoin):
        return f"{_join(operation.join)} with all that {_those(plan.kept[operation.kept].producers)} kept"
    if isinstance(operation, ShuffledJoin):
        return f"{_join(operation.join)} of the two"
    if isinstance(operation, (MapRecords, ReducePairs)):
        return f"{operation.name} {_called(operation.function)}"
    return operation.name


def _output(plan: Plan, output: object) -> str:
    if isinstance(output, ToExchange):
        return f"-> [{plan.edges[output.edge].consumer}], exchanged {_by(plan, output.edge)}"
    if isinstance(output, ToKept):
        kept = plan.kept[output.kept]
        return f"-> {_those(kept.consumers)}, kept" if kept.collected is None else "-> the result"
    write = plan.sinks[output.sink].write  # type: ignore[attr-defined]
    return f"-> {write.bucket + '/' if write.bucket else ''}{write.key}, as {write.format}"


def _by(plan: Plan, edge: int) -> str:
    shuffle = plan.edges[edge].shuffle
    what = ", ".join(shuffle.columns) or "key"
    how = "in ranges of" if shuffle.kind == "range" else "by"
    count = f" to {shuffle.partitions:,} partitions" if shuffle.partitions is not None else ""
    return f"{how} {what}{count}"


def _join(join: Join) -> str:
    pairs = zip(join.on, join.right_on or join.on, strict=True)
    on = ", ".join(left if left == right else f"{left} = {right}" for left, right in pairs)
    return f"Join {join.how} on {on}"


def _value(function: object, columns: tuple[str, ...]) -> str:
    name = function if isinstance(function, str) else type(function).__name__
    return f"{name}({', '.join(columns) or '*'})"


def _those(stages: tuple[int, ...]) -> str:
    return " and ".join(f"[{number}]" for number in dict.fromkeys(stages))


def _called(function: object) -> str:
    return f"{getattr(function, '__qualname__', repr(function))}()"
