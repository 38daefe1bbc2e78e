"""The pool's events as Lithops' statuses: what workers report is passed on, and those that died are spoken for."""

from __future__ import annotations

import json
import logging
import pickle
import sys
import threading
import time
from typing import Any

from lithops.storage.utils import create_status_key

from lithops_shm.errors import CallTimeoutError, WorkerDiedError, WorkerOutOfMemoryError, WorkerPoolError
from lithops_shm.plugin import running
from lithops_shm.plugin.monitoring.mailbox import mailbox
from lithops_shm.workers import Death, Event, worker
from lithops_shm.workers.death import Cause
from lithops_shm.workers.job import EventKind

__all__ = ["Statuses"]

logger = logging.getLogger(__name__)


class Statuses:
    """Follows a job, as the pool wants it: told of every event, from the pool's thread.

    Parameters
    ----------
    payload:
        Of the job, as Lithops gives it to a compute backend.
    storage:
        Lithops' storage of the executor, for the ends that no worker could store.
    keeps:
        Whether the statuses are kept in this process, and workers do not store them.
    """

    def __init__(self, payload: dict[str, Any], storage: Any, *, keeps: bool) -> None:
        self._keeps = keeps
        self._executor_id: str = payload["executor_id"]
        self._job_id: str = payload["job_id"]
        self._timeout_s: float = payload["execution_timeout"]
        self._submitted: float = payload["host_submit_tstamp"]
        self._chunksize: int = payload["chunksize"]
        self._started: dict[str, float] = {}
        self.keys = [self._key(call_id) for call_id in payload["call_ids"]]
        self._storage = storage

    def __call__(self, event: Event) -> None:
        if event.kind is EventKind.STARTED:
            self._started[event.call_id] = time.time()
            self._deliver(self._status_of("__init__", event.call_id, ""))
        elif event.kind is EventKind.REPORT:
            # The client keeps statuses as long as its futures: one copy of their keys is enough.
            status = {sys.intern(key): value for key, value in json.loads(event.report).items()}
            if self._is_own_end(status):
                self._keep(self._key(event.call_id), event.report)
            self._deliver(status)
        elif event.kind is EventKind.DONE and running.arrived(self._key(event.call_id)):
            running.applied(self._key(event.call_id))  # it was stored and not pushed: Lithops' own monitoring finds it
        elif event.kind is EventKind.RETRIED and event.death is not None:
            logger.warning("call %s runs again: %s", self._name(event.call_id), event.death.reason)
        elif event.kind is EventKind.DIED and event.death is not None:
            if not running.expects(self._key(event.call_id)):
                return  # it was cancelled, or died after it had said its last
            status = self._ending_of(event.call_id, event.death)
            # Whatever storage it is may take its time, and the pool has none.
            threading.Thread(target=self._store_and_deliver, args=(status,), daemon=True).start()

    def _deliver(self, status: dict[str, Any]) -> None:
        if self._is_own_end(status) and not running.arrived(self._key(status["call_id"])):
            return
        # In a worker, the client above wants to know too: a function may hand back the futures of its own executor.
        if worker.report is not None:
            worker.report(json.dumps(status).encode())
        mailbox(self._executor_id).put(status)

    def _is_own_end(self, status: dict[str, Any]) -> bool:
        own = (status["executor_id"], status["job_id"]) == (self._executor_id, self._job_id)
        return own and status["type"] == "__end__"

    def _keep(self, key: str, report: bytes) -> None:
        if not self._keeps:
            return
        try:
            running.keep(key, report)
        except Exception:
            logger.exception("the status %s could not be stored", key)

    def _store_and_deliver(self, status: dict[str, Any]) -> None:
        try:
            self._storage.put_data(self._key(status["call_id"]), json.dumps(status))
        except Exception:
            logger.exception("the end of call %s could not be stored", self._name(status["call_id"]))
        self._deliver(status)

    def _key(self, call_id: str) -> str:
        key: str = create_status_key(self._executor_id, self._job_id, call_id)
        return key

    def _name(self, call_id: str) -> str:
        return f"{self._executor_id}-{self._job_id}-{call_id}"

    def _ending_of(self, call_id: str, death: Death) -> dict[str, Any]:
        error = _error_of(death, self._name(call_id), self._timeout_s)
        ending = {
            "exception": True,
            "exc_info": str(pickle.dumps((type(error), error, None))),
            "worker_end_tstamp": time.time(),
        }
        return {**self._status_of("__end__", call_id, f"pid-{death.pid}"), **ending}

    def _status_of(self, kind: str, call_id: str, activation_id: str) -> dict[str, Any]:
        return {
            "type": kind,
            "exception": False,
            "executor_id": self._executor_id,
            "job_id": self._job_id,
            "call_id": call_id,
            "activation_id": activation_id,
            "chunksize": self._chunksize,
            "host_submit_tstamp": self._submitted,
            "worker_start_tstamp": self._started.get(call_id, time.time()),
        }


def _error_of(death: Death, call: str, timeout_s: float) -> Exception:
    if death.cause is Cause.TIMED_OUT:
        return CallTimeoutError(call, timeout_s)
    if death.cause is Cause.UNAVAILABLE:
        return WorkerPoolError(call, death.reason)
    if death.cause is Cause.OUT_OF_MEMORY:
        return WorkerOutOfMemoryError(call, death.reason, death.output)
    return WorkerDiedError(call, death.reason, death.output)
