"""What runs in a worker: one task of a stage, from its input to all its outputs."""

from __future__ import annotations

import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

import pyarrow as pa

from lithops_shm import codec, host
from lithops_shm.plugin.calls import storage_of_worker
from lithops_shm.shuffle.exchange import Exchange
from lithops_shm.shuffle.frames import Encoding
from lithops_shm.shuffle.manifest import MapOutput
from lithops_shm.shuffle.media import Medium, ObjectStore, open_objects
from lithops_shm.shuffle.spec import Shuffle
from seer_integration.datasets.places import Places, places_of_worker
from seer_integration.datasets.sinks import Part, write_part
from seer_integration.datasets.sources import ReadReport, read
from seer_integration.planner.plan import ExchangeInput, Output, ScanInput, ToExchange, ToKept, ValuesInput
from seer_integration.runner.flows import exchanged_as
from seer_integration.runner.steps import Rows, stepped
from seer_integration.runner.work import Given, KeptPart, TaskReport, Work

__all__ = ["kept_table", "referring", "task_of"]

Task = Callable[[int, int, Any], TaskReport]


def task_of(work: Work) -> Task:
    """The function that Lithops calls for each attempt of a task of a stage."""

    # In texts: Lithops reads the code of all that a function names, and of what that names, for each stage again.
    here, there = __name__, run_task.__name__

    def seer_task(task: int, attempt: int, arguments: Any) -> TaskReport:
        report: TaskReport = getattr(import_module(here), there)(work, task, attempt, arguments)
        return report

    return referring(seer_task, _functions(work))


def referring(task: Task, functions: Sequence[Callable[..., Any]]) -> Task:
    """A task that refers to these functions where Lithops, which sends along their modules, looks for them."""
    for function in functions:
        task = _with(task, function)
    return task


def _with(task: Task, function: Callable[..., Any]) -> Task:
    def seer_task(number: int, attempt: int, arguments: Any) -> TaskReport:
        _ = function
        return task(number, attempt, arguments)

    return seer_task


def _functions(work: Work) -> list[Callable[..., Any]]:
    found: list[Any] = [getattr(step.operation, "action", None) for step in work.stage.steps]
    found += [edge.shuffle.kind for edge in work.edges_out.values()]
    for step in work.stage.steps:
        found += getattr(step.operation, "functions", ())
    return [each for each in found if callable(each) and hasattr(each, "__code__")]


def run_task(work: Work, task: int, attempt: int, given: Given) -> TaskReport:
    """Take the rows of a task through all steps of its stage, and leave what they give."""
    started = time.perf_counter()
    here = _here(work.medium)
    rows, report = _input(work, task, given[0], here)
    counted = _counted(rows)

    def kept(number: int) -> pa.Table:
        return kept_table([part.key for part in work.broadcasts[number]], here.objects, work.schemas.get(number))

    outputs = work.stage.outputs
    last_use = {output.step: number for number, output in enumerate(outputs)}
    results = stepped(work.stage.steps, rows, task, kept, last_use, given[1])
    del rows
    left: list[MapOutput | KeptPart | Part] = []
    rows_out = 0
    for number, output in enumerate(outputs):
        table = results[output.step]
        rows_out += table.num_rows
        left.append(_leave(work, number, output, table, task, attempt, here))
        del table
        if last_use[output.step] == number:
            del results[output.step]
    seconds = time.perf_counter() - started
    return TaskReport(tuple(left), *counted, rows_out, report, seconds, host.private_bytes(os.getpid()))


def _input(work: Work, task: int, given: Any, here: _Here) -> tuple[Rows, ReadReport | None]:
    source = work.stage.input
    if isinstance(source, ScanInput):
        assert work.reading is not None
        reading = work.reading
        where = None if reading.where is None else reading.where.to_arrow()
        return read(reading.source, given, here.places, reading.columns, where)
    if isinstance(source, ExchangeInput):
        tables: list[pa.Table] = []
        for edge in work.edges_in:
            exchange = here.exchange(edge.id, edge.shuffle, edge.prefix, work.encoding)
            manifest = exchange.manifest(edge.manifest)
            exchange.let_go(manifest, task)
            if edge.shuffle.pairs:
                return tuple(exchange.runs(manifest, task)), None
            table = exchange.read(manifest, task)
            if manifest.schema is None and edge.schema is not None:
                table = edge.schema.empty_table()
            tables.append(table)
        return (tables[0] if len(tables) == 1 else tuple(tables)), None
    if isinstance(source, ValuesInput):
        return given, None
    return kept_table(given, here.objects, work.schemas.get(-1)), None


def kept_table(keys: Sequence[str], objects: ObjectStore, schema: pa.Schema | None) -> pa.Table:
    """Kept parts as one table, which in memory are views of them; without any an empty one of that schema."""
    tables = [codec.decode(objects.get(key)) for key in keys]
    full = [table for table in tables if table.num_rows]
    if full:
        return pa.concat_tables(full, promote_options="permissive") if len(full) > 1 else full[0]
    return tables[0] if tables else (schema or pa.schema([])).empty_table()


def _leave(
    work: Work, number: int, output: Output, table: pa.Table, task: int, attempt: int, here: _Here
) -> MapOutput | KeptPart | Part:
    if isinstance(output, ToExchange):
        edge = work.edges_out[number]
        exchange = here.exchange(edge.id, edge.shuffle, edge.prefix, work.encoding)
        return exchange.write(edge.first + task, attempt, table)
    if isinstance(output, ToKept):
        key = f"{work.kept_out[number]}/{task:05}-{attempt}"
        here.objects.put(key, codec.encode(table, codec="arrow").parts)
        return KeptPart(key, table.num_rows, table.nbytes)
    sink, first = work.sinks[number]
    return write_part(sink, first + task, attempt, [table], table.schema, here.places)


def _counted(rows: Rows) -> tuple[int, int]:
    if isinstance(rows, list):
        return len(rows), 0
    tables = rows if isinstance(rows, tuple) else (rows,)
    return sum(each.num_rows for each in tables), sum(each.nbytes for each in tables)


class _Here:
    """What a worker has open, for as long as it serves tasks of one medium: connections are its own."""

    MOST_EXCHANGES = 16

    def __init__(self, medium: Medium) -> None:
        self.medium = medium
        self.objects = open_objects(medium, storage_of_worker().storage if medium.kind == "lithops" else None)
        self._exchanges: OrderedDict[str, Exchange] = OrderedDict()

    def exchange(self, id_: str, shuffle: Shuffle, prefix: str, encoding: Encoding) -> Exchange:
        """Kept for the next task: its manifest, its maps."""
        if id_ not in self._exchanges:
            self._exchanges[id_] = Exchange(exchanged_as(shuffle), self.objects, prefix, encoding)
            if len(self._exchanges) > self.MOST_EXCHANGES:
                self._exchanges.popitem(last=False)
        return self._exchanges[id_]

    @cached_property
    def places(self) -> Places:
        return places_of_worker(json.loads(os.environ["LITHOPS_CONFIG"])["lithops"]["storage"])

    def close(self) -> None:
        self._exchanges.clear()
        self.objects.close()
        if "places" in self.__dict__:
            self.places.close()


_open: list[tuple[int, _Here]] = []


def _here(medium: Medium) -> _Here:
    if _open and _open[0][0] == os.getpid() and _open[0][1].medium != medium:
        _open.pop()[1].close()
    if not _open or _open[0][0] != os.getpid():  # after a fork what is open is the parent's
        _open[:] = [(os.getpid(), _Here(medium))]
    return _open[0][1]
