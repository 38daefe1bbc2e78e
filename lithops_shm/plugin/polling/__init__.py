"""The monitoring backend `shm_polling`, for functions on Lithops' own localhost: statuses are objects in the storage.

It has a name of its own because Lithops throttles `storage` monitoring to one look a second unless the storage is
called `localhost`; looking into shared memory costs microseconds.
"""

from typing import Any

from lithops.monitoring.backends.storage import CallStatus
from lithops.monitoring.backends.storage import MonitoringBackend as _StorageMonitoring

from lithops_shm.plugin.leftovers import leftovers
from lithops_shm.plugin.polling.manager import wait_for_idle_manager

__all__ = ["CallStatus", "MonitoringBackend"]

# A task's process exits some 100 ms after it has stored its status; a function may have left threads that it waits for.
_PROCESS_EXITS_S = 10.0
# After a failed call Lithops has killed the processes already, and the manager has but to run.
_MANAGER_ENDS_S = 1.0


class MonitoringBackend(_StorageMonitoring):  # type: ignore[misc]
    """Lithops' monitor of status objects, under our name, that leaves no job without task runners (see `manager`)."""

    def __init__(self, executor_id: str, *arguments: Any, **more: Any) -> None:
        # Lithops makes a new monitor before it invokes the first job, and the next one after a call has failed.
        wait_for_idle_manager(executor_id, _MANAGER_ENDS_S)
        super().__init__(executor_id, *arguments, **more)

    def add_futures(self, fs: Any) -> None:
        """Lithops' own; called when a job starts."""
        fs = list(fs)
        super().add_futures(fs)
        leftovers(self.executor_id).track(fs)

    def remove_futures(self, fs: Any) -> None:
        """Lithops' own; called when calls have been waited for, and before their task runners are stopped."""
        fs = list(fs)
        super().remove_futures(fs)
        leftovers(self.executor_id).sweep()  # the rest is left to Lithops' cleaner
        if all(future.ready or future.success or future.done for future in [*fs, *self.futures]):
            wait_for_idle_manager(self.executor_id, _PROCESS_EXITS_S)
