"""Where a store is: its directories in memory and on disk, and that they are this user's alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from lithops_shm.config import StoreSettings
from lithops_shm.errors import UnsafeDirectoryError

__all__ = [
    "CONFIDENTIAL",
    "KEPT",
    "Layout",
    "check_private",
    "is_confidential",
    "layout_of",
    "make_directories",
    "make_private",
]

KEPT = "kept"  # the session of objects that no process has to live for
# How the ids of confidential sessions begin. The mark is in the name, and so cannot be missing, be lost when a session
# is moved out of the way, or cost a look: who sees a path knows how to remove what it names.
CONFIDENTIAL = "confidential"


def is_confidential(session_id: str) -> bool:
    """Whether the session of that id holds confidential data."""
    return session_id.startswith(CONFIDENTIAL)


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories of one store: `base` in memory, `spill` on disk (``None`` when spilling is off)."""

    base: str
    spill: str | None

    @property
    def sessions(self) -> str:
        return os.path.join(self.base, "sessions")

    @property
    def trash(self) -> str:
        return os.path.join(self.base, "trash")

    def session(self, session_id: str) -> str:
        return os.path.join(self.base, "sessions", session_id)

    def session_spill(self, session_id: str) -> str | None:
        return None if self.spill is None else os.path.join(self.spill, session_id)

    def session_ids(self) -> list[str]:
        """All sessions with a directory, dead or alive."""
        return _names(self.sessions)

    def spilled_ids(self) -> list[str]:
        """All sessions with a directory on disk."""
        return [] if self.spill is None else _names(self.spill)

    @contextmanager
    def locked(self, *, create: bool) -> Iterator[bool]:
        """Hold the base directory's lock; gives ``False``, holding nothing, when it does not exist.

        Raises
        ------
        UnsafeDirectoryError
            When the base directory is a link, somebody else's, or open to others.
        """
        while True:
            if create:
                make_private(self.base)
            elif not check_private(self.base):
                yield False
                return
            path = os.path.join(self.base, "lock")
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:  # the last session removed the directory meanwhile
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if not _is_at(fd, path):
                    continue
                yield True
                return
            finally:
                os.close(fd)


def layout_of(settings: StoreSettings) -> Layout:
    """Where the store of these settings lives; makes nothing."""
    base = settings.directory or default_directory()
    if not settings.spill or settings.confidential:
        return Layout(base, None)
    spill = settings.spill_directory or default_spill_directory()
    # Two stores may share a disk: each has its own corner, named after where it is.
    return Layout(base, os.path.join(spill, sha256(base.encode()).hexdigest()[:12]))


def default_directory() -> str:
    parent = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
    return os.path.join(parent, f"lithops-shm-{os.getuid()}")


def default_spill_directory() -> str:
    # /var/tmp, because /tmp is itself in memory on many systems.
    parent = "/var/tmp" if os.path.isdir("/var/tmp") else tempfile.gettempdir()
    return os.path.join(parent, f"lithops-shm-{os.getuid()}")


def check_private(path: str) -> bool:
    """Whether the directory exists; raises UnsafeDirectoryError when others could read or replace it."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UnsafeDirectoryError(path, error.strerror or str(error)) from error
    if stat.S_ISLNK(status.st_mode):
        raise UnsafeDirectoryError(path, "it is a symbolic link")
    if not stat.S_ISDIR(status.st_mode):
        raise UnsafeDirectoryError(path, "it is not a directory")
    if status.st_uid != os.geteuid():
        raise UnsafeDirectoryError(path, f"it belongs to user id {status.st_uid}, you are {os.geteuid()}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise UnsafeDirectoryError(path, f"its mode {stat.S_IMODE(status.st_mode):o} lets others in, it must be 700")
    return True


def make_private(path: str) -> None:
    """Make a directory for this user alone, or see that it is one; raises UnsafeDirectoryError."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
    except OSError as error:
        raise UnsafeDirectoryError(path, f"it cannot be made ({error.strerror})") from error
    check_private(path)


def make_directories(base: str, *names: str) -> None:
    """Make directories one below the other, each of mode 700, in one that exists."""
    for name in names:
        base = os.path.join(base, name)
        with contextlib.suppress(FileExistsError):
            os.mkdir(base, 0o700)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _is_at(fd: int, path: str) -> bool:
    """Whether `path` still names the file open as `fd`."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
