"""Samples, bounds and cuts of sorted tables."""

import gc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lithops_shm.shuffle.gather import gather
from lithops_shm.shuffle.order import sort_indices
from lithops_shm.shuffle.ranges import ROWS, Keys, Range, bounds, cut, sample


def sorted_by_key(table: Any) -> Any:
    return gather(table, sort_indices(table, ["k"]))


def sizes(tables: list[Any], partitions: int, samples: int) -> Any:
    """How many rows each partition gets of all tables."""
    least = bounds([sample(table, ["k"], samples) for table in tables], ["k"], partitions)
    total = np.zeros(least.num_rows + 1, np.int64)
    for table in tables:
        total += np.diff([0, *cut(table, ["k"], least), table.num_rows])
    assert total.sum() == sum(table.num_rows for table in tables)
    return total


# --- Samples ---------------------------------------------------------------------------------------------------------


def test_a_sample_is_evenly_spaced_with_both_ends() -> None:
    found = sample(pa.table({"v": [0] * 101, "k": range(101)}), ["k"], 5)
    assert found.to_pydict() == {"k": [0, 25, 50, 75, 100], ROWS: [25, 25, 25, 25, 1]}


def test_all_rows_are_sampled_when_they_are_few() -> None:
    assert sample(pa.table({"k": [3, 4]}), ["k"], 9).to_pydict() == {"k": [3, 4], ROWS: [1, 1]}
    assert sample(pa.table({"k": [3]}), ["k"], 2).to_pydict() == {"k": [3], ROWS: [1]}
    assert sample(pa.table({"k": pa.array([], pa.int8())}), ["k"], 2).to_pydict() == {"k": [], ROWS: []}


def test_a_key_may_have_the_name_of_the_counts() -> None:
    table = pa.table({ROWS: range(100)})
    samples = [sample(table, [ROWS], 20)]
    assert bounds(samples, [ROWS], 2).to_pydict() == {ROWS: [52]}


def test_one_row_is_no_sample() -> None:
    with pytest.raises(ValueError, match="2 are the least"):
        sample(pa.table({"k": [1]}), ["k"], 1)


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_sample_holds_nothing_of_the_table(kind: Any) -> None:
    texts = pa.array([f"{number:050}" for number in range(20_000)])
    array = (texts.dictionary_encode() if isinstance(kind, pa.DictionaryType) else texts).cast(kind)
    del texts
    gc.collect()
    before = pa.total_allocated_bytes()
    found = sample(pa.table({"k": array}), ["k"], 10)
    assert found.get_total_buffer_size() < 10_000
    del array
    gc.collect()
    assert pa.total_allocated_bytes() < before - 1_000_000
    assert found.column(0).to_pylist()[-1] == f"{19_999:050}"


def test_chunks_extensions_and_nulls_are_sampled() -> None:
    uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16, b"b" * 16, None], pa.binary(16)))
    table = pa.table({"k": pa.chunked_array([uuids.slice(0, 1), uuids.slice(1, 0), uuids.slice(1)])})
    found = sample(table, ["k"], 5)
    assert found.column(0).to_pylist() == [b"a" * 16, b"b" * 16, None]
    least = bounds([found], ["k"], 3)
    assert cut(table, ["k"], least) == [1, 2]
    view = pa.table({"k": pa.array(["a", None], pa.string_view())})
    assert sample(view, ["k"], 2).column(0).to_pylist() == ["a", None]


# --- Bounds ----------------------------------------------------------------------------------------------------------


def test_bounds_are_few_when_keys_are() -> None:
    samples = [sample(pa.table({"k": [1, 1, 1]}), ["k"], 9), sample(pa.table({"k": [1, 2, 2]}), ["k"], 9)]
    assert bounds(samples, ["k"], 8).to_pydict() == {"k": [2]}
    assert bounds(samples, ["k"], 1).num_rows == 0


def test_no_rows_have_no_bounds() -> None:
    empty = pa.table({"k": pa.array([], pa.string())})
    least = bounds([sample(empty, ["k"], 9)], ["k"], 4)
    assert least.schema == empty.schema
    assert cut(empty, ["k"], least) == []
    assert Range(Keys(least, ["k"]), 0).rows_in(Keys(empty, ["k"]), 0, 0) == (0, 0)


def test_a_column_may_be_all_null_somewhere() -> None:
    nulls = sample(pa.table({"k": pa.nulls(3)}), ["k"], 9)
    words = sample(pa.table({"k": pa.array(["a", "b"]).dictionary_encode()}), ["k"], 9)
    least = bounds([nulls, words], ["k"], 3)
    assert least.to_pydict() == {"k": ["b", None]}
    assert cut(pa.table({"k": pa.nulls(3)}), ["k"], least) == [0, 0]


