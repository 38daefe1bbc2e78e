"""Tables as the bytes of one object: Parquet, Arrow IPC or CSV, row group by row group."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from seer_integration.datasets.statistics import Statistics, merged, statistics_of
from seer_integration.errors import OperationError

__all__ = ["ENDINGS", "Encoded", "carried", "check_compression", "encoded", "refused"]

ENDINGS = {"parquet": "parquet", "ipc": "arrow", "csv": "csv"}
"""Of the names of objects, by format."""

# What Parquet's readers take at a time, as Parquet's own advice and DuckDB's default have it; and batches of IPC.
_GROUP_ROWS = 1 << 20
_GROUP_BYTES = 64 << 20

_CODECS = {
    "parquet": ("snappy", "gzip", "brotli", "lz4", "zstd", "none"),
    "ipc": ("zstd", "lz4", "none"),
    "csv": ("none",),
}


@dataclass(slots=True)
class Encoded:
    """An object in pieces, which may be views of the tables.

    Parameters
    ----------
    pieces:
        One after the other they are the object.
    schema:
        Of its rows.
    rows:
        How many.
    statistics:
        Of each row group, batch, or for CSV of all, the rows and what the columns asked for hold.
    """

    pieces: list[Any]
    schema: pa.Schema
    rows: int = 0
    statistics: list[tuple[int, Statistics]] = field(default_factory=list)


def check_compression(form: str, compression: str | None) -> None:
    """Raises OperationError when objects of a format are not compressed so."""
    known = _CODECS[form]
    if compression is not None and compression not in known:
        reason = f"is not how {form} is compressed; it takes {', '.join(map(repr, known))}"
        raise OperationError("Write", "compression", compression, reason)


def refused(form: str, schema: pa.Schema) -> tuple[str, str] | None:
    """The first column a format cannot carry, and why; ``None`` when it carries all, so that they come back the same.

    Dictionaries are carried as their values.
    """
    for name, index in ((name, schema.get_all_field_indices(name)) for name in schema.names):
        if len(index) > 1:
            return name, "there are two columns of that name"
    for each in carried(schema):
        kind = each.type
        if form == "csv" and _is_bytes(kind):
            return each.name, f"CSV is text, and this is {kind}"
        sample = pa.table([pa.nulls(1, kind), pa.array([0])], ["sample", "other"])
        try:
            data = pa.py_buffer(b"".join(encoded(form, [sample], None).pieces))
            if form == "csv":
                options = pa.csv.ConvertOptions(column_types=sample.schema)
                pa.csv.read_csv(pa.BufferReader(data), convert_options=options)
        except pa.ArrowException as error:
            return each.name, f"{_CALLED[form]} cannot carry {kind} ({str(error).splitlines()[0]})"
    return None


def carried(schema: pa.Schema) -> pa.Schema:
    """A schema as it is written: dictionaries as their values, since those of different tables are different."""
    for index, each in enumerate(schema):
        if pa.types.is_dictionary(each.type):
            schema = schema.set(index, each.with_type(each.type.value_type))
    return schema


def encoded(
    form: str,
    tables: Iterable[pa.Table],
    schema: pa.Schema | None,
    *,
    compression: str | None = None,
    columns: Sequence[str] | bool = (),
) -> Encoded:
    """Encode tables as they come; of their rows no more is kept than a row group, but for what IPC's pieces view.

    Parameters
    ----------
    schema:
        What they are cast to; ``None``: that of the first.
    columns:
        Of which to take statistics; ``True``: of all.

    Raises
    ------
    pyarrow.ArrowException
        When a table does not fit the schema, or the format cannot carry it.
    """
    every = iter(tables)
    if schema is None:
        first = next(every, None)
        schema = pa.schema([]) if first is None else first.schema
        every = itertools.chain([] if first is None else [first], every)
    schema = carried(schema)
    asked = schema.names if columns is True else [name for name in columns or () if name in schema.names]
    sink = _Pieces(views=form == "ipc")
    result = Encoded(sink.pieces, schema)
    with pa.PythonFile(sink, mode="w") as file, _writer(form, file, schema, compression) as writer:
        for group in _groups(every, schema):
            if form == "csv" and group.num_columns == 1 and group.column(0).null_count:
                raise pa.ArrowInvalid("in a CSV of one column a null would be an empty line, which is no row")
            if form == "parquet":
                writer.write_table(group, row_group_size=_GROUP_ROWS)
            else:
                writer.write_table(group)
            result.rows += group.num_rows
            if asked:
                result.statistics.append((group.num_rows, statistics_of(group, asked)))
    if form == "csv" and result.statistics:  # it has no groups that can be left out
        result.statistics = [(result.rows, merged([each for _, each in result.statistics]))]
    return result


class _Pieces:
    """A file that keeps what is written to it. CSV's writer uses its buffer again, so that its bytes are copied."""

    def __init__(self, *, views: bool) -> None:
        self.pieces: list[Any] = []
        self.closed = False
        self._views = views
        self._position = 0

    def write(self, data: Any) -> int:
        kept = data if self._views or isinstance(data, bytes) else data.to_pybytes()
        self.pieces.append(kept)
        self._position += len(kept)
        return len(kept)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """There is nothing to wait for."""

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True


_CALLED = {"parquet": "Parquet", "ipc": "Arrow IPC", "csv": "CSV"}


def _writer(form: str, file: pa.NativeFile, schema: pa.Schema, compression: str | None) -> Any:
    if form == "parquet":
        return pq.ParquetWriter(file, schema, compression=compression or "snappy")
    if form == "ipc":
        codec = None if compression == "none" else compression
        return pa.ipc.new_file(file, schema, options=pa.ipc.IpcWriteOptions(compression=codec))
    return pa.csv.CSVWriter(file, schema)


def _groups(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """The same rows in tables of one chunk of up to so many rows, and about so many bytes."""
    waiting: list[pa.Table] = []
    rows = nbytes = 0
    for table in tables:
        fitting = table if table.schema.equals(schema) else _fitted(table, schema)
        size = max(1, fitting.nbytes)
        step = max(1, min(_GROUP_ROWS, fitting.num_rows * _GROUP_BYTES // size))
        for start in range(0, fitting.num_rows, step):
            piece = fitting.slice(start, step)
            share = size * piece.num_rows // fitting.num_rows
            if waiting and (rows + piece.num_rows > _GROUP_ROWS or nbytes + share > _GROUP_BYTES):
                yield pa.concat_tables(waiting).combine_chunks()
                waiting, rows, nbytes = [], 0, 0
            waiting.append(piece)
            rows, nbytes = rows + piece.num_rows, nbytes + share
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    if sorted(table.schema.names) != sorted(schema.names):
        names = [", ".join(each.names) for each in (table.schema, schema)]
        raise pa.ArrowInvalid(f"it has the columns {names[0]}, and not {names[1]}")
    return table.select(schema.names).cast(schema)


def _is_bytes(kind: pa.DataType) -> bool:
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests)
