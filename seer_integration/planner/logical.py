"""The operations of all stages as one graph: bound to their columns, and told what later ones need of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from seer_integration import expressions
from seer_integration.dag import Graph, StageName
from seer_integration.errors import PlanError
from seer_integration.expressions import Expression
from seer_integration.kernels import bound, schema_after
from seer_integration.operations import (
    Aggregate,
    Distinct,
    Exchange,
    Filter,
    Groupby,
    Join,
    Limit,
    Operation,
    Sample,
    Select,
    Sort,
    Union,
)
from seer_integration.operations.records import RecordOperation

__all__ = ["Node", "filters_above", "needed_columns", "nodes_of"]

Columns = frozenset[str] | None
"""Names of columns; ``None`` for all there are."""


@dataclass
class Node:
    """An operation in its place.

    Parameters
    ----------
    number:
        Its place among all nodes; parents come first.
    stage:
        Of the job.
    operation:
        With the names its input has.
    parents:
        Whose rows it takes.
    schema:
        Of what it gives; ``None`` when only running it tells.
    consumers:
        Who takes its rows.
    """

    number: int
    stage: StageName
    operation: Operation
    parents: tuple[int, ...]
    schema: pa.Schema | None
    consumers: list[int] = field(default_factory=list)


def nodes_of(graph: Graph, scanned: Mapping[StageName, pa.Schema | None]) -> list[Node]:
    """The nodes of a graph.

    Parameters
    ----------
    scanned:
        Of each stage that begins with Scan, the columns it reads.

    Raises
    ------
    PlanError
        For columns that are not there, and types that do not fit; it names the stage and the operation.
    """
    nodes: list[Node] = []
    last: dict[StageName, int] = {}
    for stage in graph.stages.values():
        parents = tuple(last[name] for name in stage.parents)
        for operation in stage.operations:
            if operation.is_source:
                schema = scanned.get(stage.name)
            elif isinstance(operation, RecordOperation):
                schema = None
            else:
                inputs = [nodes[parent].schema for parent in parents]
                try:
                    operation = bound(operation, inputs)
                    schema = schema_after(operation, inputs)
                except PlanError as error:
                    raise PlanError(f"stage {stage.name}, {operation.name}", error.args[1]) from error
            node = Node(len(nodes), stage.name, operation, parents, schema)
            for parent in parents:
                nodes[parent].consumers.append(node.number)
            nodes.append(node)
            parents = (node.number,)
        last[stage.name] = parents[0]
    return nodes


def filters_above(scan: Node, nodes: list[Node]) -> tuple[list[Expression], int]:
    """The filters right after a scan that can be applied while reading, and the last node that is one of them."""
    found: list[Expression] = []
    node = scan
    while len(node.consumers) == 1:
        after = nodes[node.consumers[0]]
        if not isinstance(after.operation, Filter) or (expression := expressions.of(after.operation.action)) is None:
            break
        found.append(expression)
        node = after
    return found, node.number


def needed_columns(nodes: list[Node]) -> list[Columns]:
    """Of each node, the columns of its output that somebody uses."""
    needed: list[Columns] = [frozenset()] * len(nodes)
    for node in reversed(nodes):
        asked = needed[node.number] if node.consumers else _all(node.schema)
        needed[node.number] = asked
        for side, parent in enumerate(node.parents):
            needed[parent] = _more(needed[parent], _asks(node, side, asked, nodes))
    return needed


def _asks(node: Node, side: int, asked: Columns, nodes: list[Node]) -> Columns:
    """What a node needs of the columns of its parent number `side`, when `asked` of its own are used."""
    operation = node.operation
    if isinstance(operation, Filter):
        return _more(asked, _columns_of(operation.action))
    if isinstance(operation, Select):
        if not isinstance(operation.columns, Mapping):
            return frozenset(operation.columns)
        return _all_of(map(_columns_of, operation.columns.values()))
    if isinstance(operation, Aggregate):
        return frozenset(operation.by).union(*(columns for _, columns in operation.values.values()))
    if isinstance(operation, (Sort, Groupby, Limit)):
        return _more(asked, frozenset(operation.key))
    if isinstance(operation, Exchange):
        return _more(asked, frozenset(operation.by or ()))
    if isinstance(operation, Distinct):
        return frozenset(operation.columns) or None
    if isinstance(operation, Join):
        return _asked_of_side(operation, side, asked, [nodes[parent].schema for parent in node.parents])
    if isinstance(operation, (Sample, Union)):
        return asked
    return None


def _asked_of_side(join: Join, side: int, asked: Columns, schemas: list[pa.Schema | None]) -> Columns:
    left, right = schemas
    keys = frozenset(join.on if side == 0 else join.right_on or ())
    if side == 1 and join.how in ("semi", "anti"):
        return keys
    if asked is None or left is None or right is None:
        return None
    if side == 0:
        # A column of the right is renamed because the left has one of that name, so that one has to stay.
        clashes = {name for name in left.names if f"{name}{join.suffix}" in asked}
        return keys | {name for name in left.names if name in asked} | clashes
    return keys | {name for name in right.names if name in asked or f"{name}{join.suffix}" in asked}


def _columns_of(action: Any) -> Columns:
    """What an expression reads; a function may read anything."""
    expression = expressions.of(action)
    return None if expression is None else expression.columns


def _all(schema: pa.Schema | None) -> Columns:
    return None if schema is None else frozenset(schema.names)


def _more(asked: Columns, columns: Columns) -> Columns:
    return None if asked is None or columns is None else asked | columns


def _all_of(several: Iterable[Columns]) -> Columns:
    found: Columns = frozenset()
    for each in several:
        found = _more(found, each)
    return found
