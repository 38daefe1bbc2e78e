"""What all operations share: parameters that are checked when they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

from seer_integration.errors import OperationError

__all__ = ["Operation"]


@dataclass(frozen=True)
class Operation:
    """One step of a stage.

    Attributes
    ----------
    is_source:
        Whether it gives rows that it takes from nobody.
    """

    is_source: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """As it is written in jobs."""
        return type(self).__name__

    def _check_choice(self, parameter: str, choices: Sequence[str]) -> None:
        value = getattr(self, parameter)
        if value not in choices:
            near = get_close_matches(str(value), choices, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise OperationError(self.name, parameter, value, f"is none of {', '.join(map(repr, choices))}{hint}")

    def _check_number(self, parameter: str, least: float, most: float, *, whole: bool = True) -> None:
        value = getattr(self, parameter)
        kinds = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
            kind = "whole number" if whole else "number"
            raise OperationError(self.name, parameter, value, f"is not a {kind} from {least:,} to {most:,}")

    def _check_callable(self, parameter: str) -> None:
        if not callable(getattr(self, parameter)):
            raise OperationError(self.name, parameter, getattr(self, parameter), "is not a function")

    def _columns(self, parameter: str, *, empty: bool = False) -> tuple[str, ...]:
        """A column or several, as a tuple, which takes the place of what was given."""
        value = getattr(self, parameter)
        columns = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else None
        if columns is None or not all(isinstance(column, str) and column for column in columns):
            raise OperationError(self.name, parameter, value, "names no columns; give a name, or a list of names")
        if len(set(columns)) < len(columns):
            raise OperationError(self.name, parameter, value, "names a column twice")
        if not columns and not empty:
            raise OperationError(self.name, parameter, value, "names no column")
        object.__setattr__(self, parameter, columns)
        return columns
