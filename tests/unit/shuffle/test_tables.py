"""Tables of one mapper made one."""

import pyarrow as pa
import pytest

from lithops_shm.errors import SchemaMismatchError
from lithops_shm.shuffle.tables import joined

FIRST = pa.table({"k": pa.array([1, 2], pa.int64()), "v": pa.array(["a", "b"], pa.large_string())})


@pytest.mark.parametrize(
    "other",
    [
        pa.table({"k": pa.array([3], pa.int64()), "v": pa.array([None], pa.null())}),
        pa.table({"v": pa.array(["c"], pa.large_string()), "k": pa.array([3], pa.int64())}),
        pa.table({"v": pa.array([None], pa.null()), "k": pa.array([3], pa.int64())}),
        pa.table(
            [pa.array([3], pa.int64()), pa.array(["c"], pa.large_string())],
            schema=pa.schema([pa.field("k", pa.int64(), nullable=False), pa.field("v", pa.large_string())]),
        ),
        FIRST.slice(0, 1).replace_schema_metadata({"a": "b"}),
    ],
    ids=["all null", "another order", "both", "not nullable", "metadata"],
)
def test_what_differs_harmlessly_is_joined(other: pa.Table) -> None:
    rows = [*FIRST.to_pylist(), *other.select(["k", "v"]).to_pylist()]
    for tables, names in (([FIRST, other], FIRST.column_names), ([other, FIRST], other.column_names)):
        table = joined(tables, 4)
        table.validate(full=True)
        assert table.column_names == names
        assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
            "k": pa.int64(),
            "v": pa.large_string(),
        }
        assert sorted(table.select(["k", "v"]).to_pylist(), key=lambda row: row["k"]) == sorted(
            rows, key=lambda row: row["k"]
        )


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int8(), pa.string()), pa.list_(pa.int64()), pa.decimal128(5, 2)])
def test_a_column_all_null_takes_any_type(kind: pa.DataType) -> None:
    table = joined([pa.table({"x": pa.nulls(2)}), pa.table({"x": pa.nulls(1, kind)}), pa.table({"x": pa.nulls(2)})], 0)
    assert table.schema.types == [kind]
    assert table["x"].null_count == 5


def test_columns_all_null_everywhere_stay_so() -> None:
    tables = [pa.table({"x": pa.nulls(1), "y": [1]}), pa.table({"y": [2], "x": pa.nulls(1)})]
    assert joined(tables, 0).to_pydict() == {"x": [None, None], "y": [1, 2]}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (pa.table({"k": [1.5], "v": pa.array(["a"], pa.large_string())}), r"mapper 4 gives column 'k' as double"),
        (pa.table({"k": [1]}), r"mapper 4 gives column 'v' as no column"),
        (FIRST.append_column("more", [[1, 2]]), r"mapper 4 gives column 'more' as int64, mapper 4 as no column"),
    ],
)
def test_what_really_differs_is_named(other: pa.Table, said: str) -> None:
    between = pa.table({"v": pa.nulls(1), "k": pa.nulls(1)})
    for tables in ([FIRST, other], [FIRST, between, other]):
        with pytest.raises(SchemaMismatchError, match=said):
            joined(tables, 4)


def test_types_are_compared_behind_a_column_all_null() -> None:
    tables = [pa.table({"k": pa.nulls(1)}), pa.table({"k": [1]}), pa.table({"k": ["a"]})]
    with pytest.raises(SchemaMismatchError, match=r"column 'k' as string, mapper 2 as int64"):
        joined(tables, 2)
