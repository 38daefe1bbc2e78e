"""Files of this machine, as objects by their paths."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence

from lithops_shm.shuffle.media.objects import Buffer, check_range, flat
from lithops_shm.store import memory
from seer_integration.datasets.location import Stored

__all__ = ["Files"]

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


class Files:
    """An :class:`~lithops_shm.shuffle.media.objects.ObjectStore` whose keys are absolute paths.

    A file that is cut short while it is read takes the process with it (SIGBUS), as with every map. Raises OSError.
    """

    maps = True

    def put(self, key: str, parts: Iterable[Buffer]) -> int:
        """Whole or not at all: written under a hidden name, then renamed. Directories are made."""
        with _written(key, parts) as (path, count):
            os.replace(path, key)
        return count

    def put_if_absent(self, key: str, parts: Sequence[Buffer]) -> bool:
        """By a hard link, or where the file system has none by a look first, which two at once may both take."""
        with _written(key, parts) as (path, _):
            try:
                os.link(path, key)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                if os.path.lexists(key):
                    return False
                os.replace(path, key)
        return True

    def spilled_bytes(self, key: str) -> int:
        return os.stat(key).st_size

    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        """A view of the mapped file."""
        check_range(start, stop)
        if start == stop:
            return memoryview(b"")
        fd = os.open(key, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            end = size if stop is None else stop
            if max(start, end) > size:
                raise OSError(errno.ENODATA, f"bytes {start:,} to {end:,} were asked for, and it has {size:,}", key)
            return memory.map_file(fd, 0, size)[start:end] if size else memoryview(b"")
        finally:
            os.close(fd)

    def get_many(self, ranges: Sequence[tuple[str, int, int]]) -> list[memoryview]:
        return [self.get(*each) for each in ranges]

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(key)

    def delete_prefix(self, prefix: str) -> int:
        """Files below a directory; directories stay."""
        doomed = [each.key for each in self.below(prefix)]
        self.delete(doomed)
        return len(doomed)

    def close(self) -> None:
        """There is nothing to let go of: maps live as long as what is made of them."""

    def head(self, path: str) -> Stored | None:
        """A file, not a directory; ``None`` when there is none."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if os.path.isfile(path):
                state = os.stat(path)
                return Stored(path, state.st_size, f"{state.st_mtime_ns:x}-{state.st_size:x}")
        return None

    def below(self, directory: str) -> Iterator[Stored]:
        """All files in a directory and those in it; none when there is no such directory."""
        for parent, _, names in os.walk(directory, onerror=_unless_missing):
            yield from self._heads(os.path.join(parent, name) for name in names)

    def matching(self, pattern: str) -> Iterator[Stored]:
        """All files that a pattern stands for."""
        yield from self._heads(glob.iglob(pattern, recursive=True))

    def _heads(self, paths: Iterable[str]) -> Iterator[Stored]:
        for path in paths:
            if (found := self.head(path)) is not None:
                yield found


@contextlib.contextmanager
def _written(key: str, parts: Iterable[Buffer]) -> Iterator[tuple[str, int]]:
    """A file beside `key` that has all the bytes, and how many; removed at the end if it is still there."""
    directory, name = os.path.split(key)
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, f".{name[:80]}.{os.getpid()}-{secrets.token_hex(6)}")
    views = flat(parts)
    try:
        with open(path, "xb") as file:
            file.writelines(views)
        yield path, sum(view.nbytes for view in views)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error
