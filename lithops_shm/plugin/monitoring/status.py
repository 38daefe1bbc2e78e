"""The status of a call, as its worker tells it."""

from __future__ import annotations

import json

from lithops.monitoring.status import StorageCallStatus
from lithops.storage.utils import create_status_key

from lithops_shm.workers import pool, worker

__all__ = ["PRINTED", "PRINTED_IN_CONFIDENCE", "PushedCallStatus"]

PRINTED = "printed"
"""In the status of a call, what it printed; Lithops' own ``logs`` are compressed."""
PRINTED_IN_CONFIDENCE = "printed_in_confidence"
"""The same of a confidential call, which goes to no file."""


class PushedCallStatus(StorageCallStatus):  # type: ignore[misc]
    """Pushes the last status to the client, which sees the first itself, and keeps the last for those who ask for it.

    Where the client does not, it is stored before it is pushed: whoever is told may delete the job's objects at once.
    Outside a warm worker both are stored, and none pushed.
    """

    def _send(self) -> None:
        report = worker.report
        if report is None:
            super()._send()
            return
        if self.status["type"] == "__end__":
            status = json.dumps(self.status).encode()
            if not getattr(self.job, "client_keeps_status", False):
                key = create_status_key(*(self.status[name] for name in ("executor_id", "job_id", "call_id")))
                self.internal_storage.put_data(key, status)
            (report if pool.any_busy() else worker.report_last)(status)
