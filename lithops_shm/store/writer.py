"""Writing a segment: into memory while the budget allows, else on to disk, and sealed in one step."""

from __future__ import annotations

import errno
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lithops_shm.errors import SessionLostError, StoreError, StoreFullError
from lithops_shm.store import bulk
from lithops_shm.store.budget import Budget, in_pages
from lithops_shm.store.erasure import ErasedPages
from lithops_shm.store.keys import Location
from lithops_shm.store.pages import PagePool
from lithops_shm.store.segment import SegmentInfo, UnsealedFile
from lithops_shm.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from lithops_shm.store.namespace import Namespace

__all__ = ["InPlace", "SegmentWriter"]

logger = logging.getLogger(__name__)

_STEP = 256 << 20  # how much is reserved and written at a time, in bytes

_warned: set[str] = set()


class InPlace(ABC):
    """Buffers that need not exist before they are stored: they are made in the segment, if memory has room for it.

    Iterated, they are made in private memory, one after the other.

    Attributes
    ----------
    nbytes:
        Of all of them.
    """

    nbytes: int

    @abstractmethod
    def write(self, target: memoryview) -> None:
        """Make them in `target`, which has :attr:`nbytes` bytes, of any content."""

    @abstractmethod
    def __iter__(self) -> Iterator[Any]: ...


class SegmentWriter:
    """Writes one object. Nobody sees it before :meth:`seal`; leaving the ``with`` block without sealing drops it.

    Made by :meth:`lithops_shm.store.Store.create`.
    """

    def __init__(
        self,
        location: Location,
        session: Session,
        namespace: Namespace,
        pool: PagePool | ErasedPages,
        budget: Budget,
        relieve: Callable[[], None],
        *,
        spill: bool,
        size: int | None,
    ) -> None:
        self._location = location
        self._session = session
        self._namespace = namespace
        self._budget = budget
        self._relieve = relieve
        self._may_spill = spill
        self._spilled = False
        self._reserved = 0
        try:
            tmp = f"{session.directory}/tmp"
            self._file = pool.take(size or 0, tmp) or UnsealedFile.create(tmp, zero=session.confidential)
        except FileNotFoundError:
            raise SessionLostError(session.id) from None
        self._reserved = in_pages(self._file.recycled_bytes)
        self._open = True
        try:
            if size is not None and size > _STEP and not self._fits(size):
                self._move_to_disk(size)
        except BaseException:
            self.abort()
            raise

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.size

    def write(self, data: Any) -> int:
        """Append a buffer, an iterable of buffers, or what is made in place; gives the bytes written.

        Raises
        ------
        TypeError
            When `data` is not made of buffers.
        StoreFullError
            When neither memory nor the spill directory has room; the writer is then closed and its file removed.
        StoreError
            When the segment is sealed or dropped already.
        """
        self._require_open()
        if isinstance(data, InPlace) and self.make(data):
            return data.nbytes
        parts = bulk.flat(data)
        total = sum(part.nbytes for part in parts)
        try:
            while parts:
                step, parts = bulk.split(parts, _STEP)
                self._append(step)
        except BaseException:
            self.abort()
            raise
        return total

    def make(self, data: InPlace) -> bool:
        """Append what is made in place, if memory has room for it; whether it has.

        Raises
        ------
        StoreError
            When the segment is sealed or dropped already.
        """
        self._require_open()
        room = self._room(data.nbytes)
        if room is None:
            return False
        try:
            data.write(room)
        except BaseException:
            self.abort()
            raise
        return True

    def seal(self, *, if_absent: bool = False) -> SegmentInfo:
        """Publish what was written, at once and whole.

        Raises
        ------
        SessionLostError
            When the process that owns the session has ended.
        FileExistsError
            When `if_absent` is set and there is an object already: of many writers at once, one seals. The object
            stays as it is, and what was written here is dropped.
        """
        self._require_open()
        try:
            info = self._namespace.publish(self._file, self._location, spilled=self._spilled, if_absent=if_absent)
        except FileNotFoundError:
            self.abort()
            raise SessionLostError(self._session.id) from None
        except BaseException:
            self.abort()
            raise
        self._open = False
        if not self._spilled:
            self._budget.release(self._reserved - in_pages(info.size))
        return info

    def abort(self) -> None:
        """Drop what was written; after :meth:`seal`, or twice, it does nothing."""
        if self._open:
            self._open = False
            self._file.drop()
            self._budget.release(self._reserved)

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _require_open(self) -> None:
        if not self._open:
            raise StoreError("this segment is sealed or dropped already; create it again to write to it")

    def _append(self, parts: Sequence[memoryview]) -> None:
        end = self._file.size + sum(part.nbytes for part in parts)
        if not self._spilled:
            if self._reserve(end):
                try:
                    self._file.append(parts)
                    return
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
            self._move_to_disk(end)
        try:
            self._file.append(parts)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise self._full(end, "the spill directory has no room either") from error

    def _room(self, nbytes: int) -> memoryview | None:
        """The next `nbytes` of the segment, to be written to; None when memory has no room for them."""
        if not nbytes or self._spilled or not self._reserve(self._file.size + nbytes):
            return None
        try:
            return self._file.extend(nbytes)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return None

    def _reserve(self, size: int) -> bool:
        wanted = in_pages(size) - self._reserved
        if wanted > 0:
            if not self._budget.reserve(wanted):
                self._relieve()
                if not self._budget.reserve(wanted):
                    return False
            self._reserved += wanted
        return True

    def _fits(self, size: int) -> bool:
        """Whether a segment of that size has room now, so that it need not move to disk half written."""
        wanted = in_pages(size) - self._reserved
        for attempt in range(2):
            cap = self._budget.cap_bytes
            in_cap = cap is None or self._budget.state.bytes_in_use + wanted <= cap
            if in_cap and wanted <= self._budget.measure():
                return True
            if attempt == 0:
                self._relieve()
        return False

    def _move_to_disk(self, wanted: int) -> None:
        if self._session.confidential:
            raise self._full(wanted, "confidential data does not go to disk", "work on less data at a time")
        if not self._may_spill:
            raise self._full(wanted, "spilling to disk is off (`shm: {spill: false}`)")
        directory = self._session.spill_path("tmp")
        if directory not in _warned:
            _warned.add(directory)
            logger.warning(
                "no room in memory for %s bytes (%s): segments go to disk in %s until there is",
                f"{wanted:,}",
                self._budget.describe(),
                directory,
            )
        on_disk = UnsealedFile.create(directory)
        try:
            bulk.copy_range(self._file.fd, on_disk.fd, self._file.size)
        except OSError as error:
            on_disk.drop()
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise self._full(wanted, "the spill directory has no room either") from error
        on_disk.size = self._file.size
        self._file.drop()
        self._budget.release(self._reserved)
        self._file, self._reserved, self._spilled = on_disk, 0, True

    def _full(self, wanted: int, why: str, todo: str = "set `spill_directory` to a larger disk") -> StoreFullError:
        location = self._location
        return StoreFullError(
            errno.ENOSPC,
            f"no room for {location.bucket}/{location.key[:80]} ({wanted:,} bytes): {self._budget.describe()}; {why}. "
            f"Delete objects that are not needed, raise `budget_bytes`, or {todo}",
        )
