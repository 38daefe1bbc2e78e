"""Text for people and for programs: tables that fit, nothing that a terminal would obey, JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["age", "coloured", "escaped", "iso_time", "plural", "print_json", "table", "width"]

SCHEMA = 1  # of the JSON; a higher number may drop or change keys, the same one only ever adds some

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1"}
_GAP = "  "
_LEAST = 12  # columns that shrink keep this many characters


def escaped(text: str) -> str:
    """The text in one line of harmless characters: what is not printable, and the backslash, as Python writes it."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode() for char in text
    )


def coloured(text: str, colour: str) -> str:
    """The text in a colour, if stdout is a terminal that shows them and its user wants them (no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return text if plain else f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def width() -> int | None:
    """Columns of the terminal; ``None`` when the output goes elsewhere, which wants it whole."""
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "", shrink: Sequence[str] = ()) -> None:
    """Print rows in columns, cut to the width of the terminal.

    Parameters
    ----------
    header:
        The names of the columns.
    rows:
        Cells, not yet escaped.
    right:
        Names of columns aligned to the right, separated by spaces.
    shrink:
        Names of columns that may lose their middles, those that lose the most first.
    """
    cells = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(_columns(row[index]) for row in [header, *cells]) for index in range(len(header))]
    room = width()
    for name in shrink:
        over = 0 if room is None else sum(widths) + len(_GAP) * (len(widths) - 1) - room
        index = header.index(name)
        widths[index] = max(widths[index] - max(over, 0), min(widths[index], _LEAST))
    aligned_right = right.split()
    for number, row in enumerate([header, *cells]):
        parts = []
        for name, cell, columns in zip(header, row, widths, strict=True):
            text = _cut(cell, columns)
            padding = " " * (columns - _columns(text))
            parts.append(padding + text if name in aligned_right else text + padding)
        line = _GAP.join(parts).rstrip()
        print(line if number else coloured(line, "bold"))


def _columns(text: str) -> int:
    """Columns of a terminal that printable text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _cut(text: str, columns: int) -> str:
    """The text without its middle, so that it takes no more than so many columns."""
    if _columns(text) <= columns:
        return text
    head, tail = text[: columns // 2], text[-columns // 2 :]
    while _columns(head) + _columns(tail) + 3 > columns and head:
        head, tail = head[:-1], tail[1:] if len(tail) > len(head) else tail
    return f"{head}...{tail}"


def plural(count: int, noun: str) -> str:
    """Such as ``1 segment`` and ``1,200 segments``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def age(seconds: float) -> str:
    """A time span in one unit, such as ``45s``, ``12m``, ``5h``, ``3d``; a clock set back gives ``0s``."""
    for unit, length, enough in (("s", 1, 120), ("m", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if seconds < enough:
            return f"{max(0, int(seconds // length))}{unit}"
    return f"{int(seconds // 86400)}d"


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the microsecond."""
    from datetime import datetime, timezone

    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def print_json(command: str, values: dict[str, Any]) -> None:
    """Print the result of a command as one JSON object; plain ASCII, so safe anywhere."""
    import json

    print(json.dumps({"schema": SCHEMA, "command": command, **values}, indent=2))
