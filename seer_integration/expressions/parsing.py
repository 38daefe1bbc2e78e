"""Text like SQL's ``WHERE`` as an expression. sqlglot reads the text; what it gives is taken apart here, by kind.

Only what is listed here is understood: all else is refused, with its place in the text.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from seer_integration.errors import OperationError
from seer_integration.expressions.tree import Call, Cast, Column, Expression, Literal

__all__ = ["parse"]

_BINARY: dict[type[Any], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/",
}  # fmt: skip
_OF_ONE: dict[type[Any], str] = {
    exp.Lower: "lower", exp.Upper: "upper", exp.Length: "length", exp.Abs: "abs",
    exp.Year: "year", exp.Month: "month", exp.Day: "day", exp.Not: "not",
}  # fmt: skip
_NAMES = (
    "abs", "case", "cast", "coalesce", "day", "extract", "length", "lower", "month", "round", "substr", "substring",
    "upper", "year",
)  # fmt: skip
_PARTS = ("year", "month", "day")

_TYPES = {
    "TINYINT": pa.int8(), "SMALLINT": pa.int16(), "INT": pa.int32(), "BIGINT": pa.int64(),
    "UTINYINT": pa.uint8(), "USMALLINT": pa.uint16(), "UINT": pa.uint32(), "UBIGINT": pa.uint64(),
    "FLOAT": pa.float32(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(),
    "VARCHAR": pa.large_string(), "TEXT": pa.large_string(), "CHAR": pa.large_string(), "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"), "TIMESTAMPNTZ": pa.timestamp("us"), "DATETIME": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
}  # fmt: skip
_DECIMAL = ("DECIMAL", (18, 3))  # what SQL makes of a bare DECIMAL in DuckDB

# What sqlglot notes about nodes that does not change what they mean here.
_NOTES = {"safe", "typed", "_type", "nested", "is_string", "big_int"}


def parse(text: str) -> Expression:
    """The expression that a text is.

    Raises
    ------
    OperationError
        When it is not one, or holds what is not known; says where.
    """
    if not isinstance(text, str) or not text.strip():
        raise OperationError("expression", "text", text, "is empty; write a condition such as 'price > 10'")
    try:
        node = sqlglot.parse_one(text, read="duckdb", into=exp.Condition)
        return _Reader(text).read(node)
    except ParseError as error:
        raise OperationError("expression", "text", text, _syntax(text, error)) from error
    except SqlglotError as error:
        raise OperationError("expression", "text", text, f"cannot be read: {error}") from error
    except RecursionError as error:
        raise OperationError("expression", "text", text, "is nested too deeply") from error


def _syntax(text: str, error: ParseError) -> str:
    """What sqlglot says, and where, counted from 1."""
    if not error.errors:
        return f"cannot be read: {str(error).splitlines()[0]}"
    first = error.errors[0]
    line, end, token = first.get("line"), first.get("col"), first.get("highlight") or ""
    what = str(first.get("description") or "it is not understood").rstrip(".")
    if what.startswith("Required keyword"):  # for people, not for those who know sqlglot's classes
        what = "something is missing after it"
    if not line or not end:
        return f"cannot be read: {what}"
    begin = sum(len(each) for each in text.splitlines(keepends=True)[: line - 1]) + end - len(token) + 1
    return f"cannot be read at character {begin} ({token!r}): {what}"


class _Reader:
    """Takes apart what sqlglot made of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._kinds: dict[type[Any], Callable[[Any], Expression]] = {
            exp.Paren: lambda node: self.read(node.this),
            exp.Column: self._column,
            exp.Literal: self._literal,
            exp.Boolean: lambda node: Literal(bool(node.this), pa.bool_()),
            exp.Null: self._null,
            exp.And: lambda node: self._chain("and", node),
            exp.Or: lambda node: self._chain("or", node),
            exp.Neg: self._negative,
            exp.Is: self._is,
            exp.In: self._in,
            exp.Between: self._between,
            exp.Like: lambda node: self._like("like", node),
            exp.ILike: lambda node: self._like("ilike", node),
            exp.Escape: self._escape,
            exp.Case: self._case,
            exp.Cast: self._cast,
            exp.Substring: self._substring,
            exp.Round: self._round,
            exp.Coalesce: lambda node: Call("coalesce", self._all([node.this, *node.expressions])),
            exp.Extract: self._extract,
        }
        self._takes: dict[type[Any], set[str]] = {
            exp.Column: {"this"},
            exp.Between: {"this", "low", "high"},
            exp.In: {"this", "expressions"},
            exp.Like: {"this", "expression", "negate"},
            exp.ILike: {"this", "expression", "negate"},
            exp.Case: {"this", "ifs", "default"},
            exp.Cast: {"this", "to"},
            exp.Substring: {"this", "start", "length"},
            exp.Round: {"this", "decimals"},
        }

    def read(self, node: Any) -> Expression:
        kind = type(node)
        extra = set(node.args) - self._takes.get(kind, {"this", "expression", "expressions"}) - _NOTES
        if kind in (*_BINARY, *_OF_ONE, *self._kinds) and (more := [name for name in extra if node.args[name]]):
            raise self._refused(node, f"{more[0]!r} of {node.sql('duckdb')} is not known")
        if kind in _BINARY:
            return Call(_BINARY[kind], self._all([node.this, node.expression]))
        if kind in _OF_ONE:
            return Call(_OF_ONE[kind], (self.read(node.this),))
        if kind in self._kinds:
            return self._kinds[kind](node)
        if isinstance(node, exp.Func):
            name = str(node.this) if isinstance(node, exp.Anonymous) else node.sql_name()
            near = get_close_matches(name.lower(), _NAMES, 1)
            hint = f"did you mean {near[0].upper()}?" if near else f"known are {', '.join(_NAMES).upper()}"
            raise self._refused(node, f"the function {name.upper()} is not known; {hint}")
        raise self._refused(node, f"{node.sql('duckdb')} ({kind.__name__}) is not known in expressions")

    def _all(self, nodes: list[Any]) -> tuple[Expression, ...]:
        return tuple(map(self.read, nodes))

    def _refused(self, node: Any, reason: str) -> OperationError:
        """What to raise for a node.

        sqlglot knows where names, functions and values are: some are in the node, or around it.
        """
        starts: list[int] = []
        around = node
        while not starts and around is not None:
            starts = [each.meta["start"] for each in around.walk() if "start" in each.meta]
            around = around.parent
        where = f" at character {min(starts) + 1}" if starts else ""
        return OperationError("expression", "text", self._text, f"is refused{where}: {reason}")

    def _column(self, node: Any) -> Expression:
        if not isinstance(node.this, exp.Identifier):
            raise self._refused(node, f"{node.sql('duckdb')} is no column")
        return Column(str(node.name))

    def _null(self, _: Any) -> Expression:
        return Literal(None, pa.null())

    def _literal(self, node: Any) -> Expression:
        if node.is_string:
            return Literal(str(node.this), pa.large_string())
        return self._number(node, str(node.this))

    def _number(self, node: Any, text: str) -> Expression:
        try:
            whole = int(text)
        except ValueError:
            return Literal(float(text), pa.float64())
        if not -(2**63) <= whole < 2**63:
            raise self._refused(node, f"{whole} does not fit into 64 bits")
        return Literal(whole, pa.int64())

    def _negative(self, node: Any) -> Expression:
        if isinstance(node.this, exp.Literal) and not node.this.is_string:
            return self._number(node, f"-{node.this.this}")
        return Call("negate", (self.read(node.this),))

    def _chain(self, function: str, node: Any) -> Expression:
        return Call(function, self._all(list(node.flatten())))

    def _is(self, node: Any) -> Expression:
        if not isinstance(node.expression, exp.Null):
            raise self._refused(node, f"IS {node.expression.sql('duckdb')} is not known, only IS NULL and IS NOT NULL")
        return Call("is null", (self.read(node.this),))

    def _in(self, node: Any) -> Expression:
        if not node.expressions:
            raise self._refused(node, "IN has no values")
        return Call("in", self._all([node.this, *node.expressions]))

    def _between(self, node: Any) -> Expression:
        operand, low, high = self._all([node.this, node.args["low"], node.args["high"]])
        return Call("and", (Call(">=", (operand, low)), Call("<=", (operand, high))))

    def _like(self, function: str, node: Any, escape: str = "") -> Expression:
        pattern = node.expression
        if not isinstance(pattern, exp.Literal) or not pattern.is_string:
            raise self._refused(node, "the pattern of LIKE has to be a text")
        matches = Call(function, (self.read(node.this),), (_pattern(str(pattern.this), escape),))
        return Call("not", (matches,)) if node.args.get("negate") else matches

    def _escape(self, node: Any) -> Expression:
        escape = node.expression
        if not isinstance(escape, exp.Literal) or len(str(escape.this)) != 1:
            raise self._refused(node, "ESCAPE takes one character")
        if not isinstance(node.this, (exp.Like, exp.ILike)):
            raise self._refused(node, "ESCAPE belongs to LIKE")
        return self._like("like" if isinstance(node.this, exp.Like) else "ilike", node.this, str(escape.this))

    def _case(self, node: Any) -> Expression:
        found: list[Expression] = []
        for each in node.args["ifs"]:
            when = self.read(each.this)
            found += [Call("=", (self.read(node.this), when)) if node.this else when, self.read(each.args["true"])]
        rest = node.args.get("default")
        return Call("case", (*found, self.read(rest) if rest else Literal(None, pa.null())))

    def _cast(self, node: Any) -> Expression:
        kind = self._type(node.args["to"])
        operand = self.read(node.this)
        if isinstance(node.this, exp.Literal) and node.this.is_string and pa.types.is_temporal(kind):
            try:
                value = pa.scalar(str(node.this.this)).cast(kind).as_py()
            except pa.ArrowInvalid as error:
                kind_text = "date like 2000-12-31" if pa.types.is_date(kind) else "time like 2000-12-31 23:59:59"
                raise self._refused(node, f"{str(node.this.this)!r} is no {kind_text}") from error
            assert isinstance(value, datetime.date)
            return Literal(value, kind)
        return Cast(operand, kind)

    def _type(self, node: Any) -> Any:
        name = getattr(node.this, "name", str(node.this))
        sizes = [str(each.this) for each in node.expressions]
        if name == _DECIMAL[0]:
            try:
                precision, scale = (*map(int, sizes), 0)[:2] if sizes else _DECIMAL[1]
                return pa.decimal128(precision, scale)
            except ValueError as error:
                raise self._refused(node, f"{node.sql('duckdb')}: {error}") from error
        if name not in _TYPES or sizes:
            known = ", ".join([*_TYPES, "DECIMAL(p, s)"])
            raise self._refused(node, f"the type {node.sql('duckdb')} is not known; known are {known}")
        return _TYPES[name]

    def _whole(self, node: Any, what: str) -> int:
        value = self.read(node)
        if not isinstance(value, Literal) or value.type != pa.int64():
            raise self._refused(node, f"{what} has to be a whole number")
        return int(value.value)

    def _substring(self, node: Any) -> Expression:
        options = [self._whole(node.args["start"], "the start of SUBSTRING")]
        if node.args.get("length") is not None:
            options.append(self._whole(node.args["length"], "the length of SUBSTRING"))
            if options[1] < 0:
                raise self._refused(node.args["length"], "the length of SUBSTRING is negative")
        return Call("substring", (self.read(node.this),), tuple(options))

    def _round(self, node: Any) -> Expression:
        digits = node.args.get("decimals")
        options = (self._whole(digits, "the digits of ROUND"),) if digits is not None else ()
        return Call("round", (self.read(node.this),), options)

    def _extract(self, node: Any) -> Expression:
        part = str(node.this).lower()
        if part not in _PARTS:
            raise self._refused(node, f"{part.upper()} cannot be extracted, only YEAR, MONTH and DAY")
        return Call(part, (self.read(node.expression),))


def _pattern(pattern: str, escape: str) -> str:
    r"""A pattern of LIKE whose escape character is ``\``, as in Arrow; SQL has none unless one is given."""
    out, taken = [], iter(pattern)
    for letter in taken:
        if letter == escape:
            letter = next(taken, "\\")
            out.append(f"\\{letter}" if letter in "%_\\" else letter)
        else:
            out.append("\\\\" if letter == "\\" else letter)
    return "".join(out)
