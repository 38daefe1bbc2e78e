"""The status of a call, as its worker tells it."""

from __future__ import annotations

import json

from lithops.monitoring.status import StorageCallStatus
from lithops.storage.utils import create_status_key

from lithops_shm.workers import worker

__all__ = ["LOGS_IN_MEMORY", "PushedCallStatus"]

LOGS_IN_MEMORY = "logs_in_memory"
"""In the status of a confidential call, what it printed: as Lithops' own ``logs``, which go to a file."""


class PushedCallStatus(StorageCallStatus):  # type: ignore[misc]
    """Pushes each status to the client; the last one is stored as well, for those who were not told.

    They are other processes that hold the call's future: a reduce function, or who unpickled it. Outside a warm worker
    all of them are stored, and none pushed.
    """

    def _send(self) -> None:
        report = worker.report
        if report is None:
            super()._send()
            return
        status = json.dumps(self.status).encode()
        if self.status["type"] == "__end__":
            key = create_status_key(*(self.status[name] for name in ("executor_id", "job_id", "call_id")))
            self.internal_storage.put_data(key, status)  # first: whoever is told may delete the job's objects at once
        report(status)
