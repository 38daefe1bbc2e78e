"""Buckets and keys as paths. Pure: text in, text out, nothing is touched on disk.

A key's ``/`` become directories, so that listing a prefix reads only what is under it. Each component is
percent-encoded byte by byte, which keeps prefixes prefixes and lets no component be ``.``, ``..`` or hidden.
An object's file name ends in ``@``, a directory's never does: ``a`` and ``a/b`` live beside each other as
``a@`` and ``a/b@``. A key too long for a path is filed under its SHA-256, with its text beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import unquote

from lithops_shm.errors import InvalidKeyError

__all__ = ["LONG_DIRECTORY", "OBJECT_SUFFIX", "TEXT_SUFFIX", "Location", "Prefix", "bucket_name", "decode", "locate"]

OBJECT_SUFFIX = "@"
TEXT_SUFFIX = "~"
# "%lo" is not a percent-encoded byte, and a lone "%" stands for the empty component: no encoding yields either.
LONG_DIRECTORY = "%long"
_EMPTY = "%"

_MAX_COMPONENT = 254  # NAME_MAX is 255 bytes on Linux and macOS, less the suffix
_MAX_PATH = 1024  # of PATH_MAX 4096: the base directory is the user's choice
_MAX_KEY = 1 << 16

_PLAIN = re.compile(r"[A-Za-z0-9_=+,-][A-Za-z0-9_=+,.-]*")
_PLAIN_PATH = re.compile(rf"{_PLAIN.pattern}(?:/{_PLAIN.pattern})*")
_PLAIN_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_=+,.-")


class Location(NamedTuple):
    """Where an object lies below a tree.

    Parameters
    ----------
    bucket, key:
        As the user wrote them.
    path:
        Relative path of the object's file, the bucket's directory first.
    text_path:
        Relative path of the file that holds the key's text, for a key too long to be a path; else ``None``.
    """

    bucket: str
    key: str
    path: str
    text_path: str | None = None


@dataclass(frozen=True, slots=True)
class Prefix:
    """A listing prefix: the `directory` below the bucket to read, and how the encoded names in it `begin`."""

    directory: str
    begin: str

    @classmethod
    def of(cls, prefix: str) -> Prefix:
        """Split at the last ``/``; characters that no stored key can have simply match nothing."""
        head, slash, last = prefix.rpartition("/")
        directory = "/".join(_encode(part) for part in head.split("/")) if slash else ""
        return cls(directory, _encode(last) if last else "")


def locate(bucket: str, key: str) -> Location:
    """The one place of an object.

    Raises
    ------
    InvalidKeyError
        For an empty, non-text or not UTF-8 encodable bucket or key, a bucket name over 254 bytes once encoded,
        or a key over 65,536 bytes.
    """
    directory = bucket_name(bucket)
    if not isinstance(key, str) or not key:
        raise InvalidKeyError("key", key, "it must be a text that is not empty")
    if len(key) <= _MAX_COMPONENT and _PLAIN_PATH.fullmatch(key):  # nearly all of them
        return Location(bucket, key, f"{directory}/{key}{OBJECT_SUFFIX}")
    _check_text("key", key)
    parts = [_encode(part) for part in key.split("/")]
    path = "/".join(parts)
    if len(path) <= _MAX_PATH and all(len(part) <= _MAX_COMPONENT for part in parts):
        return Location(bucket, key, f"{directory}/{path}{OBJECT_SUFFIX}")
    stem = f"{directory}/{LONG_DIRECTORY}/{sha256(key.encode()).hexdigest()}"
    return Location(bucket, key, stem + OBJECT_SUFFIX, stem + TEXT_SUFFIX)


def bucket_name(bucket: str) -> str:
    """The directory of a bucket; raises InvalidKeyError as :func:`locate` does."""
    if not isinstance(bucket, str) or not bucket:
        raise InvalidKeyError("bucket", bucket, "it must be a text that is not empty")
    if len(bucket) <= _MAX_COMPONENT and _PLAIN.fullmatch(bucket):
        return bucket
    _check_text("bucket", bucket)
    name = _encode(bucket)
    if len(name) > _MAX_COMPONENT:
        raise InvalidKeyError("bucket", bucket, f"it takes {len(name)} bytes, of at most {_MAX_COMPONENT}")
    return name


def decode(component: str) -> str:
    """The text of one encoded component, without any suffix."""
    if component == _EMPTY:
        return ""
    return unquote(component, errors="strict") if "%" in component else component


def _encode(component: str) -> str:
    if not component:
        return _EMPTY
    if _PLAIN.fullmatch(component):
        return component
    raw = component.encode("utf-8", "surrogatepass")
    text = "".join(chr(byte) if byte in _PLAIN_BYTES else f"%{byte:02X}" for byte in raw)
    return f"%2E{text[1:]}" if text[0] == "." else text


def _check_text(what: str, text: str) -> None:
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidKeyError(what, text, "it holds half of a surrogate pair, which has no UTF-8 form") from None
    if length > _MAX_KEY:
        raise InvalidKeyError(what, text, f"it takes {length:,} bytes in UTF-8, of at most {_MAX_KEY:,}")
