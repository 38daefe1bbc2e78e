"""What the mappers and reducers of a shuffle run in their workers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lithops_shm import host
from lithops_shm.plugin.calls import call, repeated, storage_of_worker
from lithops_shm.plugin.pointers import make_for_result
from lithops_shm.shuffle import pairs
from lithops_shm.shuffle.exchange import Exchange, ManifestRef
from lithops_shm.shuffle.frames import Encoding
from lithops_shm.shuffle.manifest import Manifest, MapOutput
from lithops_shm.shuffle.media import Medium, open_objects
from lithops_shm.shuffle.spec import Shuffle
from lithops_shm.shuffle.tables import as_asked, as_table, joined, tables_of

__all__ = ["MapReport", "Place", "ReduceReport", "map_task", "reduce_task"]


@dataclass(frozen=True)
class Place:
    """Where a shuffle happens, and how: all that its workers have to know.

    Parameters
    ----------
    id:
        Of the shuffle.
    shuffle:
        What was asked for.
    medium:
        Where its objects are.
    prefix:
        Of their keys.
    encoding:
        Of frames.
    mappers:
        How many.
    reducer_takes:
        The parameter of the reduce function that gets the rows.
    """

    id: str
    shuffle: Shuffle
    medium: Medium
    prefix: str
    encoding: Encoding
    mappers: int
    reducer_takes: str = ""

    @contextmanager
    def exchange(self, storage: Any = None) -> Iterator[Exchange]:
        """The exchange, from the process that asks for it; connections are its own, and closed at the end.

        Parameters
        ----------
        storage:
            Of Lithops, for objects in one; a worker has its own.
        """
        shuffle = pairs.of_tables(self.shuffle) if self.shuffle.pairs else self.shuffle
        if storage is None and self.medium.kind == "lithops":
            storage = storage_of_worker().storage
        objects = open_objects(self.medium, storage)
        try:
            yield Exchange(shuffle, objects, self.prefix, self.encoding, self.mappers)
        finally:
            objects.close()


def exchange_of(place: Place) -> Exchange:
    """The exchange of a shuffle in this worker, kept for its next task: its connections, its manifest, its maps.

    That of another shuffle, in a process that serves several, is closed first.
    """
    if _kept and _kept[0][0] != place.id:
        _kept.pop()[1].close()
    if not _kept:
        stack = ExitStack()
        _kept.append((place.id, stack, stack.enter_context(place.exchange())))
    return _kept[0][2]


_kept: list[tuple[str, ExitStack, Exchange]] = []


@dataclass(frozen=True, slots=True)
class MapReport:
    """What a mapper tells: its output, the rows its function gave, and the seconds and memory (bytes) it took."""

    output: MapOutput
    rows: int
    seconds: float
    private_bytes: int


@dataclass(frozen=True, slots=True)
class ReduceReport:
    """What a reducer tells: the result of its function, the rows and bytes of its partition, seconds and memory."""

    result: Any
    rows: int
    nbytes: int
    seconds: float
    private_bytes: int


def map_task(function: Callable[..., Any], place: Place) -> Callable[[int, int, dict[str, Any]], MapReport]:
    """The function that Lithops calls for each attempt of a mapper."""
    # Lithops sends along the modules of functions it finds in the closure of this one, and looks no deeper.
    kind, combiner = place.shuffle.kind, place.shuffle.combiner

    def shuffled_map(mapper: int, attempt: int, arguments: dict[str, Any]) -> MapReport:
        _ = kind, combiner
        return run_mapper(function, place, mapper, attempt, arguments)

    return shuffled_map


def reduce_task(
    function: Callable[..., Any], place: Place, ref: ManifestRef
) -> Callable[[int, int, dict[str, Any]], ReduceReport]:
    """The function that Lithops calls for each attempt of a reducer."""
    kind, combiner = place.shuffle.kind, place.shuffle.combiner  # as in map_task

    def shuffled_reduce(partition: int, _attempt: int, arguments: dict[str, Any]) -> ReduceReport:
        _ = kind, combiner
        return run_reducer(function, place, ref, partition, arguments)

    return shuffled_reduce


def run_mapper(
    function: Callable[..., Any], place: Place, mapper: int, attempt: int, arguments: dict[str, Any]
) -> MapReport:
    """Call the map function and store what it gives, combined and cut by partition."""
    started = time.perf_counter()
    result = call(function, arguments, mapper)
    if place.shuffle.pairs:
        given = _Given(result)
        table = pairs.collect(given, mapper, place.shuffle.combiner, ranges=place.shuffle.kind == "range")
        library = "pairs"
        rows = given.count
        del given
    else:
        table, library, rows = _joined(result, mapper, place.shuffle.combiner)
    del result
    output = exchange_of(place).write(mapper, attempt, table, library)
    return MapReport(output, rows, time.perf_counter() - started, host.private_bytes(os.getpid()))


def run_reducer(
    function: Callable[..., Any], place: Place, ref: ManifestRef, partition: int, arguments: dict[str, Any]
) -> ReduceReport:
    """Call the reduce function with the rows of a partition."""
    started = time.perf_counter()
    shuffle = place.shuffle
    exchange = exchange_of(place)
    manifest = exchange.manifest(ref)
    exchange.let_go(manifest, partition)
    if shuffle.pairs:
        report = _reduced_pairs(function, place, exchange, manifest, partition, arguments, started)
        exchange.let_go(manifest, partition + 1)
        return report
    library = shuffle.deliver or manifest.library
    if library == "batches":
        counted = _Counted(exchange.batches(manifest, partition))
        result = call(function, {**arguments, place.reducer_takes: counted}, partition, reduces=True)
        if isinstance(result, _Counted):
            result = list(result)
        rows, nbytes = counted.rows, counted.nbytes
    else:
        table = exchange.read(manifest, partition, make_for_result)
        rows, nbytes = table.num_rows, table.nbytes
        data = as_asked(table, library)
        del table
        result = call(function, {**arguments, place.reducer_takes: data}, partition, reduces=True)
        del data
    exchange.let_go(manifest, partition + 1)
    return ReduceReport(result, rows, nbytes, time.perf_counter() - started, host.private_bytes(os.getpid()))


def _reduced_pairs(
    function: Callable[..., Any],
    place: Place,
    exchange: Exchange,
    manifest: Manifest,
    partition: int,
    arguments: dict[str, Any],
    started: float,
) -> ReduceReport:
    runs = list(exchange.runs(manifest, partition))
    rows, nbytes = sum(run.num_rows for run in runs), sum(run.nbytes for run in runs)
    groups = pairs.grouped(runs, in_order=place.shuffle.ordered)
    del runs
    reduced = repeated(function, arguments, partition, 2)
    result = [(key, reduced(key, values)) for key, values in groups.items()]
    return ReduceReport(result, rows, nbytes, time.perf_counter() - started, host.private_bytes(os.getpid()))


def _joined(result: Any, mapper: int, combiner: Callable[..., Any] | None) -> tuple[pa.Table | None, str, int]:
    """All a mapper gave as one table, combined; its library; and how many rows there were before."""
    tables: list[pa.Table] = []
    library, rows = "arrow", 0
    for table, library in tables_of(result, mapper):
        rows += table.num_rows
        tables.append(_combined(table, library, combiner))
    if not tables:
        return None, library, 0
    if len(tables) == 1:
        return tables[0], library, rows
    return _combined(joined(tables, mapper), library, combiner), library, rows


def _combined(table: pa.Table, library: str, combiner: Callable[..., Any] | None) -> pa.Table:
    return table if combiner is None else as_table(combiner(as_asked(table, library)))[0]


class _Given:
    """What a map function yields, counted on the way: a combiner leaves fewer."""

    def __init__(self, result: Any) -> None:
        # What cannot be iterated is taken for the one thing given, to be refused by its type.
        self._result = () if result is None else result if isinstance(result, Iterable) else (result,)
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        for each in self._result:
            self.count += 1
            yield each


class _Counted:
    """An iterator of tables that counts what it has given."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self.rows = 0
        self.nbytes = 0

    def __iter__(self) -> Iterator[pa.Table]:
        return self

    def __next__(self) -> pa.Table:
        table = next(self._tables)
        self.rows += table.num_rows
        self.nbytes += table.nbytes
        return table
