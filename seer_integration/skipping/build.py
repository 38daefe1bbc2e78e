"""An index of what is there already, made by reading it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from difflib import get_close_matches

import pyarrow as pa
import pyarrow.parquet as pq

from lithops_shm.host import usable_cpus
from lithops_shm.sizes import size
from seer_integration.datasets.index import Block, Index, Indexed, manner_of
from seer_integration.datasets.location import Location, Stored
from seer_integration.datasets.pieces import Piece, Split
from seer_integration.datasets.places import Places
from seer_integration.datasets.sources import Survey, read, splits, survey
from seer_integration.datasets.statistics import merged, statistics_of
from seer_integration.errors import OperationError
from seer_integration.operations import Scan
from seer_integration.skipping.place import directory_of, index_location, read_index

__all__ = ["Built", "Mapped", "build", "described"]

_PIECE_BYTES = 64 << 20  # of text, held in memory at a time by each thread

Mapped = Callable[[Callable[[Survey], Indexed], Sequence[Survey]], Iterable[Indexed]]


@dataclass(frozen=True)
class Built:
    """An index that was written.

    Parameters
    ----------
    location:
        Where it is.
    columns:
        What it knows of.
    objects, rows:
        How many it describes now.
    bytes_read:
        Bytes of the objects.
    """

    location: Location
    columns: tuple[str, ...]
    objects: int
    rows: int
    bytes_read: int

    def __str__(self) -> str:
        return (
            f"{self.location}: {', '.join(self.columns)} of {self.objects:,} objects, {self.rows:,} rows in "
            f"{size(self.bytes_read)}"
        )


def build(
    scan: Scan,
    columns: Sequence[str] | None,
    places: Places,
    default_storage: str,
    *,
    at: Location | None = None,
    mapped: Mapped | None = None,
) -> Built:
    """Read a dataset, and write down beside it what its objects hold, for :func:`~seer_integration.skipping.prune`.

    Objects that change later are read as if they were not indexed, until it is built again; then only those are read
    that changed. What the index says of other objects, and of other columns, stays, or is brought up to date.

    Parameters
    ----------
    scan:
        What to read, and how.
    columns:
        Which; ``None`` for all.
    default_storage:
        For a `scan` that names a bucket and no storage.
    at:
        Where to write it, if not beside the data; `prune` has to be told.
    mapped:
        Applies a function to each of several arguments, as the builtin `map`; by default in a thread for each CPU.

    Raises
    ------
    DatasetError
        When the source cannot be read, or the index not be written.
    OperationError
        When there is no such column.
    """
    found = survey(scan, places, default_storage)
    names = found.source.schema.names if columns is None else list(columns)
    for name in names:
        if name not in found.source.schema.names:
            near = get_close_matches(name, found.source.schema.names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(found.source.schema.names)}"
            raise OperationError("index", "columns", name, f"is no column; {hint}")
    old = read_index(found, places, found.source.schema.names, at) or Index(pa.schema([]), {})
    manner = manner_of(found.source.scan, found.source.format)
    wanted = [each for each in found.objects if not _knows(old.of(each, manner), names)]
    every_name = [*names, *(name for name in old.schema.names if name not in names)]
    each_alone = [replace(found, objects=(each,)) for each in wanted]

    def task(one: Survey) -> Indexed:
        return described(one, every_name, places)

    if mapped is None:
        with ThreadPoolExecutor(usable_cpus(), thread_name_prefix="seer-index") as threads:
            every = list(threads.map(task, each_alone))
    else:
        every = list(mapped(task, each_alone))
    schema = pa.schema([found.source.schema.field(name) for name in every_name])
    index = old.with_objects(every, schema)
    where = at or index_location(found)
    places.put(where, [index.dump(directory_of(found).key)])
    known = [index.objects[each.key] for each in found.objects]
    return Built(
        where,
        tuple(every_name),
        len(known),
        sum(block.rows for each in known for block in each.blocks),
        sum(each.nbytes for each in wanted),
    )


def described(one: Survey, columns: Sequence[str], places: Places) -> Indexed:
    """What the only object of a survey holds, read piece by piece; nothing, if rows had to be left out.

    Raises DatasetError.
    """
    (stored,) = one.objects
    manner = manner_of(one.source.scan, one.source.format)
    malformed = 0
    blocks = []
    units = _units(one, stored, places)
    if units is None:
        pieces = splits(one, _PIECE_BYTES, places=places)
    else:
        pieces = [Split((replace(Piece.whole(stored.key, stored.nbytes), units=(unit,)),)) for unit in range(units)]
    for number, piece in enumerate(pieces):
        table, report = read(one.source, piece, places, columns, None)
        malformed += report.malformed
        group = None if units is None else number
        blocks.append(Block(group, table.num_rows, statistics_of(table, columns)))
    if units is None and blocks:  # text has no groups that can be left out
        rows = sum(each.rows for each in blocks)
        known = merged([each.columns for each in blocks])
        # Rows that are malformed by the types of this scan may not be by those of another.
        blocks = [Block(None, rows, {} if malformed else known)]
    return Indexed(stored, manner, tuple(blocks))


def _units(one: Survey, stored: Stored, places: Places) -> int | None:
    """How many row groups or batches the object has; ``None`` for text."""
    form = one.source.format
    if form not in ("parquet", "ipc"):
        return None
    with places.open(one.source.location.at(stored.key), stored.nbytes) as file:
        if form == "parquet":
            return int(pq.read_metadata(file).num_row_groups)
        with pa.ipc.open_file(file) as reader:
            return int(reader.num_record_batches)


def _knows(indexed: Indexed | None, columns: Iterable[str]) -> bool:
    return indexed is not None and all(name in block.columns for block in indexed.blocks for name in columns)
