"""The order of rows at sizes where it takes several rounds, and what gathering makes of each column."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lithops_shm.shuffle.order import gather, sort_indices
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


# --- Gathering -------------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "one width": pa.array([f"{number:010}" for number in range(100)]),
    "one width, large": pa.array([f"{number:010}" for number in range(100)], pa.large_string()),
    "widths": pa.array(["x" * number for number in range(100)], pa.large_string()),
    "nulls": pa.array([None if number % 3 else str(number) for number in range(100)], pa.large_string()),
    "all null": pa.array([None] * 100, pa.string()),
    "empty": pa.array([""] * 100),
    "binary": pa.array([bytes(number) for number in range(100)]),
    "views": pa.array([f"view {number}" * 3 for number in range(100)], pa.string_view()),
    "binary views": pa.array([None if number == 5 else b"v" * number for number in range(100)], pa.binary_view()),
    "fixed": pa.array([b"abc"] * 100, pa.binary(3)),
    "booleans": pa.array([number % 3 == 0 for number in range(100)]),
    "dictionary": pa.array([f"{number % 7}" for number in range(100)]).dictionary_encode(),
    "lists": pa.array([[number, None] for number in range(100)]),
    "structs": pa.array([{"x": number, "y": str(number)} for number in range(100)]),
    "uuids": pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([bytes([number]) * 16 for number in range(100)], pa.binary(16))
    ),
    "null": pa.nulls(100),
}


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("name", VALUES)
def test_columns_of_all_types_are_gathered(name: str, chunks: int) -> None:
    array = VALUES[name]
    parts = [array.slice(5 + index * 30, 30) for index in range(chunks)]
    schema = pa.schema([pa.field("v", array.type, metadata={"of": "field"})], metadata={"of": "schema"})
    table = pa.table([pa.chunked_array(parts, array.type)], schema=schema)
    indices = of_seed().integers(0, table.num_rows, 200)
    found = gather(table, indices)
    found.validate(full=True)
    assert found.schema.equals(schema, check_metadata=True)
    values = array.slice(5, 30 * chunks).to_pylist()
    assert found.column(0).to_pylist() == [values[index] for index in indices]
    assert found.column(0).num_chunks == 1


def test_dictionaries_of_chunks_are_unified() -> None:
    chunks = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", "b"]).dictionary_encode()]
    found = gather(pa.table({"k": pa.chunked_array(chunks)}), np.array([3, 2, 1, 0]))
    assert found.column(0).to_pylist() == ["b", "c", "b", "a"]
    assert found.column(0).num_chunks == 1


def test_gathered_views_do_not_hold_their_parents() -> None:
    views = pa.array(["x" * 100] * 1000, pa.string_view())
    found = gather(pa.table({"v": views}), np.array([5, 6])).column(0).chunk(0)
    assert sum(buffer.size for buffer in found.buffers() if buffer is not None) < 1000


def test_a_copy_is_gathered() -> None:
    data = np.frombuffer(bytearray(b"aabbcc"), np.uint8)
    array = pa.StringArray.from_buffers(3, pa.py_buffer(np.array([0, 2, 4, 6], np.int32)), pa.py_buffer(data))
    found = gather(pa.table({"k": array}), np.arange(3))
    data[:] = ord("z")
    assert found.column(0).to_pylist() == ["aa", "bb", "cc"]


def test_no_chunks_and_no_rows_are_gathered() -> None:
    table = pa.schema([("s", pa.string()), ("v", pa.string_view()), ("u", pa.uuid()), ("n", pa.int64())]).empty_table()
    assert gather(table, np.empty(0, np.int64)).equals(table)
    missing = pa.table(
        {"s": pa.chunked_array([], pa.string()), "d": pa.chunked_array([], pa.dictionary(pa.int8(), pa.string()))}
    )
    assert gather(missing, np.empty(0, np.int64)).num_rows == 0


def test_indices_outside_are_refused() -> None:
    table = pa.table({"s": ["aa", "bb"]})
    with pytest.raises(IndexError):
        gather(table, np.array([2]))
