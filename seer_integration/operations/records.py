"""Operations on Python objects, one by one, and on pairs of them: those of the fluent pipelines of MapReduce."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from lithops_shm.shuffle import pairs
from seer_integration.errors import OperationError
from seer_integration.operations.base import Operation

__all__ = [
    "MapRecords",
    "PackPairs",
    "PickleRecords",
    "RecordOperation",
    "Records",
    "ReducePairs",
    "Values",
    "unpickled",
]


class RecordOperation(Operation):
    """An operation that does itself what it does: to a table, or to a list of records."""

    def apply(self, rows: Any, task: int) -> Any:
        """What it makes of the rows of one task."""
        raise NotImplementedError

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The user's, whose modules have to be where it runs."""
        return ()


@dataclass(frozen=True)
class Values(Operation):
    """Python objects as they are given, as records; they travel with the calls.

    Parameters
    ----------
    values:
        The objects.
    """

    values: Sequence[Any]
    is_source: ClassVar[bool] = True


@dataclass(frozen=True)
class Records(RecordOperation):
    """The rows of a table as records: of a table of one column its values, else a dict for each row."""

    def apply(self, rows: Any, task: int) -> list[Any]:  # noqa: ARG002
        if rows.num_columns == 1:
            values: list[Any] = rows.column(0).to_pylist()
            return values
        found: list[Any] = rows.to_pylist()
        return found


@dataclass(frozen=True)
class MapRecords(RecordOperation):
    """A function of a record, which gives records: those it yields, or that are in the list it returns.

    Anything else it returns is one record; ``None`` is none.
    """

    function: Callable[[Any], Any]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise OperationError("map", "function", self.function, "is not a function")

    def apply(self, rows: Any, task: int) -> list[Any]:  # noqa: ARG002
        return [found for record in rows for found in _several(self.function(record))]

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        return (self.function,)


@dataclass(frozen=True)
class PackPairs(RecordOperation):
    """(key, value) pairs as a table that can be exchanged, equal keys combined."""

    combiner: Callable[[Any, list[Any]], Any] | None

    def apply(self, rows: Any, task: int) -> pa.Table:
        table = pairs.collect(rows, task, self.combiner)
        return pa.table({}) if table is None else table

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        return () if self.combiner is None else (self.combiner,)


@dataclass(frozen=True)
class ReducePairs(RecordOperation):
    """A function of a key and its values, called for each key; gives (key, result) records.

    Parameters
    ----------
    function:
        As ``function(key, values)``.
    partitions:
        How many reducers; ``None``: by size.
    partition:
        Gives each key of a list its partition, as ``partition(keys, partitions)``; ``None``: by hash.
    combiner:
        As ``combiner(key, values)``, which gives one value; applied before pairs travel, any number of times.
    """

    function: Callable[[Any, list[Any]], Any]
    partitions: int | None = None
    partition: Callable[[list[Any], int], Any] | None = None
    combiner: Callable[[Any, list[Any]], Any] | None = None

    def __post_init__(self) -> None:
        for name in ("function", "partition", "combiner"):
            value = getattr(self, name)
            if not callable(value) and not (name != "function" and value is None):
                raise OperationError("reduce", name, value, "is not a function")
        if self.partitions is not None:
            self._check_number("partitions", 1, 65_536)

    def apply(self, rows: Any, task: int) -> list[Any]:  # noqa: ARG002
        groups = pairs.grouped([run for run in rows if run.num_rows], in_order=False)
        return [(key, self.function(key, values)) for key, values in groups.items()]

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        return tuple(each for each in (self.function, self.partition) if each is not None)


@dataclass(frozen=True)
class PickleRecords(RecordOperation):
    """Records as a table that can be kept."""

    def apply(self, rows: Any, task: int) -> pa.Table:  # noqa: ARG002
        packed = [pickle.dumps(record, protocol=5) for record in rows]
        return pa.table({"record": pa.array(packed, pa.large_binary())})


def unpickled(table: pa.Table) -> list[Any]:
    """The records that :class:`PickleRecords` packed."""
    return [pickle.loads(packed) for packed in table.column("record").to_pylist()] if table.num_columns else []


def _several(found: Any) -> Iterable[Any]:
    if found is None:
        return ()
    return found if isinstance(found, (list, Iterator)) else (found,)
