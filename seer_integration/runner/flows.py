"""What flows between the stages of a run, as the client sees it: who has written, who may read, what can go."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from lithops_shm.shuffle import pairs
from lithops_shm.shuffle.exchange import Exchange, ManifestRef
from lithops_shm.shuffle.frames import Encoding
from lithops_shm.shuffle.manifest import Manifest, MapOutput, Readers
from lithops_shm.shuffle.media import ObjectStore
from lithops_shm.shuffle.spec import Shuffle
from seer_integration.datasets.places import location_of
from seer_integration.datasets.sinks import Sink, check_schema
from seer_integration.errors import PlanError
from seer_integration.planner.plan import KeptInput, Plan, StagePlan, ToExchange, ToKept
from seer_integration.runner.work import EdgeIn, EdgeOut, KeptPart

__all__ = ["STRIDE", "Exchanges", "KeptParts", "exchanged_as", "require_writable", "sinks_of"]

STRIDE = 1_000_000
"""Tasks are numbered through all stages that feed the same edge or sink: those of each begin at a multiple of this."""


def exchanged_as(shuffle: Shuffle) -> Shuffle:
    """The shuffle of tables that an edge is: pairs are packed in such."""
    return pairs.of_tables(shuffle) if shuffle.pairs else shuffle


class Exchanges:
    """The edges of a plan.

    Parameters
    ----------
    prefix:
        Of all their objects.
    objects:
        Where these are.
    slots:
        Tasks that run at once: partitions are no fewer, where their number is chosen.
    """

    def __init__(self, plan: Plan, prefix: str, objects: ObjectStore, encoding: Encoding, slots: int) -> None:
        self._edges = plan.edges
        self._prefix = prefix
        self._slots = slots
        self._exchanges = [
            Exchange(exchanged_as(edge.shuffle), objects, self._prefix_of(number), encoding)
            for number, edge in enumerate(plan.edges)
        ]
        self._written: list[dict[int, list[MapOutput]]] = [{} for _ in plan.edges]
        self._opened: dict[int, tuple[ManifestRef, Manifest]] = {}
        self._readers: dict[int, Readers] = {}
        self._lock = threading.Lock()

    def outputs_of(self, stage: StagePlan) -> dict[int, EdgeOut]:
        """What tasks of a stage have to know of the edges they write to, by place among its outputs."""
        return {
            number: EdgeOut(
                self._prefix_of(output.edge),
                self._edges[output.edge].shuffle,
                self._prefix_of(output.edge),
                output.producer * STRIDE,
            )
            for number, output in enumerate(stage.outputs)
            if isinstance(output, ToExchange)
        }

    def was_written(self, output: ToExchange, outputs: Sequence[MapOutput]) -> None:
        """All tasks of a producer have ended; `outputs` are in their order."""
        with self._lock:
            self._written[output.edge][output.producer] = list(outputs)

    def opened(self, edges: Sequence[int]) -> tuple[tuple[EdgeIn, ...], int]:
        """What readers have to know of edges all of whose producers have ended, and the number of partitions."""
        found = []
        for edge in edges:
            written = [each for _, outputs in sorted(self._written[edge].items()) for each in outputs]
            numbered = [replace(each, mapper=number) for number, each in enumerate(written)]
            exchange = self._exchanges[edge]
            manifest = exchange.plan(self._prefix_of(edge), numbered, len(numbered), self._slots)
            ref = exchange.commit(manifest)
            self._opened[edge] = ref, manifest
            self._readers[edge] = Readers(manifest)
            id_ = self._prefix_of(edge)
            found.append(EdgeIn(id_, self._edges[edge].shuffle, id_, ref, self._edges[edge].schema))
        return tuple(found), self._opened[edges[0]][1].partitions

    def was_read(self, edges: Sequence[int], partition: int) -> None:
        """A task has ended that took a partition of each edge: what only it needed goes."""
        for edge in edges:
            doomed = self._readers[edge].done(partition)
            if doomed:
                self._exchanges[edge].release(doomed)

    def ended(self, edges: Sequence[int]) -> None:
        """All partitions have been read."""
        for edge in edges:
            self._exchanges[edge].clear()

    def _prefix_of(self, edge: int) -> str:
        return f"{self._prefix}/edge-{edge}"


class KeptParts:
    """What stages keep for others, or for the client.

    Parameters
    ----------
    prefix:
        Of all its objects.
    objects:
        Where these are.
    """

    def __init__(self, plan: Plan, prefix: str, objects: ObjectStore) -> None:
        self._plan = plan
        self._prefix = prefix
        self._objects = objects
        self._written: list[dict[int, list[KeptPart]]] = [{} for _ in plan.kept]
        self._waiting = [set(each.consumers) for each in plan.kept]
        self._lock = threading.Lock()

    def outputs_of(self, stage: StagePlan) -> dict[int, str]:
        """The prefixes that tasks of a stage write under, by place among its outputs."""
        return {
            number: f"{self._prefix}/{output.kept}-{output.producer}"
            for number, output in enumerate(stage.outputs)
            if isinstance(output, ToKept)
        }

    def was_written(self, output: ToKept, parts: Sequence[KeptPart]) -> None:
        """All tasks of a producer have ended; `parts` are in their order."""
        with self._lock:
            self._written[output.kept][output.producer] = list(parts)

    def parts(self, kept: int) -> tuple[KeptPart, ...]:
        """All parts, in the order of producers and their tasks."""
        return tuple(part for _, parts in sorted(self._written[kept].items()) for part in parts)

    def ended(self, stage: StagePlan) -> None:
        """A stage has ended: what nobody else will read goes."""
        read = {*stage.broadcasts, *((stage.input.kept,) if isinstance(stage.input, KeptInput) else ())}
        for kept in read:
            with self._lock:
                self._waiting[kept].discard(stage.number)
                is_over = not self._waiting[kept]
            if is_over and self._plan.kept[kept].collected is None:
                self._objects.delete([part.key for part in self.parts(kept)])

    def collected(self) -> dict[str, tuple[KeptPart, ...]]:
        """What is for the client, by stage."""
        return {each.collected: self.parts(number) for number, each in enumerate(self._plan.kept) if each.collected}


def require_writable(plan: Plan, storage: str) -> None:
    """Find out before anything runs whether the sinks of a plan can take its rows.

    Raises
    ------
    PlanError
        When a column cannot be written, or two sinks are the same place.
    """
    taken: dict[str, str] = {}
    for sink, each in zip(sinks_of(plan, storage, "planned"), plan.sinks, strict=True):
        where = f"stage {each.stage}, Write"
        if (other := taken.setdefault(str(sink.location), where)) is not where:
            raise PlanError(where, f"{other} writes to {sink.location} too; give each a place of its own")
        if each.schema is not None:
            try:
                check_schema(sink, each.schema)
            except PlanError as error:
                raise PlanError(where, error.args[1]) from error


def sinks_of(plan: Plan, storage: str, run: str) -> list[Sink]:
    """The sinks of a plan, as a run of this id writes them."""
    return [
        Sink(
            location_of(each.write.key or "", each.write.bucket, each.write.storage, storage),
            each.write.format,
            each.write.compression,
            each.write.mode,
            each.write.index if isinstance(each.write.index, bool) else tuple(each.write.index),
            f"{run}-{number}",
        )
        for number, each in enumerate(plan.sinks)
    ]
