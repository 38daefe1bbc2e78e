"""What one task reads: pieces of objects, what is wanted of them, and what has to be left out."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from seer_integration.datasets.location import Location
from seer_integration.datasets.places import AHEAD, Places
from seer_integration.datasets.ranged import RangedFile
from seer_integration.errors import DatasetError, MalformedRowError
from seer_integration.operations import Scan

__all__ = ["Opened", "Piece", "Refused", "Split", "Wanted"]

_EXAMPLES = 5
_MOST = 10_000  # rows refused one by one in a split; more are no exceptions
_SHOWN = 100  # characters of a row in a message


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an object.

    Parameters
    ----------
    key:
        Of the object.
    size:
        Of the object, in bytes.
    nbytes:
        Of the piece; of one in units about so many.
    start, stop:
        Bytes of text: whole rows.
    units:
        Row groups of Parquet, batches of Arrow IPC; ``None`` for all.
    proven:
        Whether it is certain that it begins and ends outside of quotes.
    """

    key: str
    size: int
    nbytes: int
    start: int = 0
    stop: int = 0
    units: tuple[int, ...] | None = None
    proven: bool = True

    @classmethod
    def whole(cls, key: str, size: int) -> Piece:
        """All of an object."""
        return cls(key, size, size, 0, size)


@dataclass(frozen=True, slots=True)
class Split:
    """One task's pieces, in order: a part of a large object, or several small ones."""

    pieces: tuple[Piece, ...]

    @property
    def nbytes(self) -> int:
        """Bytes to read, or about so many."""
        return sum(piece.nbytes for piece in self.pieces)


class Opened:
    """An object that is read, as its Scan says, and the bytes of it that were asked for.

    Parameters
    ----------
    scan:
        How it is written.
    location, size:
        Which, and its bytes.
    """

    def __init__(self, places: Places, scan: Scan, location: Location, size: int) -> None:
        self.scan = scan
        self.location = location
        self.size = size
        self.bytes_asked = 0
        self._places = places

    @property
    def maps(self) -> bool:
        """Whether reading is a view of memory."""
        return self._places.maps(self.location)

    def read(self, start: int, stop: int) -> pa.Buffer:
        """Bytes of it; a view where the place maps."""
        self.bytes_asked += stop - start
        return self._places.read(self.location, start, stop)

    def open(self) -> pa.NativeFile:
        """All of it as a file, each read of which counts."""
        if not self.maps:
            return pa.PythonFile(RangedFile(self.read, self.size, AHEAD), mode="r")
        whole = self.mapped()

        def part(start: int, stop: int) -> pa.Buffer:
            self.bytes_asked += stop - start
            return whole.slice(start, stop - start)

        return pa.PythonFile(RangedFile(part, self.size), mode="r")

    def mapped(self) -> pa.Buffer:
        """All of it where the place maps, of which nothing counts yet."""
        return self._places.read(self.location, 0, self.size)

    def error(self, reason: str, todo: str) -> DatasetError:
        """One that names it."""
        return DatasetError(str(self.location), reason, todo)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the rows is wanted.

    Parameters
    ----------
    all_names:
        Of the source's columns.
    schema:
        Of those that are needed, with the types of the source.
    columns:
        Those to give; at least one.
    where:
        Which rows to give; ``None`` for all.
    """

    all_names: tuple[str, ...]
    schema: pa.Schema
    columns: tuple[str, ...]
    where: pc.Expression | None

    def of(self, table: pa.Table) -> pa.Table:
        """The same of a table that has all columns that are needed."""
        return (table if self.where is None else table.filter(self.where)).select(list(self.columns))


@dataclass
class Refused:
    """Rows that are not what they should be: the first is an error, or all are counted.

    Parameters
    ----------
    skips:
        Whether to count.
    """

    skips: bool
    count: int = 0
    examples: list[str] = field(default_factory=list)
    _singly: int = 0

    def several(self, opened: Opened, reasons: list[str]) -> None:
        """Count rows, each with what is wrong with it."""
        self.count += len(reasons)
        self.examples += [f"{opened.location}: {reason}" for reason in reasons[: _EXAMPLES - len(self.examples)]]

    def one(self, opened: Opened, at: str, row: bytes, reason: str) -> None:
        """Count a row, or refuse it.

        Raises
        ------
        MalformedRowError
            When rows are not skipped, or too many were.
        """
        text = row[:_SHOWN].decode(errors="replace").rstrip("\r\n")
        said = f"{at} cannot be read: {reason} (it begins {text!r})"
        todo = "mend it, give the types of columns with types=, or leave such rows out with malformed='skip'"
        if not self.skips:
            raise MalformedRowError(str(opened.location), said, todo)
        self._singly += 1
        if self._singly > _MOST:
            said = f"more than {_MOST:,} rows of one part cannot be read; of the last, {said}"
            raise MalformedRowError(str(opened.location), said, "give the types of columns with types=")
        self.several(opened, [said])
