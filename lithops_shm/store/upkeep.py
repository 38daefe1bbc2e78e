"""Looking at a store from outside, and taking back what the dead have left."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass

from lithops_shm.config import StoreSettings
from lithops_shm.store import bulk, keys
from lithops_shm.store.budget import in_pages
from lithops_shm.store.burial import bury, clear_trash, remove_if_empty, spills_of
from lithops_shm.store.layout import KEPT, Layout, check_private, is_confidential, layout_of
from lithops_shm.store.owner import Owner, is_alive, read_owner
from lithops_shm.store.segment import SegmentInfo
from lithops_shm.store.tree import trees_of

__all__ = ["Reclaimed", "SessionReport", "StoreReport", "inspect", "memory_of", "reclaim", "sweep"]


@dataclass(frozen=True, slots=True)
class SessionReport:
    """One session: its `id`, `owner` (``None`` for the kept one), whether it is `alive`, and what it takes.

    Sizes are bytes, pools and unsealed segments included; `segments` counts sealed ones.
    """

    id: str
    owner: Owner | None
    alive: bool
    memory_bytes: int
    spilled_bytes: int
    segments: int


@dataclass(frozen=True, slots=True)
class StoreReport:
    """Everything in a base directory: where it is, its sessions and its segments (sorted by bucket and key)."""

    directory: str
    spill_directory: str | None
    sessions: tuple[SessionReport, ...]
    segments: tuple[SegmentInfo, ...]

    @property
    def memory_bytes(self) -> int:
        return sum(session.memory_bytes for session in self.sessions)

    @property
    def spilled_bytes(self) -> int:
        return sum(session.spilled_bytes for session in self.sessions)


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What a reclamation removed, or would: ids of sessions, sealed segments, bytes of memory and of disk."""

    sessions: tuple[str, ...]
    segments: int
    memory_bytes: int
    spilled_bytes: int


def inspect(settings: StoreSettings | None = None) -> StoreReport:
    """Report on the store of these settings; opens no session and changes nothing.

    Raises
    ------
    UnsafeDirectoryError
        When the base directory is not private to this user.
    """
    layout = layout_of(settings or StoreSettings())
    check_private(layout.base)
    segments = tuple(sorted(_segments(layout), key=lambda info: (info.bucket, info.key, info.modified_ns)))
    counts: dict[str, int] = {}
    for info in segments:
        counts[info.session] = counts.get(info.session, 0) + 1
    sessions = tuple(_report(layout, name, counts.get(name, 0)) for name in _all_ids(layout))
    return StoreReport(layout.base, layout.spill, sessions, segments)


def reclaim(settings: StoreSettings | None = None, *, dry_run: bool = False, kept: bool = False) -> Reclaimed:
    """Remove what dead sessions and dead writers have left; data of live sessions is never touched.

    Parameters
    ----------
    settings:
        Which store; ``None`` for the default one.
    dry_run:
        Only say what would be removed.
    kept:
        Remove the objects kept with ``lifetime: kept`` as well.

    Raises
    ------
    UnsafeDirectoryError
        When the base directory is not private to this user.
    """
    layout = layout_of(settings or StoreSettings())
    dead: list[SessionReport] = []
    swept = 0
    with layout.locked(create=False) as found:
        for name in _all_ids(layout):
            if not is_alive(layout, name) or (kept and name == KEPT):
                dead.append(_report(layout, name, sum(1 for _ in _segments(layout, name))))
                if not dry_run:
                    bury(layout, name)
            elif found and not dry_run:
                swept += sweep(f"{layout.session(name)}/tmp", zero=is_confidential(name))
                if layout.spill is not None:
                    sweep(f"{layout.spill}/{name}/tmp")
        if found and not dry_run:
            clear_trash(layout)
            remove_if_empty(layout)
    return Reclaimed(
        tuple(session.id for session in dead),
        sum(session.segments for session in dead),
        sum(session.memory_bytes for session in dead) + swept,
        sum(session.spilled_bytes for session in dead),
    )


def sweep(directory: str, *, zero: bool = False) -> int:
    """Remove the unsealed files of dead writers in a ``tmp`` directory, zeroed if `zero`; gives their bytes."""
    freed = 0
    for name in _listdir(directory):
        path = os.path.join(directory, name)
        try:
            fd = os.open(path, (os.O_RDWR if zero else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(fd)
            # Between our open and our lock it may have been published: then the path is gone, the file is not.
            if os.path.samestat(status, os.stat(path, follow_symlinks=False)):
                if zero:
                    bulk.zero(fd)
                os.unlink(path)
                freed += in_pages(status.st_size)
        except (BlockingIOError, FileNotFoundError):
            pass
        finally:
            os.close(fd)
    return freed


def memory_of(layout: Layout) -> int:
    """Bytes of memory that the files of all sessions take, counted file by file."""
    return sum(_bytes_below(layout.session(name)) for name in layout.session_ids())


def _all_ids(layout: Layout) -> list[str]:
    return sorted({*layout.session_ids(), *layout.spilled_ids()})


def _report(layout: Layout, name: str, segments: int) -> SessionReport:
    return SessionReport(
        name,
        read_owner(layout, name),
        is_alive(layout, name),
        _bytes_below(layout.session(name)),
        sum(map(_bytes_below, spills_of(layout, name))),
        segments,
    )


def _segments(layout: Layout, session: str | None = None) -> Iterator[SegmentInfo]:
    for tree in trees_of(layout):
        if session is not None and tree.session != session:
            continue
        for name in tree.buckets():
            for key, entry in tree.keys(name, ""):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    bucket = keys.decode(name)
                    yield SegmentInfo(bucket, key, status.st_size, status.st_mtime_ns, tree.session, tree.spilled)


def _bytes_below(directory: str) -> int:
    total = 0
    for folder, _, files in os.walk(directory):
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                total += in_pages(os.stat(os.path.join(folder, file), follow_symlinks=False).st_size)
    return total


def _listdir(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
