"""What the formats that are read by units share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import pyarrow as pa

from seer_integration.datasets.pieces import Opened, Piece
from seer_integration.errors import DatasetError

__all__ = ["arrow_told", "grouped", "require_columns"]


def grouped(opened: Opened, units: Sequence[tuple[int, int]], target: int) -> list[Piece]:
    """Pieces of neighbouring units, each with its size, of at most `target` bytes or one unit."""
    key, size = opened.location.key, opened.size
    pieces: list[Piece] = []
    taken: list[int] = []
    nbytes = 0
    for index, unit_bytes in units:
        if taken and nbytes + unit_bytes > target:
            pieces.append(Piece(key, size, nbytes, units=tuple(taken)))
            taken, nbytes = [], 0
        taken.append(index)
        nbytes += unit_bytes
    return [*pieces, Piece(key, size, nbytes, units=tuple(taken))] if taken else pieces


def require_columns(opened: Opened, names: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse an object that lacks a column; raises DatasetError."""
    if missing := [name for name in columns if name not in names]:
        reason = f"it has no column {missing[0]!r}, only {', '.join(names)}"
        raise opened.error(reason, "scan files with the same columns, each kind with a Scan of its own")


@contextlib.contextmanager
def arrow_told(opened: Opened, kind: str) -> Iterator[None]:
    """What Arrow says of an object that it cannot read, as an error of ours."""
    try:
        yield
    except DatasetError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise opened.error(
            f"it cannot be read as {kind}: {error}", "write it again, or say what it is with format="
        ) from error
