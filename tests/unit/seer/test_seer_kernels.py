"""Kernels on Arrow tables: joins, aggregates, first rows, samples; and schemas before anything runs."""

import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from seer_integration import kernels
from seer_integration.errors import OperationError, PlanError
from seer_integration.expressions import parse
from seer_integration.kernels import grouping
from seer_integration.operations import (
    Aggregate,
    Custom,
    Distinct,
    Exchange,
    Filter,
    Groupby,
    Join,
    Limit,
    Reduce,
    Sample,
    Scan,
    Select,
    Sort,
    Transform,
    Union,
    Write,
)

LEFT = pa.table({"k": [1, 2, None, 2, 3], "a": ["x", "y", "z", "w", None], "l": [[1], [], None, [2], [3]]})
RIGHT = pa.table({"k": pa.array([2, 2, None, 4], pa.int32()), "a": ["p", "q", "r", "s"], "u": [{"n": 1}] * 4})


def joined(left: pa.Table, right: pa.Table, how: str = "inner", **parameters: Any) -> list[dict[str, Any]]:
    operation = Join(**{"on": "k", **parameters}, how=how)
    found = kernels.join(left, right, operation.on, operation.right_on, how, operation.suffix)
    assert found.schema == kernels.schema_after(operation, [left.schema, right.schema])
    found.validate(full=True)
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def test_an_inner_join_carries_any_type_and_keeps_the_order_of_the_left() -> None:
    assert joined(LEFT, RIGHT) == [
        {"k": 2, "a": a, "l": values, "a_right": b, "u": {"n": 1}}
        for a, values in (("y", []), ("w", [2]))
        for b in ("p", "q")
    ]


def test_a_left_join_keeps_rows_without_a_match_with_nulls() -> None:
    rows = joined(LEFT, RIGHT, "left")
    assert [(row["k"], row["a"], row["a_right"]) for row in rows] == [
        (1, "x", None), (2, "y", "p"), (2, "y", "q"), (None, "z", None), (2, "w", "p"), (2, "w", "q"), (3, None, None),
    ]  # fmt: skip
    assert rows[0]["u"] is None


def test_semi_and_anti_joins_part_the_rows_of_the_left() -> None:
    assert [row["a"] for row in joined(LEFT, RIGHT, "semi")] == ["y", "w"]
    assert [row["a"] for row in joined(LEFT, RIGHT, "anti")] == ["x", "z", None]


@pytest.mark.parametrize("how", ["inner", "left", "semi", "anti"])
def test_sides_may_be_empty(how: str) -> None:
    kept = how in ("left", "anti")
    assert len(joined(LEFT, RIGHT.slice(0, 0), how)) == (5 if kept else 0)
    assert joined(LEFT.slice(0, 0), RIGHT, how) == []
    assert joined(LEFT.slice(0, 0), RIGHT.slice(0, 0), how) == []
    assert joined(LEFT.schema.empty_table(), RIGHT.schema.empty_table(), how) == []


def test_several_keys_of_other_names_in_chunks() -> None:
    left = pa.table({"a": [1, 1, 2, None], "b": ["x", "y", "x", "x"], "n": [1, 2, 3, 4]})
    right = pa.table({"p": [1, 2, 2, 1], "q": ["y", "x", "z", None], "n": [10, 20, 30, 40]})
    left = pa.concat_tables([left.slice(0, 2), left.slice(2, 0), left.slice(2)])
    right = pa.concat_tables([right.slice(0, 1), right.slice(1)])
    rows = joined(left, right, on=["a", "b"], right_on=["p", "q"], suffix="_r")
    assert rows == [{"a": 1, "b": "y", "n": 2, "n_r": 10}, {"a": 2, "b": "x", "n": 3, "n_r": 20}]


