"""What a dataset of ours consists of: the manifest ``_SUCCESS``, which names the parts that count.

It is put last, whole, and readers trust it and never a listing: what lies beside the parts it names, of attempts that
failed, came second, or still run, does not exist for them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from seer_integration.datasets.location import Location, Stored
from seer_integration.datasets.places import Places
from seer_integration.errors import DatasetError
from seer_integration.expressions import ColumnStatistics

__all__ = ["MANIFEST", "Committed", "Part", "committed", "objects", "prefix_of"]

MANIFEST = "_SUCCESS"
_MARK = "lithops-shm-dataset"  # others put a `_SUCCESS` too: empty, or with a manifest of their own
_VERSION = 1

# How the parts of a CSV are written, in the parameters of Scan; and texts that are null are empty, and not quoted.
_READ_AS: dict[str, dict[str, Any]] = {"csv": {"header": True, "delimiter": ",", "quote": '"'}}


@dataclass(frozen=True, slots=True)
class Part:
    """What one attempt of a task wrote.

    Parameters
    ----------
    key:
        Of its object.
    rows, nbytes:
        Rows in it, and bytes of it.
    task, attempt:
        Whose it is, both from 0.
    schema:
        Of its rows.
    statistics:
        For the index, of each of its row groups or batches (of CSV: of all of it) the rows, and what its columns hold.
    version:
        As in :class:`~seer_integration.datasets.location.Stored`; empty until it is committed.
    """

    key: str
    rows: int
    nbytes: int
    task: int
    attempt: int
    schema: pa.Schema
    statistics: tuple[tuple[int, Mapping[str, ColumnStatistics]], ...] | None = None
    version: str = ""


@dataclass(frozen=True)
class Committed:
    """A dataset that is complete.

    Parameters
    ----------
    location:
        The prefix of all its objects; ends in ``/``.
    job:
        The run that wrote it.
    format:
        ``"parquet"``, ``"ipc"`` or ``"csv"``.
    schema:
        Of the rows that were written. A part may have a column of nulls where others have a type, and Parquet knows
        no seconds: readers cast to it.
    parts:
        In the order of their tasks, which is that of the rows. Statistics are in the index, not here.
    """

    location: Location
    job: str
    format: str
    schema: pa.Schema
    parts: tuple[Part, ...]

    @cached_property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.nbytes for part in self.parts)

    @property
    def read_as(self) -> Mapping[str, Any]:
        """What :class:`~seer_integration.operations.Scan` has to be told to read the parts."""
        return {"format": self.format, **_READ_AS.get(self.format, {})}

    def dump(self) -> bytes:
        """The manifest: JSON, with the names of parts from the prefix on, so that all of it can be moved."""
        names = ("rows", "nbytes", "task", "attempt", "version")
        cut = len(self.location.key)
        head = {
            _MARK: _VERSION,
            "job": self.job,
            "format": self.format,
            "rows": self.rows,
            "nbytes": self.nbytes,
            "schema": base64.b64encode(self.schema.serialize()).decode(),
            "parts": [{"key": part.key[cut:], **{name: getattr(part, name) for name in names}} for part in self.parts],
        }
        return json.dumps(head, indent=1).encode()

    @classmethod
    def load(cls, location: Location, data: bytes) -> Committed | None:
        """Read what :meth:`dump` wrote; ``None`` when it is another's.

        Raises
        ------
        DatasetError
            When it is ours and damaged, or of a later version.
        """
        prefix = prefix_of(location)
        where = str(prefix.at(prefix.key + MANIFEST))
        if _MARK.encode() not in data[:64]:
            return None
        try:
            head = json.loads(data)
            if head[_MARK] != _VERSION:
                reason = f"the manifest is of version {head[_MARK]}, and this reads version {_VERSION}"
                raise DatasetError(where, reason, "update lithops-shm")
            schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(head["schema"])))
            parts = tuple(Part(**{**each, "key": prefix.key + each["key"]}, schema=schema) for each in head["parts"])
            return cls(prefix, head["job"], head["format"], schema, parts)
        except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise DatasetError(where, f"the manifest is damaged: {error!r}", "write the dataset again") from error


def prefix_of(location: Location) -> Location:
    """The location of a dataset as the prefix of its objects."""
    key = location.key
    return location if not key or key.endswith("/") else location.at(key + "/")


def committed(location: Location, places: Places) -> Committed | None:
    """The dataset at a prefix or directory; ``None`` when nothing of ours was committed there.

    Raises
    ------
    DatasetError
        When its manifest cannot be read.
    """
    prefix = prefix_of(location)
    where = prefix.at(prefix.key + MANIFEST)
    found = places.head(where)
    if found is None or not found.nbytes:
        return None
    return Committed.load(prefix, places.read(where).to_pybytes())


def objects(location: Location, places: Places) -> tuple[Committed, list[Stored]] | None:
    """The dataset at a prefix, and the objects that have rows, in their order and as they are now.

    When another job commits in between, and removes what it replaces, the manifest is read again.

    Raises
    ------
    DatasetError
        When a part that counts is gone, or the place cannot be read.
    """
    found = committed(location, places)
    while found is not None:
        listed = {each.key: each for each in places.find(found.location, hidden=True)}
        gone = [part.key for part in found.parts if part.rows and part.key not in listed]
        if not gone:
            return found, [listed[part.key] for part in found.parts if part.rows]
        before, found = found, committed(location, places)
        if found is not None and found.job == before.job:
            raise _gone_from(found, gone)
    return None


def _gone_from(dataset: Committed, gone: Sequence[str]) -> DatasetError:
    """The error for parts that count and are not there."""
    more = f", and {len(gone) - 1} more of {len(dataset.parts)}" if len(gone) > 1 else ""
    reason = f"the part {gone[0].removeprefix(dataset.location.key)!r}, which its manifest lists, is gone{more}"
    return DatasetError(str(dataset.location), reason, "restore it, or write the dataset again")
