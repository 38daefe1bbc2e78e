"""Operations for which rows have to meet: by key, in order, or from several parents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from seer_integration.errors import OperationError
from seer_integration.operations.base import Operation

__all__ = ["AGGREGATES", "Aggregate", "Custom", "Distinct", "Exchange", "Groupby", "Join", "Limit", "Sort", "Union"]

AGGREGATES = ("sum", "count", "min", "max", "mean")
JOINS = ("inner", "left", "semi", "anti")
STRATEGIES = ("auto", "broadcast", "shuffle")


@dataclass(frozen=True)
class Exchange(Operation):
    """All-to-all: rows go to the partitions that the next stage's key decides, or `by`.

    May be left out before Sort, Groupby, Aggregate, Distinct and Join, which exchange by themselves.

    Parameters
    ----------
    by:
        The key, when the next stage does not say.
    partitions:
        How many; chosen by size by default.
    """

    by: str | Sequence[str] | None = None
    partitions: int | None = None

    def __post_init__(self) -> None:
        if self.by is not None:
            self._columns("by")
        if self.partitions is not None:
            self._check_number("partitions", 1, 65_536)


@dataclass(frozen=True)
class Sort(Operation):
    """Sort all rows: partitions hold ascending ranges, each sorted. Nulls last.

    Parameters
    ----------
    key:
        A column or several.
    """

    key: str | Sequence[str]

    def __post_init__(self) -> None:
        self._columns("key")


@dataclass(frozen=True)
class Groupby(Operation):
    """Rows of equal keys meet in one partition, which the next operation gets as a whole.

    Parameters
    ----------
    key:
        A column or several.
    """

    key: str | Sequence[str] = "0"

    def __post_init__(self) -> None:
        self._columns("key")


@dataclass(frozen=True)
class Custom:
    """An aggregate of your own, in three functions of Arrow tables.

    Parameters
    ----------
    partial:
        Of a group's rows in one part of the data: gives a dict of values.
    merge:
        Of a table of such dicts, of one group: gives one such dict. It is applied any number of times.
    finish:
        Of the last one: gives the value; by default the only one in it.
    """

    partial: Callable[[Any], Mapping[str, Any]]
    merge: Callable[[Any], Mapping[str, Any]]
    finish: Callable[[Mapping[str, Any]], Any] | None = None

    def __post_init__(self) -> None:
        for parameter in ("partial", "merge", "finish"):
            value = getattr(self, parameter)
            if not callable(value) and not (parameter == "finish" and value is None):
                raise OperationError("Custom", parameter, value, "is not a function")


@dataclass(frozen=True)
class Aggregate(Operation):
    """One row for each key, or for all rows; parts of the data are aggregated where they are, before they travel.

    Parameters
    ----------
    by:
        The key: a column or several; none for all rows.
    values:
        Of each new column: ``("sum", "price")`` with ``sum``, ``count``, ``min``, ``max``, ``mean``; ``"count"``
        alone counts rows; or ``(Custom(...), columns)``. Nulls do not count.
    """

    values: Mapping[str, Any]
    by: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        self._columns("by", empty=True)
        if not isinstance(self.values, Mapping):
            raise OperationError(self.name, "values", self.values, "is not a mapping of new columns")
        object.__setattr__(self, "values", {name: self._value(name, each) for name, each in self.values.items()})
        if twice := set(self.by) & set(self.values):
            raise OperationError(self.name, "values", sorted(twice), "are columns of the key as well")

    def _value(self, name: Any, value: Any) -> tuple[Any, tuple[str, ...]]:
        """As (function, columns)."""
        if not isinstance(name, str) or not name:
            raise OperationError(self.name, "values", name, "is no name of a column")
        if value in ("count", ("count", ())):
            return "count", ()
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
            raise OperationError(self.name, name, value, "is not a pair such as ('sum', 'price')")
        function, columns = value
        columns = (columns,) if isinstance(columns, str) else tuple(columns)
        if not isinstance(function, Custom):
            if function not in AGGREGATES:
                near = get_close_matches(str(function), AGGREGATES, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(AGGREGATES)}"
                raise OperationError(self.name, name, function, f"is no aggregate{hint}")
            if len(columns) != 1:
                raise OperationError(self.name, name, columns, f"{function} is of one column")
        return function, columns


@dataclass(frozen=True)
class Join(Operation):
    """Rows of two parents whose keys are equal. The first dependency that was declared is the left one.

    Parameters
    ----------
    on:
        The key columns of both, or of the left one.
    right_on:
        Those of the right one, where they have other names; they are left out of the result.
    how:
        ``"inner"``; ``"left"``: rows of the left without a match stay, with nulls; ``"semi"``: rows of the left that
        have a match; ``"anti"``: those that have none. Null keys match nothing.
    strategy:
        ``"broadcast"``: every task gets all of the right side; ``"shuffle"``: both sides are exchanged by key;
        ``"auto"``: by their sizes.
    suffix:
        Of columns of the right that the left has too.
    """

    on: str | Sequence[str]
    right_on: str | Sequence[str] | None = None
    how: str = "inner"
    strategy: str = "auto"
    suffix: str = "_right"

    def __post_init__(self) -> None:
        on = self._columns("on")
        self._check_choice("how", JOINS)
        self._check_choice("strategy", STRATEGIES)
        if self.right_on is None:
            object.__setattr__(self, "right_on", on)
        elif len(self._columns("right_on")) != len(on):
            raise OperationError(self.name, "right_on", self.right_on, f"has not as many columns as on={on!r}")
        if not isinstance(self.suffix, str) or not self.suffix:
            raise OperationError(self.name, "suffix", self.suffix, "is not a text")


@dataclass(frozen=True)
class Limit(Operation):
    """The first rows; with a key the first in its order (top-k).

    Parameters
    ----------
    rows:
        How many.
    key:
        A column or several; without, any rows, those of the first parts first.
    descending:
        Whether the greatest come first; nulls come last either way.
    """

    rows: int
    key: str | Sequence[str] = ()
    descending: bool = False

    def __post_init__(self) -> None:
        self._check_number("rows", 0, 10**9)
        self._columns("key", empty=True)


@dataclass(frozen=True)
class Distinct(Operation):
    """Each row once.

    Parameters
    ----------
    columns:
        Those to compare, and to keep; all by default.
    """

    columns: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        self._columns("columns", empty=True)


@dataclass(frozen=True)
class Union(Operation):
    """The rows of all parents, one after the other; their columns must be the same."""
