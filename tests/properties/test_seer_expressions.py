"""Expressions mean what DuckDB makes of the same text; statistics exclude no row that matches.

The texts are grown at random from a grammar, always the same ones: thousands in the time of a few of Hypothesis.
"""

import datetime
import math
import re
from random import Random
from typing import Any

import duckdb
import pyarrow as pa

from seer_integration.expressions import ColumnStatistics, bind, computed, may_match, parse

# Numbers have an exponent where they are floats: without one DuckDB reads a decimal, and computes with that.
GRAMMAR = {
    "operator": ["=", "<>", "<", "<=", ">", ">=", "!="],
    "integer": [str(number) for number in range(-6, 7)],
    "float": ["-2.5e0", "-5e-1", "0.0e0", "2.5e-1", "0.5e0", "1.5e0", "2.50e0", "1e1"],
    "word": ["''", "'a'", "'b'", "'ab'", "'A'", "'é'", "'a%'", "'_b'", "'\\'"],
    "pattern": ["'a%'", "'%b'", "'_'", "'a_'", "'%a%'", "'a\\%'", "''", "'%'", "'A%'", "'ab'", "'\\_'", "'aé'"],
    "escaped": ["'!%'", "'a!_%'", "'!!%'", "'%!%%'"],
    "day": [f"DATE '{datetime.date(1999, 12, 29) + datetime.timedelta(each)}'" for each in range(6)],
    "named": ["i", "j", "x"],
    "plain": ["{named}", "{named}", "{integer}", "{float}", "ABS({named})"],
    "test": ["{named} {operator} {plain}", "s {operator} {word}", "d {operator} {day}", "b"],
    "text": [
        "s", "{word}", "LOWER(s)", "UPPER(s)", "CAST(i AS VARCHAR)", "CAST(b AS VARCHAR)", "CAST(d AS VARCHAR)",
        "SUBSTRING(s, {integer})", "SUBSTR(s, {integer}, 0)", "SUBSTR(s, {integer}, 1)", "SUBSTRING(s, {integer}, 3)",
        "COALESCE(s, {word})", "CASE WHEN {test} THEN s ELSE {word} END",
    ],
    "number": [
        "{plain}", "({plain} + {plain})", "{plain} - ({named} - {plain}) * {plain}", "({plain} / 2)", "{named} / -3",
        "-{named}", "ROUND({plain})", "ROUND({named} / 2)", "LENGTH({text})", "YEAR(d)", "MONTH(d)", "DAY(d)",
        "EXTRACT(YEAR FROM d)", "CAST({plain} AS BIGINT)", "CAST({plain} AS DOUBLE)", "CAST({plain} AS INTEGER)",
        "CAST(ROUND({named} / 3, 1) AS BIGINT)",
        "COALESCE({plain}, {plain})", "CASE WHEN {test} THEN {plain} WHEN {test} THEN {plain} ELSE {plain} END",
        "CASE i WHEN 1 THEN {plain} END",
    ],
    "condition": [
        "{test}", "{number} {operator} {number}", "{text} {operator} {text}", "{plain} BETWEEN {plain} AND {plain}",
        "d NOT BETWEEN {day} AND {day}", "d > '2000-01-01'", "{named} IN ({integer})",
        "i IN ({integer}, {integer}, {integer}, {integer})", "i NOT IN ({integer}, NULL, {float})",
        "x IN ({float}, {integer}, {integer}, {float})", "s IN ({word}, {word}, {word}, {word}, {word})",
        "s NOT IN ({word}, NULL)", "d IN ({day}, {day}, {day}, {day})", "{number} IS NULL", "{text} IS NOT NULL",
        "{named} IS NULL", "s LIKE {pattern}", "s NOT LIKE {pattern}", "s ILIKE {pattern}",
        "s LIKE {escaped} ESCAPE '!'", "TRUE", "i = NULL", "b AND NULL",
    ],
    "conditions": [
        "{condition}", "({condition} AND {condition})", "({condition} OR {condition} AND {condition})",
        "NOT ({condition})", "NOT ({condition} OR NOT {test}) AND ({condition} OR {test})",
    ],
    "any": ["{number}", "{text}", "{conditions}"],
}  # fmt: skip

SCHEMA = pa.schema(
    [
        ("i", pa.int64()),
        ("j", pa.int32()),
        ("x", pa.float64()),
        ("s", pa.large_string()),
        ("d", pa.date32()),
        ("b", pa.bool_()),
    ]
)
VALUES: dict[str, list[Any]] = {
    "i": list(range(-6, 7)),
    "j": list(range(-6, 7)),
    "x": [-2.5, -0.5, 0.0, 0.25, 0.5, 1.5, 2.5, 10.0],
    "s": ["", "a", "b", "ab", "aé", "A", "a%b", "\\", "_b", "abab", "É"],
    "d": [datetime.date(1999, 12, 29) + datetime.timedelta(each) for each in range(6)],
    "b": [False, True],
}


