"""How much a job will read: asked of the storage that holds it, by listing and HEAD, within bounds."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from lithops_shm.errors import ProfileError
from lithops_shm.selector import JobProfile

__all__ = ["Size", "sized"]

# How URIs name storages that Lithops has other names for.
_STORAGES = {"s3": "aws_s3", "s3a": "aws_s3", "gs": "gcp_storage", "cos": "ibm_cos"}
_ON_THIS_MACHINE = ("shm", "localhost")
_PROBE_S = 5.0  # for all inputs together; what is not known then stays unknown
_PROBE_BYTES = 64 << 20  # of a stream that does not say how long it is
_CHUNK = 1 << 20
_WILD = "*?["


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of an input: exactly so many, or at least; and whether they are on this machine."""

    nbytes: int
    exact: bool
    local: bool


def sized(job: JobProfile, storage_of: Callable[[str], Any]) -> JobProfile:
    """The profile with the size and the place of its inputs filled in; as it is when it has them, or no inputs.

    Parameters
    ----------
    storage_of:
        Gives Lithops' `Storage` for the name of a storage backend; only called for inputs in one.

    Returns
    -------
    A profile. When some size could not be found within five seconds its `input_bytes` is ``None``, and
    `at_least_bytes` what was found.

    Raises
    ------
    ProfileError
        When an input does not exist.
    """
    if not job.inputs or (job.input_bytes is not None and job.input_place is not None):
        return job
    until = time.monotonic() + _PROBE_S
    found = [_size(text, storage_of, until) for text in job.inputs]
    total = sum(each.nbytes for each in found)
    remote = sum(each.nbytes for each in found if not each.local)
    place = job.input_place or ("remote" if remote * 2 > total or not any(each.local for each in found) else "local")
    if job.input_bytes is not None:
        return replace(job, input_place=place)
    exact = all(each.exact for each in found)
    return replace(job, input_bytes=total if exact else None, at_least_bytes=0 if exact else total, input_place=place)


def _size(text: str, storage_of: Callable[[str], Any], until: float) -> Size:
    scheme, separator, path = text.partition("://")
    if not separator or scheme == "file":
        return Size(_of_files(path if separator else text), True, True)
    if scheme in ("http", "https"):
        return _of_stream(text, until)
    bucket, _, key = path.partition("/")
    if not bucket:
        raise ProfileError("inputs", text, "names no bucket")
    name = _STORAGES.get(scheme, scheme)
    nbytes, exact = _of_objects(text, storage_of(name), bucket, key, until)
    return Size(nbytes, exact, name in _ON_THIS_MACHINE)


def _of_files(path: str) -> int:
    path = os.path.expanduser(path)
    matches = glob.glob(path, recursive=True) if any(char in path for char in _WILD) else [path]
    if not matches or not all(os.path.exists(match) for match in matches):
        raise ProfileError("inputs", path, "is no file or directory, nor matches any")
    return sum(sum(_files_below(match)) if os.path.isdir(match) else os.path.getsize(match) for match in matches)


def _files_below(directory: str) -> Iterator[int]:
    for parent, _, names in os.walk(directory):
        yield from (os.path.getsize(os.path.join(parent, name)) for name in names)


def _of_objects(text: str, storage: Any, bucket: str, key: str, until: float) -> tuple[int, bool]:
    from lithops.storage.utils import StorageNoSuchKeyError

    if key and not key.endswith("/") and not any(char in key for char in _WILD):
        try:
            return int(storage.head_object(bucket, key)["content-length"]), True
        except StorageNoSuchKeyError:
            pass  # a prefix, perhaps
    fixed = min((key.index(char) for char in _WILD if char in key), default=len(key))
    total, count = 0, 0
    for name, nbytes in _listed(storage, bucket, key[:fixed]):
        if fixed == len(key) or fnmatchcase(name, key):
            total, count = total + nbytes, count + 1
        if time.monotonic() > until:
            return total, False
    if not count:
        raise ProfileError("inputs", text, f"names no object, and nothing in bucket {bucket!r} begins so")
    return total, True


def _listed(storage: Any, bucket: str, prefix: str) -> Iterable[tuple[str, int]]:
    """Names and sizes; from an S3 page by page, so that a listing without end can be left."""
    client = storage.get_client()
    if hasattr(client, "get_paginator"):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return ((each["Key"], int(each["Size"])) for page in pages for each in page.get("Contents", ()))
    return ((each["Key"], int(each["Size"])) for each in storage.list_objects(bucket, prefix))


def _of_stream(url: str, until: float) -> Size:
    """By its header; without one, by reading as much as is reasonable."""
    import requests

    patience = max(0.1, until - time.monotonic())
    try:
        with requests.head(url, timeout=patience, allow_redirects=True) as answer:
            if answer.ok and answer.headers.get("Content-Length", "").isdigit():
                return Size(int(answer.headers["Content-Length"]), True, False)
        nbytes = 0
        with requests.get(url, timeout=patience, stream=True) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_content(_CHUNK):
                nbytes += len(chunk)
                if nbytes >= _PROBE_BYTES or time.monotonic() > until:
                    return Size(nbytes, False, False)
    except requests.RequestException as error:
        raise ProfileError("inputs", url, f"cannot be reached: {error}") from error
    return Size(nbytes, True, False)
