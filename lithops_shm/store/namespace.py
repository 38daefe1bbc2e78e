"""The one namespace of buckets and keys over the trees of all sessions, in memory and on disk.

Every object is a file in the tree of the session that wrote it, so that a dead session is one directory to remove.
A write replaces the object wherever it was: it is renamed into its own tree first, then removed from the others.
Writers of one key exclude each other; readers take no lock. Between rename and removal a reader may see both, and
takes the newer (times are made to differ). A reader that went through the trees while an object moved between them
may have missed it in each: the shared generation counts such moves, and a reader that found nothing looks again
if it changed. It counts new trees too, before anything is in them: which trees there are is remembered until then.
Trees that are gone are like empty ones.

Confidential sessions see all trees, others only those that are not confidential.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lithops_shm.store import keys
from lithops_shm.store.budget import Budget, in_pages
from lithops_shm.store.erasure import ErasedPages
from lithops_shm.store.keys import Location
from lithops_shm.store.layout import is_confidential
from lithops_shm.store.locks import SharedState
from lithops_shm.store.pages import PagePool
from lithops_shm.store.segment import SegmentInfo, UnsealedFile
from lithops_shm.store.session import Session
from lithops_shm.store.tree import Tree, trees_of

__all__ = ["Namespace"]

_BATCH = 1000  # objects deleted between two looks at what they leave


@dataclass(frozen=True, slots=True)
class _Retired:
    """An object taken out of its tree: its memory is free, or in a file of a pool."""

    tree: Tree
    location: Location
    freed_bytes: int
    pool: PagePool | ErasedPages | None
    place: str | None


class Namespace:
    """Finds, publishes and removes objects for one session.

    Parameters
    ----------
    session:
        The session that owns what is published here.
    state, pool, budget:
        Locks and counters; where retired segments go; what their memory is given back to.
    """

    def __init__(self, session: Session, state: SharedState, pool: PagePool | ErasedPages, budget: Budget) -> None:
        self._session = session
        self._state = state
        self._pool = pool
        self._budget = budget
        self._remembered: tuple[int, list[Tree]] = -1, []  # the trees there were at a generation
        self._has_spilled = False
        self._own = Tree(f"{session.directory}/data", session.id, spilled=False)

    def trees(self) -> list[Tree]:
        """The trees of all sessions that may be seen, those in memory first; not to be changed."""
        return self._trees_at(self._state.generation)

    def _trees_at(self, generation: int) -> list[Tree]:
        remembered, trees = self._remembered
        if remembered != generation:
            all_may_be_seen = self._session.confidential
            trees = [
                tree for tree in trees_of(self._session.layout) if all_may_be_seen or not is_confidential(tree.session)
            ]
            self._remembered = generation, trees
        return trees

    def open(self, location: Location) -> tuple[int, SegmentInfo] | None:
        """Open the newest version of an object, for the caller to close; ``None`` when there is none."""
        while True:
            generation = self._state.generation
            found: tuple[int, SegmentInfo] | None = None
            for tree in self._trees_at(generation):
                opened = tree.open(location)
                if opened is None:
                    continue
                fd, info = opened[0], _info(tree, location.bucket, location.key, opened[1])
                if found is None or info.modified_ns > found[1].modified_ns:
                    fd, found = (found[0] if found else -1), (fd, info)
                if fd >= 0:
                    os.close(fd)
            if found is not None or self._state.generation == generation:
                return found

    def head(self, location: Location) -> SegmentInfo | None:
        """The newest version of an object, not opened."""
        while True:
            generation = self._state.generation
            infos = [
                _info(tree, location.bucket, location.key, status)
                for tree in self._trees_at(generation)
                if (status := tree.status(location)) is not None
            ]
            if infos or self._state.generation == generation:
                return max(infos, key=lambda info: info.modified_ns, default=None)

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """The keys under a prefix, sorted; cheaper than :meth:`list`, no file is looked at."""
        name = keys.bucket_name(bucket)
        while True:
            generation = self._state.generation
            found = {key for tree in self._trees_at(generation) for key, _ in tree.keys(name, prefix)}
            if self._state.generation == generation:
                return sorted(found)

    def publish(self, file: UnsealedFile, location: Location, *, spilled: bool, if_absent: bool = False) -> SegmentInfo:
        """Seal a written file and make it the object, atomically.

        Raises
        ------
        FileNotFoundError
            When the session has ended.
        FileExistsError
            When `if_absent` is set and there is an object already; it stays, and the file is still the caller's.
        """
        session = self._session
        target = self._spilled() if spilled else self._own
        with self._state.key_locked(location.path):
            elsewhere = [
                (tree, status)
                for tree in self.trees()
                if tree.root != target.root and (status := tree.status(location)) is not None
            ]
            replaced = target.status(location)
            if if_absent and (elsewhere or replaced is not None):
                raise FileExistsError(location.key)
            modified_ns = max([time.time_ns(), *(status.st_mtime_ns + 1 for _, status in elsewhere)])
            file.seal(modified_ns)
            pooled = None
            if replaced is not None and not spilled:
                pooled = self._pool.link(target.path(location), replaced)
            target.place(file.path, location)
            if replaced is not None and not spilled and pooled is None:
                self._budget.release(in_pages(replaced.st_size))
            if elsewhere:
                self._state.advance_generation()
            retired = [self._retire(tree, location, status) for tree, status in elsewhere]
        file.published()
        self._settle(each for each in retired if each is not None)
        if pooled is not None:
            self._pool.retired(pooled)
        return SegmentInfo(location.bucket, location.key, file.size, modified_ns, session.id, spilled)

    def _spilled(self) -> Tree:
        """This session's own tree on disk, which is made, and made known, when it is first needed."""
        tree = Tree(self._session.spill_path("data"), self._session.id, spilled=True)
        if not self._has_spilled:
            self._has_spilled = True
            self._state.advance_generation()
        return tree

    def delete(self, location: Location) -> bool:
        """Remove an object; gives whether there was one."""
        return self.delete_many([location]) == 1

    def delete_many(self, locations: Iterable[Location]) -> int:
        """Remove objects; gives how many there were."""
        removed, retired = 0, []
        try:
            for location in locations:
                with self._state.key_locked(location.path):
                    found = [(tree, status) for tree in self.trees() if (status := tree.status(location)) is not None]
                    gone = [self._retire(tree, location, status) for tree, status in found]
                retired += [each for each in gone if each is not None]
                removed += bool(found)
                if len(retired) >= _BATCH:
                    batch, retired = retired, []
                    self._settle(batch)
        finally:
            self._settle(retired)
        return removed

    def bucket_trees(self, bucket: str) -> Iterator[Tree]:
        """The trees in which the bucket has a directory."""
        name = keys.bucket_name(bucket)
        return (tree for tree in self.trees() if os.path.isdir(f"{tree.root}/{name}"))

    def list(self, bucket: str, prefix: str) -> list[SegmentInfo]:
        """The objects under a prefix, by key."""
        name = keys.bucket_name(bucket)
        while True:
            generation = self._state.generation
            newest: dict[str, SegmentInfo] = {}
            for tree in self._trees_at(generation):
                for key, entry in tree.keys(name, prefix):
                    try:
                        info = _info(tree, bucket, key, entry.stat(follow_symlinks=False))
                    except FileNotFoundError:  # deleted since it was listed
                        continue
                    other = newest.get(key)
                    if other is None or info.modified_ns > other.modified_ns:
                        newest[key] = info
            if self._state.generation == generation:
                return [newest[key] for key in sorted(newest)]

    def _retire(self, tree: Tree, location: Location, status: os.stat_result) -> _Retired | None:
        """Take an object out of a tree, its pages into a pool if there is one for them; holds the key's lock."""
        pool = self._pool_of(tree)
        place = None if pool is None else pool.place_for(status)
        try:
            if place is None or status.st_nlink > 1:  # its other name is in the pool: that of a writer that died then
                os.unlink(tree.path(location))
            else:
                os.rename(tree.path(location), place)
        except FileNotFoundError:  # its session was reclaimed meanwhile
            return None
        tree.forget(location)
        freed = in_pages(status.st_size) if place is None and not tree.spilled else 0
        return _Retired(tree, location, freed, pool, place)

    def _pool_of(self, tree: Tree) -> PagePool | ErasedPages | None:
        if tree.spilled:
            return None
        if tree.session == self._session.id:
            return self._pool
        if is_confidential(tree.session):
            return ErasedPages(f"{self._session.layout.session(tree.session)}/pool", self._budget.release)
        return None

    def _settle(self, retired: Iterable[_Retired]) -> None:
        """What is left to do when no lock is held; to zero a file takes time."""
        retired = list(retired)
        self._budget.release(sum(each.freed_bytes for each in retired))
        for tree in {each.tree for each in retired}:
            tree.prune(each.location for each in retired if each.tree == tree)
        for each in retired:
            if each.pool is not None and each.place is not None:
                each.pool.retired(each.place)


def _info(tree: Tree, bucket: str, key: str, status: os.stat_result) -> SegmentInfo:
    return SegmentInfo(bucket, key, status.st_size, status.st_mtime_ns, tree.session, tree.spilled)
