"""Waiting for the thread of Lithops' localhost that runs an executor's jobs to notice that they are done.

Lithops 3.8 (``localhost/v2``) starts its task runners together with a *job manager* thread, which ends with the last
job, and stops the runners as soon as that job's results are in. A job that is submitted between the two finds the
manager still there, starts no runners, and waits for ever. Storages that take some milliseconds to store the job hide
this; on shared memory a loop of calls met it in a minute.
"""

from __future__ import annotations

import inspect
import threading

__all__ = ["wait_for_idle_manager"]


def wait_for_idle_manager(executor_id: str, timeout_s: float) -> None:
    """Wait until the manager of an executor all of whose calls are done has ended; at most `timeout_s` seconds.

    It does so by itself once the last task's process has exited, which Lithops waits for as well before it stops the
    runners. Where there is none, on other compute backends for instance, this returns at once.
    """
    for thread in threading.enumerate():
        if _runs_jobs_of(thread, executor_id):
            thread.join(timeout_s)


def _runs_jobs_of(thread: threading.Thread, executor_id: str) -> bool:
    """Whether this is the manager of that executor, which is told from others' by the jobs it knows."""
    target = getattr(thread, "_target", None)
    if getattr(target, "__name__", None) != "job_manager" or not inspect.isfunction(target):
        return False
    cell = dict(zip(target.__code__.co_freevars, target.__closure__ or (), strict=True)).get("self")
    try:
        handler = cell.cell_contents if cell is not None else None
    except ValueError:  # not bound yet
        return False
    jobs = getattr(getattr(handler, "env", None), "jobs", {})
    return any(key.startswith(f"{executor_id}-") for key in list(jobs))
