"""Reading what can be read of text, and finding the rows that cannot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from seer_integration.datasets.boundaries import Bytes, Quotes, next_row
from seer_integration.datasets.pieces import Opened, Refused

__all__ = ["parsed", "refusing", "rows_of"]

_NEWLINE = 10


def rows_of(data: pa.Buffer) -> Bytes:
    """The bytes as an array; a view."""
    return np.frombuffer(data, np.uint8)


def parsed(
    data: pa.Buffer,
    parse: Callable[[pa.Buffer], pa.Table],
    quotes: Quotes | None,
    refuse: Callable[[int, bytes, str], None],
) -> list[pa.Table]:
    """What `parse` makes of rows; if it fails of all, of each half, and so on, down to the rows it fails of.

    Parameters
    ----------
    data:
        Whole rows.
    refuse:
        Gets where a row is, the row and the reason; the first one first.
    """
    view = rows_of(data)
    tables: list[pa.Table] = []

    def attempt(start: int, stop: int) -> None:
        try:
            tables.append(parse(data.slice(start, stop - start)))
            return
        except pa.ArrowInvalid as error:
            reason = str(error)
        middle = _middle(view[start:stop], quotes)
        if middle is None:
            refuse(start, view[start:stop].tobytes(), reason.strip())
        else:
            attempt(start, start + middle)
            attempt(start + middle, stop)

    attempt(0, data.size)
    return tables


def refusing(opened: Opened, offset: int, refused: Refused) -> Callable[[int, bytes, str], None]:
    """What `parsed` needs for rows that begin at `offset` of an object."""

    def refuse(at: int, row: bytes, reason: str) -> None:
        if row.strip():
            refused.one(opened, _named(opened, offset + at), row, reason)

    return refuse


def _named(opened: Opened, at: int) -> str:
    """The row of an object that begins at a byte, as people count lines; where they can be counted without a copy."""
    if not opened.maps:
        return f"the row at byte {at:,}"
    lines = int(np.count_nonzero(rows_of(opened.read(0, at)) == _NEWLINE)) + 1
    return f"line {lines:,}, at byte {at:,},"


def _middle(rows: Bytes, quotes: Quotes | None) -> int | None:
    """Where a row begins about half way; ``None`` when there is one row."""
    half = rows.size // 2
    while half:
        row = next_row(lambda start, stop: rows[start:stop], half, rows.size, quotes)
        if row < rows.size:
            return row
        half //= 2
    return None
