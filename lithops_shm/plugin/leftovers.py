"""What jobs leave in the storage: deleted in this process as soon as nobody can want it any longer.

Lithops' own cleaner is a process that starts after a job, and stays for seconds. In memory, a job's data should be gone
with the job, and deleting it takes less time than starting that.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lithops.constants import JOBS_PREFIX
from lithops.job.job import invalidate_function_cache

from lithops_shm.config import SECTION
from lithops_shm.errors import ShmError
from lithops_shm.plugin import running
from lithops_shm.plugin.pointers import Pointer

__all__ = ["Leftovers", "ended", "leftovers", "tidy"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    futures: list[Any] = field(default_factory=list)
    arguments: list[Pointer] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        """Whether every result has been read, or is none, or that of other calls."""
        return bool(self.futures) and all(future.done or future.futures for future in self.futures)

    @property
    def over(self) -> bool:
        return all(future.ready or future.success or future.done or future.futures for future in self.futures)

    @property
    def may_be_input(self) -> bool:
        """Whether the results may be the input of another job, which reads them for itself."""
        return not all(future._produce_output for future in self.futures)


class Leftovers:
    """Of the jobs of one executor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}

    def track(self, futures: Iterable[Any]) -> None:
        """These calls have been started."""
        with self._lock:
            for future in futures:
                self._jobs.setdefault(future.job_key, _Job()).futures.append(future)

    def add(self, job_key: str, arguments: list[Pointer]) -> None:
        """These segments belong to a job, wherever they are."""
        with self._lock:
            self._jobs.setdefault(job_key, _Job()).arguments.extend(arguments)

    def sweep(self, internal_storage: Any = None) -> None:
        """Delete what settled jobs have in the storage; without one their arguments only."""
        with self._lock:
            quiet = all(job.over for job in self._jobs.values())
            gone = {key for key, job in self._jobs.items() if job.settled and (quiet or not job.may_be_input)}
            jobs = {key: self._jobs.pop(key) for key in gone}
        for key, job in jobs.items():
            running.forget(key)
            try:
                for pointer in job.arguments:
                    pointer.delete()
                if internal_storage is not None:
                    _delete(internal_storage.storage, f"{JOBS_PREFIX}/{key}/")
            except (OSError, ShmError) as error:  # it goes with the session
                logger.debug("what job %s leaves could not be deleted: %s", key, error)


def _delete(storage: Any, prefix: str) -> None:
    storage.delete_objects(storage.bucket, storage.list_keys(storage.bucket, prefix))


_lock = threading.Lock()
_executors: dict[tuple[int, str], Leftovers] = {}


def leftovers(executor_id: str) -> Leftovers:
    """Those of an executor of this process."""
    with _lock:
        return _executors.setdefault((os.getpid(), executor_id), Leftovers())


def tidy(executor: Any) -> None:
    """Delete from memory what the jobs of an executor have left, all of which are over and wanted by nobody."""
    id_, storage = executor.executor_id, executor.internal_storage.storage
    if storage.backend != SECTION:  # the others Lithops cleans, when this process ends at the latest
        return
    running.forget_all(id_)
    invalidate_function_cache(id_)
    for prefix in (f"{JOBS_PREFIX}/{id_}-", f"{JOBS_PREFIX}/{id_}/"):
        with contextlib.suppress(OSError, ShmError):  # it goes with the session
            _delete(storage, prefix)


@contextlib.contextmanager
def ended(executor: Any) -> Iterator[None]:
    """At the end close an executor that nobody will use any longer, and delete what it has left."""
    try:
        with executor:
            yield
    finally:
        tidy(executor)
        if executor.internal_storage.backend == SECTION:  # nothing is left, for which Lithops would keep it to the end
            atexit.unregister(executor._clean_at_exit)
        with _lock:
            _executors.pop((os.getpid(), executor.executor_id), None)
