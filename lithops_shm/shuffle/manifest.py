"""What mappers left, and the manifest that readers trust, as bytes and as what a partition reads of it. No I/O.

A mapper's rows lie in the order of their buckets, or of their keys. `positions` are the rows at which they may be cut:
where buckets begin, or where sampled keys lie. The manifest says which of these cuts separate the partitions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

__all__ = ["Manifest", "MapOutput", "Piece", "Readers"]

Positions = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class MapOutput:
    """What one attempt of a mapper stored.

    Parameters
    ----------
    mapper, attempt:
        Whose it is, both from 0.
    keys:
        The objects: one, or in memory several that follow each other, so that the first can go before the last.
    rows, nbytes:
        Rows in them, and bytes of their data in memory.
    library:
        What the mapper returned: ``"arrow"``, ``"pandas"``, ``"polars"`` or ``"pairs"``.
    schema:
        Of its rows; ``None`` when the mapper returned none at all.
    positions:
        Rows at which they may be cut, ascending from 0 to `rows`; shape (cuts + 1,), int64.
    begins:
        The rows at which the objects begin, and the last one ends; shape (objects + 1,), int64.
    offsets:
        The bytes of the object at which positions begin, if it is stored as frames between them; else None.
    checksums:
        CRC-32 of each frame.
    samples:
        For ranges, the keys at some of its rows, as :func:`ranges.sample` gives them.
    spilled_bytes:
        Bytes of the objects that are on disk, because memory had no room.
    """

    mapper: int
    attempt: int
    keys: tuple[str, ...]
    rows: int
    nbytes: int
    library: str
    schema: pa.Schema | None
    positions: Positions
    begins: Positions
    offsets: Positions | None = None
    checksums: Positions | None = None
    samples: pa.Table | None = None
    spilled_bytes: int = 0


class Piece(NamedTuple):
    """What a partition gets of one object of a mapper: its rows `start` to `stop`, and their frames where it has some.

    With ranges these are the rows that may belong to it. It begins at `begun_by` or before, and ends at `ends_from` or
    behind; where, is found in the rows themselves.
    """

    mapper: int
    key: str
    start: int
    stop: int
    begun_by: int
    ends_from: int
    offsets: Positions | None = None
    checksums: Positions | None = None


@dataclass(frozen=True)
class Manifest:
    """The outputs that count, one of each mapper, and how they are cut.

    Parameters
    ----------
    shuffle:
        Its id.
    partitions:
        How many.
    outputs:
        By mapper.
    cuts:
        For each output the indices into its positions between which each partition lies; shape (partitions, 2), int64.
    bounds:
        For ranges, the least key of each partition but the first; fewer where keys are few.
    schema:
        Of the rows of all mappers; None when there are none.
    library:
        What the mappers returned.
    """

    shuffle: str
    partitions: int
    outputs: tuple[MapOutput, ...]
    cuts: tuple[Positions, ...]
    bounds: pa.Table | None
    schema: pa.Schema | None
    library: str

    def pieces(self, partition: int) -> list[Piece]:
        """What a partition gets, by mapper and object; those that have nothing for it left out."""
        found = []
        for output, cuts, begins in zip(self.outputs, self.cuts, self._begins, strict=True):
            first, last = cuts[partition].tolist()
            if first == last:
                continue
            row = output.positions.item
            start, begun_by, ends_from, stop = row(first), row(first + 1), row(last - 1), row(last)
            offsets = None if output.offsets is None else output.offsets[first : last + 1]
            checksums = None if output.checksums is None else output.checksums[first:last]
            for key, begin, end in zip(output.keys, begins, begins[1:], strict=False):
                low, high = max(start, begin), min(stop, end)
                if low < high:
                    begun, ends = (min(max(each, low), high) - begin for each in (begun_by, ends_from))
                    found.append(Piece(output.mapper, key, low - begin, high - begin, begun, ends, offsets, checksums))
        return found

    def joined(self, partition: int) -> int:
        """How many buckets, or stretches between sampled rows, a partition is of, in the mapper that has most."""
        return max((int(np.diff(cuts[partition]).item()) for cuts in self.cuts), default=0)

    @cached_property
    def _begins(self) -> list[list[int]]:
        """As the outputs have them, in numbers of Python's, which are read one by one."""
        return [output.begins.tolist() for output in self.outputs]

    @cached_property
    def rows(self) -> int:
        """Rows of all partitions."""
        return sum(output.rows for output in self.outputs)

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return sum(output.nbytes for output in self.outputs)

    def readers(self) -> dict[str, set[int]]:
        """Of each object the partitions that read it; it may go when they have."""
        found: dict[str, set[int]] = {}
        for output, cuts in zip(self.outputs, self.cuts, strict=True):
            starts, stops = output.positions[cuts[:, 0]], output.positions[cuts[:, 1]]
            for key, begin, end in zip(output.keys, output.begins[:-1], output.begins[1:], strict=True):
                overlap = np.minimum(stops, end) > np.maximum(starts, begin)
                found[key] = set(np.flatnonzero(overlap).tolist())
        return found

    def dump(self) -> bytes:
        """The manifest as one Arrow IPC stream: one row for each output, and the rest in the schema's metadata."""
        outputs = self.outputs
        columns = {
            "mapper": pa.array([each.mapper for each in outputs], pa.int64()),
            "attempt": pa.array([each.attempt for each in outputs], pa.int64()),
            "keys": pa.array([each.keys for each in outputs], pa.list_(pa.string())),
            "rows": pa.array([each.rows for each in outputs], pa.int64()),
            "nbytes": pa.array([each.nbytes for each in outputs], pa.int64()),
            "positions": _lists([each.positions for each in outputs]),
            "begins": _lists([each.begins for each in outputs]),
            "offsets": _lists([each.offsets for each in outputs]),
            "checksums": _lists([each.checksums for each in outputs]),
            "cuts": _lists([cuts.reshape(-1) for cuts in self.cuts]),
        }
        head = {"version": 1, "shuffle": self.shuffle, "partitions": self.partitions, "library": self.library}
        metadata = {b"manifest": json.dumps(head).encode()}
        if self.schema is not None:
            metadata[b"schema"] = self.schema.serialize().to_pybytes()
        if self.bounds is not None:
            metadata[b"bounds"] = _stream(self.bounds)
        return _stream(pa.table(columns).replace_schema_metadata(metadata))

    @classmethod
    def load(cls, data: Any) -> Manifest:
        """Read what :meth:`dump` wrote; arrays are views of `data`."""
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            table = reader.read_all()
        metadata = table.schema.metadata
        head = json.loads(metadata[b"manifest"])
        columns = {name: table[name].to_pylist() for name in ("mapper", "attempt", "keys", "rows", "nbytes")}
        arrays = {name: _arrays(table[name]) for name in ("positions", "begins", "offsets", "checksums", "cuts")}
        schema = pa.ipc.read_schema(pa.py_buffer(metadata[b"schema"])) if b"schema" in metadata else None
        outputs = tuple(
            MapOutput(
                columns["mapper"][row],
                columns["attempt"][row],
                tuple(columns["keys"][row]),
                columns["rows"][row],
                columns["nbytes"][row],
                head["library"],
                schema,
                _present(arrays["positions"][row]),
                _present(arrays["begins"][row]),
                arrays["offsets"][row],
                arrays["checksums"][row],
            )
            for row in range(table.num_rows)
        )
        bounds = pa.ipc.open_stream(metadata[b"bounds"]).read_all() if b"bounds" in metadata else None
        cuts = tuple(_present(each).reshape(-1, 2) for each in arrays["cuts"])
        return cls(head["shuffle"], head["partitions"], outputs, cuts, bounds, schema, head["library"])


class Readers:
    """Which partitions are still to read which objects."""

    def __init__(self, manifest: Manifest) -> None:
        self._readers = manifest.readers()

    def done(self, partition: int) -> list[str]:
        """A partition has been read; gives the objects that nobody will read any longer."""
        found = []
        for key, partitions in self._readers.items():
            if partition in partitions:
                partitions.discard(partition)
                if not partitions:
                    found.append(key)
        return found


def _lists(arrays: Sequence[Positions | None]) -> pa.Array:
    """Arrays of int64 as one column of lists."""
    values = [each for each in arrays if each is not None]
    offsets = np.concatenate([[0], np.cumsum([0 if each is None else len(each) for each in arrays])])
    flat = pa.array(np.concatenate(values).astype(np.int64) if values else np.empty(0, np.int64))
    mask = pa.array([each is None for each in arrays], pa.bool_())
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat, mask=mask)


def _arrays(column: pa.ChunkedArray) -> list[Positions | None]:
    return [None if not each.is_valid else each.values.to_numpy() for chunk in column.chunks for each in chunk]


def _present(array: Positions | None) -> Positions:
    assert array is not None
    return array


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data
