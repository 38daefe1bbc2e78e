"""Who opened a session, and whether that process is still alive."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from typing import Any

from lithops_shm.store.layout import KEPT, Layout

__all__ = ["OWNER_FILE", "Owner", "is_alive", "read_owner"]

OWNER_FILE = "owner"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that opened a session: its `pid`, when (seconds since 1970), its command line and settings."""

    pid: int
    started: float
    command: str
    settings: dict[str, Any]


def is_alive(layout: Layout, session_id: str) -> bool:
    """Whether the session's owner lives, asked of the kernel; the kept session always does."""
    path = os.path.join(layout.session(session_id), OWNER_FILE)
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
        with open(os.path.join(layout.session(session_id), OWNER_FILE), encoding="utf-8") as file:
            return Owner(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None
