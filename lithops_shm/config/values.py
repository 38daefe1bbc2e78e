"""What values look like in every section."""

from __future__ import annotations

import re

__all__ = ["parse_bytes", "unknown_key"]

# Decimal units are powers of 1,000 and binary ones powers of 1,024 (IEC 80000-13).
_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)}
_UNITS |= {f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_bytes(text: object) -> int:
    """A size in bytes from an integer or a text such as ``"2 GiB"``, ``"1.5GB"``, ``"4096"``.

    Raises
    ------
    ValueError
        When it is neither, has an unknown unit, or is negative.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        if text < 0:
            raise ValueError(f"{text} is negative")
        return text
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a size; write bytes (4096) or a number with a unit ('2 GiB', '500 MB')")
    number, unit = match.groups()
    factor = _UNITS.get(unit.lower())
    if factor is None:
        raise ValueError(f"{unit!r} is not a unit of size; use B, kB, MB, GB, TB, KiB, MiB, GiB or TiB")
    return int(float(number) * factor) if "." in number else int(number) * factor


def unknown_key(key: object, known: set[str], section: str, source: str) -> str:
    """The sentence about a key that a section does not have."""
    from difflib import get_close_matches

    close = get_close_matches(str(key), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(known))}"
    return f"unknown key {key!r} in section `{section}:` of {source}; {hint}"
