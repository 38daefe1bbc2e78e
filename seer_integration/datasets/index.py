"""The index of a dataset, ``_INDEX``: what its objects hold, row group by row group.

A line of text, which has the CRC-32 of what follows: an Arrow IPC stream. Arrow, since bounds have to come back
exactly: dates, decimals, bytes, large integers. An object is known by its size and version, and by how it was read, so
that of one that has changed, or is read otherwise now, nothing is said.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from seer_integration.datasets.location import Stored
from seer_integration.datasets.statistics import Statistics, alike, has_bounds
from seer_integration.expressions import ColumnStatistics
from seer_integration.operations import Scan

__all__ = ["INDEX", "Block", "Index", "Indexed", "manner_of"]

INDEX = "_INDEX"
_MARK = "lithops-shm-index 1"
_COLUMNS = b"columns"


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that are read or left out together.

    Parameters
    ----------
    group:
        The row group of Parquet, or batch of IPC; ``None``: all rows of the object.
    rows:
        How many.
    columns:
        What some of them hold.
    """

    group: int | None
    rows: int
    columns: Statistics


@dataclass(frozen=True, slots=True)
class Indexed:
    """An object as it was when it was indexed.

    Parameters
    ----------
    stored:
        Its key, size and version.
    manner:
        How it was read, by :func:`manner_of`.
    blocks:
        All of its rows.
    """

    stored: Stored
    manner: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Index:
    """What is known of objects.

    Parameters
    ----------
    schema:
        Has the types of the columns; those that it has not are left out.
    objects:
        By key.
    """

    schema: pa.Schema
    objects: Mapping[str, Indexed]

    def of(self, stored: Stored, manner: str) -> Indexed | None:
        """What is known of an object as it is now; ``None`` when it has changed, or has no version to tell."""
        found = self.objects.get(stored.key)
        same = found is not None and stored.version and (found.stored, found.manner) == (stored, manner)
        return found if same else None

    def dump(self, prefix: str) -> bytes:
        """As bytes, with the names of objects from a prefix on, so that all of it can be moved."""
        rows = [(each, block) for each in self.objects.values() for block in each.blocks or (Block(None, 0, {}),)]
        table = {
            "key": pa.array([each.stored.key.removeprefix(prefix) for each, _ in rows], pa.large_string()),
            "nbytes": pa.array([each.stored.nbytes for each, _ in rows], pa.int64()),
            "version": pa.array([each.stored.version for each, _ in rows], pa.string()),
            "manner": pa.array([each.manner for each, _ in rows], pa.string()),
            "group": pa.array([block.group for _, block in rows], pa.int32()),
            "rows": pa.array([block.rows for _, block in rows], pa.int64()),
        }
        known = {name for _, block in rows for name in block.columns}
        names = [name for name in self.schema.names if name in known]
        for number, name in enumerate(names):
            kind = self.schema.field(name).type
            kind = kind if has_bounds(kind) else pa.null()
            given = [block.columns.get(name, _UNKNOWN) for _, block in rows]
            table |= {
                f"{number}.least": pa.array([each.least for each in given], kind),
                f"{number}.greatest": pa.array([each.greatest for each in given], kind),
                f"{number}.nulls": pa.array([each.nulls for each in given], pa.int64()),
                f"{number}.rows": pa.array([each.rows for each in given], pa.int64()),
                f"{number}.values": pa.array([_listed(each.values) for each in given], pa.list_(kind)),
            }
        schema = pa.schema([(name, column.type) for name, column in table.items()], {_COLUMNS: json.dumps(names)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(pa.table(table, schema))
        data: bytes = sink.getvalue().to_pybytes()
        return f"{_MARK} {zlib.crc32(data):08x}\n".encode() + data

    @classmethod
    def load(cls, data: bytes, prefix: str, wanted: pa.Schema | None = None) -> Index | None:
        """Read what :meth:`dump` wrote; ``None`` when it is something else, or damaged.

        Parameters
        ----------
        wanted:
            The columns, without those that are read as something else than what was indexed; ``None`` for all.
        """
        head, _, body = bytes(data).partition(b"\n")
        if head != f"{_MARK} {zlib.crc32(body):08x}".encode():
            return None
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            table = reader.read_all()
        names = json.loads(table.schema.metadata[_COLUMNS])
        types = {name: table.schema.field(f"{number}.least").type for number, name in enumerate(names)}
        if wanted is not None:
            types = {
                name: kind
                for name, kind in types.items()
                if name in wanted.names and (pa.types.is_null(kind) or alike(kind, wanted.field(name).type))
            }
        numbers = {name: names.index(name) for name in types}
        return cls(pa.schema(list(types.items())), _objects(table, prefix, numbers))

    def with_objects(self, others: Iterable[Indexed], schema: pa.Schema) -> Index:
        """This and what is known of other objects, which takes the place of what was known of the same ones."""
        fields = {each.name: each for each in self.schema}
        # Of a column that has another type now, what was known is not said in that of the new one.
        other = {each.name for each in schema if each.name in fields and fields[each.name].type != each.type}
        kept = {key: _without(each, other) for key, each in self.objects.items()}
        fields |= {each.name: each for each in schema}
        return Index(pa.schema(list(fields.values())), {**kept, **{each.stored.key: each for each in others}})


def manner_of(scan: Scan, form: str) -> str:
    """All that makes the same bytes other rows, as text; types aside, which are compared."""
    dialect = [scan.delimiter, scan.quote, scan.header, scan.names] if form == "csv" else []
    return json.dumps([form, *dialect])


_UNKNOWN = ColumnStatistics(least=None, greatest=None, nulls=None, rows=None, values=None)


def _objects(table: pa.Table, prefix: str, numbers: Mapping[str, int]) -> dict[str, Indexed]:
    keys, sizes, versions, manners, groups, rows = (
        table[name].to_pylist() for name in ("key", "nbytes", "version", "manner", "group", "rows")
    )
    statistics = {name: _statistics(table, number) for name, number in numbers.items()}
    blocks: dict[str, list[Block]] = {}
    found: dict[str, tuple[Stored, str]] = {}
    for row, key in enumerate(prefix + name for name in keys):
        found[key] = Stored(key, sizes[row], versions[row]), manners[row]
        known = {name: each[row] for name, each in statistics.items() if each[row].rows is not None}
        blocks.setdefault(key, []).append(Block(groups[row], rows[row], known))
    return {key: Indexed(*found[key], tuple(each)) for key, each in blocks.items()}


def _statistics(table: pa.Table, number: int) -> list[ColumnStatistics]:
    names = ("least", "greatest", "nulls", "rows", "values")
    columns = [table[f"{number}.{name}"].to_pylist() for name in names]
    return [
        ColumnStatistics(
            least=least,
            greatest=greatest,
            nulls=nulls,
            rows=rows,
            values=None if values is None else frozenset(values),
        )
        for least, greatest, nulls, rows, values in zip(*columns, strict=True)
    ]


def _listed(values: frozenset[Any] | None) -> list[Any] | None:
    return None if values is None else list(values)


def _without(indexed: Indexed, names: Collection[str]) -> Indexed:
    blocks = tuple(
        Block(each.group, each.rows, {name: kept for name, kept in each.columns.items() if name not in names})
        for each in indexed.blocks
    )
    return Indexed(indexed.stored, indexed.manner, blocks)
