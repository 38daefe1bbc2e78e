"""Whether a result is what it must be."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[3] / "examples"))

import terasort as example

__all__ = ["check_sorted"]

_BLOCK_ROWS = 500_000


def check_sorted(tables: list[pa.Table], rows: int, checksum: int) -> None:
    """Compare tables that follow each other with the rows of terasort's file: order, number and checksum.

    Parameters
    ----------
    tables:
        Columns key and value, of any text type; copied, 500,000 rows at a time.

    Raises
    ------
    ValueError
        They are not the file's rows, sorted by key.
    """
    found, total, last = 0, 0, b""
    for block in (batch for table in tables for batch in table.to_batches(_BLOCK_ROWS)):
        if not block.num_rows:
            continue
        keys, values = _characters(block["key"], example.KEY), _characters(block["value"], example.VALUE)
        texts = keys.view(f"S{example.KEY}")[:, 0]
        if bytes(texts[0]) < last or (texts[1:] < texts[:-1]).any():
            raise ValueError(f"the keys are out of order in rows {found:,} to {found + block.num_rows:,}")
        last = bytes(texts[-1])
        found += block.num_rows
        total = (total + example.row_checksum(keys, values)) % 2**64
    if found != rows:
        raise ValueError(f"{found:,} rows came out of {rows:,}")
    if total != checksum:
        raise ValueError(f"the checksum of the rows is {total:016x}, not {checksum:016x}")


def _characters(column: pa.Array, width: int) -> np.ndarray:
    """Texts of one width as bytes, shape (rows, width)."""
    texts = pa.chunked_array([column.cast(pa.large_string())])
    lengths = np.diff(np.frombuffer(texts.chunk(0).buffers()[1], np.int64, len(column) + 1, 8 * texts.chunk(0).offset))
    if column.null_count or (lengths != width).any():
        raise ValueError(f"not all texts have {width} characters")
    return example.characters(texts, width)
