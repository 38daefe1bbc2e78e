"""Texts that are no expressions, or do not fit, are refused with their place; and what statistics exclude."""

import datetime
import math
import pickle
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from seer_integration.errors import OperationError, PlanError
from seer_integration.expressions import ColumnStatistics, bind, computed, may_match, of, parse, resolved

TABLE = pa.table(
    {
        "0": [1, 2, None],
        "i8": pa.array([1, 100, None], pa.int8()),
        "u": pa.array([1, 2**53 + 1, 2**63], pa.uint64()),
        "f": pa.array([0.1, 2.0, None], pa.float32()),
        "x": [1.5, math.nan, None],
        "city": pa.array(["Rome", "a\nb", None]).dictionary_encode(),
        "price": pa.array([Decimal("1.50"), Decimal("2.00"), None], pa.decimal128(9, 2)),
        "at": pa.array([0, 86_400, None], pa.timestamp("s")),
        "there": pa.array([0, 86_400, None], pa.timestamp("s", "Europe/Rome")),
        "ok": [True, False, None],
        "tags": [[1], [], None],
    }
)


def values(text: str) -> list[Any]:
    expression, _ = bind(parse(text), TABLE.schema)
    found: list[Any] = computed(TABLE, {"it": expression.to_arrow()}).column(0).to_pylist()
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"0" = 1', [True, False, None]),
        ("c0 = 1", [True, False, None]),
        ("i8 + 100", [101, 200, None]),  # not of 8 bits
        ("COALESCE(i8, 0.1)", [1.0, 100.0, 0.1]),  # nor of 32
        ("u = 9007199254740993", [False, True, False]),
        ("f = CAST('0.1' AS REAL)", [True, False, None]),
        ("x <> 1.5", [False, True, None]),  # NaN differs from all
        ("x > 0 OR x <= 0", [True, False, None]),
        ("city LIKE 'a_b'", [False, True, None]),
        ("UPPER(city)", ["ROME", "A\nB", None]),
        ("city IN ('Rome', 'Oslo', 'Bonn', 'Kyiv')", [True, False, None]),
        ("price * 2 > 3.5", [False, True, None]),
        ("price / 2", [0.75, 1.0, None]),
        ("at > '1970-01-01 12:00:00'", [False, True, None]),
        ("at >= '1970-01-02'", [False, True, None]),
        ("there = TIMESTAMP '1970-01-01 01:00:00'", [True, False, None]),  # as it is written there
        ("CASE WHEN ok THEN 'yes' ELSE city END", ["yes", "a\nb", None]),
        ('"0" = 1 -- it is\n AND ok', [True, False, None]),
        ("ok IS NULL", [False, False, True]),
        ("tags IS NULL", [False, False, True]),
    ],
)
def test_values(text: str, expected: list[Any]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("i8 >", r"cannot be read at character 4 \('>'\): something is missing after it"),
        ("(((i8", r"cannot be read at character 4 \('i8'\)"),
        ("i8 > 1 AS big", r"cannot be read at character 8 \('AS'\)"),
        ("ok\nAND (i8", r"cannot be read at character 9 \('i8'\)"),
        ("i8 = 1; DROP TABLE x", r"cannot be read at character 9 \('DROP'\)"),
        ("'unended", "cannot be read: Error tokenizing"),
        (
            "ok AND LENGHT(city) > 1",
            r"is refused at character 8: the function LENGHT is not known; did you mean LENGTH\?",
        ),
        ("ok AND SQRT(i8) > 1", "is refused at character 8: the function SQRT is not known; known are ABS, CASE"),
        ("SUM(i8)", "the function SUM is not known"),
        ("TRY_CAST(i8 AS INT)", "TRY_CAST is not known; did you mean CAST"),
        ("i8 IN (SELECT 1)", "'query' of i8 IN"),
        ("i8 IN ()", "IN has no values"),
        ("t.i8 = 1", "is refused at character 1: 'table' of t.i8 is not known"),
        ("ok IS TRUE", "only IS NULL and IS NOT NULL"),
        ("city || 'x'", "not known in expressions"),
        ("CAST(i8 AS BLOB)", "is refused at character 6: the type BLOB is not known; known are TINYINT"),
        ("at > DATE 'tomorrow'", "is refused at character 11: 'tomorrow' is no date like 2000-12-31"),
        ("i8 = 99999999999999999999", "does not fit into 64 bits"),
        ("SUBSTRING(city, i8)", "the start of SUBSTRING has to be a whole number"),
        ("SUBSTRING(city, 1, -1)", "the length of SUBSTRING is negative"),
        ("city LIKE city", "the pattern of LIKE has to be a text"),
        ("EXTRACT(HOUR FROM at)", "HOUR cannot be extracted"),
        ("(SELECT 1)", "is refused"),
        ("i8 = ?", "is refused"),
        ("tags[1] = 1", "is refused at character 1"),
        ("(" * 5000 + "ok" + ")" * 5000, "is nested too deeply"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, reason: str) -> None:
    with pytest.raises(OperationError, match=reason) as caught:
        parse(text)
    assert caught.value.args[:3] == ("expression", "text", text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("c1 = 1", "column 'c1': there is none of that name, only '0', .*, and 1 more"),
        ("Price = 1", "did you mean 'price'"),
        ("city > 5", r'"city" > 5: takes values of one kind, not text \(string\) and number \(int64\)'),
        ("ok = 1", "not condition"),
        ("i8 AND ok", "takes conditions, not number"),
        ("at + 1", "takes numbers, not date"),
        ("at > 'soon'", "'soon' is no date or time like 2000-12-31"),
        ("tags = 1", "takes values of one kind, not list"),
        ("CASE WHEN i8 THEN 1 END", "takes conditions"),
        ("CASE WHEN ok THEN 1 ELSE 'x' END", "takes values of one kind"),
        ("CAST(tags AS INT)", "values of type list.* cannot be cast to int32"),
        ("YEAR(city)", "takes dates"),
    ],
)
def test_what_does_not_fit_the_columns_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        bind(parse(text), TABLE.schema)


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(PlanError, match="2 columns have that name"):
        resolved("a", pa.schema([("a", pa.int8()), ("a", pa.int8())]))


