"""Large objects as segments: what travels through Lithops is where they are, and reading them is mapping them.

In a worker, tables can be made in the segment that they will be read from if the function returns them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lithops_shm import codec
from lithops_shm.config import StoreSettings
from lithops_shm.errors import NotSerializableError
from lithops_shm.plugin.section import store_settings
from lithops_shm.store import InPlace, Store

__all__ = ["SMALLEST", "Pointer", "make_for_result", "results_of_call", "store_large", "store_of"]

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


class _Made(Pointer):
    """A table made for the result of a call; `used` once the result has been pickled with it."""

    def __init__(self, section: dict[str, Any], bucket: str, key: str, nbytes: int, table: Any) -> None:
        super().__init__(section, bucket, key, nbytes)
        self.table = table
        self.used = False

    def __reduce__(self) -> tuple[Any, tuple[dict[str, Any], str, str]]:
        self.used = True
        return super().__reduce__()


@dataclass
class _Call:
    """The call this process is running."""

    storage: Any
    key: str
    made: list[_Made] = field(default_factory=list)


_running: list[_Call] = []


@contextmanager
def results_of_call(internal_storage: Any, key: str) -> Iterator[None]:
    """While a call runs and its result is stored; what was made for it and is not part of it is deleted at the end.

    Parameters
    ----------
    internal_storage:
        Lithops' storage of the job.
    key:
        Of the call's results, or their prefix.
    """
    running = _Call(internal_storage, key)
    _running.append(running)
    try:
        yield
    finally:
        _running.remove(running)
        for made in running.made:
            if not made.used:
                made.delete()


def make_for_result(data: InPlace) -> Any | None:
    """In a worker, make an encoded Arrow table where it will be read from, should the function return it.

    Returns
    -------
    The table, a view of its segment. ``None`` when nothing was made: in no call of ours, in another storage, without
    room in memory, or for little data.

    Raises
    ------
    SessionLostError
    """
    if not _running or data.nbytes < SMALLEST:
        return None
    running = _running[-1]
    store = store_of(running.storage)
    if store is None:
        return None
    bucket, key = running.storage.bucket, f"{running.key}.made-{len(running.made)}"
    with store.create(bucket, key, data.nbytes) as writer:
        if not writer.make(data):
            return None
        writer.seal()
    table = codec.decode(store.attach(bucket, key).view)
    running.made.append(_Made(_section(running.storage), bucket, key, data.nbytes, table))
    return table


def store_of(internal_storage: Any) -> Store | None:
    """The store behind Lithops' storage of an executor or a job, if it is ours."""
    store = getattr(internal_storage.storage.storage_handler, "store", None)
    return store if isinstance(store, Store) else None


def _section(internal_storage: Any) -> dict[str, Any]:
    return store_settings(internal_storage.storage.storage_handler.config).to_mapping()


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
    store = store_of(internal_storage)
    if store is None:
        return None
    made = _running[-1].made if _running else []
    try:
        encoded = codec.encode(obj, elsewhere=[(each.table, each) for each in made])
    except NotSerializableError:
        return None
    if encoded.nbytes < SMALLEST and not any(each.used for each in made):
        return None
    info = store.put(internal_storage.bucket, key, encoded.parts)
    return Pointer(_section(internal_storage), info.bucket, info.key, info.size)
