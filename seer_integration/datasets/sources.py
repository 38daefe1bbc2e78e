"""Datasets to read: what is there, how it is divided among tasks, and the rows of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from seer_integration.datasets.committed import objects as committed_objects
from seer_integration.datasets.formats import FORMATS
from seer_integration.datasets.location import Location, Stored, is_pattern, location_of
from seer_integration.datasets.pieces import Opened, Piece, Refused, Split, Wanted
from seer_integration.datasets.places import Places
from seer_integration.datasets.schemas import as_here, require_alike, unified, with_types
from seer_integration.errors import DatasetError
from seer_integration.operations import Scan

__all__ = ["ReadReport", "Source", "Split", "Survey", "read", "splits", "survey"]

_SAMPLE = 1 << 20  # bytes of the first object, by which types are inferred
_SMALL_SAMPLE = 64 << 10  # of the others
_OTHERS = 8  # so many of them, from all over the dataset
_THREADS = 16  # questions to a storage at a time

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Source:
    """All that a worker has to know to read.

    Parameters
    ----------
    location:
        What was asked for; of its objects, the place counts.
    format:
        ``"csv"``, ``"parquet"``, ``"ipc"`` or ``"jsonl"``.
    scan:
        How it is written.
    schema:
        Of all columns, with the types that rows will have.
    """

    location: Location
    format: str
    scan: Scan
    schema: pa.Schema


@dataclass(frozen=True)
class Survey:
    """A source, and its objects as they were when it was looked at, in the order of their rows."""

    source: Source
    objects: tuple[Stored, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all objects."""
        return sum(each.nbytes for each in self.objects)


@dataclass(frozen=True)
class ReadReport:
    """What reading a split took.

    Parameters
    ----------
    rows:
        That it gave.
    bytes_read:
        Asked of the place, or mapped and looked at.
    malformed:
        Rows that were skipped, and the first `examples` of them.
    """

    rows: int
    bytes_read: int
    malformed: int = 0
    examples: tuple[str, ...] = ()


def survey(scan: Scan, places: Places, default_storage: str) -> Survey:
    """Find what a Scan names, and its columns, by a sample of the first object and smaller ones of a few others.

    Where a dataset of ours was committed, its manifest says what there is.

    Raises
    ------
    DatasetError
        When there is nothing, it cannot be read, or two objects do not have the same columns.
    OperationError
        When types or names are not for these columns.
    """
    location = location_of(scan.file, scan.bucket, scan.storage, default_storage)
    single = location.key and not location.key.endswith("/") and places.head(location) is not None
    written = None if single or is_pattern(location.key) else committed_objects(location, places)
    if written is not None:
        dataset, stored = written
        scan = replace(scan, names=None, **dataset.read_as)
        schema = with_types(as_here(dataset.schema), scan.types)
        return Survey(Source(dataset.location, dataset.format, scan, schema), tuple(stored))
    found = places.find(location)
    if not found:
        raise places.missing(location)
    name = scan.format or replace(scan, file=found[0].key).format_of_names
    return Survey(Source(location, name, scan, _schema(scan, name, location, found, places)), tuple(found))


def splits(
    survey: Survey, target_bytes: int, kept: Mapping[str, Sequence[int] | None] | None = None, *, places: Places
) -> list[Split]:
    """Divide what is to be read: large objects into pieces, and small ones into groups, of about so many bytes.

    Parameters
    ----------
    kept:
        The keys to read, each with its row groups or batches, or ``None`` for all of it; ``None`` for everything.

    Raises
    ------
    DatasetError
        When an object cannot be read.
    """
    target = max(1, target_bytes)
    form = FORMATS[survey.source.format]

    def divided(stored: Stored) -> list[Piece]:
        units = None if kept is None else kept[stored.key]
        if units is None and stored.nbytes <= target:
            return [Piece.whole(stored.key, stored.nbytes)]
        location = survey.source.location.at(stored.key)
        return form.divided(Opened(places, survey.source.scan, location, stored.nbytes), target, units)

    objects = [
        each for each in survey.objects if (kept is None or each.key in kept) and (each.nbytes or not form.INFERRED)
    ]
    found: list[Split] = []
    group: list[Piece] = []
    for pieces in _asked(divided, objects, parallel=not places.maps(survey.source.location)):
        for piece in pieces:
            if group and sum(each.nbytes for each in group) + piece.nbytes > target:
                found.append(Split(tuple(group)))
                group = []
            group.append(piece)
    return [*found, Split(tuple(group))] if group else found


