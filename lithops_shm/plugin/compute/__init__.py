"""The compute backend `shm`, as Lithops loads it: translates jobs for the pool of warm workers, decides nothing."""

from lithops_shm.plugin.versions import check_lithops

check_lithops()

from lithops_shm.plugin.compute.backend import ShmComputeBackend as ServerlessBackend  # noqa: E402  (after the check)

__all__ = ["ServerlessBackend"]
