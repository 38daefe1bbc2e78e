"""Parquet, by row groups."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from seer_integration.datasets.formats.units import arrow_told, grouped, require_columns
from seer_integration.datasets.pieces import Opened, Piece, Refused, Wanted
from seer_integration.datasets.schemas import as_here

__all__ = ["INFERRED", "divided", "read", "schema"]

INFERRED = False
_KIND = "Parquet"


def schema(opened: Opened, sample_bytes: int) -> pa.Schema:  # noqa: ARG001 - the protocol's
    """From the footer."""
    with arrow_told(opened, _KIND), opened.open() as file:
        return as_here(pq.read_schema(file))


def divided(opened: Opened, target: int, units: Sequence[int] | None) -> list[Piece]:
    """Pieces of about so many bytes, of row groups: of all, or of `units`."""
    with arrow_told(opened, _KIND), opened.open() as file:
        metadata = pq.read_metadata(file)
    sizes = []
    for index in range(metadata.num_row_groups) if units is None else units:
        group = metadata.row_group(index)
        sizes.append((index, sum(group.column(at).total_compressed_size for at in range(group.num_columns))))
    return grouped(opened, sizes, target)


def read(opened: Opened, piece: Piece, wanted: Wanted, refused: Refused) -> pa.Table:  # noqa: ARG001 - the protocol's
    """The rows of a piece, read whole: Arrow's own use of statistics takes a group of 1 and NaN for one of 1 alone."""
    with arrow_told(opened, _KIND), opened.open() as file:
        groups = None if piece.units is None else list(piece.units)
        fragment = pads.ParquetFileFormat().make_fragment(file, row_groups=groups)
        require_columns(opened, fragment.physical_schema.names, wanted.schema.names)
        return wanted.of(fragment.to_table(schema=wanted.schema))
