"""How each format is inspected, divided and read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from seer_integration.datasets.formats import csv, ipc, jsonl, parquet
from seer_integration.datasets.pieces import Opened, Piece, Refused, Wanted

__all__ = ["FORMATS", "Format"]


class Format(Protocol):
    """What each module of this package offers. Everything may raise DatasetError.

    Attributes
    ----------
    INFERRED:
        Whether types are guessed from values, and may have to be widened by other files.
    """

    INFERRED: bool

    def schema(self, opened: Opened, sample_bytes: int) -> pa.Schema:
        """Of one object, by itself or by a sample of its beginning of about so many bytes."""
        ...

    def divided(self, opened: Opened, target: int, units: Sequence[int] | None) -> list[Piece]:
        """An object in pieces of about `target` bytes; with `units`, of those row groups or batches."""
        ...

    def read(self, opened: Opened, piece: Piece, wanted: Wanted, refused: Refused) -> pa.Table:
        """The rows of a piece that are wanted."""
        ...


FORMATS: dict[str, Format] = {"csv": csv, "parquet": parquet, "ipc": ipc, "jsonl": jsonl}
