"""The order of rows at sizes where it takes several rounds."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lithops_shm.shuffle.order import sort_indices
from lithops_shm.shuffle.refine import refine

ROWS = 20_000


def of_seed(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def texts(numbers: Any, form: str) -> Any:
    return pa.array([form.format(number) for number in numbers], pa.large_string())


COLUMNS: dict[str, Any] = {
    "integers": lambda random: random.integers(-(2**63), 2**63 - 1, ROWS),
    "few integers": lambda random: random.integers(0, 9, ROWS),
    "constant": lambda random: np.full(ROWS, -5),
    "ascending": lambda random: np.arange(ROWS) << 44,
    "descending": lambda random: np.arange(ROWS)[::-1].copy(),
    "floats": lambda random: random.standard_normal(ROWS),
    "close floats": lambda random: 1 + random.integers(0, 500, ROWS) * 2.0**-52,
    "long prefixes": lambda random: texts(random.integers(0, 10**9, ROWS), "aaaaaaaaaaaaaaaaaaa{:09}"),
    "only lengths": lambda random: pa.array(["a" * length for length in random.integers(0, 40, ROWS)]),
    "long texts": lambda random: texts(random.integers(0, 3000, ROWS), "{:0120}"),
    "long and short": lambda random: pa.array(
        [("x" * 90 if n % 7 else "x") + str(n) for n in random.integers(0, 900, ROWS)]
    ),
    "constant texts": lambda random: pa.array(["constant" * 12] * ROWS),
    "duplicates": lambda random: texts(
        np.where(random.random(ROWS) < 0.3, 5, random.integers(0, 10**10, ROWS)), "{:010}"
    ),
    "nulls": lambda random: pa.array(random.integers(0, 99, ROWS), mask=random.random(ROWS) < 0.5),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("second", [None, "few integers", "integers", "only lengths"])
def test_many_rows_are_in_arrows_order(name: str, second: str | None) -> None:
    random = of_seed()
    columns = {"a": COLUMNS[name](random)}
    if second is not None:
        columns["b"] = COLUMNS[second](random)
    table = pa.table(columns)
    expected = pc.sort_indices(
        table.append_column("row", [np.arange(ROWS)]), sort_keys=[(key, "ascending") for key in (*columns, "row")]
    )
    assert np.array_equal(sort_indices(table, list(columns)), expected.to_numpy())


@pytest.mark.parametrize("runs", [1, 4, 64])
def test_sorted_runs_are_merged(runs: int) -> None:
    keys = of_seed().integers(0, 5000, (runs, ROWS // runs))
    keys.sort(axis=1)
    table = pa.table({"k": pa.chunked_array(list(keys))})
    assert np.array_equal(sort_indices(table, ["k"]), np.argsort(keys.ravel(), kind="stable"))


def test_words_are_not_read_when_nothing_is_tied() -> None:
    read = []

    def word(number: int, values: Any) -> Any:
        def of(rows: Any) -> Any:
            read.append((number, ROWS if rows is None else len(rows)))
            return values if rows is None else values[rows]

        return of

    distinct = of_seed().permutation(ROWS).astype(np.uint64)
    almost = np.where(distinct == 7, np.uint64(8), distinct)
    order, first = refine([word(0, almost << np.uint64(30)), word(1, distinct), word(2, distinct)], ROWS)
    assert np.array_equal(order, np.argsort(distinct))
    assert first.all()
    assert read == [
        (0, ROWS),
        (1, 2),
        (2, 2),
    ]  # one bit told the two apart; with rows so few a second word is read with it


def test_equal_keys_are_told_from_others() -> None:
    values = np.array([5, 3, 5, 1, 3, 5], np.uint64)
    order, first = refine([lambda rows: values if rows is None else values[rows]], 6)
    assert order.tolist() == [3, 1, 4, 0, 2, 5]
    assert first.tolist() == [True, True, False, True, False, False]
    assert refine([], 3)[1].tolist() == [True, False, False]
    assert refine([], 0)[1].tolist() == []


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows_are_in_order(rows: int) -> None:
    table = pa.table({"a": pa.array(["x"][:rows], pa.string()), "b": pa.array([1.0][:rows], pa.float64())})
    assert sort_indices(table, ["a", "b"]).tolist() == list(range(rows))


def test_what_lies_under_a_null_does_not_count() -> None:
    data = pa.py_buffer(np.array([7, 9, 3, 1], np.int64))
    array = pa.Array.from_buffers(pa.int64(), 4, [pa.py_buffer(b"\x05"), data])  # 7, null, 3, null
    assert sort_indices(pa.table({"k": array}), ["k"]).tolist() == [2, 0, 1, 3]


def test_nulls_in_a_dictionary_are_nulls() -> None:
    first = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2]), pa.array(["b", None, "a"]))
    second = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["a", "b"]))
    table = pa.table({"k": pa.chunked_array([first, second])})
    assert sort_indices(table, ["k"]).tolist() == [3, 4, 6, 0, 5, 1, 2]


def test_the_end_of_the_buffer_is_not_passed() -> None:
    """Text is read in words of 8 bytes, and the last values have fewer behind them."""
    for tail in range(12):
        data = b"xxxxyyyy"[: 8 - tail % 8] + b"b" * tail
        offsets = np.array([0, len(data) - tail, *range(len(data) - tail + 1, len(data) + 1)], np.int64)
        array = pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))
        assert (
            sort_indices(pa.table({"k": array}), ["k"]).tolist()
            == np.argsort(array.to_pylist(), kind="stable").tolist()
        )
