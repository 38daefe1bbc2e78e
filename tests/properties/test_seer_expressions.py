"""Expressions mean what DuckDB makes of the same text; statistics exclude no row that matches."""

import datetime
import math
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from seer_integration.expressions import ColumnStatistics, bind, computed, may_match, parse

modest = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)

# --- Texts about the columns i, j, x, s, d and b ---------------------------------------------------------------------

integers = st.integers(-6, 6).map(str)
# With an exponent: without one DuckDB reads a decimal, and computes with that.
halves = st.integers(-12, 12).map(lambda number: f"{number / 4:.2f}e0")
words = st.text("abA%_\\é", max_size=3).map(lambda text: f"'{text}'")
days = st.dates(datetime.date(1999, 12, 29), datetime.date(2000, 1, 3)).map(lambda day: f"DATE '{day}'")
comparisons = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "!="])


def form(pattern: str, *parts: Any) -> st.SearchStrategy[str]:
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map(
        lambda found: pattern.format(*found)
    )


def some(strategy: st.SearchStrategy[str], most: int = 6) -> st.SearchStrategy[str]:
    return st.lists(strategy, min_size=1, max_size=most).map(", ".join)


named = st.sampled_from(["i", "j", "x"])
simple = named | integers | halves | form("ABS({})", named)
tests = (
    form("{} {} {}", named, comparisons, simple)
    | form("s {} {}", comparisons, words)
    | form("d {} {}", comparisons, days)
    | st.just("b")
)
texts = (
    st.just("s")
    | words
    | st.sampled_from(["LOWER(s)", "UPPER(s)", "CAST(i AS VARCHAR)", "CAST(b AS VARCHAR)", "CAST(d AS VARCHAR)"])
    | form("SUBSTRING(s, {})", integers)
    | form("SUBSTR(s, {}, {})", integers, st.integers(0, 4).map(str))
    | form("COALESCE(s, {})", words)
    | form("CASE WHEN {} THEN s ELSE {} END", tests, words)
)
numbers = (
    simple
    | form("({} {} {})", simple, st.sampled_from(["+", "-", "*"]), simple)
    | form("{} - ({} - {}) * {}", simple, named, simple, simple)
    | form("({} / {})", simple, st.sampled_from(["2", "-3", "5e-1"]))
    | form("-{}", named)
    | form("ROUND({})", simple)
    | form("LENGTH({})", texts)
    | form("{}(d)", st.sampled_from(["YEAR", "MONTH", "DAY"]))
    | form("EXTRACT(YEAR FROM d)")
    | form("CAST({} AS {})", simple, st.sampled_from(["BIGINT", "DOUBLE", "INTEGER"]))
    | form("COALESCE({}, {})", simple, simple)
    | form("CASE WHEN {} THEN {} WHEN {} THEN {} ELSE {} END", tests, simple, tests, simple, simple)
    | form("CASE i WHEN 1 THEN {} END", simple)
)
one_condition = (
    tests
    | form("{} {} {}", numbers, comparisons, numbers)
    | form("{} {} {}", texts, comparisons, texts)
    | form("{} BETWEEN {} AND {}", simple, simple, simple)
    | form("d NOT BETWEEN {} AND {}", days, days)
    | form("d > '{}'", days.map(lambda day: day[6:-1]))
    | form("{} IN ({})", named, some(integers))
    | form("i NOT IN ({})", some(integers | halves | st.just("NULL")))
    | form("s IN ({})", some(words))
    | form("d IN ({})", some(days))
    | form("{} IS {}", numbers | texts, st.sampled_from(["NULL", "NOT NULL"]))
    | form("s {} {}", st.sampled_from(["LIKE", "NOT LIKE", "ILIKE"]), st.text("abA%_\\", max_size=4).map("'{}'".format))
    | form("s LIKE '!{}{}' ESCAPE '!'", st.sampled_from("%_!"), st.text("ab%_", max_size=2))
    | st.sampled_from(["TRUE", "FALSE", "i = NULL", "b AND NULL"])
)
conditions = st.recursive(
    one_condition,
    lambda inner: (
        form("({} AND {})", inner, inner) | form("({} OR {} AND {})", inner, inner, inner) | form("(NOT ({}))", inner)
    ),
    max_leaves=4,
)

