"""Which columns can be keys, and that hashes never change."""

import datetime
import decimal
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lithops_shm.errors import PartitionerError
from lithops_shm.shuffle.keys import check_keys, hashes

LONG = "long " * 200
TEXTS = ["", "a", "a\0", "abcdefgh", "abcdefghi", "ä", LONG, None]


def hashed(values: Any, kind: Any = None) -> list[int]:
    found: list[int] = hashes(pa.table({"k": pa.array(values, kind)}), ["k"]).tolist()
    return found


# --- Which columns ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "by", "reason"),
    [
        ([("a", pa.int64())], (), "name at least one"),
        ([("a", pa.int64()), ("b", pa.int64())], ("c",), "'c': there is none of that name, only 'a', 'b'"),
        ([(f"n{index}", pa.int64()) for index in range(99)], ("c",), "'n9', ..."),
        ([("a", pa.int64()), ("a", pa.int64())], ("a",), "2 columns have that name"),
        ([("a", pa.list_(pa.int64()))], ("a",), "list<item: int64> cannot be ordered; name a part"),
        ([("a", pa.struct([("x", pa.int64())]))], ("a",), "name a part of it"),
        ([("a", pa.map_(pa.string(), pa.string()))], ("a",), "name a part of it"),
        ([("a", pa.dense_union([pa.field("x", pa.int64())]))], ("a",), "name a part of it"),
        ([("a", pa.dictionary(pa.int8(), pa.list_(pa.int64())))], ("a",), "name a part of it"),
        ([("a", pa.month_day_nano_interval())], ("a",), "cast it"),
        ([("a", pa.run_end_encoded(pa.int32(), pa.int64()))], ("a",), "cast it"),
    ],
)
def test_what_cannot_be_a_key_is_refused(columns: list[Any], by: tuple[str, ...], reason: str) -> None:
    with pytest.raises(PartitionerError) as caught:
        check_keys(pa.schema(columns), by, ordered=True)
    assert reason in str(caught.value)


def test_the_message_says_what_was_wanted() -> None:
    with pytest.raises(PartitionerError, match="cannot be hashed"):
        check_keys(pa.schema([("a", pa.list_(pa.int64()))]), ("a",), ordered=False)


@pytest.mark.parametrize(
    "kind", [pa.uuid(), pa.bool8(), pa.float16(), pa.decimal256(50, 3), pa.null(), pa.string_view()]
)
def test_what_can_be_a_key_is_accepted(kind: Any) -> None:
    check_keys(pa.schema([("a", kind), ("b", pa.list_(kind))]), ("a",), ordered=True)


# --- Hashes ----------------------------------------------------------------------------------------------------------

# These are in stored objects: never change them.
GOLDEN: list[tuple[Any, Any, int]] = [
    (0, pa.int64(), 0xE220A8397B1DCDAF),
    (1, pa.int64(), 0xE4D971771B652C20),
    (-1, pa.int8(), 0xDE0A564CBCD060C4),
    (2**64 - 1, pa.uint64(), 0xDE0A564CBCD060C4),
    (True, pa.bool_(), 0xE4D971771B652C20),
    (1.5, pa.float32(), 0x88747B63583E67C7),
    (float("nan"), pa.float64(), 0x8709D8D19B4C0AC2),
    (None, pa.int64(), 0x243F6A8885A308D3),
    ("", pa.string(), 0xDFC7A99951F24649),
    ("a", pa.string(), 0x8B5E3E1ACEC3B910),
    ("abcdefgh", pa.string(), 0xF4DDF420F00AE18C),
    ("abcdefghi", pa.string(), 0x3EBBD6F7E72BB4A2),
    (LONG, pa.string(), 0x9CCBA933AF586B93),
    (decimal.Decimal("1.25"), pa.decimal128(9, 2), 0x01049D03E3DBA35F),
    (decimal.Decimal("-1.25"), pa.decimal256(50, 2), 0xB68CAE3369C282C1),
    (datetime.date(2024, 2, 29), pa.date32(), 0xE774C656B66050CA),
    (1_700_000_000_000_000_000, pa.timestamp("ns"), 0xA9C51C2F76F2A578),
]
GOLDEN_PAIRS = [0xF554C8B2339AC410, 0x960EEE6F8625BAC0, 0x7A32EBEE20AE8F6A]


@pytest.mark.parametrize(("value", "kind", "expected"), GOLDEN)
def test_hashes_never_change(value: Any, kind: Any, expected: int) -> None:
    assert hashed([value], kind) == [expected]


def test_hashes_of_several_columns_never_change() -> None:
    table = pa.table({"a": pa.array([1, 2, None], pa.int64()), "b": ["x", "y", None]})
    assert hashes(table, ["a", "b"]).tolist() == GOLDEN_PAIRS
    assert hashes(table, ["b", "a"]).tolist() != GOLDEN_PAIRS