@pytest.mark.parametrize(
    ("left", "right", "matches"),
    [
        (pa.array(["a", "b"]), pa.array(["b"], pa.large_string()), 1),
        (pa.array(["a", "b", "a"]).dictionary_encode(), pa.array(["a"], pa.string_view()), 2),
        (pa.array([1.0, 2.5]), pa.array([1, 2]), 1),
        (pa.array([0.1], pa.float32()), pa.array([0.1]), 0),
        (pa.array([-0.0, float("nan")]), pa.array([0.0, np.float64("nan")]), 2),
        (pa.array([2**63, 1], pa.uint64()), pa.array([1, -1]), 1),
        (pa.array([Decimal("1.50")]), pa.array([Decimal("1.5")]), 1),
        (pa.array([Decimal("2.00")], pa.decimal32(5, 2)), pa.array([2]), 1),
        (pa.array([datetime.date(2000, 1, 1)]), pa.array([946684800], pa.timestamp("s")), 1),
        (pa.array([0], pa.timestamp("s", "UTC")), pa.array([0], pa.timestamp("ms", "Europe/Rome")), 1),
        (pa.array([b"a"]), pa.array([b"a"], pa.binary(1)), 1),
        (pa.nulls(2), pa.array([1, None]), 0),
    ],
)
def test_keys_of_types_that_can_be_compared(left: pa.Array, right: pa.Array, matches: int) -> None:
    assert len(joined(pa.table({"k": left}), pa.table({"k": right, "n": pa.nulls(len(right))}))) == matches


# --- Aggregates ------------------------------------------------------------------------------------------------------

SALES = pa.table(
    {
        "city": ["Rome", "Oslo", None, "Rome", None, "Oslo", "Rome"],
        "sold": pa.array([1, 2, 3, None, 5, 6, 7], pa.int32()),
        "price": [0.5, None, 1.5, 2.5, None, None, 4.5],
        "day": [datetime.date(2000, 1, day) for day in range(1, 8)],
        "name": ["g", "f", "e", "d", "c", "b", "a"],
    }
)
VALUES = {
    "sold": ("sum", "sold"),
    "least": ("min", "name"),
    "last": ("max", "day"),
    "mean": ("mean", "sold"),
    "price": ("mean", "price"),
    "prices": ("count", "price"),
    "rows": "count",
}


def aggregated(table: pa.Table, operation: Aggregate, cuts: tuple[int, ...] = ()) -> pa.Table:
    """Of parts of a table, merged twice."""
    by, values = operation.by, operation.values
    ends = [0, *cuts, table.num_rows]
    parts = [kernels.partial(table.slice(a, b - a), by, values) for a, b in pairwise(ends)]
    assert all(part.schema == parts[0].schema for part in parts)
    merged = kernels.merged(pa.concat_tables(parts[1:] or parts), by, values)
    if parts[1:]:
        merged = kernels.merged(pa.concat_tables([parts[0], merged]), by, values)
    return kernels.finished(merged, by, values)


@pytest.mark.parametrize("cuts", [(), (3,), (1, 1, 4), (0, 6)])
def test_groups_are_aggregated_in_parts(cuts: tuple[int, ...]) -> None:
    operation = Aggregate(VALUES, by="city")
    found = aggregated(SALES, operation, cuts)
    assert found.schema == kernels.schema_after(operation, [SALES.schema])
    assert sorted(found.to_pylist(), key=lambda row: str(row["city"])) == [
        {"city": None, "sold": 8, "least": "c", "last": datetime.date(2000, 1, 5), "mean": 4.0, "price": 1.5,
         "prices": 1, "rows": 2},
        {"city": "Oslo", "sold": 8, "least": "b", "last": datetime.date(2000, 1, 6), "mean": 4.0, "price": None,
         "prices": 0, "rows": 2},
        {"city": "Rome", "sold": 8, "least": "a", "last": datetime.date(2000, 1, 7), "mean": 4.0, "price": 2.5,
         "prices": 3, "rows": 3},
    ]  # fmt: skip


@pytest.mark.parametrize("cuts", [(), (0,), (2,)])
def test_without_a_key_there_is_one_row(cuts: tuple[int, ...]) -> None:
    found = aggregated(SALES, Aggregate({"n": "count", "sold": ("sum", "sold")}), cuts)
    assert found.to_pylist() == [{"n": 7, "sold": 24}]


