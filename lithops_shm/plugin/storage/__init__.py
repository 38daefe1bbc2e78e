"""The storage backend `shm`, as Lithops loads it: translates arguments and errors, decides nothing."""

from lithops_shm.plugin.versions import check_lithops

check_lithops()

from lithops_shm.plugin.storage.backend import ShmStorageBackend as StorageBackend  # noqa: E402  (after the check)

__all__ = ["StorageBackend"]
