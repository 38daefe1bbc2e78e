"""Operations on rows where they are, whatever the others hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seer_integration.errors import OperationError
from seer_integration.operations.base import Operation

__all__ = ["LIBRARIES", "Filter", "Reduce", "Sample", "Select", "Transform"]

LIBRARIES = ("pandas", "arrow", "polars")


@dataclass(frozen=True)
class Filter(Operation):
    """Keep some rows.

    Parameters
    ----------
    action:
        A text like SQL's ``WHERE``: ``"price > 10 AND city IN ('Rome', 'Oslo')"``; a pyarrow expression; or, as in
        Seer, a function of a frame that gives a frame. The first two are used to read less.
    library:
        What a function gets: ``"pandas"``, ``"arrow"`` or ``"polars"``.
    """

    action: Any
    library: str = "pandas"

    def __post_init__(self) -> None:
        self._check_choice("library", LIBRARIES)


@dataclass(frozen=True)
class Select(Operation):
    """Columns to keep, or to compute.

    Parameters
    ----------
    columns:
        Names, or a mapping of new names to expressions: ``{"total": "price * quantity", "city": "city"}``.
    """

    columns: Sequence[str] | Mapping[str, Any]

    def __post_init__(self) -> None:
        if isinstance(self.columns, Mapping):
            if not self.columns or not all(isinstance(name, str) and name for name in self.columns):
                raise OperationError(self.name, "columns", self.columns, "names no columns")
            object.__setattr__(self, "columns", dict(self.columns))
        else:
            self._columns("columns")


@dataclass(frozen=True)
class Transform(Operation):
    """A function of a frame that gives a frame, called with parts of the data of any size.

    Parameters
    ----------
    action:
        The function.
    library:
        What it gets: ``"pandas"``, ``"arrow"`` or ``"polars"``; it may give any of them.
    arguments:
        More, by name: frames and arrays among them are stored once for all calls.
    """

    action: Callable[..., Any]
    library: str = "pandas"
    arguments: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self._check_callable("action")
        self._check_choice("library", LIBRARIES)


@dataclass(frozen=True)
class Reduce(Transform):
    """As :class:`Transform`, but called once with a whole partition."""


@dataclass(frozen=True)
class Sample(Operation):
    """A part of the rows, chosen at random; the same ones each time.

    Parameters
    ----------
    fraction:
        The chance of each row, from 0 to 1.
    seed:
        Another gives other rows.
    """

    fraction: float
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_number("fraction", 0, 1, whole=False)
        self._check_number("seed", 0, 2**63 - 1)
