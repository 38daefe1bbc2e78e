"""Joins and aggregates are those of DuckDB, however the rows are cut into parts."""

import datetime
import math
from collections import Counter
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seer_integration import kernels
from seer_integration.operations import Aggregate

modest = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)

KEYS: dict[Any, st.SearchStrategy[Any]] = {
    pa.int32(): st.integers(-2, 2),
    pa.int64(): st.integers(-2, 2),
    pa.float64(): st.sampled_from([-1.0, -0.0, 0.0, 0.5, math.nan]),
    pa.large_string(): st.sampled_from(["", "a", "b", "é"]),
    pa.string(): st.sampled_from(["", "a", "b", "é"]),
    pa.date32(): st.dates(datetime.date(2000, 1, 1), datetime.date(2000, 1, 3)),
}
PAIRS = [
    (pa.int32(), pa.int64()), (pa.int64(), pa.int64()), (pa.int64(), pa.float64()), (pa.float64(), pa.float64()),
    (pa.large_string(), pa.string()), (pa.date32(), pa.date32()),
]  # fmt: skip


@pytest.fixture(scope="module")
def database() -> Any:
    with duckdb.connect() as connection:
        yield connection


def column(draw: st.DrawFn, kind: Any, rows: int) -> pa.ChunkedArray:
    """Values of a type and nulls, in two chunks; texts at times as a dictionary."""
    values = draw(st.lists(st.none() | KEYS[kind], min_size=rows, max_size=rows))
    array = pa.array(values, kind)
    if kind == pa.string() and draw(st.booleans()):
        array = array.dictionary_encode()
    cut = draw(st.integers(0, rows))
    return pa.chunked_array([array[:cut], array[cut:]])


def told(value: Any) -> Any:
    """So that what is equal to SQL is to Python."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else round(value, 9) + 0.0
    return value


def rows_of(rows: Any) -> Counter[Any]:
    return Counter(tuple(map(told, row)) for row in rows)


def found_in(table: pa.Table) -> Counter[Any]:
    return rows_of(zip(*(each.to_pylist() for each in table.columns), strict=True))


@st.composite
def sides(draw: st.DrawFn) -> tuple[pa.Table, pa.Table]:
    pairs = draw(st.lists(st.sampled_from(PAIRS), min_size=1, max_size=2))
    tables = []
    for side in (0, 1):
        rows = draw(st.integers(0, 8))
        columns = {f"k{place}": column(draw, pair[side], rows) for place, pair in enumerate(pairs)}
        tables.append(pa.table({**columns, "n": pa.array(range(rows), pa.int64())}))
    return tables[0], tables[1]


@modest
@given(sides(), st.sampled_from(["inner", "left", "semi", "anti"]))
def test_a_join_is_that_of_duckdb(database: Any, both: tuple[pa.Table, pa.Table], how: str) -> None:
    left, right = both
    keys = [name for name in left.column_names if name != "n"]
    found = kernels.join(left, right, keys, keys, how, "_right")
    database.register("l", left)
    database.register("r", right)
    on = " AND ".join(f"l.{key} = r.{key}" for key in keys)
    columns = "l.*, r.n" if how in ("inner", "left") else "l.*"
    sql = {
        "inner": f"SELECT {columns} FROM l JOIN r ON {on}",
        "left": f"SELECT {columns} FROM l LEFT JOIN r ON {on}",
        "semi": f"SELECT * FROM l WHERE EXISTS (SELECT * FROM r WHERE {on})",
        "anti": f"SELECT * FROM l WHERE NOT EXISTS (SELECT * FROM r WHERE {on})",
    }[how]
    assert found_in(found) == rows_of(database.execute(sql).fetchall())
    assert found.column("n").to_pylist() == sorted(found.column("n").to_pylist())


AGGREGATES = {
    "sum": ("sum", "i"), "mean": ("mean", "i"), "floats": ("sum", "x"), "average": ("mean", "x"), "least": ("min", "s"),
    "most": ("max", "s"), "first": ("min", "d"), "last": ("max", "d"), "n": ("count", "x"), "rows": "count",
}  # fmt: skip
SQL = "sum(i), avg(i), sum(x), avg(x), min(s), max(s), min(d), max(d), count(x), count(*)"


@st.composite
def grouped(draw: st.DrawFn) -> tuple[pa.Table, list[str], list[int]]:
    rows = draw(st.integers(0, 10))
    kinds = draw(st.lists(st.sampled_from(sorted(KEYS, key=str)), max_size=2))
    columns: dict[str, Any] = {f"k{place}": column(draw, kind, rows) for place, kind in enumerate(kinds)}
    by = list(columns)
    columns["i"] = column(draw, pa.int32(), rows)
    columns["x"] = pa.array(
        draw(st.lists(st.none() | st.sampled_from([0.5, -2.0]), min_size=rows, max_size=rows)), pa.float64()
    )
    columns["s"] = column(draw, pa.string(), rows)
    columns["d"] = column(draw, pa.date32(), rows)
    cuts = draw(st.lists(st.integers(0, rows), max_size=3))
    return pa.table(columns), by, sorted(cuts)


@modest
@given(grouped())
def test_an_aggregate_of_parts_is_that_of_duckdb_of_the_whole(database: Any, drawn: Any) -> None:
    table, by, cuts = drawn
    values = Aggregate(AGGREGATES, by=by).values
    parts = [
        kernels.partial(table.slice(begin, end - begin), by, values)
        for begin, end in zip([0, *cuts], [*cuts, table.num_rows], strict=True)
    ]
    some = kernels.merged(pa.concat_tables(parts[:2]), by, values)
    found = kernels.finished(kernels.merged(pa.concat_tables([some, *parts[2:]]), by, values), by, values)
    database.register("t", table)
    keys = ", ".join(by)
    sql = f"SELECT {keys}, {SQL} FROM t GROUP BY {keys}" if by else f"SELECT {SQL} FROM t"
    assert found_in(found) == rows_of(database.execute(sql).fetchall())


@modest
@given(grouped())
def test_distinct_rows_are_those_of_duckdb(database: Any, drawn: Any) -> None:
    table, by, _ = drawn
    names = [*by, "i"]
    database.register("t", table)
    expected = database.execute(f"SELECT DISTINCT {', '.join(names)} FROM t").fetchall()
    assert found_in(kernels.distinct(table, names)) == rows_of(expected)