def test_of_no_rows_without_a_key_there_is_one_row_and_with_a_key_none() -> None:
    none = SALES.schema.empty_table()
    assert aggregated(none, Aggregate(VALUES)).to_pylist() == [
        {"sold": None, "least": None, "last": None, "mean": None, "price": None, "prices": 0, "rows": 0}
    ]
    assert aggregated(none, Aggregate(VALUES, by="city")).num_rows == 0


def test_a_key_alone_gives_each_once() -> None:
    assert aggregated(SALES, Aggregate({}, by="city"), (3,)).to_pydict() == {"city": ["Rome", "Oslo", None]}


def test_names_of_states_hide_no_key() -> None:
    table = pa.table({"-0": [1, 1], "--0 count": [2, 2], "x": [3, 4]})
    found = aggregated(table, Aggregate({"x": ("mean", "x")}, by=["-0", "--0 count"]), (1,))
    assert found.to_pylist() == [{"-0": 1, "--0 count": 2, "x": 3.5}]


def test_sums_of_integers_never_wrap_around() -> None:
    large = pa.table({"k": [1, 1, 2], "x": [2**62, 2**62, -(2**62)]})
    with pytest.raises(PlanError, match=r"a sum of integers does not fit into int64; .*CAST"):
        aggregated(large, Aggregate({"x": ("sum", "x")}, by="k"))
    # Also when the parts fit.
    with pytest.raises(PlanError, match="does not fit"):
        aggregated(large, Aggregate({"x": ("sum", "x")}, by="k"), (1,))
    assert aggregated(large, Aggregate({"x": ("sum", "x")})).to_pylist() == [{"x": 2**62}]
    assert aggregated(large, Aggregate({"x": ("mean", "x")}, by="k")).column("x").to_pylist() == [2.0**62, -(2.0**62)]


def test_keys_that_sql_calls_equal_are_one_group() -> None:
    table = pa.table({"k": [0.0, -0.0, float("nan"), -np.float64("nan")], "x": [1, 2, 3, 4]})
    found = aggregated(table, Aggregate({"x": ("sum", "x")}, by="k"), (1, 3))
    assert found.column("x").to_pylist() == [3, 7]
    assert kernels.distinct(table, ["k"]).num_rows == 2


SPREAD = Custom(
    partial=lambda rows: {"least": pc.min(rows["sold"]).as_py(), "most": pc.max(rows["sold"]).as_py()},
    merge=lambda states: {"least": pc.min(states["least"]).as_py(), "most": pc.max(states["most"]).as_py()},
    finish=lambda state: state["most"] - state["least"],
)
LONGEST = Custom(
    partial=lambda rows: {"name": max(rows["name"].to_pylist())},
    merge=lambda states: {"name": max(states["name"].to_pylist())},
)


@pytest.mark.parametrize("cuts", [(), (2,), (2, 4)])
def test_custom_aggregates_are_called_group_by_group(cuts: tuple[int, ...]) -> None:
    operation = Aggregate({"spread": (SPREAD, "sold"), "n": "count", "name": (LONGEST, "name")}, by="city")
    found = aggregated(SALES, operation, cuts)
    assert found.to_pydict() == {
        "city": ["Rome", "Oslo", None],
        "spread": [6, 4, 2],
        "n": [3, 2, 2],
        "name": ["g", "f", "e"],
    }
    assert kernels.schema_after(operation, [SALES.schema]) is None
    assert aggregated(SALES, Aggregate({"spread": (SPREAD, "sold")}), cuts).to_pydict() == {"spread": [6]}


def test_what_custom_aggregates_give_is_checked() -> None:
    wrong = Custom(partial=lambda rows: 1, merge=lambda states: {})
    with pytest.raises(OperationError, match="partial gave a int, not a dict"):
        aggregated(SALES, Aggregate({"x": (wrong, "sold")}))
    two = Custom(partial=lambda rows: {"a": 1, "b": 2}, merge=lambda states: {})
    with pytest.raises(OperationError, match=r"has no finish, and merge gave 2 values \('a', 'b'\)"):
        aggregated(SALES, Aggregate({"x": (two, "sold")}))


