"""What Parquet's own footers say of row groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seer_integration.datasets.index import Block
from seer_integration.datasets.location import Location
from seer_integration.datasets.places import Places
from seer_integration.datasets.statistics import alike
from seer_integration.expressions import ColumnStatistics

__all__ = ["blocks_of", "bound_of", "footer"]


def footer(location: Location, nbytes: int, places: Places) -> pq.FileMetaData:
    """Of an object of so many bytes. Raises DatasetError when it cannot be read, ArrowException when it has none."""
    with places.open(location, nbytes) as file:
        return pq.read_metadata(file)


def blocks_of(metadata: pq.FileMetaData, schema: pa.Schema, columns: Collection[str]) -> tuple[Block, ...]:
    """The row groups, and what their statistics say of some columns.

    Parameters
    ----------
    schema:
        As the rows are read. Of a column that is read as something other than what it is stored as, nothing is said;
        nor of nested ones.
    """
    numbers = _flat(metadata, schema, columns)
    blocks = []
    for group in range(metadata.num_row_groups):
        found = metadata.row_group(group)
        known = {name: _of_chunk(found.column(number), found.num_rows) for name, number in numbers.items()}
        blocks.append(Block(group, found.num_rows, known))
    return tuple(blocks)


def _flat(metadata: pq.FileMetaData, schema: pa.Schema, columns: Collection[str]) -> dict[str, int]:
    """Of the columns that are one column of the file too, the number there."""
    stored = metadata.schema.to_arrow_schema()
    paths = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    once = {path for path, times in Counter(paths).items() if times == 1}
    return {
        name: paths.index(name)
        for name in columns
        if name in once
        and len(stored.get_all_field_indices(name)) == 1
        and len(schema.get_all_field_indices(name)) == 1
        and alike(stored.field(name).type, schema.field(name).type)
    }


def _of_chunk(chunk: pq.ColumnChunkMetaData, rows: int) -> ColumnStatistics:
    statistics = chunk.statistics
    least = greatest = nulls = None
    if statistics is not None:
        nulls = statistics.null_count if statistics.has_null_count else None
        if statistics.has_min_max:
            least, greatest = bound_of(statistics, "min"), bound_of(statistics, "max")
    return ColumnStatistics(least=least, greatest=greatest, nulls=nulls, rows=rows, values=None)


def bound_of(statistics: Any, name: str) -> Any:
    """The least or greatest value, by the name pyarrow has for it; ``None`` when Python has none for it."""
    # Some writers cut long texts, and may do so within a character.
    try:
        value = getattr(statistics, name)
    except (ValueError, OverflowError):
        return None
    return value
