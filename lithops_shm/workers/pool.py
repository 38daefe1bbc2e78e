"""The pool: workers that run calls, tell what became of each, and are replaced when they die."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Iterable
from typing import Any

from lithops_shm import host
from lithops_shm.config import WorkerSettings
from lithops_shm.errors import NotAdmittedError
from lithops_shm.workers.job import Job
from lithops_shm.workers.loop import Loop
from lithops_shm.workers.seclusion import OPEN, Seclusion

__all__ = ["Pool", "any_busy", "join_all"]


class Pool:
    """Warm processes on this machine that run the calls of jobs. Safe to use from several threads.

    Nothing is started before the first job, or :meth:`start`. All of it ends with this process, however it ends. A
    forked child may go on with the pool: it gets workers of its own, and none of the jobs.

    Parameters
    ----------
    settings:
        How many workers, and what they have loaded beforehand.
    runners:
        Modules to load before all others: those that any job needs.
    last_will:
        ``module:function argument``: called with the argument, a text, when this process was killed and its workers
        are gone.
    seclusion:
        What all its workers are kept from; jobs that want another one need another pool.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        runners: tuple[str, ...] = (),
        last_will: str = "",
        seclusion: Seclusion = OPEN,
    ) -> None:
        self._last_will = last_will
        self._seclusion = seclusion
        self._settings = settings
        self._runners = runners
        self.slots = min(settings.worker_processes or host.usable_cpus(), settings.max_workers or sys.maxsize)
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        _pools.add(self)

    def start(self) -> None:
        """Have workers ready before the first job."""
        self._tell("start")

    def submit(self, job: Job) -> None:
        """Run the calls of a job; its `on_event` is told of each.

        Raises
        ------
        NotAdmittedError
            When one of its calls asks for more memory than there is.
        """
        limits = [limit for limit in (host.memory_total(), host.cgroup_limit()) if limit is not None]
        if job.memory_bytes > min(limits, default=sys.maxsize):
            raise NotAdmittedError(job.key, job.memory_bytes, min(limits))
        self._tell("submit", job)

    def cancel(self, job_keys: Iterable[str], *, kill: bool = False) -> None:
        """Drop the calls of jobs that have not started; with `kill`, end the ones that run as well.

        Nothing is told of calls that were dropped. Of those that were killed their death is.
        """
        if self._loop is not None:
            self._tell("cancel", frozenset(job_keys), kill)

    def await_end(self, job_keys: Iterable[str], timeout_s: float) -> bool:
        """Wait until no call of these jobs is running, nor its process there; gives whether that was in time."""
        over = threading.Event()
        if self._loop is None or not self._loop.tell("await", frozenset(job_keys), over):
            return True
        return over.wait(timeout_s)

    def join(self) -> None:
        """Wait until no call is running or waiting to."""
        loop = self._loop
        if loop is not None:
            loop.wait_until_idle()

    @property
    def busy(self) -> bool:
        """Whether a call is running or waiting to."""
        loop = self._loop
        return loop is not None and loop.busy

    def close(self) -> None:
        """End all workers, whatever they are doing, and wait until they are gone. The pool may be used again."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()

    def _tell(self, *command: Any) -> None:
        with self._lock:
            while self._loop is None or not self._loop.tell(*command):
                self._loop = Loop(self._settings, self.slots, self._runners, self._last_will, self._seclusion)

    def _forget(self) -> None:
        """In a forked child, which gets workers of its own when it needs them: these are the parent's."""
        loop, self._loop = self._loop, None
        self._lock = threading.Lock()
        if loop is not None:
            loop.abandon()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def any_busy() -> bool:
    """Whether a pool of this process has something to do."""
    return any(pool.busy for pool in list(_pools))


def join_all() -> None:
    """Wait until no pool of this process has anything to do."""
    for pool in list(_pools):
        pool.join()


@atexit.register
def _close_all() -> None:
    for pool in list(_pools):
        pool.close()


def _forget_all() -> None:
    for pool in list(_pools):
        pool._forget()


os.register_at_fork(after_in_child=_forget_all)
