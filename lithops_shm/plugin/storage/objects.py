"""What a listing and a head say of an object, in boto3's shape."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from lithops_shm.store import SegmentInfo

__all__ = ["entry", "etag", "modified"]


def modified(info: SegmentInfo) -> datetime:
    """When the object was written, in UTC."""
    return datetime.fromtimestamp(info.modified_ns / 1e9, tz=timezone.utc)


def etag(info: SegmentInfo) -> str:
    """A tag that changes with every write; not a digest, which would cost a pass over the data."""
    return f'"{info.modified_ns:x}-{info.size:x}"'


def entry(info: SegmentInfo) -> dict[str, Any]:
    """An object in a listing."""
    return {
        "Key": info.key,
        "Size": info.size,
        "LastModified": modified(info),
        "ETag": etag(info),
        "StorageClass": "STANDARD",
    }
