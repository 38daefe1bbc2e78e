"""What a planner makes of a job: stages of tasks, and what flows between them. Data alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from lithops_shm.shuffle.spec import Shuffle
from seer_integration.datasets.sources import Survey
from seer_integration.expressions import Expression
from seer_integration.operations import Aggregate, Join, Operation, Write

__all__ = [
    "Align",
    "BroadcastJoin",
    "CachedInput",
    "Edge",
    "ExchangeInput",
    "FinalAggregate",
    "Input",
    "Kept",
    "KeptInput",
    "Output",
    "PartialAggregate",
    "Plan",
    "Reading",
    "ScanInput",
    "ShuffledJoin",
    "SinkPlan",
    "StagePlan",
    "Step",
    "ToExchange",
    "ToKept",
    "ToSink",
    "ValuesInput",
]


@dataclass(frozen=True)
class PartialAggregate(Operation):
    """Aggregate a part of the rows, to be merged with others."""

    aggregate: Aggregate


@dataclass(frozen=True)
class FinalAggregate(Operation):
    """Merge partial aggregates, all those of some keys, and finish them."""

    aggregate: Aggregate


@dataclass(frozen=True)
class BroadcastJoin(Operation):
    """Join with all rows of what was kept."""

    join: Join
    kept: int


@dataclass(frozen=True)
class ShuffledJoin(Operation):
    """Join the two tables of a partition."""

    join: Join


@dataclass(frozen=True)
class Align(Operation):
    """Give rows the columns of a schema, in its order and of its types."""

    schema: pa.Schema


@dataclass(frozen=True)
class Reading:
    """How a source is read.

    Parameters
    ----------
    survey:
        What is there.
    columns:
        Those to read; ``None`` for all.
    where:
        Which rows; ``None`` for all.
    kept:
        What skipping leaves: of each object that remains the row groups, or ``None`` for all of it. ``None``: all.
    nbytes:
        Bytes of what remains.
    note:
        What skipping did, in words; empty when it was not asked.
    """

    survey: Survey
    columns: tuple[str, ...] | None
    where: Expression | None
    kept: dict[str, Any] | None
    nbytes: int
    note: str = ""


@dataclass(frozen=True)
class ScanInput:
    """A task for each split of a source: the reading of this number."""

    reading: int


@dataclass(frozen=True)
class CachedInput:
    """A task for each part that was cached: the handle of this number."""

    cached: int


@dataclass(frozen=True)
class ValuesInput:
    """A task for some of the values: those of this number."""

    values: int


@dataclass(frozen=True)
class ExchangeInput:
    """A task for each partition; it gets a table of each edge."""

    edges: tuple[int, ...]


@dataclass(frozen=True)
class KeptInput:
    """A task for all parts that were kept, in their order."""

    kept: int


Input = ScanInput | CachedInput | ValuesInput | ExchangeInput | KeptInput


@dataclass(frozen=True)
class Step:
    """An operation on what the step before gives.

    Parameters
    ----------
    parent:
        Number of that step in the stage; -1: the stage's input.
    operation:
        What to do.
    """

    parent: int
    operation: Operation


@dataclass(frozen=True)
class ToExchange:
    """What a step gives goes to the partitions of an edge.

    `producer` is the place of this stage among the producers.
    """

    step: int
    edge: int
    producer: int


@dataclass(frozen=True)
class ToKept:
    """What a step gives is kept, as one part by each task.

    `producer` is the place of this stage among the producers.
    """

    step: int
    kept: int
    producer: int


@dataclass(frozen=True)
class ToSink:
    """What a step gives is written, as one part by each task.

    `producer` is the place of this stage among the producers.
    """

    step: int
    sink: int
    producer: int


Output = ToExchange | ToKept | ToSink


@dataclass(frozen=True)
class StagePlan:
    """Tasks that all do the same with different rows, in one pass.

    Parameters
    ----------
    number:
        Of the stage in the plan.
    names:
        The job's stages that it does something of.
    input:
        Where a task's rows come from, which also says how many tasks there are.
    steps:
        A tree: each follows one before it.
    outputs:
        Where rows go.
    broadcasts:
        What has to have been kept before; every task reads it.
    """

    number: int
    names: tuple[str, ...]
    input: Input
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    broadcasts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Edge:
    """An all-to-all exchange, from `producers` to `consumer`; of rows of `schema`, if that is known, or of pairs."""

    shuffle: Shuffle
    producers: tuple[int, ...]
    consumer: int
    schema: pa.Schema | None


@dataclass(frozen=True)
class Kept:
    """Parts that tasks of `producers` leave, for stages, or (``consumers`` empty) for the client."""

    producers: tuple[int, ...]
    consumers: tuple[int, ...]
    schema: pa.Schema | None
    collected: str | None = None


@dataclass(frozen=True)
class SinkPlan:
    """A dataset that tasks of `producers` write."""

    write: Write
    producers: tuple[int, ...]
    schema: pa.Schema | None
    stage: str


@dataclass(frozen=True)
class Plan:
    """A whole job; everything refers to everything by its place in these."""

    stages: tuple[StagePlan, ...]
    readings: tuple[Reading, ...]
    cached: tuple[Any, ...]
    values: tuple[Sequence[Any], ...]
    edges: tuple[Edge, ...]
    kept: tuple[Kept, ...]
    sinks: tuple[SinkPlan, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def nbytes(self) -> int:
        """Bytes of all that is read."""
        return sum(int(each.nbytes) for each in (*self.readings, *self.cached))

    def before(self, stage: StagePlan) -> set[int]:
        """The stages that have to end before this one can begin."""
        found: set[int] = set()
        if isinstance(stage.input, ExchangeInput):
            for edge in stage.input.edges:
                found.update(self.edges[edge].producers)
        if isinstance(stage.input, KeptInput):
            found.update(self.kept[stage.input.kept].producers)
        for kept in stage.broadcasts:
            found.update(self.kept[kept].producers)
        return found
