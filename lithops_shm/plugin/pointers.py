"""Large objects as segments: what travels through Lithops is where they are, and reading them is mapping them."""

from __future__ import annotations

from typing import Any

from lithops_shm import codec
from lithops_shm.config import StoreSettings
from lithops_shm.errors import NotSerializableError
from lithops_shm.plugin.section import store_settings
from lithops_shm.store import Store

__all__ = ["SMALLEST", "Pointer", "store_large"]

SMALLEST = 64 << 10  # bytes; below this, copying costs less than mapping


class Pointer:
    """Pickled, it is where an object is; unpickled, it is the object, in views of shared memory.

    Parameters
    ----------
    section:
        The settings of the store, as in a Lithops configuration.
    bucket, key:
        The segment.
    nbytes:
        Bytes of the object.
    """

    def __init__(self, section: dict[str, Any], bucket: str, key: str, nbytes: int) -> None:
        self.section = section
        self.bucket = bucket
        self.key = key
        self.nbytes = nbytes

    def __reduce__(self) -> tuple[Any, tuple[dict[str, Any], str, str]]:
        return _load, (self.section, self.bucket, self.key)

    def delete(self) -> None:
        """Free the memory as soon as nobody maps it any longer."""
        with Store.open(StoreSettings.from_mapping(self.section)) as store:
            store.delete(self.bucket, self.key)


def _is_small(obj: Any) -> bool:
    """Whether an object is too small to be looked at closely, by its type and length."""
    return type(obj) in (int, float, bool) or (type(obj) in (str, bytes) and len(obj) < SMALLEST // 4)


def _load(section: dict[str, Any], bucket: str, key: str) -> Any:
    with Store.open(StoreSettings.from_mapping(section)) as store:
        return codec.decode(store.attach(bucket, key).view)


def store_large(obj: Any, internal_storage: Any, key: str) -> Pointer | None:
    """Put an object into Lithops' own bucket, if it is large and the storage is ours.

    Parameters
    ----------
    internal_storage:
        Lithops' storage of an executor, whichever backend it has.
    key:
        Below the prefix of what it belongs to, so that it is deleted with that.

    Returns
    -------
    What to send in its place; ``None`` when it is small, or the storage is another one, or no codec can carry the
    object, which Lithops' own way then reports.

    Raises
    ------
    StoreFullError
    """
    if _is_small(obj):
        return None
    backend = internal_storage.storage.storage_handler
    store = getattr(backend, "store", None)
    if not isinstance(store, Store):
        return None
    try:
        encoded = codec.encode(obj)
    except NotSerializableError:
        return None
    if encoded.nbytes < SMALLEST:
        return None
    info = store.put(internal_storage.bucket, key, encoded.parts)
    return Pointer(store_settings(backend.config).to_mapping(), info.bucket, info.key, info.size)
