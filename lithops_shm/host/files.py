"""Reading the small text files in which the kernel and the system publish facts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Mount", "Path", "mounts", "number", "read"]

Path = str | os.PathLike[str]

_CHUNK = 1 << 16
_OCTAL = re.compile(r"\\([0-3][0-7]{2})")


def read(path: Path) -> str | None:
    """The text of a file; ``None`` when it cannot be read. Bytes that are not UTF-8 are kept as surrogates."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a third of the time of open(), and budgets ask often
    except (OSError, ValueError):
        return None
    data = b""
    try:
        while chunk := os.read(fd, _CHUNK):  # to the end: /proc gives long lists a page at a time
            data += chunk
    except OSError:
        return None
    finally:
        os.close(fd)
    return data.decode("utf-8", "surrogateescape")


def number(path: Path) -> int | None:
    """The one integer in a file; ``None`` when it cannot be read or is anything else, such as ``max``."""
    try:
        return int(read(path) or "")
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of ``mountinfo``.

    Parameters
    ----------
    point:
        Where it is mounted.
    root:
        The directory of the file system that is seen there; not ``/`` for a bind mount, or in a container.
    type:
        Such as ``tmpfs``, ``ext4``, ``cgroup2``.
    options:
        Those of this mount followed by those of its file system.
    """

    point: str
    root: str
    type: str
    options: tuple[str, ...]


def mounts(proc: Path = "/proc") -> Iterator[Mount]:
    """What is mounted in this process's view, in the order of mounting; lines not understood are left out."""
    for line in (read(os.path.join(proc, "self", "mountinfo")) or "").split("\n"):
        head, separator, tail = line.partition(" - ")
        mine, its = head.split(" "), tail.split(" ")
        if separator and len(mine) >= 6 and len(its) >= 3:
            options = (*mine[5].split(","), *its[2].split(","))
            yield Mount(_unescaped(mine[4]), _unescaped(mine[3]), its[0], options)


def _unescaped(field: str) -> str:
    """Undo the kernel's ``\\040`` for a space, and the like; they stand for bytes, not characters."""
    if "\\" not in field:
        return field
    raw = _OCTAL.sub(lambda match: chr(0xDC00 + code) if (code := int(match[1], 8)) > 127 else chr(code), field)
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
