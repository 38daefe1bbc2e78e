"""Expressions and the schema they are about: names are found, types made explicit, what does not fit is refused.

Where Arrow and SQL differ, casts are put in so that the result is SQL's (DuckDB's, where engines differ):

* numbers of several kinds are compared and computed as float64 if one of them is a float; ``/`` is always of floats;
* a float that is cast to an integer is rounded, halves to the even one, and a decimal, halves away from zero;
* a text that is compared with a date or a time is read as one; in the column's time zone, if it has one;
* NULL takes the type of what it meets.

What differs: NaN equals nothing, and is neither less nor greater than a number, as in IEEE 754; an integer sum, product
or cast that overflows its type is an error, also in a branch of CASE that is not taken, as is text that is no number.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.acero as acero
import pyarrow.compute as pc

from seer_integration.errors import PlanError
from seer_integration.expressions.functions import ALIKE, ANY, CONDITIONS, DAYS, FUNCTIONS, NUMBERS, TEXTS, family
from seer_integration.expressions.names import resolved
from seer_integration.expressions.tree import Call, Cast, Column, Expression, Literal, Member, Opaque

__all__ = ["bind", "computed"]

_FAMILIES = {NUMBERS: "number", TEXTS: "text", CONDITIONS: "condition", DAYS: "date"}

# From so many values on a set is built of them.
_MANY = 4


@lru_cache(maxsize=256)
def bind(expression: Expression, schema: Any) -> tuple[Expression, Any]:
    """An expression whose names and types are those of a schema, and the type of its values.

    Binding one that was bound gives the same.

    Raises
    ------
    PlanError
        When a column is not there, or a function does not take values of a type.
    """
    if isinstance(expression, Opaque):
        return _opaque(expression, schema)
    if isinstance(expression, Column):
        name = resolved(expression.name, schema)
        return Column(name), schema.field(name).type
    return _bound(expression, schema)


def computed(table: Any, columns: dict[str, Any]) -> Any:
    """A table of expressions of Arrow's, by name, of the rows of another."""
    source = acero.Declaration("table_source", acero.TableSourceNodeOptions(table))
    project = acero.Declaration("project", acero.ProjectNodeOptions(list(columns.values()), list(columns)))
    return acero.Declaration.from_sequence([source, project]).to_table()


def _bound(expression: Expression, schema: Any) -> tuple[Expression, Any]:
    if isinstance(expression, Column):
        name = resolved(expression.name, schema)
        kind = schema.field(name).type
        return _cast(Column(name), kind, _plain(kind)), _plain(kind)
    if isinstance(expression, Literal):
        return expression, expression.type
    if isinstance(expression, Opaque):
        return _opaque(expression, schema)
    if isinstance(expression, Cast):
        return _cast_bound(expression, schema)
    if isinstance(expression, Member):
        operand, kind = _bound(expression.operand, schema)
        among = (operand, *(Literal(value, expression.type) for value in expression.values))
        return _among(Call("in", among), [kind, *[expression.type] * len(expression.values)]), pa.bool_()
    assert isinstance(expression, Call)
    pairs = [_bound(operand, schema) for operand in expression.operands]
    call = Call(expression.function, tuple(operand for operand, _ in pairs), expression.options)
    return _call(call, [kind for _, kind in pairs], expression)


def _call(call: Call, kinds: list[Any], written: Expression) -> tuple[Expression, Any]:
    operands = list(call.operands)
    if call.function == "case":
        conditions = range(0, len(operands) - 1, 2)
        values = [place for place in range(len(operands)) if place not in conditions]
        _fit(operands, kinds, list(conditions), CONDITIONS, written)
        _fit(operands, kinds, values, ALIKE, written)
    else:
        _fit(operands, kinds, list(range(len(operands))), FUNCTIONS[call.function].takes, written)
    fitted = Call(call.function, tuple(operands), call.options)
    if call.function == "in":
        return _among(fitted, kinds), pa.bool_()
    try:
        kind = FUNCTIONS[call.function].compute(*(pa.array([], each) for each in kinds), *call.options).type
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise PlanError(str(written), f"cannot be computed of {_listed(kinds)}: {error}") from error
    return fitted, kind


def _fit(operands: list[Expression], kinds: list[Any], places: list[int], takes: str, written: Expression) -> None:
    """Make those operands such that Arrow computes with them what SQL does; lists are changed in place."""
    if takes == ANY:
        return
    if takes == ALIKE:
        _read_dates(operands, kinds, places, written)
    known = [kinds[place] for place in places if not pa.types.is_null(kinds[place])]
    found = {family(kind) for kind in known}
    wanted = {_FAMILIES[takes]} if takes in _FAMILIES else found
    if not found <= wanted or len(found) > 1:
        raise PlanError(str(written), f"takes {takes}, not {_listed(known)}")
    default = {NUMBERS: pa.int64(), TEXTS: pa.large_string(), CONDITIONS: pa.bool_(), DAYS: pa.date32()}
    missing = known[0] if known else default.get(takes, pa.null())
    wide = _wide([operands[place] for place in places], [kinds[place] for place in places])
    for place in places:
        target = wide or (missing if pa.types.is_null(kinds[place]) else kinds[place])
        operands[place], kinds[place] = _cast(operands[place], kinds[place], target), target


