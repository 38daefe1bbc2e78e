"""What the formats of text share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pyarrow as pa

from seer_integration.datasets.boundaries import Bytes, Quotes, cuts, whole_rows
from seer_integration.datasets.formats.salvage import rows_of
from seer_integration.datasets.pieces import Opened, Piece

__all__ = ["BOM", "divided_text", "in_blocks", "sampled", "types_told", "without_bom"]

Parsed = TypeVar("Parsed")

BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 20  # what is parsed at a time stays in the cache
_LARGEST_BLOCK = 2**31 - 1
_LOOK = 256 << 10  # of an object that is to be divided: whether its rows go on behind ends of lines


def sampled(opened: Opened, sample_bytes: int, quotes: Quotes | None) -> pa.Buffer:
    """The rows of about so many bytes of the beginning; at least one."""
    while True:
        data = opened.read(0, min(sample_bytes, opened.size))
        stop = opened.size if sample_bytes >= opened.size else whole_rows(rows_of(data), quotes)
        if stop or sample_bytes >= opened.size:
            at = without_bom(data)
            return data.slice(at, stop - at)
        sample_bytes *= 8


def without_bom(data: pa.Buffer) -> int:
    """Where text begins, that may have a byte order mark."""
    return len(BOM) if data.size >= len(BOM) and data.slice(0, len(BOM)).to_pybytes() == BOM else 0


def divided_text(opened: Opened, target: int, quotes: Quotes | None) -> list[Piece]:
    """Pieces of about so many bytes that are whole rows.

    Where the beginning has rows that go on behind an end of line, all bytes are looked at; else a little at each cut,
    and the pieces are not proven.
    """
    size = opened.size
    count = -(-size // target)
    wanted = [size * index // count for index in range(1, count)]
    with opened.open() as file:

        def fetch(start: int, stop: int) -> Bytes:
            file.seek(start)
            return np.frombuffer(file.read_buffer(stop - start), np.uint8)

        first = fetch(0, min(_LOOK, size))
        start = without_bom(pa.py_buffer(first))
        exact = quotes is not None and (size <= _LOOK or _rows_go_on(first[start:], quotes))
        starts = [0, *cuts(fetch, size, wanted, quotes, exact=exact, start=start), size]
    proven = exact or quotes is None
    return [
        Piece(opened.location.key, size, stop - start, start, stop, proven=proven) for start, stop in pairwise(starts)
    ]


def in_blocks(parse: Callable[[int], Parsed], nbytes: int) -> Parsed:
    """What `parse` makes of rows in blocks of a size: Arrow's own, or larger when there are longer rows."""
    block = _BLOCK
    while True:
        try:
            return parse(min(block, _LARGEST_BLOCK))
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error) or block > min(nbytes, _LARGEST_BLOCK):
                raise
        block *= 16


@contextlib.contextmanager
def types_told(opened: Opened) -> Iterator[None]:
    """That there is no way to make values of a type of text, as an error of ours."""
    try:
        yield
    except pa.ArrowNotImplementedError as error:
        raise opened.error(str(error), "give the column another type with types=") from error


def _rows_go_on(lines: Bytes, quotes: Quotes) -> bool:
    """Whether an end of line may be within quotes: there is an odd number of them before it."""
    found = np.flatnonzero(lines == quotes.quote)
    return bool((np.searchsorted(found, np.flatnonzero(lines == ord("\n"))) & 1).any())
