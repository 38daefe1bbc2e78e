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
    <base>/sessions/<id>/pool/     retired segments, see pages.py, and erasure.py
    <base>/trash/                  dead sessions on their way out
    <spill>/<id of base>/<id>/     data/ and tmp/ of the same session on disk

Ids of sessions with confidential data begin with that word.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sys
import time
from dataclasses import asdict, dataclass, field

from lithops_shm.config import StoreSettings
from lithops_shm.store.burial import bury, remove_if_empty
from lithops_shm.store.layout import (
    CONFIDENTIAL,
    KEPT,
    Layout,
    is_confidential,
    make_directories,
    make_private,
)
from lithops_shm.store.owner import OWNER_FILE, Owner, is_alive

__all__ = ["SESSION_VARIABLE", "Session"]

SESSION_VARIABLE = "LITHOPS_SHM_SESSION"
_ENDING_S = 1.0  # in which processes that have been killed are gone


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
    confidential: bool = field(init=False)

    def __post_init__(self) -> None:
        self.confidential = is_confidential(self.id)

    @property
    def owned(self) -> bool:
        return self.lock_fd is not None and self.pid == os.getpid()

    @classmethod
    def create(cls, layout: Layout, settings: StoreSettings) -> Session:
        """Open a new session owned by this process or, by the settings' lifetime, the kept one, owned by none."""
        kept = settings.lifetime == KEPT
        session_id = KEPT if kept else (CONFIDENTIAL if settings.confidential else "") + secrets.token_hex(6)
        with layout.locked(create=True):
            directory = layout.session(session_id)
            for name in ("data", "tmp", "pool"):
                make_directories(layout.base, "sessions", session_id, name)
            make_directories(layout.base, "trash")
            fd = os.open(os.path.join(directory, OWNER_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
        make_private(os.path.dirname(self.layout.spill))
        make_private(self.layout.spill)
        make_directories(self.layout.spill, self.id, name)
        return os.path.join(self.spill_directory, name)

    def end(self) -> None:
        """Remove all the session owns, if this process owns it; mapped segments stay readable until unmapped."""
        if not self.owned:
            return
        fd, self.lock_fd = self.lock_fd, None
        try:
            with self.layout.locked(create=False) as found:
                if found:
                    bury(self.layout, self.id, patience_s=_ENDING_S)
                    remove_if_empty(self.layout)
        finally:
            assert fd is not None
            os.close(fd)

    def abandon(self) -> None:
        """In a forked child: give up the inherited lock, which must die with the parent."""
        if self.lock_fd is not None:
            os.close(self.lock_fd)
            self.lock_fd = None