def _wide(operands: list[Expression], kinds: list[Any]) -> Any:
    """The type that numbers of several kinds have to be made, where Arrow would make it one that does not hold all."""
    if any(map(pa.types.is_floating, kinds)):
        return pa.float64()
    if pa.uint64() not in kinds:
        return None
    signed = [each for each, kind in zip(operands, kinds, strict=True) if pa.types.is_signed_integer(kind)]
    if all(isinstance(each, Literal) and each.value >= 0 for each in signed):
        return pa.uint64() if all(map(pa.types.is_integer, kinds)) else None
    return pa.decimal128(20, 0) if all(map(pa.types.is_integer, kinds)) else None


def _cast(operand: Expression, kind: Any, target: Any) -> Expression:
    if kind == target:
        return operand
    if isinstance(operand, Literal) and operand.value is None:
        return Literal(None, target)
    if isinstance(operand, Literal) and kind == pa.int64() and pa.types.is_float64(target):
        return Literal(float(operand.value), target)
    if isinstance(operand, Literal) and kind == pa.int64() and target == pa.uint64() and operand.value >= 0:
        return Literal(operand.value, target)
    return Cast(operand, target)


def _cast_bound(expression: Cast, schema: Any) -> tuple[Expression, Any]:
    operand, kind = _bound(expression.operand, schema)
    target = expression.type
    try:
        pa.array([], kind).cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise PlanError(str(expression), f"values of type {kind} cannot be cast to {target}") from error
    rounded = isinstance(operand, Call) and (operand.function, operand.options) in (("nearest", ()), ("round", (0,)))
    if pa.types.is_integer(target) and not rounded and (pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        operand = Call("nearest", (operand,)) if pa.types.is_floating(kind) else Call("round", (operand,), (0,))
    return _cast(operand, kind, target), target


def _plain(kind: Any) -> Any:
    """The type a column is computed with. Half and single floats are widened: Arrow would narrow integers to them."""
    if isinstance(kind, pa.DictionaryType):
        return _plain(kind.value_type)
    if pa.types.is_floating(kind):
        return pa.float64()
    return pa.large_string() if pa.types.is_string_view(kind) else kind


def _read_dates(operands: list[Expression], kinds: list[Any], places: list[int], written: Expression) -> None:
    """Read texts as the dates or times they are compared with."""
    dates = [kinds[place] for place in places if family(kinds[place]) == "date"]
    if not dates:
        return
    zones = {kind.tz for kind in dates if pa.types.is_timestamp(kind) and kind.tz}
    for place in places:
        literal = operands[place]
        if not isinstance(literal, Literal) or literal.value is None:
            continue
        if family(literal.type) == "text":
            literal = _date(literal.value, written)
        if zones and family(literal.type) == "date" and getattr(literal.type, "tz", None) is None:
            naive = pa.scalar(literal.value, literal.type).cast(pa.timestamp("us"))
            there = pc.assume_timezone(naive, min(zones))
            literal = Literal(there.as_py(), there.type)
        operands[place], kinds[place] = literal, literal.type


def _date(text: str, written: Expression) -> Literal:
    for kind in (pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return Literal(pa.scalar(text).cast(kind).as_py(), kind)
        except pa.ArrowInvalid:
            continue
    raise PlanError(str(written), f"{text!r} is no date or time like 2000-12-31 or 2000-12-31 23:59:59")


def _among(call: Call, kinds: list[Any]) -> Expression:
    """IN as a look-up in a set, if there are many values and they are of the operand's own type."""
    operand, *among = call.operands
    exact = kinds[0] == pa.bool_() or pa.types.is_integer(kinds[0]) or family(kinds[0]) == "text" or _is_day(kinds[0])
    values = [each.value for each in among if isinstance(each, Literal) and each.value is not None]
    if len(among) < _MANY or len(values) < len(among) or not exact:
        return call
    try:
        pa.array(values, kinds[0])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return call
    if pa.types.is_integer(kinds[0]) and not all(type(value) is int for value in values):
        return call
    return Member(operand, tuple(values), kinds[0])


def _is_day(kind: Any) -> bool:
    return bool(pa.types.is_date32(kind))


def _opaque(expression: Opaque, schema: Any) -> tuple[Opaque, Any]:
    """Arrow tells of what type a user's expression is; and, by what fails, which columns it needs.

    If there is no column of a name, binding an expression that needs it fails. One that names columns by place shows
    them as FieldPath, and is not looked into.
    """
    try:
        kind = computed(schema.empty_table(), {"it": expression.expression}).column(0).type
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise PlanError(str(expression), f"cannot be computed: {error}") from error
    if expression.needed is not None or "FieldPath" in str(expression.expression):
        return expression, kind
    needed = set()
    for place, name in enumerate(schema.names):
        without = schema.remove(place)
        try:
            computed(without.empty_table(), {"it": expression.expression})
        except pa.ArrowInvalid:
            needed.add(name)
    return Opaque(expression.expression, frozenset(needed)), kind


def _listed(kinds: list[Any]) -> str:
    return " and ".join(f"{family(kind)} ({kind})" if family(kind) != str(kind) else str(kind) for kind in kinds)