# --- Rows ------------------------------------------------------------------------------------------------------------

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
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "i": st.integers(-6, 6),
    "j": st.integers(-6, 6),
    "x": st.integers(-12, 12).map(lambda number: number / 4),
    "s": st.text("abA%_\\é", max_size=4),
    "d": st.dates(datetime.date(1999, 12, 29), datetime.date(2000, 1, 3)),
    "b": st.booleans(),
}
ROWS = st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()})


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, (int, float)) and not isinstance(ours, bool) and theirs is not None:
        return math.isclose(ours, float(theirs), rel_tol=1e-12, abs_tol=1e-12)
    return bool(ours == theirs)


@pytest.fixture(scope="module")
def database() -> Any:
    with duckdb.connect() as connection:
        yield connection


@modest
@given(text=conditions | numbers | texts, rows=st.lists(ROWS, min_size=1, max_size=8))
def test_an_expression_is_what_duckdb_makes_of_it(database: Any, text: str, rows: list[dict[str, Any]]) -> None:
    table = table_of(rows)
    expression = parse(text)
    bound, kind = bind(expression, SCHEMA)
    ours = computed(table, {"it": bound.to_arrow()}).column("it")
    assert ours.type == kind or pa.types.is_null(ours.type)
    database.register("rows", table)
    theirs = [row[0] for row in database.execute(f"SELECT {text} FROM rows").fetchall()]
    assert all(map(alike, ours.to_pylist(), theirs)), (ours.to_pylist(), theirs)
    # As it is written it is read again, and a bound one is bound already.
    assert parse(str(expression)) == expression
    assert bind(bound, SCHEMA) == (bound, kind)


def statistics_of(table: pa.Table, draw: st.DrawFn) -> dict[str, ColumnStatistics]:
    """What is true of a table; of each column more, or less."""
    found = {}
    for name in table.column_names:
        values = [value for value in table.column(name).to_pylist() if value is not None]
        numbers = [value for value in values if value == value]
        least, greatest = (min(numbers), max(numbers)) if numbers else (None, None)
        if isinstance(least, str) and draw(st.booleans()):
            least, greatest = least[:1], greatest[:1] + "\U0010ffff"
        known = {
            "least": least,
            "greatest": greatest,
            "nulls": table.column(name).null_count,
            "rows": table.num_rows,
            "values": frozenset(values),
        }
        told = draw(st.frozensets(st.sampled_from(sorted(known))))
        if draw(st.booleans()):
            told |= {"least", "greatest", "nulls"}
        found[name] = ColumnStatistics(**{key: known[key] for key in told})
    return {name: each for name, each in found.items() if draw(st.integers(0, 9))}


@st.composite
def tables_and_statistics(draw: st.DrawFn) -> tuple[pa.Table, dict[str, ColumnStatistics]]:
    rows = draw(st.lists(ROWS, max_size=3))
    for row in rows:
        if draw(st.integers(0, 5)) == 0:
            row["x"] = math.nan
    table = table_of(rows)
    return table, statistics_of(table, draw)


@modest
@given(conditions, tables_and_statistics(), st.booleans())
def test_statistics_exclude_no_row_that_matches(text: str, given_: Any, told_types: bool) -> None:
    table, statistics = given_
    expression = parse(text)
    bound, _ = bind(expression, SCHEMA)
    matches = table.filter(bound.to_arrow()).num_rows
    assert may_match(bound if told_types else expression, statistics) or not matches


@modest
@given(
    st.sampled_from(["i", "x"]),
    comparisons,
    integers,
    st.lists(st.integers(-6, 6), min_size=1, max_size=3),
    st.booleans(),
)
def test_ranges_exclude_all_they_can(column: str, operator: str, value: str, rows: list[int], negated: bool) -> None:
    """Of a comparison with the bounds of a few numbers between which all others may be."""
    assume(not (negated and column == "x"))  # NaN is in no bounds
    bound, _ = bind(parse(f"{'NOT ' * negated}{column} {operator} {value}"), SCHEMA)
    least, greatest = min(rows), max(rows)
    kind = float if column == "x" else int
    statistics = {column: ColumnStatistics(least=kind(least), greatest=kind(greatest), nulls=0)}
    between = table_of([{column: each} for each in range(least, greatest + 1)])
    exact = table_of([{column: each / 8} for each in range(8 * least, 8 * greatest + 1)]) if column == "x" else between
    assert may_match(bound, statistics) == bool(exact.filter(bound.to_arrow()).num_rows) or (
        column == "x" and operator in ("<>", "!=")
    )
