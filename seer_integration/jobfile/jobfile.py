"""What a job file says, checked; and the Job it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError
from typing import Any

from lithops_shm.cli.configuration import load
from lithops_shm.selector import JobProfile
from seer_integration.dag import Graph, StageName
from seer_integration.errors import JobFileError, PlanError
from seer_integration.operations import Collect, Operation, Write

__all__ = ["JobFile", "Stage"]


@dataclass(frozen=True)
class Stage:
    """A stage, and where it is written.

    Parameters
    ----------
    name:
        A number when it is written as one.
    line:
        Of its name.
    after:
        The stages whose rows it takes; the left one of a Join first.
    operations:
        In their order.
    lines:
        Of each operation.
    """

    name: StageName
    line: int
    after: tuple[StageName, ...]
    operations: tuple[Operation, ...]
    lines: tuple[int, ...]


@dataclass(frozen=True)
class JobFile:
    """A job as it is written in a file. :func:`seer_integration.jobfile.read` makes it.

    Parameters
    ----------
    file:
        Its path.
    stages:
        In the order in which they are written.
    name, confidential, policy, profile:
        As :class:`seer_integration.Job` takes them.
    storage:
        Of the job, whatever the Lithops configuration says.
    lithops:
        A whole Lithops configuration; ``None``: the one that Lithops finds.
    """

    file: str
    stages: tuple[Stage, ...]
    name: str | None = None
    confidential: bool = False
    policy: str | None = None
    profile: JobProfile | None = None
    storage: str | None = None
    lithops: Mapping[str, Any] | None = None

    @property
    def collected(self) -> tuple[StageName, ...]:
        """The stages that have a result: those with a Collect, and last ones that write nothing."""
        children = self.graph().children
        return tuple(
            stage.name
            for stage in self.stages
            if any(isinstance(each, Collect) for each in stage.operations)
            or not (children[stage.name] or any(isinstance(each, Write) for each in stage.operations))
        )

    def graph(self) -> Graph:
        """Its stages, checked against each other; raises JobFileError."""
        operations = {stage.name: stage.operations for stage in self.stages}
        dependencies = [(parent, stage.name) for stage in self.stages for parent in stage.after]
        try:
            return Graph(operations, dependencies)
        except PlanError as error:
            raise self.located(error) from error

    def config(self, given: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The Lithops configuration of the job; ``None`` to let Lithops find it.

        Parameters
        ----------
        given:
            One in place of that of the file; the file's storage holds all the same.

        Raises
        ------
        ConfigError
            When it has to be found, and cannot be read.
        """
        found = self.lithops if given is None else given
        if self.storage is None:
            return None if found is None else dict(found)
        if found is None:
            found, _ = load(None)
        return {**found, "lithops": {**(found.get("lithops") or {}), "storage": self.storage}}

    def located(self, error: PlanError) -> JobFileError:
        """The same error, at the line of the stage or the operation that it names."""
        where, reason = error.args
        if isinstance(error.__context__, CycleError):
            circle = error.__context__.args[1]
            return JobFileError(self.file, min(each.line for each in self.stages if each.name in circle), reason)
        lines: dict[str, list[int]] = {}
        for stage in self.stages:
            lines.setdefault(f"stage {stage.name}", []).append(stage.line)
            for operation, line in zip(stage.operations, stage.lines, strict=True):
                lines.setdefault(f"stage {stage.name}, {operation.name}", []).append(line)
                lines.setdefault(operation.name, []).append(line)
        # Of several of one name any may be meant: then it is the stage, or nothing.
        for name in (where, where.rpartition(", ")[0]):
            if len(lines.get(name, ())) == 1:
                return JobFileError(self.file, lines[name][0], f"{where}: {reason}")
        return JobFileError(self.file, 0, f"{where}: {reason}")