def test_expressions_travel_and_say_what_they_need() -> None:
    expression = parse("\"0\" > 1 AND (city = 'Rome' AND NOT ok) AND price BETWEEN 1 AND 2")
    assert expression.columns == {"0", "city", "ok", "price"}
    assert list(map(str, expression.conjuncts())) == [
        '"0" > 1', "\"city\" = 'Rome'", 'NOT "ok"', '"price" >= 1', '"price" <= 2',
    ]  # fmt: skip
    bound, _ = bind(expression, TABLE.schema)
    for each in (expression, bound):
        assert pickle.loads(pickle.dumps(each)) == each
    assert of(expression) is expression
    assert of(len) is None


def test_of_an_expression_of_arrow_the_columns_are_found() -> None:
    opaque = of((pc.field("i8") > 1) & pc.field("ok"))
    assert opaque is not None
    assert opaque.columns is None
    bound, kind = bind(opaque, TABLE.schema)
    assert (bound.columns, kind) == ({"i8", "ok"}, pa.bool_())
    assert may_match(bound, {"i8": ColumnStatistics(0, 0)})
    by_place = of(pc.field(1) > 1)
    assert by_place is not None
    assert bind(by_place, TABLE.schema)[0].columns is None
    with pytest.raises(PlanError, match="cannot be computed"):
        bind(of(pc.field("nothing") > 1), TABLE.schema)  # type: ignore[arg-type]


