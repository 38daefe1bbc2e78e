"""The status of a call, as its worker tells it."""

from __future__ import annotations

import json

from lithops.monitoring.status import StorageCallStatus

from lithops_shm.workers import worker

__all__ = ["PushedCallStatus"]


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
