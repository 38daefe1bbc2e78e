"""JSON lines, by ranges of bytes: one object a line, and no end of line within."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.json as pajson

from seer_integration.datasets.formats.salvage import parsed, refusing
from seer_integration.datasets.formats.text import divided_text, in_blocks, sampled, types_told, without_bom
from seer_integration.datasets.pieces import Opened, Piece, Refused, Wanted
from seer_integration.datasets.schemas import as_here

__all__ = ["INFERRED", "divided", "read", "schema"]

INFERRED = True


def schema(opened: Opened, sample_bytes: int) -> pa.Schema:
    """Names and types by a sample of the beginning; lines of it that are no JSON are left to be told when read."""
    data = sampled(opened, sample_bytes, None)
    if not data.size:
        return pa.schema([])
    bad: list[str] = []
    tables = parsed(data, lambda rows: _parsed(rows, rows.size + 1), None, lambda *row: bad.append(row[2]))
    if bad and not any(table.num_columns for table in tables):
        raise opened.error(f"it is no JSON with an object in each line: {bad[0]}", "say what it is with format=")
    schema = pa.schema([])
    for table in tables:
        with contextlib.suppress(pa.ArrowTypeError):  # rows of another kind are told when they are read
            schema = pa.unify_schemas([schema, table.schema], promote_options="permissive")
    return as_here(schema)


def divided(opened: Opened, target: int, units: Sequence[int] | None) -> list[Piece]:  # noqa: ARG001 - the protocol's
    """Pieces of about so many bytes; `units` are not for text."""
    return divided_text(opened, target, None)


def read(opened: Opened, piece: Piece, wanted: Wanted, refused: Refused) -> pa.Table:
    """The rows of a piece; names that a line lacks are null, and those that nobody wants are left out."""
    data = opened.read(piece.start, piece.stop)
    at = without_bom(data) if piece.start == 0 else 0
    options = pajson.ParseOptions(
        explicit_schema=wanted.schema, newlines_in_values=False, unexpected_field_behavior="ignore"
    )

    def parse(rows: pa.Buffer) -> pa.Table:
        return in_blocks(lambda block: _parsed(rows, block, options), rows.size).select(wanted.schema.names)

    tables = [wanted.schema.empty_table()]
    with types_told(opened):
        tables += parsed(data.slice(at), parse, None, refusing(opened, piece.start + at, refused))
    return wanted.of(pa.concat_tables(tables))


def _parsed(rows: pa.Buffer, block: int, options: pajson.ParseOptions | None = None) -> pa.Table:
    return pajson.read_json(pa.BufferReader(rows), pajson.ReadOptions(block_size=block), options)