def grown(random: Random, symbol: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda part: grown(random, part[1]), random.choice(GRAMMAR[symbol]))


def table_of(random: Random, rows: int, nan: bool = False) -> pa.Table:
    """Rows at random, with nulls; and NaN, if it may be there."""
    more = {"x": [math.nan]} if nan else {}
    choices = {name: [*values, None, *more.get(name, [])] for name, values in VALUES.items()}
    return pa.Table.from_pylist(
        [{name: random.choice(each) for name, each in choices.items()} for _ in range(rows)], schema=SCHEMA
    )


def alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, (int, float)) and not isinstance(ours, bool) and theirs is not None:
        return math.isclose(ours, float(theirs), rel_tol=1e-12, abs_tol=1e-12)
    return bool(ours == theirs)


def test_expressions_are_what_duckdb_makes_of_them() -> None:
    random = Random(1)
    table = table_of(random, 60)
    with duckdb.connect() as database:
        database.register("rows", table)
        for _ in range(20):
            texts = [grown(random, "any") for _ in range(20)]
            named = ", ".join(f"{text} AS c{number}" for number, text in enumerate(texts))
            theirs = list(zip(*database.execute(f"SELECT {named} FROM rows").fetchall(), strict=True))
            bound = [bind(parse(text), SCHEMA) for text in texts]
            ours = computed(table, {str(number): each.to_arrow() for number, (each, _) in enumerate(bound)})
            for text, (_, kind), mine, other in zip(texts, bound, ours.columns, theirs, strict=True):
                assert mine.type == kind, text
                assert all(map(alike, mine.to_pylist(), other)), (text, mine.to_pylist(), other)


def test_expressions_are_read_again_as_they_are_written_and_bound_once() -> None:
    random = Random(2)
    for _ in range(100):
        expression = parse(grown(random, "any"))
        assert parse(str(expression)) == expression
        bound = bind(expression, SCHEMA)
        assert bind(bound[0], SCHEMA) == bound


def statistics_of(random: Random, table: pa.Table) -> dict[str, ColumnStatistics]:
    """What is true of a table: of each column more, or less, or nothing."""
    found = {}
    for name in table.column_names:
        values = [value for value in table.column(name).to_pylist() if value is not None]
        numbers = [value for value in values if value == value]
        least, greatest = (min(numbers), max(numbers)) if numbers else (None, None)
        if isinstance(least, str) and random.random() < 0.3:
            least, greatest = least[:1], greatest[:1] + "\U0010ffff"
        known = {
            "least": least,
            "greatest": greatest,
            "nulls": table.column(name).null_count,
            "rows": table.num_rows,
            "values": frozenset(values),
        }
        told = random.choice([["least", "greatest", "nulls"], ["least", "greatest"], ["values"], list(known), None])
        if told is None:
            told = [each for each in known if random.random() < 0.5]
        found[name] = ColumnStatistics(**{each: known[each] for each in told})
    return {name: each for name, each in found.items() if random.random() < 0.9}


def test_statistics_exclude_no_row_that_matches() -> None:
    """And they do exclude: a third of what does not match, of expressions no statistics help with for the most part."""
    random = Random(3)
    excluded = possible = 0
    for _ in range(25):
        table = table_of(random, random.randrange(4), nan=random.random() < 0.3)
        statistics = statistics_of(random, table)
        for text in [grown(random, "conditions") for _ in range(10)]:
            expression = parse(text)
            bound, _ = bind(expression, SCHEMA)
            matches = table.filter(bound.to_arrow()).num_rows
            for each in (bound, expression):
                assert may_match(each, statistics) or not matches, (text, statistics, table.to_pylist())
            possible += not matches
            excluded += not may_match(bound, statistics)
    assert excluded > possible / 3


def test_ranges_exclude_all_they_can() -> None:
    """Of comparisons with the bounds of numbers between which all others may be."""
    conditions = [f"{negation}i {operator} " for negation in ("", "NOT ") for operator in GRAMMAR["operator"]]
    for least, greatest in ((-1, 2), (1, 1)):
        between = pa.Table.from_pylist([{"i": each} for each in range(least, greatest + 1)], schema=SCHEMA)
        for text in [f"{condition}{number}" for condition in conditions for number in range(-2, 4)]:
            bound, _ = bind(parse(text), SCHEMA)
            matches = between.filter(bound.to_arrow()).num_rows
            assert may_match(bound, {"i": ColumnStatistics(least, greatest, nulls=0)}) == bool(matches), text
