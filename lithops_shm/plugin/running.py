"""The jobs that this process's pool is running: whose statuses are still to come, and how to end them.

Statuses that have come are kept here, where nearly all who ask for them are. Another process can ask for one only if it
has the call's future, which is pickled to get there, or inherited by a fork; those are stored, then or when they come.
"""

from __future__ import annotations

import copyreg
import os
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from lithops.future import ResponseFuture
from lithops.storage.utils import create_status_key, status_key_suffix

from lithops_shm.config import SECTION
from lithops_shm.plugin.callers import local_of

__all__ = [
    "applied",
    "arrived",
    "begin",
    "cancel",
    "expects",
    "forget",
    "forget_all",
    "is_running",
    "keep",
    "kept",
    "wait",
]


_Store = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class _Running:
    statuses: set[str]
    cancel: Callable[[], None]
    store: _Store


_changed = threading.Condition()
_jobs: dict[str, _Running] = {}
_job_of: dict[str, str] = {}
_not_applied: set[str] = set()
_kept: dict[str, tuple[bytes, _Store]] = {}
_kept_of: dict[str, list[str]] = {}  # keys of those, by job
_shared: set[str] = set()  # keys that another process may ask for

_APPLIED_S = 1.0  # that a monitor may take to see a status; one that has been stopped never does


def begin(job_key: str, statuses: Collection[str], cancel: Callable[[], None], store: _Store) -> None:
    """A job starts; each of its calls will have its status kept, or `store` it, under one of those keys."""
    with _changed:
        _jobs[job_key] = _Running(set(statuses), cancel, store)
        _job_of.update(dict.fromkeys(statuses, job_key))


def arrived(status: str) -> bool:
    """A status has come, and goes to the executor's monitor; gives whether it is news."""
    with _changed:
        job_key = _job_of.pop(status, None)
        if job_key is None:
            return False
        _jobs[job_key].statuses.discard(status)
        _shared.discard(status)
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


def keep(status: str, data: bytes) -> None:
    """A status has come; whoever asks for it in this process gets it. Raises what storing it for others raises."""
    with _changed:
        job_key = _job_of.get(status)
        if job_key is None:
            return
        store = _jobs[job_key].store
        shared = status in _shared
        if not shared:
            _kept[status] = data, store
            _kept_of.setdefault(job_key, []).append(status)
    if shared:
        store(status, data)


def kept(key: str) -> bytes | None:
    """The status under a key, if it is kept here."""
    found = _kept.get(key)
    return None if found is None else found[0]


def _share(status: str, *, to_come: bool) -> None:
    """Another process may ask for a status: store it, now or when it comes."""
    with _changed:
        found = _kept.get(status)
        if found is None and to_come:  # of a job that may not have begun yet
            _shared.add(status)
    if found is not None:
        data, store = found
        store(status, data)


def forget(job_key: str) -> None:
    """Nobody will ask for the statuses of a job any longer."""
    with _changed:
        for status in _kept_of.pop(job_key, ()):
            del _kept[status]


def forget_all(executor_id: str) -> None:
    """Nobody will ask for those of an executor's jobs any longer."""
    with _changed:
        for job_key in [key for key in _kept_of if key.startswith(f"{executor_id}-")]:
            forget(job_key)


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
                _shared.discard(status)
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


def _pickled(future: ResponseFuture) -> Any:
    if future.backend == SECTION:
        status = create_status_key(future.executor_id, future.job_id, future.call_id)
        _share(status, to_come=future.new or future.invoked or future.running)
    return future.__reduce_ex__(2)


def _share_all() -> None:
    """Before a fork: the child has the futures there are."""
    with _changed:
        _shared.update(_job_of)


def _forget_all() -> None:
    """In a forked child, to which no status will come: it looks into the storage."""
    global _changed
    _changed = threading.Condition()
    for each in (_jobs, _job_of, _not_applied, _shared):
        each.clear()


copyreg.pickle(ResponseFuture, _pickled)
os.register_at_fork(before=_share_all, after_in_child=_forget_all)
