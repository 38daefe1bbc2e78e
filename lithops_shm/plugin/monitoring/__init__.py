"""The monitoring backend `shm`: statuses are objects in the storage, as with Lithops' own `storage` monitoring.

It has a name of its own because Lithops throttles `storage` monitoring to one look a second unless the storage is
called `localhost`; looking into shared memory costs microseconds.
"""

from lithops.monitoring.backends.storage import CallStatus
from lithops.monitoring.backends.storage import MonitoringBackend as _StorageMonitoring

__all__ = ["CallStatus", "MonitoringBackend"]


class MonitoringBackend(_StorageMonitoring):  # type: ignore[misc]
    """Lithops' monitor of status objects, under our name."""
