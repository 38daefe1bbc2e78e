"""What functions give and get, as Arrow tables and back."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from lithops_shm.errors import PartitionerError
from lithops_shm.shuffle.schemas import common_schema, conformed

__all__ = ["as_asked", "as_table", "is_table", "joined", "tables_of"]


def is_table(obj: Any) -> bool:
    """Whether this is a frame or table of a library we know."""
    return isinstance(obj, (pa.Table, pa.RecordBatch)) or _library(obj) in ("pandas", "polars")


def tables_of(result: Any, mapper: int) -> Iterator[tuple[pa.Table, str]]:
    """The tables a map function returned or yielded, and the library each is of.

    Raises
    ------
    PartitionerError
        When it gave something else.
    """
    if result is None:
        return
    if is_table(result):
        yield as_table(result)
        return
    if not isinstance(result, Iterable) or isinstance(result, (str, bytes, dict)):
        raise _refused(result, mapper)
    for each in result:
        if not is_table(each):
            raise _refused(each, mapper)
        yield as_table(each)


def joined(tables: Sequence[pa.Table], mapper: int) -> pa.Table:
    """Tables of one mapper as one, their columns in the order of the first; rows are not copied.

    They have to agree as much as those of different mappers: not on the order of columns, and not on the type of one
    that is all null.

    Raises
    ------
    SchemaMismatchError
        When two disagree on a column.
    """
    first = tables[0].schema
    if all(table.schema.equals(first) for table in tables):
        return pa.concat_tables(tables)
    schema = common_schema((mapper, table.schema) for table in tables)
    return pa.concat_tables([conformed(table, schema) for table in tables])


def as_table(obj: Any) -> tuple[pa.Table, str]:
    """A frame as an Arrow table of the same columns, and its library; text as ``large_string``.

    A pandas index that has a name becomes a column; one without is left out.
    """
    library = _library(obj)
    if library == "pandas":
        named = [name for name in obj.index.names if name is not None]
        frame = obj.reset_index(named) if named else obj
        table = pa.Table.from_pandas(frame, preserve_index=False)
    elif library == "polars":
        table = obj.to_arrow()
    else:
        table = pa.Table.from_batches([obj]) if isinstance(obj, pa.RecordBatch) else obj
        library = "arrow"
    return _with_large_texts(table), library


def as_asked(table: pa.Table, library: str) -> Any:
    """A table as what a function wants: ``"arrow"``, ``"pandas"`` or ``"polars"``; without a copy where that can be."""
    if library == "pandas":
        return table.to_pandas(split_blocks=True)
    if library == "polars":
        # Not a statement: Lithops looks for those in what a function calls, and imports them in the client.
        return importlib.import_module("polars").from_arrow(table)
    return table


def _library(obj: Any) -> str:
    for name in ("pandas", "polars"):
        module = sys.modules.get(name)
        if module is not None and isinstance(obj, module.DataFrame):
            return name
    return ""


def _with_large_texts(table: pa.Table) -> pa.Table:
    """Views would carry their parents along, and 32-bit offsets end at 2 GiB; other types are left alone."""
    for index, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_string(kind) or pa.types.is_string_view(kind):
            wanted = pa.large_string()
        elif pa.types.is_binary(kind) or pa.types.is_binary_view(kind):
            wanted = pa.large_binary()
        else:
            continue
        table = table.set_column(index, field.with_type(wanted), table.column(index).cast(wanted))
    return table


def _refused(obj: Any, mapper: int) -> PartitionerError:
    reason = (
        f"mapper {mapper} gave a {type(obj).__module__}.{type(obj).__qualname__}; with Shuffle(by=...) a map function "
        "returns or yields pandas, Polars or Arrow tables, and with Shuffle(by=None) it yields (key, value) pairs"
    )
    return PartitionerError("columns", reason)
