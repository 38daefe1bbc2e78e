"""A listing cut into pages, as S3 does it: prefixes rolled up at a delimiter, resumed behind a key."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lithops_shm.errors import InvalidKeyError
from lithops_shm.plugin.storage.arguments import require_harmless
from lithops_shm.plugin.storage.objects import entry
from lithops_shm.store import SegmentInfo

__all__ = ["PAGE_KEYS", "V1", "V2", "Page", "Request", "answer", "page"]

PAGE_KEYS = 1000  # most entries in a page, as on S3

V1, V2 = "ListObjects", "ListObjectsV2"  # S3's names of the two calls
_TAKES = {
    V1: ("Bucket", "Delimiter", "Marker", "MaxKeys", "Prefix"),
    V2: ("Bucket", "ContinuationToken", "Delimiter", "MaxKeys", "Prefix", "StartAfter"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a call asks for; `after` is where it begins, and `resumed` whether a page before ended there."""

    call: str
    bucket: str
    prefix: str
    delimiter: str
    limit: int
    after: str
    resumed: bool

    @classmethod
    def of(cls, call: str, arguments: Mapping[str, Any]) -> Request:
        """The request of a call's arguments, by boto3's names.

        Raises
        ------
        ConfigError, UnsupportedError
            For arguments that do not belong.
        InvalidKeyError
            For a continuation token that was not given by a page.
        """
        require_harmless(arguments, _TAKES[call])
        token = arguments.get("ContinuationToken")
        marker = _entry_of(token) if token else arguments.get("Marker") or ""
        limit = arguments.get("MaxKeys", PAGE_KEYS)
        return cls(
            call,
            arguments["Bucket"],
            arguments.get("Prefix") or "",
            arguments.get("Delimiter") or "",
            min(limit, PAGE_KEYS),
            marker or arguments.get("StartAfter") or "",
            bool(marker),
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Objects and rolled-up prefixes, each in order; whether more follow, and the last entry of both together."""

    objects: tuple[SegmentInfo, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    last: str


def page(infos: Sequence[SegmentInfo], prefix: str, delimiter: str, limit: int, after: str, *, resumed: bool) -> Page:
    """One page of a listing.

    Parameters
    ----------
    infos:
        The objects under `prefix`, sorted by key.
    delimiter:
        Keys that hold it beyond the prefix are rolled up to a common prefix that ends in it; empty for none.
    limit:
        Most entries in the page, objects and rolled-up prefixes together.
    after:
        Only keys that sort behind it; empty for all.
    resumed:
        Whether `after` is the last entry of the page before: if a prefix, all below it has been told.
    """
    objects: list[SegmentInfo] = []
    prefixes: list[str] = []
    last, truncated = after if resumed else "", False
    start = bisect_right(infos, after, key=lambda info: info.key) if after else 0
    for index in range(start, len(infos) if limit > 0 else start):
        info = infos[index]
        found = info.key.find(delimiter, len(prefix)) if delimiter else -1
        name = info.key[: found + len(delimiter)] if found >= 0 else info.key
        if found >= 0 and name == last:  # rolled up already, in this page or the one before
            continue
        if len(objects) + len(prefixes) == limit:
            truncated = True
            break
        last = name
        if found >= 0:
            prefixes.append(name)
        else:
            objects.append(info)
    return Page(tuple(objects), tuple(prefixes), truncated, last)


def answer(request: Request, infos: Sequence[SegmentInfo]) -> dict[str, Any]:
    """The page a request asks for, in boto3's shape; `infos` is all that is under its prefix, sorted by key."""
    found = page(infos, request.prefix, request.delimiter, request.limit, request.after, resumed=request.resumed)
    response: dict[str, Any] = {
        "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RetryAttempts": 0},
        "Name": request.bucket,
        "Prefix": request.prefix,
        "MaxKeys": request.limit,
        "IsTruncated": found.truncated,
    }
    if request.delimiter:
        response["Delimiter"] = request.delimiter
    if found.objects:
        response["Contents"] = [entry(info) for info in found.objects]
    if found.prefixes:
        response["CommonPrefixes"] = [{"Prefix": name} for name in found.prefixes]
    if request.call == V2:
        response["KeyCount"] = len(found.objects) + len(found.prefixes)
        if found.truncated:
            response["NextContinuationToken"] = _token_of(found.last)
    else:
        response["Marker"] = request.after
        if found.truncated:
            response["NextMarker"] = found.last
    return response


def _token_of(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _entry_of(token: str) -> str:
    try:
        return base64.b64decode(token, b"-_", validate=True).decode()
    except (ValueError, TypeError):
        raise InvalidKeyError("continuation token", token, "no page of a listing gave it") from None
