"""Expressions as trees: small, frozen, picklable; what they are as Arrow's own, and as text.

A tree that was parsed says what the user wrote. :func:`~seer_integration.expressions.binding.bind` makes it one whose
types are explicit, and that is the one whose :meth:`Expression.to_arrow` means what SQL means by the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from seer_integration.expressions.functions import FUNCTIONS

__all__ = ["Call", "Cast", "Column", "Expression", "Literal", "Member", "Opaque"]

_LOWEST, _HIGHEST = 0, 9
_LEVELS = {"or": 1, "and": 2, "not": 3, "=": 4, "<>": 4, "<": 4, "<=": 4, ">": 4, ">=": 4, "is null": 4, "in": 4}
_LEVELS |= {"like": 4, "ilike": 4, "+": 5, "-": 5, "*": 6, "/": 6, "negate": 7}
_CHAINS = {"or", "and"}


class Expression:
    """A value for each row of a table."""

    __slots__ = ()

    @property
    def columns(self) -> frozenset[str] | None:
        """The columns it needs; ``None`` when that is not known."""
        found: set[str] = set()
        for operand in self.operands:
            if operand.columns is None:
                return None
            found |= operand.columns
        return frozenset(found)

    @property
    def operands(self) -> tuple[Expression, ...]:
        """Those it is made of."""
        return ()

    def to_arrow(self) -> Any:
        """As a ``pyarrow.compute.Expression``, with the types as they are in the tree."""
        raise NotImplementedError

    def conjuncts(self) -> tuple[Expression, ...]:
        """What all must be true for it to be true."""
        return (self,)

    def written(self) -> tuple[str, int]:
        """As text, and how strongly its outermost operator binds."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.written()[0]


@dataclass(frozen=True, slots=True)
class Column(Expression):
    """The values of a column."""

    name: str

    @property
    def columns(self) -> frozenset[str]:
        return frozenset((self.name,))

    def to_arrow(self) -> Any:
        return pc.field(self.name)

    def written(self) -> tuple[str, int]:
        return '"' + self.name.replace('"', '""') + '"', _HIGHEST

    __str__ = Expression.__str__


@dataclass(frozen=True, slots=True)
class Literal(Expression):
    """One value for all rows. Its type is part of it: 1, 1.0 and true are equal in Python."""

    value: Any
    type: Any

    def to_arrow(self) -> Any:
        # The cast is for Arrow, which gives a bare literal the narrowest type it fits: an int8 and 100 would overflow,
        # an int64 and 0.5 become float32.
        return pc.scalar(pa.scalar(self.value, self.type)).cast(self.type)

    def written(self) -> tuple[str, int]:
        if self.value is None:
            return "NULL", _HIGHEST
        if isinstance(self.value, bool):
            return str(self.value).upper(), _HIGHEST
        if isinstance(self.value, (int, float)):
            return repr(self.value), _HIGHEST if self.value >= 0 else _LEVELS["negate"]
        word = "DATE " if pa.types.is_date(self.type) else ""
        if pa.types.is_timestamp(self.type):
            word = "TIMESTAMPTZ " if self.type.tz else "TIMESTAMP "
        return word + _quoted(str(self.value)), _HIGHEST

    __str__ = Expression.__str__


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """A function of others; ``options`` are those of its arguments that are the same for all rows."""

    function: str
    operands: tuple[Expression, ...]
    options: tuple[Any, ...] = ()

    def to_arrow(self) -> Any:
        return FUNCTIONS[self.function].compute(*(each.to_arrow() for each in self.operands), *self.options)

    def conjuncts(self) -> tuple[Expression, ...]:
        if self.function != "and":
            return (self,)
        return tuple(part for operand in self.operands for part in operand.conjuncts())

    def written(self) -> tuple[str, int]:
        level = _LEVELS.get(self.function, _HIGHEST)
        if self.function == "not" and isinstance(inner := self.operands[0], Call) and inner.function == "is null":
            return f"{_within(inner.operands[0], 5)} IS NOT NULL", _LEVELS["is null"]
        if self.function == "is null":
            return f"{_within(self.operands[0], level + 1)} IS NULL", level
        if self.function == "in":
            among = ", ".join(map(str, self.operands[1:]))
            return f"{_within(self.operands[0], level + 1)} IN ({among})", level
        if self.function in ("like", "ilike"):
            (pattern,) = self.options
            escape = " ESCAPE '\\'" if "\\" in pattern else ""
            operator = self.function.upper()
            return f"{_within(self.operands[0], level + 1)} {operator} {_quoted(pattern)}{escape}", level
        if self.function == "not":
            return f"NOT {_within(self.operands[0], level)}", level
        if self.function == "negate":
            return f"-{_within(self.operands[0], level + 1)}", level
        if self.function == "case":
            *pairs, rest = map(str, self.operands)
            cases = " ".join(f"WHEN {when} THEN {then}" for when, then in zip(pairs[::2], pairs[1::2], strict=True))
            return f"CASE {cases} ELSE {rest} END", _HIGHEST
        if level == _HIGHEST:
            return f"{self.function.upper()}({', '.join(map(str, (*self.operands, *self.options)))})", level
        # Operators of one level are read from the left; comparisons are not read one after the other at all.
        first = level + 1 if level == _LEVELS["="] or self.function in _CHAINS else level
        left, *others = self.operands
        texts = [_within(left, first), *(_within(each, level + 1) for each in others)]
        return f" {self.function.upper()} ".join(texts), level

    __str__ = Expression.__str__