# --- Order, samples, rows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 7, 40, 400, 999])
def test_the_first_rows_are_those_of_a_stable_sort_with_nulls_last(rows: int, descending: bool) -> None:
    rng = np.random.default_rng(1)
    numbers = [None if each < 20 else int(each) for each in rng.integers(0, 60, 400)]
    table = pa.table({"a": numbers, "b": pa.array(rng.integers(0, 3, 400).astype(str)), "n": range(400)})
    for key in (["a"], ["b", "a"]):
        expected = list(range(400))
        for name in reversed(key):
            values = table.column(name).to_pylist()
            there = [place for place in expected if values[place] is not None]
            there.sort(key=values.__getitem__, reverse=descending)
            expected = there + [place for place in expected if values[place] is None]
        assert kernels.top(table, rows, key, descending).column("n").to_pylist() == expected[:rows]


def test_the_first_rows_when_all_are_null_or_of_types_arrow_does_not_sort() -> None:
    assert kernels.top(pa.table({"a": pa.nulls(100, pa.int8()), "n": range(100)}), 3, ["a"], True).num_rows == 3
    words = pa.table({"a": pa.array(["b", None, "a"] * 20).dictionary_encode(), "n": range(60)})
    assert kernels.top(words, 2, ["a"], False).column("n").to_pylist() == [2, 5]
    assert kernels.top(words, 2, [], False).column("n").to_pylist() == [0, 1]


def test_distinct_rows_have_nulls_that_are_equal() -> None:
    table = pa.table({"a": [1, None, 1, None], "b": ["x", None, "x", "y"], "n": range(4)})
    assert kernels.distinct(table, ["a", "b"]).to_pylist() == [
        {"a": 1, "b": "x"}, {"a": None, "b": None}, {"a": None, "b": "y"},
    ]  # fmt: skip
    assert kernels.distinct(table, []).num_rows == 4


def test_a_sample_is_the_same_each_time() -> None:
    table = pa.table({"n": range(10_000)})
    first = kernels.sample(table, 0.1, 7, 3)
    # These very rows: a sample that changes with a release of NumPy is not the same each time.
    assert first.column("n").to_pylist()[:5] == kernels.sample(table, 0.1, 7, 3).column("n").to_pylist()[:5]
    assert 900 < first.num_rows < 1100
    assert kernels.sample(table.slice(0, 500), 0.1, 7, 3).equals(first.filter(pc.less(first["n"], 500)))
    assert not kernels.sample(table, 0.1, 7, 4).equals(first)
    assert not kernels.sample(table, 0.1, 8, 3).equals(first)
    assert kernels.sample(table, 0, 7, 3).num_rows == 0
    assert kernels.sample(table, 1, 7, 3).num_rows == 10_000


def test_rows_are_filtered_and_columns_computed() -> None:
    assert kernels.filtered(SALES, parse("sold > 2 AND city IS NOT NULL")).column("name").to_pylist() == ["b", "a"]
    assert kernels.filtered(SALES, parse("NOT sold > 2")).num_rows == 2
    found = kernels.selected(
        SALES, {"city": "city", "total": "sold * price", "one": "1", "twice": pc.field("sold") * 2}
    )
    assert found.column_names == ["city", "total", "one", "twice"]
    assert found.column("city") is not None
    assert found.slice(0, 2).to_pylist()[1] == {"city": "Oslo", "total": None, "one": 1, "twice": 4}
    assert kernels.selected(SALES, ["name", "city"]).column_names == ["name", "city"]
    many = pa.concat_tables([pa.table({"n": range(40_000)})] * 3)
    assert kernels.filtered(many, parse("n < 100")).column("n").num_chunks == 1
    with pytest.raises(PlanError, match='"sold" \\+ 1: is no condition: its values are of type int64'):
        kernels.filtered(SALES, parse("sold + 1"))


# --- Schemas ---------------------------------------------------------------------------------------------------------

SCHEMA = SALES.schema.append(pa.field("tags", pa.list_(pa.string())))