def test_another_process_hashes_alike() -> None:
    program = f"""
import pyarrow as pa
from lithops_shm.shuffle.keys import hashes
print(hashes(pa.table({{"k": pa.array({TEXTS!r})}}), ["k"]).tolist())
"""
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert run.stdout.strip() == str(hashed(TEXTS))


@pytest.mark.parametrize(
    "kind",
    [
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int64(), pa.large_string()),
    ],
)
def test_text_hashes_alike_in_all_its_types(kind: Any) -> None:
    array = pa.array(TEXTS)
    array = array.dictionary_encode() if isinstance(kind, pa.DictionaryType) else array
    assert hashes(pa.table({"k": array.cast(kind)}), ["k"]).tolist() == hashed(TEXTS)


def test_text_of_one_width_hashes_as_among_others() -> None:
    for width in (1, 7, 8, 9, 16, 23, 511, 512, 513, 600):
        values = [str(number % 10) * width for number in range(20)]
        assert hashed(values) == hashed([*values, "", LONG, None])[:20]
        assert hashed([value.encode() for value in values], pa.binary(width)) == hashed(values)


def test_hashes_do_not_depend_on_what_else_is_there() -> None:
    random = np.random.default_rng(0)
    values = ["x" * length for length in random.integers(0, 600, 2000)]
    found = hashed(values)
    for begin, end in [(0, 1), (17, 40), (1000, 2000)]:
        table = pa.table({"k": values})
        assert hashes(table.slice(begin, end - begin), ["k"]).tolist() == found[begin:end]
    chunks = pa.chunked_array([pa.array(values[begin : begin + 300]) for begin in range(0, 2000, 300)])
    assert hashes(pa.table({"k": chunks}), ["k"]).tolist() == found


def test_numbers_hash_alike_at_any_width() -> None:
    for kind in (pa.int8(), pa.int16(), pa.int64(), pa.uint8(), pa.uint64()):
        assert hashed([0, 1, 77], kind) == hashed([0, 1, 77], pa.int32())
    assert hashed([-1], pa.int8()) == hashed([-1], pa.int64())
    floats = [1.5, -2.0, float("inf")]
    assert hashed(floats, pa.float32()) == hashed(floats, pa.float64()) == hashed(np.array(floats, np.float16))


def test_zeros_are_equal_and_so_are_all_nan() -> None:
    odd = np.array([0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001], np.uint64).view(np.float64)
    assert len(set(hashed(odd))) == 1
    plus, minus, null = hashed([0.0, -0.0, None])
    assert plus == minus
    assert null == hashed([None], pa.string())[0]
    assert len({plus, null, hashed(odd)[0]}) == 3


def test_what_lies_under_a_null_does_not_count() -> None:
    data = pa.py_buffer(np.array([1, 2, 3], np.int64))
    array = pa.Array.from_buffers(pa.int64(), 3, [pa.py_buffer(b"\x05"), data])
    assert hashed(array) == hashed([1, None, 3])
    codes = pa.Array.from_buffers(pa.int64(), 3, [pa.py_buffer(b"\x03"), pa.py_buffer(np.array([0, 1, 99], np.int64))])
    coded = pa.DictionaryArray.from_arrays(codes, pa.array(["a", None]), safe=False)
    assert hashed(coded) == hashed(["a", None, None])


@pytest.mark.parametrize("kind", [pa.int64(), pa.null(), pa.string(), pa.dictionary(pa.int8(), pa.string())])
def test_no_rows_have_no_hashes(kind: Any) -> None:
    for column in (pa.array([], kind), pa.chunked_array([], kind)):
        assert hashes(pa.table({"k": column}), ["k"]).shape == (0,)


def test_no_columns_have_no_hashes() -> None:
    with pytest.raises(ValueError, match="no key columns"):
        hashes(pa.table({"k": [1]}), [])


@pytest.mark.parametrize("take", ["low", "high"])
@pytest.mark.parametrize("step", [1, 1 << 20])
@pytest.mark.parametrize("as_text", [False, True])
def test_regular_keys_spread_evenly(take: str, step: int, as_text: bool) -> None:
    numbers = np.arange(100_000) * step
    found = hashes(pa.table({"k": numbers.astype(str) if as_text else numbers}), ["k"])
    partitions = found % np.uint64(16) if take == "low" else found >> np.uint64(60)
    counts = np.bincount(partitions.astype(np.int64), minlength=16)
    assert np.abs(counts / counts.mean() - 1).max() < 0.1
    assert len(np.unique(found)) == len(found)
