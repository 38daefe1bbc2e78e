"""The status of a call, as its worker tells it."""

from __future__ import annotations

import json

from lithops.monitoring.status import StorageCallStatus

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
        if report is None or self.status["type"] == "__end__":
            super()._send()  # before it is pushed: whoever is told may delete the job's objects at once
        if report is not None:
            report(json.dumps(self.status).encode())
