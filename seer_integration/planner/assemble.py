"""From a graph and its sources to a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from seer_integration.dag import Graph, StageName
from seer_integration.datasets.places import Places
from seer_integration.datasets.sources import Survey
from seer_integration.errors import PlanError
from seer_integration.expressions import Expression, resolved
from seer_integration.expressions.tree import Call
from seer_integration.operations import Scan
from seer_integration.planner.logical import filters_above, needed_columns, nodes_of
from seer_integration.planner.physical import Source, planned
from seer_integration.planner.plan import Plan
from seer_integration.planner.readings import reading_of

__all__ = ["assembled"]


def assembled(graph: Graph, sources: Mapping[StageName, Any], places: Places, slots: int) -> Plan:
    """The plan of a job.

    Parameters
    ----------
    sources:
        Of each stage that begins with Scan: what is there, or what was cached.
    slots:
        Tasks that can run at once.

    Raises
    ------
    PlanError, DatasetError
    """
    nodes = nodes_of(graph, {stage: _schema(stage, source) for stage, source in sources.items()})
    needed = needed_columns(nodes)
    found: dict[int, Source] = {}
    skipped: set[int] = set()
    for node in nodes:
        if not isinstance(node.operation, Scan):
            continue
        source = sources[node.stage]
        if not isinstance(source, Survey):
            found[node.number] = Source(None, source)
            continue
        filters, last = filters_above(node, nodes)
        after = node.number
        while after != last:
            after = nodes[after].consumers[0]
            skipped.add(after)
        # What only the filters need is not read into memory: they are applied while reading.
        reading = reading_of(node, source, _all_true(filters), needed[last], places)
        found[node.number] = Source(reading)
    return planned(nodes, found, skipped, slots)


def _schema(stage: StageName, source: Any) -> pa.Schema | None:
    if not isinstance(source, Survey):
        schema: pa.Schema | None = source.schema
        return schema
    scan, full = source.source.scan, source.source.schema
    if scan.columns is None:
        return full
    try:
        names = [resolved(name, full) for name in scan.columns]
    except PlanError as error:
        raise PlanError(f"stage {stage}, Scan", error.args[1]) from error
    return pa.schema([full.field(name) for name in names], full.metadata)


def _all_true(filters: list[Expression]) -> Expression | None:
    if len(filters) <= 1:
        return filters[0] if filters else None
    return Call("and", tuple(filters))
