"""What statistics of columns prove about an expression: that no row can match it.

Each condition is given the set of what it can be, out of true, false and null, for rows such as the statistics allow;
and from those of its parts. Rows cannot match if true is not among them. Whatever is not understood can be anything, so
that there are false positives, and never a false negative.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from typing import Any

import pyarrow as pa

from seer_integration.errors import PlanError
from seer_integration.expressions.binding import bind, computed
from seer_integration.expressions.tree import Call, Cast, Column, Expression, Literal, Member

__all__ = ["ColumnStatistics", "may_match"]

_TRUE, _FALSE, _NULL = 1, 2, 4
_ANYTHING = _TRUE | _FALSE | _NULL
_FAILURES = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, PlanError, OverflowError)


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """What is known of a column in some rows; ``None`` is not known.

    Parameters
    ----------
    least, greatest:
        No value but null and NaN is less, or greater. They need not occur: texts may be shortened, and rounded up.
    nulls, rows:
        How many.
    values:
        All that occur, but for null.
    """

    least: Any = None
    greatest: Any = None
    nulls: int | None = None
    rows: int | None = None
    values: frozenset[Any] | None = None


@dataclass(frozen=True, slots=True)
class _Range:
    """What a value can be. ``None`` for a bound: there is none."""

    least: Any = None
    greatest: Any = None
    null: bool = True
    only_null: bool = False
    nan: bool = True


def may_match(expression: Expression, statistics: Mapping[str, ColumnStatistics]) -> bool:
    """Whether there can be a row for which the expression is true. False only if there provably is none.

    Parameters
    ----------
    expression:
        A condition, best one that was bound to the schema: its types are as Arrow will see them.
    statistics:
        By the names of columns; of those that have none nothing is known.
    """
    if any(each.rows == 0 for each in statistics.values()):
        return False
    return bool(_outcomes(expression, statistics) & _TRUE)


def _outcomes(expression: Expression, statistics: Mapping[str, ColumnStatistics]) -> int:
    if isinstance(expression, Literal):
        return _NULL if expression.value is None else _TRUE if expression.value is True else _FALSE
    if isinstance(expression, Call) and expression.function in ("and", "or", "not"):
        parts = [_outcomes(operand, statistics) for operand in expression.operands]
        return _negated(parts[0]) if expression.function == "not" else _joined(parts, expression.function == "and")
    exact = _of_values(expression, statistics)
    if exact is not None:
        return exact
    if isinstance(expression, Column):
        return _compared("=", _range(expression, statistics), _Range(True, True, null=False, nan=False))
    if isinstance(expression, Member):
        expression = Call("in", (expression.operand, *(Literal(each, expression.type) for each in expression.values)))
    if not isinstance(expression, Call):
        return _ANYTHING
    if expression.function in _OPERATORS:
        left, right = (_range(operand, statistics) for operand in expression.operands)
        return _compared(expression.function, left, right)
    if expression.function == "in":
        operand, *among = (_range(each, statistics) for each in expression.operands)
        return _joined([_compared("=", operand, each) for each in among], conjunction=False)
    if expression.function == "is null":
        found = _range(expression.operands[0], statistics)
        return (_TRUE if found.null else 0) | (0 if found.only_null else _FALSE)
    if expression.function == "like":
        return _like(_range(expression.operands[0], statistics), expression.options[0])
    return _ANYTHING


def _negated(outcomes: int) -> int:
    return (_FALSE if outcomes & _TRUE else 0) | (_TRUE if outcomes & _FALSE else 0) | (outcomes & _NULL)


def _joined(parts: Iterable[int], conjunction: bool) -> int:
    """What AND can be of what its parts can; OR is NOT (NOT a AND NOT b)."""
    if not conjunction:
        return _negated(_joined(map(_negated, parts), conjunction=True))
    return reduce(_both, parts)


def _both(one: int, other: int) -> int:
    true = one & other & _TRUE
    false = (one | other) & _FALSE
    # Null if one is, and the other does not make it false.
    null = _NULL if (one & _NULL and other & (_TRUE | _NULL)) or (other & _NULL and one & (_TRUE | _NULL)) else 0
    return true | false | null


def _of_values(expression: Expression, statistics: Mapping[str, ColumnStatistics]) -> int | None:
    """What a condition on one column is for each of its values, all of which are known; None if they are not."""
    columns = expression.columns
    if columns is None or len(columns) != 1:
        return None
    (name,) = columns
    found = statistics.get(name)
    if found is None or found.values is None or any(getattr(each, "nanosecond", 0) for each in found.values):
        return None  # not known; or times that Arrow would make of pandas' without their nanoseconds
    values: list[Any] = list(found.values) if found.nulls == 0 else [*found.values, None]
    try:
        table = pa.table({name: pa.array(values)})
        outcomes = _evaluated(expression, table)
    except _FAILURES:
        return None
    return reduce(lambda known, each: known | {True: _TRUE, False: _FALSE, None: _NULL}[each], outcomes, 0)


def _evaluated(expression: Expression, table: Any) -> list[Any]:
    bound, _ = bind(expression, table.schema)
    values: list[Any] = computed(table, {"it": bound.to_arrow()}).column(0).to_pylist()
    return values


# --- What values can be ----------------------------------------------------------------------------------------------


def _range(expression: Expression, statistics: Mapping[str, ColumnStatistics]) -> _Range:
    if isinstance(expression, Literal):
        return _constant(expression.value)
    if expression.columns == frozenset():
        try:
            return _constant(_evaluated(expression, pa.table({"it": [0]}))[0])
        except _FAILURES:
            return _Range()
    if isinstance(expression, Column):
        found = statistics.get(expression.name)
        return _Range() if found is None else _of_column(found)
    if isinstance(expression, Cast):
        return _cast(_range(expression.operand, statistics), expression.type)
    if isinstance(expression, Call) and expression.function == "negate":
        inner = _range(expression.operands[0], statistics)
        if all(each is None or _is_number(each) for each in (inner.least, inner.greatest)):
            least, greatest = (None if each is None else -each for each in (inner.greatest, inner.least))
            return replace(inner, least=least, greatest=greatest)
    if isinstance(expression, Call) and expression.function == "year":
        inner = _range(expression.operands[0], statistics)
        return replace(inner, least=_year(inner.least), greatest=_year(inner.greatest))
    return _Range()


def _constant(value: Any) -> _Range:
    if isinstance(value, float) and math.isnan(value):
        return _Range(null=False)
    return _Range(value, value, null=value is None, only_null=value is None, nan=False)


def _of_column(found: ColumnStatistics) -> _Range:
    least, greatest = (None if _is_nan(each) else each for each in (found.least, found.greatest))
    only_null = found.values == frozenset() or (found.nulls is not None and found.nulls == found.rows)
    # A NaN is in no bounds; only types that have none exclude it.
    nan = any(each is None or isinstance(each, float) for each in (least, greatest))
    return _Range(least, greatest, null=found.nulls != 0, only_null=only_null, nan=nan)


def _cast(inner: _Range, kind: Any) -> _Range:
    """Of casts that keep the order: of numbers to float64, of text to text."""
    bounds = (inner.least, inner.greatest)
    if pa.types.is_float64(kind) and all(each is None or _is_number(each) for each in bounds):
        try:
            least, greatest = (None if each is None else float(each) for each in bounds)
        except OverflowError:
            return _Range(null=inner.null, only_null=inner.only_null)
        return replace(inner, least=least, greatest=greatest)
    if pa.types.is_large_string(kind) and all(each is None or isinstance(each, str) for each in bounds):
        return inner
    return _Range(null=inner.null, only_null=inner.only_null)


def _year(value: Any) -> int | None:
    naive = isinstance(value, datetime.date) and getattr(value, "tzinfo", None) is None
    return value.year if naive else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


# --- What comparisons can be -----------------------------------------------------------------------------------------

# By whether the left can be less, equal, greater: what makes it true; the rest makes it false.
_LESS, _EQUAL, _GREATER = 1, 2, 4
_OPERATORS = {
    "=": _EQUAL,
    "<>": _LESS | _GREATER,
    "<": _LESS,
    "<=": _LESS | _EQUAL,
    ">": _GREATER,
    ">=": _GREATER | _EQUAL,
}


def _compared(operator: str, left: _Range, right: _Range) -> int:
    if left.only_null or right.only_null:
        return _NULL
    null = _NULL if left.null or right.null else 0
    relations = 0
    if _less(left.least, right.greatest) is not False:
        relations |= _LESS
    if _less(right.least, left.greatest) is not False:
        relations |= _GREATER
    if _less(left.greatest, right.least) is not True and _less(right.greatest, left.least) is not True:
        relations |= _EQUAL
    true = _OPERATORS[operator]
    outcomes = (_TRUE if relations & true else 0) | (_FALSE if relations & ~true else 0) | null
    if left.nan or right.nan:  # compared with NaN all is false, but that it differs
        outcomes |= _TRUE if operator == "<>" else _FALSE
    return outcomes


def _less(one: Any, other: Any) -> bool | None:
    """Whether one value is less than the other; None where it is not known, or Arrow may see it otherwise."""
    if one is None or other is None:
        return None
    if isinstance(one, datetime.date) and isinstance(other, datetime.date):
        one, other = _moment(one), _moment(other)
        return bool(one < other) if (one.tzinfo is None) == (other.tzinfo is None) else None
    if _is_number(one) and _is_number(other):
        exact = bool(one < other)
        if isinstance(one, float) == isinstance(other, float):
            return exact
        try:  # Arrow compares integers and decimals with floats as floats
            return exact if (float(one) < float(other)) == exact else None
        except OverflowError:
            return None
    return bool(one < other) if type(one) is type(other) and isinstance(one, (str, bytes, bool)) else None


def _moment(value: datetime.date) -> datetime.datetime:
    if isinstance(value, datetime.datetime):
        return value
    return datetime.datetime.combine(value, datetime.time())


def _like(found: _Range, pattern: str) -> int:
    """By the text that a pattern begins with."""
    if found.only_null:
        return _NULL
    prefix, rest = _prefix(pattern)
    least, greatest = (each if isinstance(each, str) else None for each in (found.least, found.greatest))
    true = (greatest is None or greatest >= prefix) and (least is None or least <= prefix or least.startswith(prefix))
    all_true = rest == "%" and all(each is not None and each.startswith(prefix) for each in (least, greatest))
    return (_TRUE if true else 0) | (0 if all_true else _FALSE) | (_NULL if found.null else 0)


def _prefix(pattern: str) -> tuple[str, str]:
    """What a pattern begins with that stands for itself, and the rest."""
    letters, place = [], 0
    while place < len(pattern) and pattern[place] not in "%_":
        place += pattern[place] == "\\" and place + 1 < len(pattern)
        letters.append(pattern[place])
        place += 1
    return "".join(letters), pattern[place:]