def test_schemas_that_stay() -> None:
    keeping = [
        Filter("sold > 1"), Filter(pc.field("sold") > 1), Exchange(), Exchange(by="city"), Sort("city"),
        Groupby(["city", "sold"]), Limit(3), Limit(3, key="sold"), Sample(0.5), Write(key="out/", index=["sold"]),
    ]  # fmt: skip
    for operation in keeping:
        assert kernels.schema_after(operation, [SCHEMA]) == SCHEMA, operation


def test_schemas_that_change() -> None:
    assert kernels.schema_after(Scan("a.csv", columns=["price", "city"]), [SCHEMA]).names == ["city", "price"]
    assert kernels.schema_after(Select({"x": "sold / 2"}), [SCHEMA]) == pa.schema([("x", pa.float64())])
    assert kernels.schema_after(Select(["day"]), [SCHEMA]) == pa.schema([("day", pa.date32())])
    assert kernels.schema_after(Distinct("city"), [SCHEMA]).names == ["city"]
    one, two = (
        pa.schema([("a", pa.int32()), ("b", pa.string())]),
        pa.schema([("b", pa.large_string()), ("a", pa.int64())]),
    )
    united = kernels.schema_after(Union(), [one, two])
    assert united == pa.schema([("a", pa.int64()), ("b", pa.large_string())])
    assert kernels.aligned(two.empty_table(), united).schema == united


