"""CSV, by ranges of bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.csv as pacsv

from seer_integration.datasets.boundaries import Quotes, ends_inside, next_row
from seer_integration.datasets.formats.salvage import parsed, refusing, rows_of
from seer_integration.datasets.formats.text import divided_text, in_blocks, sampled, types_told, without_bom
from seer_integration.datasets.pieces import Opened, Piece, Refused, Wanted
from seer_integration.datasets.schemas import as_here
from seer_integration.operations import Scan

__all__ = ["INFERRED", "divided", "read", "schema"]

INFERRED = True
_LARGEST_BLOCK = 2**31 - 1
# What is empty is null, and what is empty in quotes is a text: as our own parts are written, and as DuckDB reads.
_NULLS = {"null_values": [""], "strings_can_be_null": True, "quoted_strings_can_be_null": False}
_GZIP = b"\x1f\x8b"
_BLANK = b'\r\n"'  # Arrow skips rows of one empty value as well


def schema(opened: Opened, sample_bytes: int) -> pa.Schema:
    """Names and types by a sample of the beginning."""
    scan, quotes = opened.scan, _quotes(opened.scan)
    data = sampled(opened, sample_bytes, quotes)
    if data.slice(0, min(2, data.size)).to_pybytes() == _GZIP:
        raise opened.error("it is compressed with gzip", "decompress it, or write it as Parquet")
    names, at = _header(data, scan) if scan.header else (list(scan.names or ()), 0)
    body = data.slice(at).to_pybytes()
    if not body.strip(_BLANK) and sample_bytes < opened.size:  # after the header a row that is longer than the sample
        return schema(opened, sample_bytes * 8)
    if not body.strip(_BLANK):
        return _schema_of_nothing(scan, names)
    try:
        table = _parsed(body, scan, pacsv.ReadOptions(autogenerate_column_names=True))
    except pa.ArrowInvalid as error:
        raise opened.error(f"it is no CSV: {error}", "say what it is with format=") from error
    names = names or [str(number) for number in range(table.num_columns)]
    if len(names) != table.num_columns:
        reason = f"its first row has {table.num_columns} values, for {len(names)} names: {', '.join(names)}"
        raise opened.error(reason, "name each column, and say whether there is a header=")
    if len(set(names)) < len(names):
        raise opened.error(f"two columns have one name: {', '.join(names)}", "give others with names=")
    return as_here(table.rename_columns(names).schema)


def _schema_of_nothing(scan: Scan, names: Sequence[str]) -> pa.Schema:
    """What is known of the columns of a file without rows."""
    if not names and scan.types is not None and not isinstance(scan.types, str):
        names = list(scan.types) if isinstance(scan.types, Mapping) else list(map(str, range(len(scan.types))))
    return pa.schema([(name, pa.large_string()) for name in names])


def divided(opened: Opened, target: int, units: Sequence[int] | None) -> list[Piece]:  # noqa: ARG001 - the protocol's
    """Pieces of about so many bytes; `units` are not for text."""
    return divided_text(opened, target, _quotes(opened.scan))


def read(opened: Opened, piece: Piece, wanted: Wanted, refused: Refused) -> pa.Table:
    """The rows of a piece. Of all columns, those that are not wanted are parsed, but not converted."""
    scan, quotes = opened.scan, _quotes(opened.scan)
    data = opened.read(piece.start, piece.stop)
    at = without_bom(data) if piece.start == 0 else 0
    names = list(scan.names or wanted.all_names)
    if scan.header and piece.start == 0:
        names, at = _header(data, scan)
    if missing := [name for name in wanted.schema.names if name not in names]:
        reason = f"it has no column {missing[0]!r}, only {', '.join(names)}"
        raise opened.error(reason, "scan files with the same columns, each kind with a Scan of its own")
    body = data.slice(at)
    newlines = quotes is not None and _has(body, quotes.quote)
    if quotes is not None and newlines and not piece.proven and ends_inside(rows_of(body), quotes):
        raise opened.error(
            f"it was divided at byte {piece.stop:,}, which seemed to be between two rows, and is within quotes",
            "say quote=None if quotes enclose nothing, or store it in smaller objects",
        )
    types = {field.name: field.type for field in wanted.schema}
    convert = pacsv.ConvertOptions(column_types=types, include_columns=list(types), **_NULLS)

    def parse(rows: pa.Buffer) -> pa.Table:
        def once(block: int) -> tuple[pa.Table, list[str]]:
            bad: list[str] = []
            read_options = pacsv.ReadOptions(column_names=names, block_size=block)
            dialect = _dialect(scan, newlines, bad if refused.skips else None)
            return pacsv.read_csv(pa.BufferReader(rows), read_options, dialect, convert), bad

        table, bad = in_blocks(once, rows.size)
        refused.several(opened, bad)
        return table

    tables = [wanted.schema.empty_table()]
    if body.size:
        with types_told(opened):
            tables += parsed(body, parse, quotes, refusing(opened, piece.start + at, refused))
    return wanted.of(pa.concat_tables(tables))


def _dialect(scan: Scan, newlines: bool, bad: list[str] | None) -> pacsv.ParseOptions:
    """How rows are parsed; those with too many values or too few go to `bad` if there is one."""

    def skip(row: pacsv.InvalidRow) -> str:
        assert bad is not None
        bad.append(f"{row.actual_columns} values, and not {row.expected_columns}, in {row.text[:100]!r}")
        return "skip"

    return pacsv.ParseOptions(
        delimiter=scan.delimiter,
        quote_char=scan.quote or False,
        newlines_in_values=newlines,
        invalid_row_handler=None if bad is None else skip,
    )


def _header(data: pa.Buffer, scan: Scan) -> tuple[list[str], int]:
    """The names in the first row that is not blank, and where the next begins."""
    view = rows_of(data)
    end = row = without_bom(data)
    while end < view.size and not view[row:end].tobytes().strip():
        row, end = end, next_row(lambda start, stop: view[start:stop], end + 1, view.size, _quotes(scan), end)
    if not view[row:end].tobytes().strip():
        return [], end
    return list(_parsed(view[row:end].tobytes(), scan, pacsv.ReadOptions()).column_names), end


def _parsed(rows: bytes, scan: Scan, options: pacsv.ReadOptions) -> pa.Table:
    """A few rows in one block, by which Arrow infers types; rows that are not like the first are left out."""
    rows += b"\n"  # one row without an end is none to Arrow, when it has to infer how many values it has
    options.block_size = min(len(rows) + 1, _LARGEST_BLOCK)
    convert = pacsv.ConvertOptions(**_NULLS)
    return pacsv.read_csv(pa.BufferReader(rows), options, _dialect(scan, newlines=True, bad=[]), convert)


def _quotes(scan: Scan) -> Quotes | None:
    return Quotes.of(scan.quote, scan.delimiter)


def _has(data: pa.Buffer, byte: int) -> bool:
    """Whether a byte is in it."""
    view, wanted, step = rows_of(data), bytes([byte]), 256 << 10
    return any(view[at : at + step].tobytes().find(wanted) >= 0 for at in range(0, view.size, step))
