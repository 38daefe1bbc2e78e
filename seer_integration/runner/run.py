"""One run of a plan: stages start when what they need is there, at the same time where they can."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from lithops_shm.errors import ShmError
from lithops_shm.executor.progress import Progress
from lithops_shm.executor.siblings import sibling
from lithops_shm.executor.stage import CancelledError, Stage
from lithops_shm.shuffle.attempts import Attempts
from lithops_shm.shuffle.frames import Encoding
from lithops_shm.shuffle.media import Medium, ObjectStore, open_objects
from seer_integration.datasets.places import Places
from seer_integration.datasets.sinks import Part, abandon, commit, prepare
from seer_integration.errors import DatasetError
from seer_integration.operations import Transform
from seer_integration.planner.plan import (
    CachedInput,
    ExchangeInput,
    KeptInput,
    Plan,
    ScanInput,
    StagePlan,
    ToExchange,
    ToKept,
    ValuesInput,
)
from seer_integration.planner.readings import split
from seer_integration.runner.flows import STRIDE, Exchanges, KeptParts, sinks_of
from seer_integration.runner.summary import JobSummary, StageSummary
from seer_integration.runner.tasks import kept_table, task_of
from seer_integration.runner.work import EdgeIn, Given, KeptPart, Scanned, TaskReport, Work

__all__ = ["Result", "Run", "Setting"]

logger = logging.getLogger("lithops.seer")

_EXAMPLES = 5
_PARTS_A_SLOT = 4


@dataclass(frozen=True)
class Setting:
    """Where and how a plan runs.

    Parameters
    ----------
    id:
        Of the run: letters, digits and ``-``.
    executor:
        Of the job; stages run on executors like it.
    storage:
        Name of the storage backend of the job.
    medium, encoding:
        Where exchanged and kept rows are, and as what.
    lithops_storage:
        Of Lithops, for a medium in one.
    slots:
        Tasks that run at once.
    places:
        Where datasets are, for the client.
    retries:
        How often a task is run again whose worker died.
    backups:
        Whether a task that takes much longer than the others gets a second attempt beside it.
    kept_prefix:
        Of the keys of what is collected, when that shall outlive the run.
    """

    id: str
    executor: Any
    storage: str
    medium: Medium
    encoding: Encoding
    lithops_storage: Any
    slots: int
    places: Places
    retries: int = 3
    backups: bool = True
    kept_prefix: str | None = None

    @property
    def prefix(self) -> str:
        """Of the keys of all that goes with the run."""
        return f"lithops-shm.seer/{self.id}"


@dataclass(frozen=True)
class Result:
    """What a run gave.

    Parameters
    ----------
    tables:
        What was collected, by stage; of a run that keeps it, empty.
    kept:
        What was collected, as parts; only of a run that keeps it.
    summary:
        What it did.
    """

    tables: dict[str, pa.Table]
    kept: dict[str, tuple[KeptPart, ...]]
    summary: JobSummary


@dataclass
class _Running:
    """What is known of a stage that runs, or has."""

    stage: StagePlan
    began: float
    tasks: int
    reports: dict[int, TaskReport] = field(default_factory=dict)


class Run:
    """Runs a plan once.

    Parameters
    ----------
    plan:
        What to do.
    setting:
        Where.
    progress:
        To be told.
    """

    def __init__(self, plan: Plan, setting: Setting, progress: Progress) -> None:
        self._plan = plan
        self._setting = setting
        self._progress = progress
        self._cancelled = threading.Event()
        self._summaries: list[StageSummary] = []
        self._examples: list[str] = []
        self._began = 0.0

    def run(self) -> Result:
        """Run all stages, and commit what was written.

        Raises
        ------
        Exception
            What a task raised, or the death of its last attempt. Then nothing of the run is left, and datasets are as
            they were. KeyboardInterrupt ends it in the same way.
        """
        self._began = time.perf_counter()
        setting, plan = self._setting, self._plan
        with ExitStack() as stack:
            objects = open_objects(setting.medium, setting.lithops_storage)
            stack.callback(objects.close)
            stack.callback(self._clear, objects, setting.prefix)
            stack.callback(self._progress.end)
            self._exchanges = Exchanges(plan, setting.prefix, objects, setting.encoding, setting.slots)
            self._kept = KeptParts(plan, setting.kept_prefix or f"{setting.prefix}/kept", objects)
            self._sinks = sinks_of(plan, setting.storage, setting.id)
            self._parts: dict[int, list[Part]] = {number: [] for number in range(len(plan.sinks))}
            try:
                for sink in self._sinks:
                    prepare(sink, setting.places)
                self._run_stages()
                written = [
                    commit(sink, self._parts[number], plan.sinks[number].schema, setting.places)
                    for number, sink in enumerate(self._sinks)
                ]
            except BaseException:
                for sink in self._sinks:
                    with suppress(DatasetError):
                        abandon(sink, setting.places)
                if setting.kept_prefix is not None:
                    self._clear(objects, setting.kept_prefix)
                raise
            kept = self._kept.collected()
            tables = {} if setting.kept_prefix else {name: self._table(name, kept[name], objects) for name in kept}
            summary = JobSummary(
                tuple(self._summaries),
                time.perf_counter() - self._began,
                tuple(each.note for each in plan.readings if each.note),
                tuple(self._examples),
                tuple(str(each.location) for each in written),
            )
            return Result(tables, kept if setting.kept_prefix else {}, summary)

    def _run_stages(self) -> None:
        """Start each stage when those before it have ended; the first to fail ends the others."""
        waiting = {stage.number: self._plan.before(stage) for stage in self._plan.stages}
        running: dict[Future[None], int] = {}
        ended: set[int] = set()
        with ThreadPoolExecutor(max(1, len(waiting)), thread_name_prefix="seer-stage") as threads:
            try:
                while waiting or running:
                    for number in [number for number, before in waiting.items() if before <= ended]:
                        del waiting[number]
                        running[threads.submit(self._run_stage, self._plan.stages[number])] = number
                    # Not without an end: see MapReduce.wait of the executor.
                    done, _ = wait(running, threading.TIMEOUT_MAX, FIRST_COMPLETED)
                    for future in done:
                        ended.add(running.pop(future))
                        future.result()
            except BaseException:
                self._cancelled.set()
                raise

    def _run_stage(self, stage: StagePlan) -> None:
        if self._cancelled.is_set():
            return
        setting = self._setting
        given, work = self._prepared(stage)
        running = _Running(stage, time.perf_counter(), len(given))
        self._progress.begin(stage.number, "+".join(stage.names), len(given))

        def counted(task: int, report: TaskReport) -> None:
            running.reports[task] = report
            self._progress.advance(stage.number, report.rows, report.nbytes)
            if isinstance(stage.input, ExchangeInput):
                self._exchanges.was_read(stage.input.edges, task)

        attempts = Attempts(len(given), retries=setting.retries, backups=setting.backups)
        try:
            with sibling(setting.executor) as executor:
                Stage(executor, task_of(work), given, {}, attempts, self._cancelled.is_set).run(counted)
        except CancelledError:
            return
        self._end(running, attempts)

    def _prepared(self, stage: StagePlan) -> tuple[list[Given], Work]:
        """What each task is told, and what all of them are."""
        setting, source = self._setting, stage.input
        edges: tuple[EdgeIn, ...] = ()
        reading = None
        given: list[Any]
        schemas: dict[int, pa.Schema | None] = {kept: self._plan.kept[kept].schema for kept in stage.broadcasts}
        if isinstance(source, ScanInput):
            read = self._plan.readings[source.reading]
            reading = Scanned(read.survey.source, read.columns, read.where)
            given = list(split(read, setting.slots, setting.places))
        elif isinstance(source, CachedInput):
            cached = self._plan.cached[source.cached]
            schemas[-1] = cached.schema
            given = [[part.key] for part in cached.parts] or [[]]
        elif isinstance(source, KeptInput):
            schemas[-1] = self._plan.kept[source.kept].schema
            given = [[part.key for part in self._kept.parts(source.kept)]]
        elif isinstance(source, ValuesInput):
            given = _parts(self._plan.values[source.values], setting.slots)
        else:
            edges, partitions = self._exchanges.opened(source.edges)
            given = [None] * partitions
        stage, arguments = _without_arguments(stage)
        work = Work(
            stage,
            setting.medium,
            setting.encoding,
            reading,
            edges,
            self._exchanges.outputs_of(stage),
            self._kept.outputs_of(stage),
            {
                number: (self._sinks[output.sink], output.producer * STRIDE)
                for number, output in enumerate(stage.outputs)
                if not isinstance(output, (ToExchange, ToKept))
            },
            {kept: self._kept.parts(kept) for kept in stage.broadcasts},
            schemas,
        )
        return [(each, arguments) for each in given], work

    def _end(self, running: _Running, attempts: Attempts) -> None:
        """Pass on what the tasks of a stage left, and let go of what only they needed."""
        stage, reports = running.stage, [running.reports[task] for task in sorted(running.reports)]
        for number, output in enumerate(stage.outputs):
            left: Sequence[Any] = [report.outputs[number] for report in reports]
            if isinstance(output, ToExchange):
                self._exchanges.was_written(output, left)
            elif isinstance(output, ToKept):
                self._kept.was_written(output, left)
            else:
                self._parts[output.sink] += left
        if isinstance(stage.input, ExchangeInput):
            self._exchanges.ended(stage.input.edges)
        self._kept.ended(stage)
        read = [report.read for report in reports if report.read is not None]
        for each in read:
            self._examples += each.examples[: _EXAMPLES - len(self._examples)]
        now = time.perf_counter()
        self._summaries.append(
            StageSummary(
                "+".join(stage.names),
                running.tasks,
                sum(report.rows for report in reports),
                sum(report.nbytes for report in reports),
                sum(report.rows_out for report in reports),
                sum(each.bytes_read for each in read),
                sum(each.malformed for each in read),
                attempts.retried,
                attempts.backed_up,
                running.began - self._began,
                now - running.began,
                max((report.private_bytes for report in reports), default=0),
            )
        )

    def _table(self, name: str, parts: Sequence[KeptPart], objects: ObjectStore) -> pa.Table:
        schema = next(each.schema for each in self._plan.kept if each.collected == name)
        return kept_table([part.key for part in parts], objects, schema)

    @staticmethod
    def _clear(objects: ObjectStore, prefix: str) -> None:
        """Delete what was left there, by attempts that died before they could tell of it too."""
        with suppress(ShmError):
            objects.delete_prefix(f"{prefix}/")


def _without_arguments(stage: StagePlan) -> tuple[StagePlan, dict[int, dict[str, Any]]]:
    """A stage, and the arguments of its functions, which travel beside it: the large ones once for all tasks."""
    arguments = {
        number: dict(step.operation.arguments)
        for number, step in enumerate(stage.steps)
        if isinstance(step.operation, Transform) and step.operation.arguments
    }
    steps = [
        replace(step, operation=replace(step.operation, arguments=None)) if number in arguments else step  # type: ignore[call-arg]
        for number, step in enumerate(stage.steps)
    ]
    return replace(stage, steps=tuple(steps)), arguments


def _parts(values: Sequence[Any], slots: int) -> list[Any]:
    """Values in a few parts for each slot."""
    count = max(1, min(len(values), _PARTS_A_SLOT * slots))
    return [
        list(values[number * len(values) // count : (number + 1) * len(values) // count]) for number in range(count)
    ]
