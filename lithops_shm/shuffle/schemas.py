"""The columns that all mappers of a shuffle share, and tables brought into them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pyarrow as pa

from lithops_shm.errors import SchemaMismatchError

__all__ = ["common_schema", "conformed"]


def common_schema(given: Iterable[tuple[int, pa.Schema | None]]) -> pa.Schema | None:
    """The schema that all share, in which a column that is all null takes the type it has elsewhere.

    Parameters
    ----------
    given:
        Of each mapper its number and schema; ``None`` if it had no table.

    Raises
    ------
    SchemaMismatchError
        When two disagree on a column.
    """
    first: pa.Schema | None = None
    mapper_of_first = 0
    found: dict[str, tuple[pa.Field, int]] = {}
    for mapper, schema in given:
        if schema is None:
            continue
        if first is None:
            first, mapper_of_first = schema, mapper
            found = {field.name: (field, mapper) for field in schema}
            continue
        if any(len(set(each.names)) < len(each) for each in (first, schema)):
            _require_same(schema, mapper, first, mapper_of_first)
            continue
        for name in [*first.names, *(each for each in schema.names if each not in found)]:
            mine = schema.field(name).type if name in schema.names else None
            if name not in found:
                raise SchemaMismatchError(mapper, name, str(mine), mapper_of_first, "no column")
            field, other = found[name]
            if mine is None:
                raise SchemaMismatchError(mapper, name, "no column", other, str(field.type))
            if pa.types.is_null(field.type) and not pa.types.is_null(mine):
                found[name] = (schema.field(name), mapper)
            elif mine != field.type and not pa.types.is_null(mine):
                raise SchemaMismatchError(mapper, name, str(mine), other, str(field.type))
    if first is None or len(found) < len(first):
        return first
    return pa.schema([found[name][0].with_nullable(True) for name in first.names], first.metadata)


def conformed(table: pa.Table, schema: pa.Schema | None) -> pa.Table:
    """A table in the schema its mapper shares with others; only columns that a format cannot keep are copied.

    Columns that are all null take another type, which is free, and what Parquet has no type for gets its own again.
    """
    if schema is None or table.schema.equals(schema, check_metadata=True):
        return table
    order = [table.schema.get_field_index(name) for name in schema.names]
    if -1 not in order:  # where a name is there twice, columns are in their places already
        table = table.select(order)
    columns = [_cast(column, field.type) for column, field in zip(table.columns, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """A column in another type; Arrow casts none but strings to dictionaries, and Parquet keeps only theirs."""
    if column.type == kind:
        return column
    if pa.types.is_null(column.type):
        return pa.chunked_array([pa.nulls(len(column), kind)], kind)
    if not isinstance(kind, pa.DictionaryType) or isinstance(column.type, pa.DictionaryType):
        return column.cast(kind)
    chunks = column.cast(kind.value_type).dictionary_encode().chunks
    made = [
        pa.DictionaryArray.from_arrays(chunk.indices.cast(kind.index_type), chunk.dictionary, ordered=kind.ordered)
        for chunk in chunks
    ]
    return pa.chunked_array(made, kind)


def _require_same(schema: pa.Schema, mapper: int, first: pa.Schema, mapper_of_first: int) -> None:
    """Of schemas whose columns names do not tell apart, one by one."""
    for mine, theirs in itertools.zip_longest(schema, first):
        if mine is None or theirs is None or (mine.name, mine.type) != (theirs.name, theirs.type):
            types = ["no column" if each is None else f"{each.name}: {each.type}" for each in (mine, theirs)]
            raise SchemaMismatchError(mapper, (mine or theirs).name, types[0], mapper_of_first, types[1])
