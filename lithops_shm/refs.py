"""Hand objects from function to function by reference: ``put`` stores one, ``get`` gives it back as a view."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import Any

from lithops_shm import codec as _codec
from lithops_shm.config import StoreSettings
from lithops_shm.store import Store

__all__ = ["Ref", "delete", "get", "put", "report"]

BUCKET = "lithops-shm.refs"

_lock = threading.Lock()
_store: Store | None = None


@dataclass(frozen=True, slots=True)
class Ref:
    """Where an object is: small, picklable, usable by every process of this user on this machine.

    Parameters
    ----------
    bucket, key:
        The segment that holds it.
    nbytes:
        Bytes of the segment.
    """

    bucket: str
    key: str
    nbytes: int


def put(obj: Any, *, bucket: str = BUCKET, key: str | None = None, codec: str = "auto") -> Ref:
    """Store an object in shared memory, in one copy.

    Parameters
    ----------
    obj:
        Anything picklable. Arrow data, NumPy arrays and the frames made of them are stored as they lie in memory,
        wherever inside `obj` they are.
    bucket, key:
        Its name; a `key` of your own makes it findable and overwrites what was there, none makes up a unique one.
    codec:
        ``"auto"``, or ``"arrow"``, ``"pickle"``, ``"bytes"`` to insist.

    Raises
    ------
    NotSerializableError
        When no codec, or not the one asked for, can carry the object.
    StoreFullError, InvalidKeyError, SessionLostError
    """
    encoded = _codec.encode(obj, codec=codec)
    info = _default_store().put(bucket, key or secrets.token_hex(12), encoded.parts)
    return Ref(info.bucket, info.key, info.size)


def get(ref: Ref, *, writable: bool = False) -> Any:
    """The object of a reference: views of shared memory, read-only, that live as long as anything holds them.

    With `writable`, a private copy instead.

    Raises
    ------
    SegmentNotFoundError
        When it was deleted, or the session that stored it has ended.
    SegmentCorruptError, LayoutVersionError
    """
    return _codec.decode(_default_store().attach(ref.bucket, ref.key).view, writable=writable)


def report(ref: Ref) -> _codec.CopyReport:
    """What reading the object copies and what it only maps, measured by doing it."""
    return _codec.decode_with_report(_default_store().attach(ref.bucket, ref.key).view)[1]


def delete(ref: Ref) -> bool:
    """Remove the object; gives whether it was there. Views that were handed out stay as they are."""
    return _default_store().delete(ref.bucket, ref.key)


def _default_store() -> Store:
    """The store of the session this process is in: that of its Lithops client, or one of its own."""
    global _store
    with _lock:
        if _store is None or not _store.is_open:
            _store = Store.open(StoreSettings())
        return _store
