"""Who owns what, and who is still alive.

A base directory holds one directory per session. A session belongs to the process that opened it, which holds an
exclusive ``flock`` on the session's ``owner`` file for as long as it lives; the kernel drops the lock however the
process ends. Its descendants join the session through an environment variable, or by the id in their settings, and
hold no lock: what they write belongs to the owner, and goes when the owner does.

    <base>/lock                    taken to open, end and reclaim sessions
    <base>/locks, <base>/ledger    see locks.py
    <base>/sessions/<id>/owner     flock, and who it is as JSON
    <base>/sessions/<id>/data/     a tree: buckets and their objects
    <base>/sessions/<id>/tmp/      segments being written, each flocked by its writer
    <base>/sessions/<id>/pool/     retired segments, see pages.py
    <base>/trash/                  dead sessions on their way out
    <spill>/<id of base>/<id>/     data/ and tmp/ of the same session on disk
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from lithops_shm.config import StoreSettings
from lithops_shm.errors import ConfigError, UnsafeDirectoryError

__all__ = ["KEPT", "SESSION_VARIABLE", "Layout", "Owner", "Session", "is_alive", "layout_of", "read_owner", "spills_of"]

SESSION_VARIABLE = "LITHOPS_SHM_SESSION"
KEPT = "kept"  # the session of objects that no process has to live for


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
                _make_private(self.base)
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


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that opened a session: its `pid`, when (seconds since 1970), its command line and settings."""

    pid: int
    started: float
    command: str
    settings: dict[str, Any]


@dataclass(slots=True)
class Session:
    """A session as this process sees it: its own (`lock_fd` is set), or one it joined.

    `id` names the session, `directory` and `spill_directory` hold its files, `pid` is the process that made
    this object: a forked child sees another one, and knows it is not the owner.
    """

    id: str
    layout: Layout
    directory: str
    spill_directory: str | None
    pid: int
    lock_fd: int | None = None

    @property
    def owned(self) -> bool:
        return self.lock_fd is not None and self.pid == os.getpid()

    @classmethod
    def create(cls, layout: Layout, settings: StoreSettings) -> Session:
        """Open a new session owned by this process or, by the settings' lifetime, the kept one, owned by none."""
        kept = settings.lifetime == KEPT
        session_id = KEPT if kept else secrets.token_hex(6)
        with layout.locked(create=True):
            directory = layout.session(session_id)
            for name in ("data", "tmp", "pool"):
                os.makedirs(os.path.join(directory, name), mode=0o700, exist_ok=True)
            os.makedirs(layout.trash, mode=0o700, exist_ok=True)
            fd = os.open(os.path.join(directory, "owner"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if kept:
                os.close(fd)
                return cls._at(layout, session_id)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                command = " ".join(part if part.isprintable() else repr(part) for part in sys.orig_argv)[:500]
                owner = Owner(os.getpid(), time.time(), command, settings.to_mapping())
                os.pwrite(fd, json.dumps(asdict(owner)).encode(), 0)
            except BaseException:
                os.close(fd)
                raise
        session = cls._at(layout, session_id)
        session.lock_fd = fd
        return session

    @classmethod
    def join(cls, layout: Layout, session_id: str) -> Session | None:
        """The session of that id, opened by another process; ``None`` when its owner is gone."""
        if not session_id.isalnum() or not is_alive(layout, session_id):
            return None
        return cls._at(layout, session_id)

    @classmethod
    def _at(cls, layout: Layout, session_id: str) -> Session:
        return cls(session_id, layout, layout.session(session_id), layout.session_spill(session_id), os.getpid())

    def spill_path(self, name: str) -> str:
        """The directory `name` of this session on disk, made on first use (0700, as is all above it)."""
        assert self.layout.spill is not None
        assert self.spill_directory is not None
        _make_private(os.path.dirname(self.layout.spill))
        _make_private(self.layout.spill)
        path = os.path.join(self.spill_directory, name)
        os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    def end(self) -> None:
        """Remove all the session owns, if this process owns it; mapped segments stay readable until unmapped."""
        if not self.owned:
            return
        fd, self.lock_fd = self.lock_fd, None
        try:
            with self.layout.locked(create=False) as found:
                if found:
                    bury(self.layout, self.id)
                    remove_if_empty(self.layout)
        finally:
            assert fd is not None
            os.close(fd)

    def abandon(self) -> None:
        """In a forked child: give up the inherited lock, which must die with the parent."""
        if self.lock_fd is not None:
            os.close(self.lock_fd)
            self.lock_fd = None


def layout_of(settings: StoreSettings) -> Layout:
    """Where the store of these settings lives; makes nothing."""
    base = settings.directory or default_directory()
    if not settings.spill:
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


def is_alive(layout: Layout, session_id: str) -> bool:
    """Whether the session's owner lives, asked of the kernel; the kept session always does."""
    path = os.path.join(layout.session(session_id), "owner")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return session_id == KEPT
    finally:
        os.close(fd)


def read_owner(layout: Layout, session_id: str) -> Owner | None:
    """Who opened the session; ``None`` for the kept one, or when it cannot be read."""
    try:
        with open(os.path.join(layout.session(session_id), "owner"), encoding="utf-8") as file:
            return Owner(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None


def bury(layout: Layout, session_id: str) -> None:
    """Remove a session's files; call with the base directory locked. Its names vanish at once, by one rename."""
    spills = spills_of(layout, session_id)
    grave = os.path.join(layout.trash, f"{session_id}-{secrets.token_hex(4)}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(layout.session(session_id), grave)
    for path in (grave, *spills):
        shutil.rmtree(path, ignore_errors=True)


def spills_of(layout: Layout, session_id: str) -> list[str]:
    """The directories on disk of a session: where this layout spills, and where its owner said it would."""
    places = {layout.session_spill(session_id)}
    owner = read_owner(layout, session_id)
    if owner is not None:
        # What another release wrote into the owner's settings is its own affair.
        with contextlib.suppress(ConfigError):
            settings = StoreSettings.from_mapping({**owner.settings, "directory": layout.base})
            places.add(layout_of(settings).session_spill(session_id))
    return sorted(place for place in places if place is not None)


def remove_if_empty(layout: Layout) -> None:
    """Remove the base directory when no session is left in it; call with it locked."""
    if layout.spill is not None:
        with contextlib.suppress(OSError):
            os.rmdir(layout.spill)
            os.rmdir(os.path.dirname(layout.spill))
    with contextlib.suppress(OSError):
        os.rmdir(layout.sessions)
        os.rmdir(layout.trash)
        # The lock goes last: whoever waits for it then finds that it is not the one at its path any more.
        for name in ("ledger", "locks", "lock"):
            os.unlink(os.path.join(layout.base, name))
        os.rmdir(layout.base)


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


def _make_private(path: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
    except OSError as error:
        raise UnsafeDirectoryError(path, f"it cannot be made ({error.strerror})") from error
    check_private(path)


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