def test_no_partition_is_refused() -> None:
    with pytest.raises(ValueError, match="0 partitions"):
        bounds([sample(pa.table({"k": [1]}), ["k"], 2)], ["k"], 0)


@pytest.mark.parametrize("partitions", [2, 7, 16])
def test_the_largest_partition_is_the_smallest_possible(partitions: int) -> None:
    """Against all ways to split: by dynamic programming over a table whose every row is sampled."""
    random = np.random.default_rng(partitions)
    keys = np.sort(random.integers(0, 25, 60))
    table = pa.table({"k": keys})
    weights = np.bincount(keys)[np.unique(keys)]
    best = [0, *[10**9] * len(weights)]
    for _ in range(partitions):
        best = [min(max(best[j], weights[j:i].sum()) for j in range(i + 1)) for i in range(len(weights) + 1)]
    assert max(sizes([table], partitions, 60)) <= max(best[-1], weights.max()) + 1


KEYS: dict[str, Any] = {
    "uniform": lambda random, rows: random.integers(0, 2**40, rows),
    "normal": lambda random, rows: random.standard_normal(rows),
    "30 % duplicates": lambda random, rows: np.where(
        random.random(rows) < 0.3, random.integers(0, 50, rows), random.integers(0, 2**40, rows)
    ),
    "Zipf": lambda random, rows: random.zipf(1.2, rows).clip(max=2**50),
    "one heavy key": lambda random, rows: np.where(random.random(rows) < 0.4, 500, random.integers(0, 1000, rows)),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(("mappers", "partitions"), [(4, 4), (8, 16)])
def test_partitions_are_of_one_size(name: str, mappers: int, partitions: int) -> None:
    random = np.random.default_rng(1)
    keys = [KEYS[name](random, 20_000) for _ in range(mappers)]
    found = sizes([sorted_by_key(pa.table({"k": each})) for each in keys], partitions, 20 * partitions)
    heaviest = np.unique(np.concatenate(keys), return_counts=True)[1].max()
    assert found.max() < max(1.5 * found.sum() / partitions, 1.05 * heaviest)


def test_a_heavy_key_has_a_partition_of_its_own() -> None:
    random = np.random.default_rng(2)
    table = sorted_by_key(pa.table({"k": KEYS["one heavy key"](random, 50_000)}))
    least = bounds([sample(table, ["k"], 1000)], ["k"], 8)["k"].to_pylist()
    assert 500 in least
    assert least[least.index(500) + 1] - 500 <= 3  # the next key that was sampled


def test_mappers_of_different_ranges_are_weighed() -> None:
    tables = [pa.table({"k": np.arange(100_000)}), pa.table({"k": np.arange(100_000, 100_100)})]
    found = sizes(tables, 4, 100)
    assert found.max() < 1.1 * found.mean()


# --- Cuts ------------------------------------------------------------------------------------------------------------


def test_equal_keys_are_never_split() -> None:
    table = pa.table({"k": [1, 1, 2, 2, 2, 4]})
    least = pa.table({"k": [1, 2, 3, 9]})
    assert cut(table, ["k"], least) == [0, 2, 5, 6]
    assert [
        Range(Keys(least, ["k"]), number).rows_in(Keys(table, ["k"]), 0, table.num_rows) for number in range(6)
    ] == [
        (0, 0),
        (0, 2),
        (2, 5),
        (5, 6),
        (6, 6),
        (6, 6),
    ]


def test_there_is_no_partition_before_the_first() -> None:
    with pytest.raises(ValueError, match="no partition -1"):
        Range(Keys(pa.table({"k": [1]}), ["k"]), -1)


def test_several_keys_nan_and_null_are_cut() -> None:
    nan = float("nan")
    table = pa.table({"a": [0.0, -0.0, 1.0, nan, nan, None, None], "b": ["x", "y", "x", "x", None, "a", None]})
    assert sort_indices(table, ["a", "b"]).tolist() == list(range(7))
    least = pa.table({"a": [-0.0, nan, nan, None, None], "b": ["y", "x", None, "b", None]})
    assert cut(table, ["a", "b"], least) == [1, 3, 4, 6, 6]


def test_nanoseconds_count() -> None:
    for kind in (pa.timestamp("ns", "Europe/Berlin"), pa.time64("ns"), pa.duration("ns")):
        table = pa.table({"k": pa.array([10, 11, 12], pa.int64()).cast(kind)})
        assert cut(table, ["k"], table.slice(1)) == [1, 2]


def test_many_cuts_are_exact() -> None:
    numbers = np.arange(100_000) // 3
    table = pa.table({"k": pa.chunked_array([numbers[:50_000], numbers[50_000:]]), "j": np.arange(100_000)})
    places = np.linspace(1, 99_999, 50).astype(int)
    assert cut(table, ["k", "j"], table.take(pa.array(places))) == places.tolist()
