"""A tree: one directory of buckets, with the objects of one session on one medium."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lithops_shm.store import keys
from lithops_shm.store.keys import LONG_DIRECTORY, OBJECT_SUFFIX, TEXT_SUFFIX, Location, Prefix
from lithops_shm.store.layout import Layout

__all__ = ["Tree", "trees_of"]

_ABSENT = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class Tree:
    """The objects of `session` below the directory `root`, in memory or `spilled` to disk."""

    root: str
    session: str
    spilled: bool

    def path(self, location: Location) -> str:
        return f"{self.root}/{location.path}"

    def status(self, location: Location) -> os.stat_result | None:
        """The status of an object's file; ``None`` when it is not in this tree."""
        try:
            return os.stat(self.path(location), follow_symlinks=False)
        except _ABSENT:
            return None

    def open(self, location: Location) -> tuple[int, os.stat_result] | None:
        """Open an object for reading; ``None`` when it is not in this tree.

        What the path names is compared with what was opened: a file retired and written over in between is not
        the object (see pages.py). The status is that of the comparison, when the file was surely sealed.
        """
        path = self.path(location)
        while True:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except _ABSENT:
                return None
            try:
                named = os.stat(path, follow_symlinks=False)
                if os.path.samestat(os.fstat(fd), named):
                    return fd, named
            except _ABSENT:
                pass
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def place(self, file_path: str, location: Location) -> None:
        """Publish a file of the same file system under the object's name, replacing what was there.

        Raises
        ------
        FileNotFoundError
            When the file, or the tree itself, is gone.
        """
        while True:
            try:
                if location.text_path is not None:
                    self._write_text(location)
                os.rename(file_path, self.path(location))
                return
            except FileNotFoundError:
                if not (os.path.exists(file_path) and os.path.isdir(self.root)):
                    raise
                # The directories are missing, or a neighbour's delete clears them away as fast as they are made.
                with contextlib.suppress(FileNotFoundError):
                    self._make_parents(location.path)

    def forget(self, location: Location) -> None:
        """Clear away the text of a long key whose object is gone."""
        if location.text_path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.root}/{location.text_path}")

    def prune(self, locations: Iterable[Location]) -> None:
        """Clear away the directories that objects which are gone have left empty; buckets stay."""
        directories = {location.path.rpartition("/")[0] for location in locations}
        while directories:
            above = set()
            for directory in directories:
                parent = directory.rpartition("/")[0]
                # One that is not empty is somebody else's neighbour, or being filled just now.
                with contextlib.suppress(OSError):
                    if parent:
                        os.rmdir(f"{self.root}/{directory}")
                        above.add(parent)
            directories = above

    def add_bucket(self, name: str) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{self.root}/{name}", 0o700)

    def remove_bucket(self, name: str) -> None:
        """Remove an empty bucket; raises OSError when it holds anything."""
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(f"{self.root}/{name}")

    def buckets(self) -> list[str]:
        """The encoded names of its buckets."""
        try:
            return os.listdir(self.root)
        except FileNotFoundError:
            return []

    def keys(self, bucket: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Keys under `prefix` in the bucket of that encoded name, with their directory entries, in any order."""
        start = Prefix.of(prefix)
        root = f"{self.root}/{bucket}"
        head = prefix[: prefix.rfind("/") + 1]
        yield from _walk(f"{root}/{start.directory}", head, start.begin)
        yield from _long(f"{root}/{LONG_DIRECTORY}", prefix)

    def _write_text(self, location: Location) -> None:
        assert location.text_path is not None
        path = f"{self.root}/{location.text_path}"
        if not os.path.exists(path):
            self._make_parents(location.text_path)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, location.key.encode())
            finally:
                os.close(fd)

    def _make_parents(self, relative: str) -> None:
        """The directories of a path below the root, which has to be there; nearly always the last alone is missing."""
        parent = relative.rpartition("/")[0]
        if parent:
            try:
                os.mkdir(f"{self.root}/{parent}", 0o700)
            except FileExistsError:
                return
            except FileNotFoundError:
                self._make_parents(parent)
                with contextlib.suppress(FileExistsError):
                    os.mkdir(f"{self.root}/{parent}", 0o700)


def trees_of(layout: Layout) -> list[Tree]:
    """The trees of all sessions, those in memory first."""
    trees = [Tree(f"{layout.session(name)}/data", name, spilled=False) for name in layout.session_ids()]
    trees += [Tree(f"{layout.spill}/{name}/data", name, spilled=True) for name in layout.spilled_ids()]
    return trees


def _walk(directory: str, head: str, begin: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Objects below a directory whose keys start with `head`, their next encoded component with `begin`."""
    try:
        entries = os.scandir(directory)
    except _ABSENT:
        return
    with entries:
        for entry in entries:
            name = entry.name
            if not name.startswith(begin):
                continue
            if name.endswith(OBJECT_SUFFIX):
                stem = name[:-1]
                if stem.startswith(begin):
                    yield head + keys.decode(stem), entry
            elif name != LONG_DIRECTORY:
                yield from _walk(entry.path, f"{head}{keys.decode(name)}/", "")


def _long(directory: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        entries = os.scandir(directory)
    except _ABSENT:
        return
    with entries:
        for entry in entries:
            if entry.name.endswith(OBJECT_SUFFIX):
                try:
                    with open(f"{entry.path[:-1]}{TEXT_SUFFIX}", encoding="utf-8") as file:
                        key = file.read()
                except FileNotFoundError:  # deleted just now
                    continue
                if key.startswith(prefix):
                    yield key, entry
