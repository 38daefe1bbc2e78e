"""From nodes to stages of tasks: neighbours that need no exchange are fused, others joined by edges and kept parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from lithops_shm.shuffle.planning import PARTITION_BYTES
from lithops_shm.shuffle.spec import Shuffle
from seer_integration.errors import PlanError
from seer_integration.operations import (
    Aggregate,
    Collect,
    Distinct,
    Exchange,
    Filter,
    Groupby,
    Join,
    Limit,
    Operation,
    Sample,
    Scan,
    Sort,
    Union,
    Write,
)
from seer_integration.operations.records import PackPairs, ReducePairs, Values
from seer_integration.planner.alike import hash_of
from seer_integration.planner.logical import Node
from seer_integration.planner.plan import (
    Align,
    BroadcastJoin,
    CachedInput,
    Edge,
    ExchangeInput,
    FinalAggregate,
    Input,
    Kept,
    KeptInput,
    Output,
    PartialAggregate,
    Plan,
    Reading,
    ScanInput,
    ShuffledJoin,
    SinkPlan,
    StagePlan,
    Step,
    ToExchange,
    ToKept,
    ToSink,
    ValuesInput,
)

__all__ = ["BROADCAST_BYTES", "Source", "planned"]

# A side this small is given to every task whole: hashing it takes a tenth of a second, an exchange of the other side
# reads and writes all of that. Spark's default is 10 MB, over a network.
BROADCAST_BYTES = 32 << 20
_MOST_PARTITIONS = 4096


@dataclass(frozen=True)
class Source:
    """What a Scan reads: a reading, or a cached handle; one of them is ``None``."""

    reading: Reading | None
    cached: Any = None


@dataclass(frozen=True)
class _Tip:
    """A place in a stage from which rows can be taken: what its step number `step` gives (-1: its input)."""

    stage: _Stage
    step: int


@dataclass(frozen=True)
class _Flow:
    """The rows of a node: those of all its tips, one after the other.

    Parameters
    ----------
    nbytes:
        At most so many, as far as one can tell before anything runs.
    together:
        Columns of which equal rows are in one task; empty when nothing is known.
    single:
        Whether there is one task only.
    """

    tips: tuple[_Tip, ...]
    nbytes: int
    schema: pa.Schema | None
    together: tuple[str, ...] = ()
    single: bool = False


@dataclass(eq=False)
class _Stage:
    number: int
    input: Input
    names: dict[str, None] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    broadcasts: list[int] = field(default_factory=list)
    after: set[int] = field(default_factory=set)


def planned(nodes: Sequence[Node], sources: dict[int, Source], skipped: set[int], slots: int) -> Plan:
    """The stages of a job.

    Parameters
    ----------
    nodes:
        Of the job, parents first.
    sources:
        Of each node that is a Scan, what it reads.
    skipped:
        Nodes that the scans do already.
    slots:
        Tasks that can run at once.

    Raises
    ------
    PlanError
    """
    return _Planner(nodes, sources, skipped, slots).plan()


class _Planner:
    def __init__(self, nodes: Sequence[Node], sources: dict[int, Source], skipped: set[int], slots: int) -> None:
        self._nodes = nodes
        self._sources = sources
        self._skipped = skipped
        self._slots = slots
        self._stages: list[_Stage] = []
        self._readings: list[Reading] = []
        self._cached: list[Any] = []
        self._values: list[Sequence[Any]] = []
        self._edges: list[Edge] = []
        self._kept: list[Kept] = []
        self._sinks: list[SinkPlan] = []
        self._notes: list[str] = []

    def plan(self) -> Plan:
        flows: list[_Flow] = []
        for node in self._nodes:
            inputs = [flows[parent] for parent in node.parents]
            flow = inputs[0] if node.number in self._skipped else self._flow(node, inputs)
            flows.append(replace(flow, schema=node.schema))
            for tip in flow.tips:
                tip.stage.names.setdefault(str(node.stage))
        return Plan(
            tuple(
                StagePlan(
                    each.number,
                    tuple(each.names),
                    each.input,
                    tuple(each.steps),
                    tuple(each.outputs),
                    tuple(each.broadcasts),
                )
                for each in self._stages
            ),
            tuple(self._readings),
            tuple(self._cached),
            tuple(self._values),
            tuple(self._edges),
            tuple(self._kept),
            tuple(self._sinks),
            tuple(self._notes),
        )

    def _flow(self, node: Node, inputs: list[_Flow]) -> _Flow:
        operation = node.operation
        if isinstance(operation, Scan):
            return self._scanned(self._sources[node.number])
        if isinstance(operation, Values):
            self._values.append(operation.values)
            stage = self._stage(ValuesInput(len(self._values) - 1))
            return _Flow((_Tip(stage, -1),), 0, None)
        flow = inputs[0]
        if isinstance(operation, Union):
            if node.schema is not None:
                inputs = [
                    each if each.schema == node.schema else self._then(each, Align(node.schema)) for each in inputs
                ]
            tips = tuple(tip for each in inputs for tip in each.tips)
            return _Flow(tips, sum(each.nbytes for each in inputs), node.schema)
        if isinstance(operation, Join):
            return self._joined(node, operation, inputs[0], inputs[1])
        if isinstance(operation, Exchange):
            return self._exchanged_by_itself(node, operation, flow)
        if isinstance(operation, (Sort, Groupby)):
            return self._met(node, operation, flow)
        if isinstance(operation, Aggregate):
            return self._aggregated(node, operation, flow)
        if isinstance(operation, Distinct):
            return self._distinct(node, operation, flow)
        if isinstance(operation, ReducePairs):
            return self._reduced(operation, flow)
        if isinstance(operation, Limit):
            first = self._then(flow, operation)
            return first if flow.single else self._then(self._gathered(first), operation)
        if isinstance(operation, (Write, Collect)):
            return self._ended(node, operation, flow)
        found = self._then(flow, operation)
        return found if isinstance(operation, (Filter, Sample)) else replace(found, together=())

    def _scanned(self, source: Source) -> _Flow:
        if source.reading is None:
            self._cached.append(source.cached)
            stage = self._stage(CachedInput(len(self._cached) - 1))
            return _Flow((_Tip(stage, -1),), source.cached.nbytes, source.cached.schema)
        self._readings.append(source.reading)
        stage = self._stage(ScanInput(len(self._readings) - 1))
        return _Flow((_Tip(stage, -1),), source.reading.nbytes, None)

    def _met(self, node: Node, operation: Sort | Groupby, flow: _Flow) -> _Flow:
        key = tuple(operation.key)
        ranges = isinstance(operation, Sort)
        if not ranges and flow.together and set(flow.together) <= set(key):
            return flow
        shuffle = Shuffle(by=key, kind="range" if ranges else "hash", sort=ranges, partitions=self._asked(node))
        return self._exchanged([flow], [shuffle], () if ranges else key)

    def _aggregated(self, node: Node, aggregate: Aggregate, flow: _Flow) -> _Flow:
        partial = self._then(flow, PartialAggregate(aggregate))
        final = FinalAggregate(aggregate)
        together = bool(flow.together) and set(flow.together) <= set(aggregate.by)
        if together or flow.single:
            return replace(self._then(partial, final), together=flow.together)
        if not aggregate.by:
            return self._then(self._gathered(partial), final)
        key = tuple(aggregate.by)
        met = self._exchanged([partial], [Shuffle(by=key, partitions=self._asked(node))], key)
        return self._then(met, final)

    def _distinct(self, node: Node, distinct: Distinct, flow: _Flow) -> _Flow:
        columns = tuple(distinct.columns) or (tuple(flow.schema.names) if flow.schema is not None else ())
        if not columns:
            reason = "which columns there are is known only when it runs; name them: Distinct(columns=[...])"
            raise PlanError(_where(node), reason)
        found = self._then(flow, distinct)
        if flow.single or (flow.together and set(flow.together) <= set(columns)):
            return found
        met = self._exchanged([found], [Shuffle(by=columns, partitions=self._asked(node))], columns)
        return self._then(met, distinct)

    def _reduced(self, reduce: ReducePairs, flow: _Flow) -> _Flow:
        """Pairs are packed in tables and exchanged as such."""
        packed = self._then(flow, PackPairs(reduce.combiner))
        shuffle = Shuffle(partitions=reduce.partitions, kind=reduce.partition or "hash")
        return self._then(self._exchanged([packed], [shuffle], ()), reduce)

    def _exchanged_by_itself(self, node: Node, exchange: Exchange, flow: _Flow) -> _Flow:
        """Rows meet by the key of the exchange, or of what follows, which then does it itself."""
        for number in node.consumers:
            after = self._nodes[number]
            if isinstance(after.operation, (Sort, Groupby, Aggregate, Distinct, Join)) and exchange.by is None:
                continue
            if exchange.by is None:
                reason = f"stage {after.stage} follows with {after.operation.name}, which has no key: Exchange(by=...)"
                raise PlanError(_where(node), reason)
        if exchange.by is None:
            return flow
        key = tuple(exchange.by)
        return self._exchanged([flow], [Shuffle(by=key, partitions=exchange.partitions)], key)

    def _joined(self, node: Node, join: Join, left: _Flow, right: _Flow) -> _Flow:
        small = right.nbytes <= BROADCAST_BYTES
        broadcast = join.strategy == "broadcast" or (join.strategy == "auto" and small)
        how = f"{_where(node)}: at most {right.nbytes / 2**20:,.1f} MiB on the right"
        if broadcast and self._would_wait_for_itself(left, right):
            self._notes.append(f"{how}, but both sides come from one stage: shuffled")
            broadcast = False
        elif join.strategy == "auto":
            self._notes.append(f"{how}: {'given to every task' if broadcast else 'shuffled'}")
        if broadcast:
            kept = self._keep(right)
            for tip in left.tips:
                tip.stage.broadcasts.append(kept)
                for source in right.tips:
                    tip.stage.after |= {source.stage.number} | source.stage.after
            self._kept[kept] = replace(
                self._kept[kept], consumers=tuple(dict.fromkeys(tip.stage.number for tip in left.tips))
            )
            return replace(self._then(left, BroadcastJoin(join, kept)), nbytes=left.nbytes + right.nbytes)
        partitions = self._asked(node) or self._partitions_for(left.nbytes + right.nbytes)
        on, right_on = tuple(join.on), tuple(join.right_on or join.on)
        kind = hash_of(left.schema, right.schema, on, right_on)
        shuffles = [Shuffle(by=key, kind=kind, partitions=partitions) for key in (on, right_on)]
        met = self._exchanged([left, right], shuffles, on)
        return self._then(met, ShuffledJoin(join))

    def _would_wait_for_itself(self, left: _Flow, right: _Flow) -> bool:
        """Whether a stage of the right side is, or comes after, one of the left."""
        mine = {tip.stage.number for tip in left.tips}
        return any(mine & self._all_before(tip.stage) for tip in right.tips)

    def _all_before(self, stage: _Stage) -> set[int]:
        """A stage and all that have to end before it can begin."""
        found, waiting = {stage.number}, [stage]
        while waiting:
            for number in waiting.pop().after - found:
                found.add(number)
                waiting.append(self._stages[number])
        return found

    def _ended(self, node: Node, operation: Write | Collect, flow: _Flow) -> _Flow:
        if isinstance(operation, Collect):
            kept = self._keep(flow)
            self._kept[kept] = replace(self._kept[kept], collected=str(node.stage), schema=node.schema)
            return flow
        self._sinks.append(SinkPlan(operation, self._numbers(flow), node.schema, str(node.stage)))
        for producer, tip in enumerate(flow.tips):
            tip.stage.outputs.append(ToSink(tip.step, len(self._sinks) - 1, producer))
        return flow

    def _exchanged(self, flows: list[_Flow], shuffles: list[Shuffle], together: tuple[str, ...]) -> _Flow:
        """One stage more, each task of which gets a partition of each flow."""
        first = len(self._edges)
        stage = self._stage(ExchangeInput(tuple(range(first, first + len(flows)))))
        for flow, shuffle in zip(flows, shuffles, strict=True):
            self._edges.append(Edge(shuffle, self._numbers(flow), stage.number, flow.schema))
            for producer, tip in enumerate(flow.tips):
                tip.stage.outputs.append(ToExchange(tip.step, len(self._edges) - 1, producer))
                stage.after |= {tip.stage.number} | tip.stage.after
        return _Flow(
            (_Tip(stage, -1),),
            sum(flow.nbytes for flow in flows),
            flows[0].schema,
            together,
            single=all(shuffle.partitions == 1 for shuffle in shuffles),
        )

    def _gathered(self, flow: _Flow) -> _Flow:
        """One task that gets all rows."""
        kept = self._keep(flow)
        stage = self._stage(KeptInput(kept))
        self._kept[kept] = replace(self._kept[kept], consumers=(stage.number,))
        for tip in flow.tips:
            stage.after |= {tip.stage.number} | tip.stage.after
        return _Flow((_Tip(stage, -1),), flow.nbytes, flow.schema, single=True)

    def _keep(self, flow: _Flow) -> int:
        self._kept.append(Kept(self._numbers(flow), (), flow.schema))
        number = len(self._kept) - 1
        for producer, tip in enumerate(flow.tips):
            tip.stage.outputs.append(ToKept(tip.step, number, producer))
        return number

    def _then(self, flow: _Flow, operation: Operation) -> _Flow:
        """One step more in the stages that have the rows already."""
        tips = {tip: tip for tip in flow.tips}
        for tip in tips:
            tip.stage.steps.append(Step(tip.step, operation))
            tips[tip] = _Tip(tip.stage, len(tip.stage.steps) - 1)
        return replace(flow, tips=tuple(tips[tip] for tip in flow.tips))

    def _stage(self, source: Input) -> _Stage:
        self._stages.append(_Stage(len(self._stages), source))
        return self._stages[-1]

    def _asked(self, node: Node) -> int | None:
        """The number of partitions that an Exchange before this asked for."""
        before = [self._nodes[parent].operation for parent in node.parents]
        asked = [each.partitions for each in before if isinstance(each, Exchange) and each.partitions is not None]
        return max(asked, default=None)

    def _partitions_for(self, nbytes: int) -> int:
        return min(max(self._slots, -(-nbytes // PARTITION_BYTES)), _MOST_PARTITIONS)

    @staticmethod
    def _numbers(flow: _Flow) -> tuple[int, ...]:
        return tuple(tip.stage.number for tip in flow.tips)


def _where(node: Node) -> str:
    return f"stage {node.stage}, {node.operation.name}"
