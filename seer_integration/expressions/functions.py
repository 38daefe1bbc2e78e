"""The functions and operators there are in expressions: what they take, and how Arrow computes them.

Each is computed by the same call for an expression of Arrow and for an array, so that the types of results are found by
computing them of nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["FUNCTIONS", "Function", "family"]

# What a function takes.
ALIKE, NUMBERS, TEXTS = "values of one kind", "numbers", "text"
CONDITIONS, DAYS, ANY = "conditions", "dates", "anything"


@dataclass(frozen=True, slots=True)
class Function:
    """How to compute it from its operands, then its options; and what the operands have to be."""

    compute: Callable[..., Any]
    takes: str


def family(kind: Any) -> str:
    """What values of a type are to SQL: "number", "text", "condition", "date", "null", or only themselves."""
    types = pa.types
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    if types.is_boolean(kind):
        return "condition"
    if types.is_date(kind) or types.is_timestamp(kind):
        return "date"
    return "null" if types.is_null(kind) else str(kind)


def _paired(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Of any number of operands, as a tree of low depth: Arrow walks it with a stack."""

    def of(*operands: Any) -> Any:
        if len(operands) == 1:
            return operands[0]
        middle = len(operands) // 2
        return function(of(*operands[:middle]), of(*operands[middle:]))

    return of


_either = _paired(pc.or_kleene)


def _in(operand: Any, *among: Any) -> Any:
    return _either(*(pc.equal(operand, each) for each in among))


def _divide(left: Any, right: Any) -> Any:
    return pc.divide(left.cast(pa.float64(), safe=False), right.cast(pa.float64(), safe=False))


def _case(*operands: Any) -> Any:
    """WHEN, THEN, WHEN, THEN, ..., ELSE. A condition that is null does not hold, where if_else would give null."""
    *pairs, value = operands
    for when, then in reversed(list(zip(pairs[::2], pairs[1::2], strict=True))):
        value = pc.if_else(pc.and_kleene(pc.is_valid(when), when), then, value)
    return value


def _round(operand: Any, digits: int = 0) -> Any:
    return pc.round(operand, digits, "half_towards_infinity")


def _substring(operand: Any, start: int, length: int | None = None) -> Any:
    """Characters from the `start`-th, the first being 1; from the end if it is negative, as in DuckDB."""
    begin = start - 1 if start > 0 else start
    end = None if length is None else begin + length
    if start == 0 and end is not None:
        end = max(end - 1, 0)
    if start < 0 and end is not None and end >= 0:
        end = None
    return pc.utf8_slice_codeunits(operand, begin, end)


FUNCTIONS = {
    "or": Function(_either, CONDITIONS),
    "and": Function(_paired(pc.and_kleene), CONDITIONS),
    "not": Function(pc.invert, CONDITIONS),
    "=": Function(pc.equal, ALIKE),
    "<>": Function(pc.not_equal, ALIKE),
    "<": Function(pc.less, ALIKE),
    "<=": Function(pc.less_equal, ALIKE),
    ">": Function(pc.greater, ALIKE),
    ">=": Function(pc.greater_equal, ALIKE),
    "in": Function(_in, ALIKE),
    "is null": Function(pc.is_null, ANY),
    "like": Function(pc.match_like, TEXTS),
    "ilike": Function(lambda operand, pattern: pc.match_like(operand, pattern, ignore_case=True), TEXTS),
    "+": Function(pc.add_checked, NUMBERS),
    "-": Function(pc.subtract_checked, NUMBERS),
    "*": Function(pc.multiply_checked, NUMBERS),
    "/": Function(_divide, NUMBERS),
    "negate": Function(pc.negate_checked, NUMBERS),
    "case": Function(_case, ALIKE),
    "coalesce": Function(pc.coalesce, ALIKE),
    "abs": Function(pc.abs_checked, NUMBERS),
    "round": Function(_round, NUMBERS),
    "nearest": Function(lambda operand: pc.round(operand, 0, "half_to_even"), NUMBERS),  # of casts, not of texts
    "lower": Function(pc.utf8_lower, TEXTS),
    "upper": Function(pc.utf8_upper, TEXTS),
    "length": Function(lambda operand: pc.utf8_length(operand).cast(pa.int64()), TEXTS),
    "substring": Function(_substring, TEXTS),
    "year": Function(pc.year, DAYS),
    "month": Function(pc.month, DAYS),
    "day": Function(pc.day, DAYS),
}
