"""The monitoring backend `shm`, as Lithops loads it: workers push the status of every call, and nothing polls."""

from lithops_shm.plugin.monitoring.monitor import PushMonitor as MonitoringBackend
from lithops_shm.plugin.monitoring.status import PushedCallStatus as CallStatus

__all__ = ["CallStatus", "MonitoringBackend"]
