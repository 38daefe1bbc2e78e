"""Arrow IPC files, by batches; mapped where they lie in memory or in a file, uncompressed ones without a copy."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from seer_integration.datasets.formats.units import arrow_told, grouped, require_columns
from seer_integration.datasets.pieces import Opened, Piece, Refused, Wanted
from seer_integration.datasets.schemas import as_here

__all__ = ["INFERRED", "divided", "read", "schema"]

INFERRED = False
_KIND = "an Arrow IPC file"


def schema(opened: Opened, sample_bytes: int) -> pa.Schema:  # noqa: ARG001 - the protocol's
    """From the footer."""
    with arrow_told(opened, _KIND), opened.open() as file:
        return as_here(pa.ipc.open_file(file).schema)


def divided(opened: Opened, target: int, units: Sequence[int] | None) -> list[Piece]:
    """Pieces of about so many bytes, of batches, all of which are taken to be of one size; of `units`, or all."""
    with arrow_told(opened, _KIND), opened.open() as file:
        count = pa.ipc.open_file(file).num_record_batches
    indices = range(count) if units is None else units
    return grouped(opened, [(index, opened.size // max(1, count)) for index in indices], target)


def read(opened: Opened, piece: Piece, wanted: Wanted, refused: Refused) -> pa.Table:  # noqa: ARG001 - the protocol's
    """The rows of a piece: views of the object where it is mapped and has these types."""
    columns = wanted.schema.names
    with arrow_told(opened, _KIND):
        if opened.maps:
            reader = pa.ipc.open_file(opened.mapped())
            require_columns(opened, reader.schema.names, columns)
            table = _batches(reader, piece).select(columns)
            opened.bytes_asked += table.nbytes
        else:
            with opened.open() as file:
                names = pa.ipc.open_file(file).schema.names
                require_columns(opened, names, columns)
                file.seek(0)
                # Mapped columns cost nothing, and would be copied by this.
                options = pa.ipc.IpcReadOptions(included_fields=sorted(names.index(name) for name in columns))
                table = _batches(pa.ipc.open_file(file, options=options), piece).select(columns)
        return wanted.of(table.cast(wanted.schema))


def _batches(reader: pa.ipc.RecordBatchFileReader, piece: Piece) -> pa.Table:
    units = range(reader.num_record_batches) if piece.units is None else piece.units
    return pa.Table.from_batches([reader.get_batch(index) for index in units], reader.schema)
