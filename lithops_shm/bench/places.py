"""Where the buffers go, and come back from; declared in `contestants`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lithops_shm.store import Store

__all__ = ["Boto3", "Disk", "Fresh", "Place", "Recycled", "S3fs", "Site"]

BUCKET = "bench"


@dataclass(frozen=True, slots=True)
class Site:
    """What places are made of: a store, and the section of a running S3, if there is one."""

    store: Store
    s3: Mapping[str, str] | None


class Place:
    """Keeps objects; made in the process that uses it, where its clients live."""

    maps = False
    """Whether what `get` gives is the stored memory itself."""

    def __init__(self, site: Site) -> None:
        raise NotImplementedError

    def prepare(self, encode: Callable[[], Sequence[Any]]) -> None:
        """Before the clock runs; what will be put can be had from `encode`."""

    def put(self, key: str, parts: Sequence[Any]) -> None:
        raise NotImplementedError

    def get(self, key: str) -> Any:
        """All bytes of an object, contiguous."""
        raise NotImplementedError

    def delete(self, key: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Let go of connections."""


class Fresh(Place):
    """Shared memory, on pages nobody has had before."""

    maps = True

    def __init__(self, site: Site) -> None:
        self._store = site.store

    def prepare(self, encode: Callable[[], Sequence[Any]]) -> None:
        self._store.trim()

    def put(self, key: str, parts: Sequence[Any]) -> None:
        self._store.put(BUCKET, key, parts)

    def get(self, key: str) -> Any:
        return self._store.attach(BUCKET, key).view

    def delete(self, key: str) -> None:
        self._store.delete(BUCKET, key)


class Recycled(Fresh):
    """Shared memory, on the pages of an object just deleted."""

    def prepare(self, encode: Callable[[], Sequence[Any]]) -> None:
        self._store.trim()
        self.put("before", encode())
        self.delete("before")


class Disk(Place):
    """Lithops' localhost storage: files, which the page cache holds. It takes and gives ``bytes``."""

    def __init__(self, site: Site) -> None:
        import lithops

        self._storage = lithops.Storage(config={"lithops": {"storage": "localhost"}}, backend="localhost")

    def put(self, key: str, parts: Sequence[Any]) -> None:
        self._storage.put_object(BUCKET, key, _joined(parts))

    def get(self, key: str) -> Any:
        return self._storage.get_object(BUCKET, key)

    def delete(self, key: str) -> None:
        self._storage.delete_object(BUCKET, key)


class Boto3(Place):
    """S3 on this machine, by boto3."""

    def __init__(self, site: Site) -> None:
        import boto3

        assert site.s3 is not None
        self._client = boto3.client(
            "s3",
            endpoint_url=site.s3["endpoint"],
            aws_access_key_id=site.s3["access_key_id"],
            aws_secret_access_key=site.s3["secret_access_key"],
            region_name="us-east-1",
        )

    def put(self, key: str, parts: Sequence[Any]) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=_joined(parts))

    def get(self, key: str) -> Any:
        return self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=key)

    def close(self) -> None:
        self._client.close()


class S3fs(Place):
    """S3 on this machine, by s3fs."""

    def __init__(self, site: Site) -> None:
        import s3fs

        assert site.s3 is not None
        self._files = s3fs.S3FileSystem(
            key=site.s3["access_key_id"],
            secret=site.s3["secret_access_key"],
            client_kwargs={"endpoint_url": site.s3["endpoint"], "region_name": "us-east-1"},
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def put(self, key: str, parts: Sequence[Any]) -> None:
        self._files.pipe_file(f"{BUCKET}/{key}", _joined(parts))

    def get(self, key: str) -> Any:
        return self._files.cat_file(f"{BUCKET}/{key}")

    def delete(self, key: str) -> None:
        self._files.rm_file(f"{BUCKET}/{key}")


def _joined(parts: Sequence[Any]) -> bytes:
    """What these clients want: one object of bytes, for which several parts have to be copied."""
    return parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else b"".join(parts)
