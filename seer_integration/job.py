"""Seer's job: stages of operations that follow each other, run here or elsewhere."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lithops_shm.executor.progress import Progress
from lithops_shm.selector import Decision, JobProfile
from lithops_shm.shuffle.tables import as_asked
from seer_integration.cached import Cached
from seer_integration.dag import Graph, StageName
from seer_integration.datasets.places import Places, location_of
from seer_integration.datasets.sources import survey
from seer_integration.environment import Environment
from seer_integration.errors import PlanError
from seer_integration.operations import Collect, Exchange, Operation, Scan, Write, made
from seer_integration.planner.assemble import assembled
from seer_integration.planner.explain import explained
from seer_integration.planner.plan import CachedInput, ExchangeInput, KeptInput, Plan, ScanInput
from seer_integration.planner.readings import split
from seer_integration.runner.flows import require_writable
from seer_integration.runner.run import Result, Run, Setting
from seer_integration.runner.summary import JobSummary

__all__ = ["Job"]

logger = logging.getLogger("lithops.seer")


class Job:
    """Stages of operations; what each does is said with :meth:`add`, which follow which with :meth:`dependency`.

    A context manager: :meth:`close` ends its executor. A job that is simply let go is closed with its process.

    Parameters
    ----------
    num_stages:
        How many, as in Seer; stages appear by themselves when operations are added.
    lithops_config:
        As Lithops takes it; ``None``: where Lithops looks for its own, else shared memory.
    confidential:
        Whether data must not leave the memory of this machine.
    profile:
        What is known of the job besides its size; then the selector decides where it runs.
    policy:
        The selector's, by name or as a function; then it decides too. As does a configuration with
        ``lithops: {backend: auto}``.
    executor:
        A ``lithops_shm.FunctionExecutor`` to run on, in place of all these; it stays the caller's. Jobs that read what
        others cached are run on the same one, or on none.
    name:
        For logs and keys: up to 40 letters, digits, ``.``, ``_`` and ``-``.
    show_progress:
        Whether to show bars, if standard error is a terminal.
    retries:
        How often a task is run again whose worker died; exceptions of functions are not retried.

    Attributes
    ----------
    decision:
        The selector's, once it was asked.

    Raises
    ------
    ConfigError, ConfidentialityError
    PlanError
        For a name that cannot be part of a key.
    """

    def __init__(
        self,
        num_stages: int | None = None,
        lithops_config: Mapping[str, Any] | None = None,
        *,
        confidential: bool = False,
        profile: JobProfile | Mapping[str, Any] | None = None,
        policy: str | Callable[..., Any] | None = None,
        executor: Any = None,
        name: str | None = None,
        show_progress: bool = True,
        retries: int = 3,
    ) -> None:
        self._environment = Environment(
            lithops_config, confidential=confidential, profile=profile, policy=policy, executor=executor
        )
        self._operations: dict[StageName, list[Operation]] = {number: [] for number in range(num_stages or 0)}
        self._dependencies: list[tuple[StageName, StageName]] = []
        self._name = "job" if name is None else name
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", self._name):
            raise PlanError(
                "the job", f"name={name!r} becomes part of keys: up to 40 letters, digits, '.', '_' and '-'"
            )
        self._show_progress = show_progress
        self._retries = retries
        self._result: Result | None = None

    @property
    def decision(self) -> Decision | None:
        """Where the job runs, and why; ``None`` before the selector was asked, or when nobody asks it."""
        return self._environment.decision

    def add(self, stage: StageName, op: type[Operation] | Operation, **parameters: Any) -> None:
        """Add an operation at the end of a stage.

        Parameters
        ----------
        stage:
            A number, or a name.
        op:
            The operation, with its parameters by name; or one that was made before, without.

        Raises
        ------
        OperationError
            For parameters that the operation does not take.
        """
        operation = made(op, parameters) if isinstance(op, type) else op
        self._operations.setdefault(stage, []).append(operation)
        self._result = None

    def dependency(self, parent: StageName, child: StageName) -> None:
        """Say that a stage takes the rows of another. Of a Join the first parent is the left side."""
        self._dependencies.append((parent, child))
        self._result = None

    def explain(self) -> str:
        """The plan: what is fused, read, exchanged and written, in how many tasks, where, and why there.

        Nothing is run; sources are looked at.

        Raises
        ------
        PlanError, DatasetError, NoPlaceError, ConfidentialityError
        """
        with self._environment.places() as places:
            plan = self._planned(self._graph(), places)
            text = explained(plan, _tasks(plan, self._environment.slots, places))
        return text if self.decision is None else f"{text}\n\n{self.decision.explain()}"

    def run(self) -> JobSummary:
        """Run the job to its end, and commit what it writes; running it again reads and writes again.

        Returns
        -------
        What was done; ``print()`` shows it as a table.

        Raises
        ------
        PlanError, DatasetError, NoPlaceError, ConfidentialityError
            Before anything has run.
        Exception
            What a function raised, or the death of a task's last attempt. Then datasets are as they were.
        """
        _, self._result = self._ran(self._graph())
        summary = self._result.summary
        logger.info("%s", summary)
        return summary

    def result(self, stage: StageName | None = None, library: str = "pandas") -> Any:
        """The rows of a Collect, or of the last stage, if nothing else becomes of them; runs the job if it has not run.

        Parameters
        ----------
        stage:
            Which, when several collect.
        library:
            ``"pandas"``, ``"arrow"`` or ``"polars"``.

        Returns
        -------
        A frame; in shared memory a view, where the library takes such.

        Raises
        ------
        PlanError
            When no stage of that name collects, or several do and none is named; else as :meth:`run`.
        """
        if self._result is None:
            self.run()
        assert self._result is not None
        tables = self._result.tables
        if stage is None and len(tables) != 1:
            raise PlanError("the job", f"it has {len(tables)} results ({', '.join(tables)}); name the stage of one")
        name = str(stage) if stage is not None else next(iter(tables))
        if name not in tables:
            raise PlanError(f"stage {stage}", f"it does not collect; those that do: {', '.join(tables) or 'none'}")
        return as_asked(tables[name], library)

    def cache(self, stage: StageName) -> Cached:
        """Run the job as far as this stage, and keep its rows in memory for other jobs.

        Returns
        -------
        What ``Scan(file=...)`` takes. The rows stay as long as something refers to it.

        Raises
        ------
        PlanError
            When there is no such stage; else as :meth:`run`.
        """
        graph = self._graph_to(stage)
        prefix = f"lithops-shm.cached/{self._name}-{secrets.token_hex(4)}"
        plan, result = self._ran(graph, prefix)
        schema = next(each.schema for each in plan.kept if each.collected is not None)
        environment = self._environment
        return Cached(prefix, result.kept[str(stage)], schema, environment.medium, environment.executor.storage)

    def close(self) -> None:
        """End the executor of this job, unless it was handed over; closing twice is closing once."""
        self._environment.close()

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _ran(self, graph: Graph, kept_prefix: str | None = None) -> tuple[Plan, Result]:
        environment = self._environment
        with environment.places() as places:
            plan = self._planned(graph, places)
            setting = Setting(
                f"{self._name}-{secrets.token_hex(6)}",
                environment.executor,
                environment.storage,
                environment.medium,
                environment.encoding,
                environment.executor.storage,
                environment.slots,
                places,
                self._retries,
                kept_prefix=kept_prefix,
            )
            for each in plan.cached:
                if each.released or each.medium != setting.medium:
                    why = "was released" if each.released else "is in another storage than this job's; use its executor"
                    raise PlanError("Scan", f"what was cached {why}")
            outcome = environment.outcome()
            if outcome is not None:
                outcome.begins()
            result = Run(plan, setting, Progress(self._show_progress)).run()
            if outcome is not None:
                outcome.ends()
        names = environment.executor.config["lithops"]
        summary = replace(result.summary, backend=f"{names['backend']} and storage {names['storage']}")
        return plan, replace(result, summary=summary)

    def _planned(self, graph: Graph, places: Places) -> Plan:
        """The plan of a graph; after this it is decided where it runs."""
        environment = self._environment
        storage, storages = environment.storage, []
        for spec in graph.stages.values():
            for each in spec.operations:
                if isinstance(each, Write) or (isinstance(each, Scan) and not each.cached):
                    where = location_of(
                        str(each.key if isinstance(each, Write) else each.file), each.bucket, each.storage, storage
                    )
                    environment.require_allowed(where.storage, writes=isinstance(each, Write))
                    storages.append(where.storage)
        sources = {
            name: scan.file if scan.cached else survey(scan, places, storage)
            for name, scan in ((name, spec.operations[0]) for name, spec in graph.stages.items())
            if isinstance(scan, Scan)
        }
        plan = assembled(graph, sources, places, environment.slots)
        require_writable(plan, storage)
        environment.decide(plan.nbytes, storages)
        return plan

    def _graph(self) -> Graph:
        """The job's graph; the rows of a last stage that nothing else becomes of are collected."""
        graph = Graph(self._operations, self._dependencies)
        ends = [name for name in graph.stages if not graph.children[name]]
        operations = dict(self._operations)
        for name in ends:
            if not any(isinstance(each, (Write, Collect)) for each in operations[name]):
                operations[name] = [*operations[name], Collect()]
        return Graph(operations, self._dependencies)

    def _graph_to(self, stage: StageName) -> Graph:
        """What comes before a stage and the stage, with its rows collected, and nothing else."""
        if stage not in self._operations:
            raise PlanError(
                f"stage {stage}", f"there is none of that name; there are {', '.join(map(str, self._operations))}"
            )
        wanted, waiting = {stage}, [stage]
        while waiting:
            child = waiting.pop()
            for parent, other in self._dependencies:
                if other == child and parent not in wanted:
                    wanted.add(parent)
                    waiting.append(parent)
        operations: dict[StageName, list[Operation]] = {}
        for name in (name for name in self._operations if name in wanted):
            operations[name] = [each for each in self._operations[name] if not isinstance(each, (Write, Collect))]
        last = operations[stage]
        operations[stage] = [*(last[:-1] if last and isinstance(last[-1], Exchange) else last), Collect()]
        dependencies = [pair for pair in self._dependencies if pair[0] in wanted and pair[1] in wanted]
        return Graph(operations, dependencies)


def _tasks(plan: Plan, slots: int, places: Places) -> dict[int, int]:
    """How many tasks those stages have of which that is known beforehand."""
    found = {}
    for stage in plan.stages:
        if isinstance(stage.input, ScanInput):
            found[stage.number] = len(split(plan.readings[stage.input.reading], slots, places))
        elif isinstance(stage.input, CachedInput):
            found[stage.number] = max(1, len(plan.cached[stage.input.cached].parts))
        elif isinstance(stage.input, KeptInput):
            found[stage.number] = 1
        elif isinstance(stage.input, ExchangeInput):
            partitions = plan.edges[stage.input.edges[0]].shuffle.partitions
            if partitions is not None:
                found[stage.number] = partitions
    return found
