"""The Job of a job file; apart from the file, because it brings Lithops with it, and checking needs no Lithops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seer_integration.job import Job
from seer_integration.jobfile.jobfile import JobFile

__all__ = ["job_of"]


def job_of(file: JobFile, config: Mapping[str, Any] | None = None, *, show_progress: bool = True) -> Job:
    """The Job, not yet run; to be closed.

    Parameters
    ----------
    file:
        What was read.
    config:
        A Lithops configuration in place of that of the file.
    show_progress:
        Whether the job shows how far it is.

    Raises
    ------
    ConfigError
        For a wrong configuration.
    """
    job = Job(
        lithops_config=file.config(config),
        confidential=file.confidential,
        profile=file.profile,
        policy=file.policy,
        name=file.name,
        show_progress=show_progress,
    )
    for stage in file.stages:
        for operation in stage.operations:
            job.add(stage.name, operation)
    for stage in file.stages:
        for parent in stage.after:
            job.dependency(parent, stage.name)
    return job
