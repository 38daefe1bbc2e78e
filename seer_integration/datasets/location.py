"""Where objects are, in words: a file, or a key in a bucket of a storage; and which of them a pattern means. Pure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from seer_integration.errors import DatasetError

__all__ = ["Location", "Stored", "fixed_part", "is_hidden", "is_pattern", "location_of", "matches"]

# How URIs name storages that Lithops has other names for.
_STORAGES = {"s3": "aws_s3", "s3a": "aws_s3", "gs": "gcp_storage", "cos": "ibm_cos"}
_WILD = "*?["


@dataclass(frozen=True, slots=True)
class Location:
    """One object, all below a prefix, or all that match a pattern.

    Parameters
    ----------
    storage:
        Name of a Lithops storage backend, as ``"shm"`` or ``"aws_s3"``; ``None`` for files of this machine.
    bucket:
        In it; empty for files.
    key:
        Of an object, a prefix that ends in ``/`` (or is empty: all of a bucket), or a pattern; of files an absolute
        path. In patterns ``*`` and ``?`` stand for no ``/``, and ``**`` for any number of components.
    """

    storage: str | None
    bucket: str
    key: str

    def __str__(self) -> str:
        return self.key if self.storage is None else f"{self.storage}://{self.bucket}/{self.key}"

    def at(self, key: str) -> Location:
        """Another key of the same place."""
        return replace(self, key=key)


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that was found.

    Parameters
    ----------
    key:
        Its key, or path.
    nbytes:
        Its size.
    version:
        A tag that is another when the object is; empty where the storage has none, as Lithops' ``localhost``.
    """

    key: str
    nbytes: int
    version: str


def location_of(file: str, bucket: str | None, storage: str | None, default_storage: str) -> Location:
    """Where a name of a user's leads.

    Parameters
    ----------
    file:
        A key when there is a `bucket`; else a path or a URI such as ``s3://bucket/key``, ``shm://bucket/key`` or
        ``file:///path``.
    storage:
        Of the bucket, instead of `default_storage`.

    Raises
    ------
    DatasetError
        When a URI names no bucket, or what nobody stores objects in.
    """
    if bucket is not None:
        return Location(storage or default_storage, bucket, file)
    scheme, separator, rest = file.partition("://")
    if not separator or scheme == "file":
        path = os.path.expanduser(rest if separator else file)
        return Location(None, "", os.path.abspath(path) + ("/" if path.endswith("/") and path.strip("/") else ""))
    if scheme in ("http", "https"):
        raise DatasetError(file, "web servers are no storage", "download it first, or name the bucket it is in")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise DatasetError(file, "it names no bucket", f"write {scheme}://bucket/key")
    return Location(_STORAGES.get(scheme, scheme), bucket, key)


def is_pattern(key: str) -> bool:
    """Whether a key stands for all that match it."""
    return any(character in key for character in _WILD)


def fixed_part(pattern: str) -> str:
    """What all that match a pattern begin with."""
    return pattern[: min((pattern.index(character) for character in _WILD if character in pattern), default=None)]


def matches(key: str, pattern: str) -> bool:
    """Whether a key is what a pattern says, or stands for."""
    return key == pattern or _match(key.split("/"), pattern.split("/"))


def is_hidden(name: str) -> bool:
    """Whether a component begins with ``_`` or ``.``: markers, indexes, what is not finished; never data."""
    return any(part.startswith(("_", ".")) for part in name.split("/"))


def _match(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_match(parts[index:], patterns[1:]) for index in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _match(parts[1:], patterns[1:])
