"""Every error of jobs.

    ShmError
      SeerError
        OperationError (ValueError)  an operation was given what it cannot take
        PlanError (ValueError)       stages, operations, columns or types do not fit together
        JobFileError (ValueError)    a job file is wrong, at a line
        DatasetError (OSError)       a source or a sink cannot be read, or written
          MalformedRowError          a row of a file is not what the rest of it is

As in `lithops_shm.errors`, each has a stable ``code``, and its data in ``args``.
"""

from __future__ import annotations

from lithops_shm.errors import ShmError

__all__ = ["DatasetError", "JobFileError", "MalformedRowError", "OperationError", "PlanError", "SeerError"]


class SeerError(ShmError):
    """Base of the errors of jobs."""

    code = "SEER"


class OperationError(SeerError, ValueError):
    """An operation was given what it cannot take. ``args``: operation, parameter, value, reason."""

    code = "SEER-OPERATION"

    def __str__(self) -> str:
        operation, parameter, value, reason = self.args
        return f"{operation}: {parameter}={value!r} {reason}"


class PlanError(SeerError, ValueError):
    """A job that cannot be run as it is. ``args``: where (``"stage 1"``, ``"stage 1, Sort"``), reason."""

    code = "SEER-PLAN"

    def __str__(self) -> str:
        where, reason = self.args
        return f"{where}: {reason}"


class JobFileError(SeerError, ValueError):
    """A job file is wrong. ``args``: file, line (from 1; 0 when none can be named), reason."""

    code = "SEER-JOB-FILE"

    def __str__(self) -> str:
        file, line, reason = self.args
        return f"{file}, line {line}: {reason}" if line else f"{file}: {reason}"


class DatasetError(SeerError, OSError):
    """A source cannot be read, or a sink not be written. ``args``: where, reason, what to do."""

    code = "SEER-DATASET"

    def __init__(self, where: str, reason: str, todo: str) -> None:
        super().__init__()  # OSError takes three arguments for a number, a text and the name of a file
        self.args = where, reason, todo

    def __str__(self) -> str:
        where, reason, todo = self.args
        return f"{where}: {reason}; {todo}"


class MalformedRowError(DatasetError):
    """A row is not what the other rows are. ``args``: where, what is wrong with which row, what to do."""

    code = "SEER-MALFORMED-ROW"