DAY = datetime.date(2000, 6, 1)
SOME = {
    "n": ColumnStatistics(10, 20, nulls=0, rows=5),
    "m": ColumnStatistics(30, 40, nulls=1, rows=5),
    "x": ColumnStatistics(1.0, 2.0, nulls=0, rows=5),
    "s": ColumnStatistics("bar", "cat", nulls=0, rows=5),
    "d": ColumnStatistics(DAY, DAY, nulls=0, rows=5),
    "c": ColumnStatistics(values=frozenset({"Rome", "Oslo"}), nulls=0, rows=5),
    "nothing": ColumnStatistics(nulls=5, rows=5),
    "flag": ColumnStatistics(False, False, nulls=0, rows=5),
}


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        ("n > 20", False), ("n >= 20", True), ("n = 9", False), ("n <> 9", True), ("NOT n < 21", False),
        ("5 > n", False), ("n BETWEEN 21 AND 30", False), ("n IN (1, 2, 30)", False), ("n IN (1, 2, 15, 30)", True),
        ("n > 20 OR m < 30", False), ("n > 20 OR m < 31", True), ("n > 15 AND m > 45", False), ("n > m", False),
        ("m >= n", True), ("n IS NULL", False), ("m IS NULL", True), ("nothing IS NOT NULL", False),
        ("nothing = 1", False), ("NOT nothing = 1", False), ("n = NULL", False), ("-n > -10", False),
        ("-n > -11", True),
        ("n > 60 * 60", False), ("n + 1 > 100", True), ("x > 2.5", False), ("x > 2", False), ("NOT x <= 2", True),
        ("s LIKE 'ba%'", True), ("s LIKE 'd%'", False), ("s LIKE 'a%'", False), ("s LIKE 'ca_'", True),
        ("s LIKE 'barn\\_%' ESCAPE '\\'", True), ("s LIKE '%d'", True), ("s = 'dog'", False), ("s > 'cat'", False),
        ("d = DATE '2000-06-01'", True), ("d > DATE '2000-06-01'", False), ("d > DATE '2000-06-02'", False),
        ("d < TIMESTAMP '2000-05-31 23:00:00'", False), ("YEAR(d) = 1999", False), ("YEAR(d) = 2000", True),
        ("c = 'Bonn'", False), ("LOWER(c) = 'oslo'", True), ("LENGTH(c) > 4", False), ("c LIKE '%x%'", False),
        ("c <> 'Rome'", True), ("flag", False), ("NOT flag", True), ("unknown = 5", True), ("FALSE", False),
        ("n > 20 AND unknown = 5", False), ("n > 20 OR unknown = 5", True), ("CASE WHEN flag THEN TRUE END", True),
    ],
)  # fmt: skip
def test_statistics_exclude(text: str, possible: bool) -> None:
    assert may_match(parse(text), SOME) == possible


def test_a_bounding_box_is_two_ranges() -> None:
    box = {"lat": ColumnStatistics(40.0, 41.0, nulls=0), "lon": ColumnStatistics(12.0, 13.0, nulls=0)}
    assert may_match(parse("lat BETWEEN 40.5 AND 50.0 AND lon BETWEEN 0.0 AND 12.5"), box)
    assert not may_match(parse("lat BETWEEN 40.5 AND 50.0 AND lon BETWEEN 0.0 AND 11.5"), box)


def test_of_no_rows_none_match() -> None:
    assert not may_match(parse("n > 5"), {"n": ColumnStatistics(rows=0)})
    assert not may_match(parse("n IS NULL OR n = 1"), {"n": ColumnStatistics(values=frozenset(), nulls=0)})


def test_where_arrow_may_see_it_otherwise_nothing_is_excluded() -> None:
    assert may_match(parse("n = 9007199254740992.0"), {"n": ColumnStatistics(2**53 + 1, 2**53 + 1, nulls=0)})
    assert may_match(parse("p = 0.1"), {"p": ColumnStatistics(Decimal("0.1"), Decimal("0.1"), nulls=0)})
    assert may_match(parse("s > 5"), {"s": ColumnStatistics("a", "b", nulls=0)})
    aware = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)
    assert may_match(parse("t < '1999-01-01'"), {"t": ColumnStatistics(aware, aware, nulls=0)})