def read(
    source: Source,
    split: Split,
    places: Places,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
) -> tuple[pa.Table, ReadReport]:
    """The rows of a split.

    Parameters
    ----------
    columns:
        Those to read, which come in the order of the source's; ``None`` for all. Of none at all, the first is read.
    where:
        Only rows for which it is true; it may be about other columns.

    Returns
    -------
    The table, whose text is ``large_string``: of Arrow IPC in files and shared memory a view; and what it took.

    Raises
    ------
    MalformedRowError
        When a row is not like the others, unless such are skipped.
    DatasetError
        When an object is gone, is damaged, or has other columns.
    """
    names = source.schema.names
    if columns is not None:
        if unknown := [name for name in columns if name not in names]:
            raise DatasetError(str(source.location), f"it has no column {unknown[0]!r}", f"it has {', '.join(names)}")
        names = [name for name in names if name in columns] or names[:1]
    wanted = Wanted(tuple(source.schema.names), _needed(source.schema, names, where), tuple(names), where)
    form, refused = FORMATS[source.format], Refused(source.scan.malformed == "skip")
    tables, nbytes = [pa.schema([source.schema.field(name) for name in names]).empty_table()], 0
    for piece in split.pieces if names else ():
        opened = Opened(places, source.scan, source.location.at(piece.key), piece.size)
        tables.append(form.read(opened, piece, wanted, refused))
        nbytes += opened.bytes_asked
    table = pa.concat_tables(tables)
    return table, ReadReport(table.num_rows, nbytes, refused.count, tuple(refused.examples))


def _schema(scan: Scan, name: str, location: Location, found: Sequence[Stored], places: Places) -> pa.Schema:
    form = FORMATS[name]
    filled = [each for each in found if each.nbytes] or list(found[:1])

    def of(stored: Stored, sample: int = _SMALL_SAMPLE) -> pa.Schema:
        schema = form.schema(Opened(places, scan, location.at(stored.key), stored.nbytes), sample)
        return with_types(schema, scan.types, more=name == "jsonl")

    first, others = filled[0], filled[1:]
    others = others[:: -(-len(others) // _OTHERS) or 1]
    schema = of(first, _SAMPLE)
    here = str(location.at(first.key))
    for stored, other in zip(others, _asked(of, others, parallel=not places.maps(location)), strict=True):
        there = str(location.at(stored.key))
        if form.INFERRED:
            schema = unified(schema, other, here, there)
        else:
            require_alike(schema, other, here, there)
    return schema


def _needed(schema: pa.Schema, names: Sequence[str], where: pc.Expression | None) -> pa.Schema:
    """The columns a filter is about, and these: pyarrow does not say which, but whether one is missing."""
    empty = schema.empty_table()

    def is_about(name: str) -> bool:
        if where is None:
            return False
        try:
            empty.drop_columns([name]).filter(where)
        except pa.ArrowInvalid:
            return True
        return False

    return pa.schema([field for field in schema if field.name in names or is_about(field.name)])


def _asked(ask: Callable[[Item], Answer], items: Sequence[Item], *, parallel: bool) -> Iterable[Answer]:
    """The answers in order; of a storage that takes its time several at once."""
    if not parallel or len(items) <= 1:
        return map(ask, items)
    with ThreadPoolExecutor(min(_THREADS, len(items)), thread_name_prefix="seer-survey") as threads:
        return list(threads.map(ask, items))
