"""Where a shuffle keeps its objects: shared memory, an S3 by one of two libraries, or any storage of Lithops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from lithops_shm.config import StoreSettings
from lithops_shm.errors import ConfigError
from lithops_shm.shuffle.media.objects import ObjectStore
from lithops_shm.shuffle.media.retries import RetryPolicy
from lithops_shm.shuffle.media.settings import S3Settings
from lithops_shm.store import Store

__all__ = ["KINDS", "Medium", "ObjectStore", "RetryPolicy", "S3Settings", "open_objects"]

KINDS = ("shared", "boto3", "s3fs", "lithops")


@dataclass(frozen=True, slots=True)
class Medium:
    """Which place, in words that can be sent to other processes, each of which opens it for itself.

    Parameters
    ----------
    kind:
        One of `KINDS`.
    bucket:
        Where in it.
    store:
        For ``shared``: the settings of the store as a mapping, with the id of the session to join.
    s3:
        For ``boto3`` and ``s3fs``.
    policy:
        For how long a failing request is tried again.

    Raises
    ------
    ConfigError
        For an unknown kind, or one without its settings.
    """

    kind: str
    bucket: str
    store: Mapping[str, Any] | None = None
    s3: S3Settings | None = None
    policy: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            near = get_close_matches(str(self.kind), KINDS, n=1, cutoff=0.3)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(KINDS)}"
            raise ConfigError(f"unknown engine {self.kind!r} for the objects of a shuffle; {hint}")
        if self.kind == "shared" and self.store is None:
            raise ConfigError("objects in shared memory need the settings of the store")
        if self.kind in ("boto3", "s3fs") and self.s3 is None:
            raise ConfigError(f"the engine {self.kind!r} needs the settings of an S3")

    @classmethod
    def of_store(cls, store: Store, bucket: str | None = None) -> Medium:
        """The place of an open store, for processes that join its session; `bucket` is its own by default."""
        settings = replace(store.settings, session=store.session.id, directory=store.session.layout.base)
        return cls("shared", bucket or settings.storage_bucket, store=settings.to_mapping())

    @classmethod
    def of_s3(cls, engine: str, settings: S3Settings, policy: RetryPolicy | None = None) -> Medium:
        """A bucket, reached by the engine ``boto3`` or ``s3fs``."""
        return cls(engine, settings.bucket, s3=settings, policy=policy or RetryPolicy())

    @classmethod
    def of_lithops(cls, bucket: str, policy: RetryPolicy | None = None) -> Medium:
        """A bucket of a Lithops storage, which has to be handed to :func:`open_objects`."""
        return cls("lithops", bucket, policy=policy or RetryPolicy())


def open_objects(where: Medium, storage: Any = None) -> ObjectStore:
    """Open a place; close it when done. Connects on first use, so that a server that is away shows then.

    Parameters
    ----------
    storage:
        For the kind ``lithops``: a ``lithops.Storage``, or anything with its methods. It stays the caller's.

    Raises
    ------
    ConfigError
        When the place needs a `storage` and there is none.
    """
    # Each loads a library of its own, which takes time: only the one that is used.
    if where.kind == "shared":
        from lithops_shm.shuffle.media.shared import SharedObjects

        return SharedObjects(Store.open(StoreSettings.from_mapping(where.store)), where.bucket)
    if where.kind == "lithops":
        from lithops_shm.shuffle.media.lithops_storage import LithopsObjects

        if storage is None:
            raise ConfigError("the objects of this shuffle are in a Lithops storage: hand it over to open them")
        return LithopsObjects(storage, where.bucket, str(getattr(storage, "backend", "?")), where.policy)
    from lithops_shm.shuffle.media.s3 import S3Objects

    assert where.s3 is not None
    if where.kind == "boto3":
        from lithops_shm.shuffle.media.boto import BotoEngine

        return S3Objects(where.s3, BotoEngine(where.s3, where.policy), where.policy)
    from lithops_shm.shuffle.media.s3fs import S3fsEngine

    return S3Objects(where.s3, S3fsEngine(where.s3, where.policy), where.policy)
