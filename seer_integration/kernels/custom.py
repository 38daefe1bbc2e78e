"""Aggregates of users: three functions, called group by group.

What they give may be anything that can be pickled; a state travels as such, so that partial tables have one schema
whatever is in them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lithops_shm.shuffle.gather import gather
from seer_integration.errors import OperationError
from seer_integration.kernels.types import key_column
from seer_integration.operations import Custom

__all__ = ["Customs", "finished", "merged", "partial"]

# By the name of the value: the name of its state, the functions, the columns they are of.
Customs = Mapping[str, tuple[str, Custom, Sequence[str]]]


def partial(found: Any, table: Any, by: Sequence[str], customs: Customs) -> Any:
    """A table of groups with the states of users' aggregates of a table's rows."""

    def state(name: str, custom: Custom, columns: Sequence[str]) -> Callable[[Any], Any]:
        return lambda rows: _dict(custom.partial(rows.select(list(columns))), "partial", name)

    return _extended(found, table, by, customs, state)


def merged(found: Any, table: Any, by: Sequence[str], customs: Customs) -> Any:
    """A table of groups with the states of users' aggregates, merged from a table of states."""

    def state(name: str, custom: Custom, _: Sequence[str]) -> Callable[[Any], Any]:
        def of(rows: Any) -> Any:
            states = [pickle.loads(each) for each in rows.column(customs[name][0]).to_pylist()]
            return states[0] if len(states) == 1 else _dict(custom.merge(pa.Table.from_pylist(states)), "merge", name)

        return of

    return _extended(found, table, by, customs, state)


def finished(column: Any, custom: Custom, name: str) -> Any:
    """The values of a column of states; of the type that Arrow infers."""
    states = [pickle.loads(each) for each in column.to_pylist()]
    if custom.finish is not None:
        return pa.array([custom.finish(state) for state in states])
    for state in states:
        if len(state) != 1:
            reason = f"has no finish, and merge gave {len(state)} values ({', '.join(map(repr, state))}), not one"
            raise OperationError("Aggregate", name, "Custom", reason)
    return pa.array([next(iter(state.values())) for state in states])


def _extended(
    found: Any,
    table: Any,
    by: Sequence[str],
    customs: Customs,
    state: Callable[[str, Custom, Sequence[str]], Callable[[Any], Any]],
) -> Any:
    if not customs:
        return found
    groups = _groups(table, by)
    extended = dict(zip(found.column_names, found.columns, strict=True))
    for name, (column, custom, columns) in customs.items():
        of = state(name, custom, columns)
        extended[column] = pa.array([pickle.dumps(of(rows)) for rows in groups], pa.large_binary())
    return pa.table(extended)


def _groups(table: Any, by: Sequence[str]) -> list[Any]:
    """The rows of each group, views of one copy, in the order in which groups are met."""
    if not by:
        return [table]
    keys = pa.table([key_column(table.column(name)) for name in by], names=list(by))
    numbered = keys.append_column("", pa.array(np.arange(table.num_rows)))
    rows = numbered.group_by(list(by), use_threads=False).aggregate([("", "list")]).column("_list").combine_chunks()
    if isinstance(rows, pa.ChunkedArray):
        rows = pa.concat_arrays(rows.chunks) if rows.num_chunks else pa.array([], pa.list_(pa.int64()))
    ends = np.cumsum(rows.value_lengths().to_numpy(zero_copy_only=False), dtype=np.int64).tolist()
    gathered = gather(table, rows.flatten().to_numpy())
    return [gathered.slice(begin, end - begin) for begin, end in zip([0, *ends], ends, strict=False)]


def _dict(value: Any, function: str, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise OperationError("Aggregate", name, "Custom", f"{function} gave a {type(value).__name__}, not a dict")
    return dict(value)