@dataclass(frozen=True, slots=True)
class Cast(Expression):
    """The same value as another type."""

    operand: Expression
    type: Any

    @property
    def operands(self) -> tuple[Expression, ...]:
        return (self.operand,)

    def to_arrow(self) -> Any:
        # Integers beyond 2**53 become the nearest float, as in SQL; all else that does not fit is an error.
        return self.operand.to_arrow().cast(self.type, not pa.types.is_floating(self.type))

    def written(self) -> tuple[str, int]:
        return f"CAST({self.operand} AS {_TYPE_NAMES.get(self.type, str(self.type).upper())})", _HIGHEST

    __str__ = Expression.__str__


@dataclass(frozen=True, slots=True)
class Member(Expression):
    """Whether a value is one of many of its own type. Null for null."""

    operand: Expression
    values: tuple[Any, ...]
    type: Any

    @property
    def operands(self) -> tuple[Expression, ...]:
        return (self.operand,)

    def to_arrow(self) -> Any:
        operand = self.operand.to_arrow()
        among = pc.is_in(operand, value_set=pa.array(self.values, self.type))
        # Arrow's is_in is false for null, whose negation would be true.
        return pc.if_else(pc.is_null(operand), Literal(None, pa.bool_()).to_arrow(), among)

    def written(self) -> tuple[str, int]:
        among = ", ".join(str(Literal(value, self.type)) for value in self.values)
        return f"{_within(self.operand, _LEVELS['in'] + 1)} IN ({among})", _LEVELS["in"]

    __str__ = Expression.__str__


@dataclass(frozen=True, slots=True, eq=False)
class Opaque(Expression):
    """A ``pyarrow.compute.Expression`` of the user's, which does not say what is in it.

    What columns it needs is known once it was bound to a schema; that no row matches is never known.
    """

    expression: Any
    needed: frozenset[str] | None = None

    @property
    def columns(self) -> frozenset[str] | None:
        return self.needed

    def to_arrow(self) -> Any:
        return self.expression

    def written(self) -> tuple[str, int]:
        return str(self.expression), _LOWEST

    __str__ = Expression.__str__


# As they are read again.
_TYPE_NAMES = {
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float32(): "REAL",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.large_string(): "VARCHAR",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _within(expression: Expression, level: int) -> str:
    """As an operand of an operator that binds as strongly as `level` says."""
    text, own = expression.written()
    return text if own >= level else f"({text})"
