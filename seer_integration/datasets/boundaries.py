"""Where rows of text begin: after an end of line that is not within quotes.

A file that is read from its middle does not say whether that is within quotes. What does is the quotes before it, all
of them: :func:`cuts` with `exact` looks at each byte up to a cut, as fast as it can tell that there is no quote
(`docs/seer.md` has figures). Without, it takes what the next 256 KiB say for the truth: an opening quote follows a
delimiter, and a closing one is followed by one, so that one of the two ways to read them is nearly always impossible.
Whoever reads a piece that was cut so looks with :func:`ends_inside` whether it ends as it begins, outside of quotes.
If all pieces do, all cuts were right: the first piece begins at the start, and each other where one ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Bytes", "Fetch", "Quotes", "cuts", "ends_inside", "next_row", "whole_rows"]

Bytes = npt.NDArray[np.uint8]
Fetch = Callable[[int, int], Bytes]
"""Gives the bytes of an object from a start up to, not including, a stop."""

_NEWLINE, _RETURN = 10, 13
_LOOK = 64 << 10  # bytes in which an end of line is looked for at first
_WINDOW = 256 << 10
_STEP = 512 << 10  # what is looked at stays in the cache


@dataclass(frozen=True, slots=True)
class Quotes:
    """How values are enclosed, each as a byte; a quote counts at the start of a value, and is doubled within."""

    quote: int
    delimiter: int

    @classmethod
    def of(cls, quote: str | None, delimiter: str) -> Quotes | None:
        """``None`` when there are none."""
        return None if quote is None else cls(ord(quote), ord(delimiter))


def cuts(
    fetch: Fetch, nbytes: int, wanted: Sequence[int], quotes: Quotes | None, *, exact: bool, start: int = 0
) -> list[int]:
    """Where rows begin, at or after each of the wanted places; ascending, none twice, none at 0 or the end.

    Parameters
    ----------
    fetch, nbytes:
        The object, and its size.
    wanted:
        Ascending.
    exact:
        Whether to look at all bytes for quotes.
    start:
        Where the first row begins.
    """
    found: list[int] = []
    row = start
    for at in wanted:
        if at <= row:
            continue
        if quotes is None:
            row = _after(fetch, at - 1, nbytes)
        elif exact or (guess := _guessed(fetch, at, nbytes, quotes)) is None:
            row = next_row(fetch, at, nbytes, quotes, row)
        else:
            row = guess
        if row >= nbytes:
            break
        found.append(row)
    return found


def next_row(fetch: Fetch, at: int, nbytes: int, quotes: Quotes | None, row: int = 0) -> int:
    """Where the first row at or after `at` begins, or `nbytes`; exactly, by all bytes from `row` on, where one does."""
    if at <= row:
        return row
    if quotes is None:
        return _after(fetch, at - 1, nbytes)
    inside, position = False, row
    while position < nbytes:
        # as many lines as fit before `at`, then those up to each next quote
        last = min(position + _STEP, at) - 1 if position < at else _after(fetch, position, nbytes, quotes.quote) - 1
        stop = _after(fetch, max(position, last), nbytes)
        inside = ends_inside(fetch(position, stop), quotes, inside)
        position = stop
        if position >= at and not inside:
            break
    return position


def ends_inside(lines: Bytes, quotes: Quotes, inside: bool = False) -> bool:
    """Whether the end of whole lines is within quotes, when their beginning is or is not.

    As Arrow reads CSV: a quote that is not at the start of a value is one of its characters.
    """
    quote = bytes([quotes.quote])
    for part in _steps(lines):
        if part.tobytes().find(quote) >= 0:  # three times as fast as to compare each
            found = np.flatnonzero(part == quotes.quote)
            fits = _fits(part, found, quotes, inside)
            inside = inside ^ bool(found.size & 1) if fits else _walked(part, found.tolist(), quotes, inside)
    return inside


def whole_rows(data: Bytes, quotes: Quotes | None) -> int:
    """How many bytes of a beginning are rows that end in it: all, or when it ends within quotes at least one."""
    stop = _last_newline(data) + 1
    if quotes is None or not ends_inside(data[:stop], quotes):
        return stop
    half = stop // 2
    while half:
        row = next_row(lambda start, stop: data[start:stop], half, data.size, quotes)
        if row < data.size:
            return row
        half //= 2
    return 0


def _guessed(fetch: Fetch, at: int, nbytes: int, quotes: Quotes) -> int | None:
    """As `next_row` by what follows; ``None`` when that says nothing."""
    row = _after(fetch, at - 1, nbytes)
    if row >= nbytes:
        return row
    window = fetch(row, min(row + _WINDOW, nbytes))
    stop = _last_newline(window) + 1
    found = np.flatnonzero(window[:stop] == quotes.quote)
    if not found.size:
        return row if stop else None
    outside = _fits(window[:stop], found, quotes, False)
    if outside == _fits(window[:stop], found, quotes, True):
        return None
    if outside:
        return row
    inside = True
    while inside and row < nbytes:
        stop = _after(fetch, _after(fetch, row, nbytes, quotes.quote) - 1, nbytes)
        inside = ends_inside(fetch(row, stop), quotes, inside)
        row = stop
    return row


def _fits(lines: Bytes, found: npt.NDArray[Any], quotes: Quotes, inside: bool) -> bool:
    """Whether quotes are where quotes can be, when each second one opens: then their number tells all."""
    opening, closing = found[int(inside) :: 2], found[1 - int(inside) :: 2]
    ends = np.zeros(256, dtype=bool)
    ends[[quotes.delimiter, quotes.quote, _NEWLINE, _RETURN]] = True
    begins = ends[lines[opening - 1]] | (opening == 0)
    return bool(begins.all() and ends[lines[np.minimum(closing + 1, lines.size - 1)]].all())


def _walked(lines: Bytes, found: list[int], quotes: Quotes, inside: bool) -> bool:
    """The same quote by quote, for lines with quotes in the middle of values."""
    ends = (quotes.delimiter, _NEWLINE, _RETURN)
    skip = -1
    for index, at in enumerate(found):
        if at == skip:
            continue
        if not inside:
            inside = at == 0 or int(lines[at - 1]) in ends
        elif index + 1 < len(found) and found[index + 1] == at + 1:
            skip = at + 1  # a doubled one
        else:
            inside = False
    return inside


def _steps(lines: Bytes) -> Iterator[Bytes]:
    """Parts, of whole lines."""
    start = 0
    while start < lines.size:
        stop = _after(lambda a, b: lines[a:b], min(start + _STEP, lines.size) - 1, lines.size)
        yield lines[start:stop]
        start = stop


def _after(fetch: Fetch, at: int, nbytes: int, byte: int = _NEWLINE) -> int:
    """Behind the first end of line, or another byte, at or after `at`; or `nbytes`."""
    look = _LOOK
    while at < nbytes:
        data = fetch(at, min(at + look, nbytes))
        position = data.tobytes().find(byte)
        if position >= 0:
            return at + position + 1
        at, look = at + data.size, look * 4
    return nbytes


def _last_newline(data: Bytes) -> int:
    """Where the last end of line is, or -1."""
    stop = data.size
    while stop > 0:
        start = max(0, stop - _LOOK)
        position = data[start:stop].tobytes().rfind(b"\n")
        if position >= 0:
            return start + position
        stop = start
    return -1