def test_schemas_that_are_not_known() -> None:
    for operation in (Transform(len), Reduce(len), Filter(lambda frame: frame)):
        assert kernels.schema_after(operation, [SCHEMA]) is None
    assert kernels.schema_after(Sort("nothing"), [None]) is None
    assert kernels.schema_after(Join("city"), [SCHEMA, None]) is None


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (Sort("citty"), "Sort: column 'citty': there is none of that name, only 'city', .*; did you mean 'city'"),
        (Sort("City"), "did you mean 'city'"),
        (Groupby("tags"), "Groupby: column 'tags': values of type list.* cannot be hashed"),
        (Limit(3, key="tags"), "Limit: column 'tags': values of type list.* cannot be ordered"),
        (Distinct(), "Distinct: column 'tags'"),
        (Exchange(by="x"), "Exchange: column 'x'"),
        (Filter("city > 5"), 'Filter: "city" > 5: takes values of one kind, not text .* and number'),
        (Filter("citi = 'x'"), "Filter: column 'citi': .*did you mean 'city'"),
        (Filter("sold"), 'Filter: "sold": is no condition'),
        (Filter(pc.field("nothing") > 1), "Filter: .*nothing"),
        (Select(["nothing"]), "Select: column 'nothing'"),
        (Select({"x": "LENGTH(sold)"}), r'Select: LENGTH\("sold"\): takes text, not number'),
        (
            Aggregate({"x": ("sum", "name")}),
            "Aggregate: 'x': sum of 'name' is not possible, its values are of type str",
        ),
        (Aggregate({"x": ("mean", "day")}), "mean of 'day' is not possible"),
        (Aggregate({"x": ("max", "tags")}), "max of 'tags' is not possible"),
        (Aggregate({"x": ("max", "nothing")}), "Aggregate: column 'nothing'"),
        (Aggregate({}), "Aggregate: there is neither a key nor a value"),
        (Aggregate({"n": "count"}, by="tags"), "Aggregate: column 'tags'"),
        (Scan("a.csv", columns=["prize"]), "Scan: column 'prize': .*did you mean 'price'"),
        (Write(key="x", index=["nothing"]), "Write: column 'nothing'"),
    ],
)
def test_what_does_not_fit_is_found_before_anything_runs(operation: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        kernels.schema_after(operation, [SCHEMA])


def test_two_parents_that_do_not_fit() -> None:
    other = pa.schema([("city", pa.int64()), ("n", pa.int64())])
    with pytest.raises(
        PlanError, match="Join: 'city' of the left side is string, 'city' of the right is int64: they can"
    ):
        kernels.schema_after(Join("city"), [SCHEMA, other])
    with pytest.raises(PlanError, match="Join: column 'sold': there is none"):
        kernels.schema_after(Join("sold"), [SCHEMA, other])
    with pytest.raises(PlanError, match="Join: it takes 2 parents, and has 1"):
        kernels.schema_after(Join("sold"), [SCHEMA])
    names = pa.schema([("k", pa.int64()), ("a", pa.int64()), ("a_right", pa.int64())])
    with pytest.raises(PlanError, match="both sides have a column 'a_right'; give another suffix"):
        kernels.schema_after(Join("k"), [names, names])
    with pytest.raises(PlanError, match="Union: parent 2 has no column 'sold', 'price'"):
        kernels.schema_after(Union(), [SCHEMA, other])
    with pytest.raises(PlanError, match="Union: column 'n' is bool in parent 1 and int64 in parent 2"):
        kernels.schema_after(Union(), [pa.schema([("n", pa.bool_())]), pa.schema([("n", pa.int64())])])


def test_older_names_stand_for_unnamed_columns() -> None:
    schema = pa.schema([("0", pa.int64()), ("1", pa.string())])
    assert kernels.bound(Sort("c0"), [schema]) == Sort("0")
    assert kernels.bound(Groupby(), [schema]) == Groupby("0")
    assert kernels.bound(Join("c0", right_on="1"), [schema, schema]) == Join("0", right_on="1")
    assert kernels.bound(Aggregate({"n": ("max", "c0")}, by="c1"), [schema]) == Aggregate({"n": ("max", "0")}, by="1")
    assert str(kernels.bound(Filter("c0 > 1"), [schema]).action) == '"0" > 1'
    assert kernels.bound(Sort("c0"), [schema.append(pa.field("c0", pa.int8()))]) == Sort("c0")
    with pytest.raises(PlanError, match="column 'c2'"):
        kernels.bound(Sort("c2"), [schema])


def test_texts_are_read_even_when_the_schema_is_not_known() -> None:
    with pytest.raises(OperationError, match="something is missing"):
        kernels.bound(Filter("a >"), [None])
    with pytest.raises(OperationError, match="give a text, a pyarrow expression or a function"):
        kernels.bound(Filter(5), [None])
    assert kernels.bound(Sort("c0"), [None]) == Sort("c0")


@pytest.mark.parametrize("collide", [False, True])
def test_many_groups_of_texts_are_those_of_arrow(monkeypatch: pytest.MonkeyPatch, collide: bool) -> None:
    if collide:  # keys that differ and share a hash are told apart all the same
        monkeypatch.setattr(grouping, "hashes", lambda keys, by: np.arange(keys.num_rows, dtype=np.uint64) % 7)
    random = np.random.default_rng(5)
    texts = pa.array([f"k{n}" if n else None for n in random.integers(0, 3000, 20_000)], pa.large_string())
    days = pa.array(random.integers(0, 3, 20_000).astype(np.int32)).cast(pa.date32())
    table = pa.table({"text": texts, "day": days, "x": random.integers(0, 100, 20_000)})
    table = pa.concat_tables([table.slice(0, 7000), table.slice(7000)])
    for by in (["text"], ["text", "day"]):
        found = grouping.grouped(table, by, [("x", "sum"), ([], "count_all")])
        wanted = table.group_by(by, use_threads=False).aggregate([("x", "sum"), ([], "count_all")])
        assert found.to_pydict() == wanted.to_pydict()


def test_integers_at_both_ends_of_their_type_are_joined() -> None:
    low, high = -(2**63), 2**63 - 1
    left = pa.table({"k": pa.array([low, high, None, 0, low + 1]), "a": range(5)})
    for keys in ([low, low + 1], [high, high - 1, None], [low, high], [None, None]):
        right = pa.table({"k": pa.array(keys, pa.int64()), "b": range(len(keys))})
        found = joined(left, right, "inner")
        wanted = [(key, place) for place, key in enumerate(left["k"].to_pylist()) if key is not None and key in keys]
        assert [(row["k"], row["a"]) for row in found] == wanted
