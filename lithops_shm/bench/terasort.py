"""Terasort's file, and whether tables are its rows, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["KEY", "ROW", "VALUE", "check_sorted", "generate", "small_file"]

KEY, VALUE, ROW = 10, 88, 100  # bytes; a comma and a newline make up the hundred
_ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", dtype=np.uint8)
_WRITE_ROWS, _CHECK_ROWS = 640_000, 500_000

Characters = np.ndarray[Any, np.dtype[np.uint8]]


def generate(path: Path, rows: int) -> int:
    """Write the CSV file: 10 random characters, a comma, 88 more, a newline; not sorted, the same bytes each time.

    Returns
    -------
    The checksum of its rows, which does not depend on their order.
    """
    random = np.random.default_rng(2026)
    checksum = 0
    with path.open("wb") as file:
        for start in range(0, rows, _WRITE_ROWS):
            block = _ALPHABET[random.integers(0, 64, (min(_WRITE_ROWS, rows - start), ROW), dtype=np.uint8)]
            block[:, KEY], block[:, ROW - 1] = ord(","), ord("\n")
            checksum += _row_checksum(block[:, :KEY], block[:, KEY + 1 : ROW - 1])
            file.write(block.tobytes())
    return checksum % 2**64


def small_file(directory: str, rows: int = 10_000) -> str:
    """A CSV file to warm up with."""
    keys = np.random.default_rng(7).permutation(rows)
    path = Path(directory) / "small.csv"
    path.write_text("".join(f"{key:010},{key:088}\n" for key in keys))
    return str(path)


def check_sorted(tables: Sequence[pa.Table], rows: int, checksum: int) -> None:
    """Compare tables that follow each other with the rows of the file: order, number and checksum.

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
    for block in (batch for table in tables for batch in table.to_batches(_CHECK_ROWS)):
        if not block.num_rows:
            continue
        keys, values = _characters(block["key"], KEY), _characters(block["value"], VALUE)
        texts = keys.view(f"S{KEY}")[:, 0]
        if bytes(texts[0]) < last or (texts[1:] < texts[:-1]).any():
            raise ValueError(f"the keys are out of order in rows {found:,} to {found + block.num_rows:,}")
        last = bytes(texts[-1])
        found += block.num_rows
        total = (total + _row_checksum(keys, values)) % 2**64
    if found != rows:
        raise ValueError(f"{found:,} rows came out of {rows:,}")
    if total != checksum:
        raise ValueError(f"the checksum of the rows is {total:016x}, not {checksum:016x}")


def _row_checksum(keys: Characters, values: Characters) -> int:
    """The sum over all rows of a hash of each: equal for the same rows in any order, modulo 2**64."""
    columns = np.ascontiguousarray(np.hstack([keys[:, :8], values])).view(np.uint64)
    weights = np.random.default_rng(1).integers(1, 2**63, columns.shape[1] + 1, dtype=np.uint64) | np.uint64(1)
    hashes = np.ascontiguousarray(keys[:, 8:]).view(np.uint16)[:, 0] * weights[-1]
    for column, weight in enumerate(weights[:-1]):
        hashes += columns[:, column] * weight
    hashes ^= hashes >> np.uint64(29)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(32)
    return int(hashes.sum(dtype=np.uint64))


def _characters(column: pa.Array, width: int) -> Characters:
    """Texts of one width as bytes, shape (rows, width)."""
    texts = column.cast(pa.large_string())
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64, len(texts) + 1, 8 * texts.offset)
    if texts.null_count or (np.diff(bounds) != width).any():
        raise ValueError(f"not all texts have {width} characters")
    characters: Characters = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]].reshape(-1, width).copy()
    return characters
