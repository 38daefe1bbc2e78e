"""Names of columns, as users write them."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

from seer_integration.errors import PlanError

__all__ = ["described", "resolved"]

_SHOWN = 10

# Older scripts for Seer name the columns of a CSV without a header so.
_OLD_NAME = re.compile(r"c(0|[1-9][0-9]*)\Z")


def resolved(name: str, schema: Any) -> str:
    """The column of a schema that a name stands for: itself, or ``"0"`` for ``"c0"`` where there is no ``"c0"``.

    Raises
    ------
    PlanError
        When there is no such column, or more than one. It names the nearest, and those there are.
    """
    old = _OLD_NAME.match(name)
    if old and name not in schema.names and old[1] in schema.names:
        name = old[1]
    count = schema.names.count(name)
    if count > 1:
        raise PlanError(
            f"column {name!r}", f"{count} columns have that name; give them others in a Select or Transform"
        )
    if count == 0:
        near = [each for each in schema.names if each.lower() == name.lower()]
        near = near or get_close_matches(name, schema.names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise PlanError(f"column {name!r}", f"there is none of that name, only {described(schema.names)}{hint}")
    return name


def described(names: list[str]) -> str:
    """Names for a message, the first of them when they are many."""
    if not names:
        return "no columns at all"
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
