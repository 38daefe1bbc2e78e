"""Which file system a path is on, and how much room it has."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lithops_shm.host.files import Mount, Path, mounts

__all__ = ["FileSystem", "filesystem", "free_bytes", "is_tmpfs"]

# devtmpfs is a tmpfs that the kernel fills; /dev/shm lies on it where nobody mounted one there.
_IN_MEMORY = ("tmpfs", "devtmpfs")


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The file system of a path.

    Parameters
    ----------
    type:
        Such as ``tmpfs`` or ``ext4``; ``None`` when unknown.
    mount_point:
        Where it is mounted; ``None`` when unknown.
    options:
        Its mount options, such as ``size=65536k`` and ``noswap``.
    total_bytes, free_bytes:
        Its size, and what this user may still take; ``None`` when it has no bound of its own (a tmpfs mounted with
        ``size=0``) or cannot be asked.
    """

    type: str | None
    mount_point: str | None
    options: tuple[str, ...]
    total_bytes: int | None
    free_bytes: int | None

    @property
    def in_memory(self) -> bool:
        """Whether its files are memory."""
        return self.type in _IN_MEMORY

    def option(self, name: str) -> str | None:
        """The value of ``name=value`` among the options, "" for a bare `name`; ``None`` when it is not there."""
        for option in self.options:
            key, _, value = option.partition("=")
            if key == name:
                return value
        return None


def filesystem(path: Path, proc: Path = "/proc") -> FileSystem:
    """The file system `path` is on, or would be on once it is made."""
    where = _existing(path)
    mount = _mount_of(where, proc)
    total, free = _room(where)
    if mount is None:
        return FileSystem(None, None, (), total, free)
    return FileSystem(mount.type, mount.point, mount.options, total, free)


def free_bytes(path: Path) -> int | None:
    """Bytes this user may still take on the file system of `path`, which must exist: one call to the kernel.

    ``None`` when it has no bound of its own, or cannot be asked.
    """
    return _room(path)[1]


def is_tmpfs(path: Path, proc: Path = "/proc") -> bool | None:
    """Whether files at `path` are memory; ``None`` when unknown."""
    mount = _mount_of(_existing(path), proc)
    return None if mount is None else mount.type in _IN_MEMORY


def _room(path: Path) -> tuple[int | None, int | None]:
    try:
        status = os.statvfs(path)
    except (OSError, ValueError):
        return None, None
    if not status.f_blocks:
        return None, None
    return status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize


def _existing(path: Path) -> str:
    """The path without links, or its nearest ancestor that exists."""
    try:
        where = os.path.realpath(path)
        while not os.path.lexists(where) and where != os.path.dirname(where):
            where = os.path.dirname(where)
    except (OSError, ValueError):  # a NUL in the name, or no working directory
        return "/"
    return where


def _mount_of(where: str, proc: Path) -> Mount | None:
    found: Mount | None = None
    for mount in mounts(proc):
        point = mount.point.rstrip("/")
        # Of several mounted at one point the last hides the others.
        longest = found is None or len(point) >= len(found.point.rstrip("/"))
        if longest and (where == point or where.startswith(point + "/")):
            found = mount
    return found
