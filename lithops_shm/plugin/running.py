"""The jobs that this process's pool is running: whose statuses are still to come, and how to end them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from lithops.storage.utils import status_key_suffix

from lithops_shm.plugin.callers import local_of

__all__ = ["applied", "arrived", "begin", "cancel", "expects", "is_running", "wait"]


@dataclass(frozen=True, slots=True)
class _Running:
    statuses: set[str]
    cancel: Callable[[], None]


_changed = threading.Condition()
_jobs: dict[str, _Running] = {}
_job_of: dict[str, str] = {}
_not_applied: set[str] = set()

_APPLIED_S = 1.0  # that a monitor may take to see a status; one that has been stopped never does


def begin(job_key: str, statuses: Collection[str], cancel: Callable[[], None]) -> None:
    """A job starts; each of its calls will store its status, or have it stored, under one of those keys."""
    with _changed:
        _jobs[job_key] = _Running(set(statuses), cancel)
        _job_of.update(dict.fromkeys(statuses, job_key))


def arrived(status: str) -> bool:
    """A status has been stored, and goes to the executor's monitor; gives whether it is news."""
    with _changed:
        job_key = _job_of.pop(status, None)
        if job_key is None:
            return False
        _jobs[job_key].statuses.discard(status)
        if not _jobs[job_key].statuses:
            del _jobs[job_key]
        _not_applied.add(status)
        _changed.notify_all()
        return True


def applied(status: str) -> None:
    """The monitor has given the status to its future, and will not write to that again."""
    with _changed:
        _not_applied.discard(status)
        _changed.notify_all()


def expects(status: str) -> bool:
    """Whether a status is still to come."""
    return status in _job_of


def is_running(job_key: str) -> bool:
    """Whether a status of the job is still to come."""
    return job_key in _jobs


def cancel(job_keys: Collection[str]) -> None:
    """End jobs, whatever their calls are doing; those that are over are left alone."""
    with _changed:
        ended = [_jobs.pop(key) for key in job_keys if key in _jobs]
        for running in ended:
            for status in running.statuses:
                del _job_of[status]
        _changed.notify_all()
    for running in ended:
        running.cancel()


def wait(key: str) -> bool:
    """Wait for a status that is to come, if Lithops would only ask again; gives whether looking again is worth it.

    Lithops' ``future.result()`` asks the storage for the status of its call, and sleeps for a second when it is not
    there. Others look whether it is there, and must not be kept. Nor may the future be had while its monitor is behind:
    that would write the beginning of the call over its end.
    """
    if not key.endswith(status_key_suffix) or local_of("_poll_until_ready", "check_only", default=True):
        return False
    with _changed:
        _changed.wait_for(lambda: key not in _job_of)
        _changed.wait_for(lambda: key not in _not_applied, _APPLIED_S)
        _not_applied.discard(key)
    return True
