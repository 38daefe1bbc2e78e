"""Where the data of a decoded object are, by address."""

import dataclasses
import json
from collections import deque
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lithops_shm.codec import CopyReport, decode, decode_with_report, encode

N = 5000


@dataclasses.dataclass
class Record:
    """Arrays in attributes."""

    array: Any
    inside: Any = None


class Slotted:
    """Arrays in slots."""

    __slots__ = ("array",)

    def __init__(self, array: Any = None) -> None:
        self.array = array


HOLDERS = {
    "array": lambda array: array,
    "dict": lambda array: {"a": array},
    "key": lambda array: {pd.Timestamp(0): [array]},
    "tuple": lambda array: (1, (array,)),
    "deque": lambda array: deque([array]),
    "dataclass": lambda array: Record(Record(array)),
    "slots": lambda array: Slotted(array),
    "object array": lambda array: np.array([array, None], dtype=object)[:1],
    "frame": lambda array: pd.DataFrame({"a": array}),
    "series": lambda array: pd.Series(array),
    "index": lambda array: pd.Index(array, name="i"),
    "frame index": lambda array: pd.DataFrame(index=array),
    "attrs": lambda array: _with_attrs(array),
    "masked": lambda array: pd.array(array, dtype="Int64"),
    "arrow": lambda array: pa.table({"a": array}),
    "arrow inside": lambda array: [pa.chunked_array([array])],
    "arrow dictionary": lambda array: pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array(array)),
    "polars": lambda array: pl.Series(array),
    "category": lambda array: pd.Categorical([array[0]], categories=array),
    "matrix": lambda array: array.reshape(1, -1).view(np.matrix),
}  # fmt: skip


def _with_attrs(array):
    frame = pd.DataFrame()
    frame.attrs["a"] = array
    return frame


@pytest.mark.filterwarnings("ignore:.*more than 64 KiB")
@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_data_are_found_wherever_they_are(stored, hold):
    array = np.arange(N * 4) * 3
    view = stored(hold(array))
    _, report = decode_with_report(view)
    assert report.nbytes == len(view)
    assert report.viewed_bytes >= array.nbytes or hold is HOLDERS["object array"]
    _, report = decode_with_report(view, writable=True)
    assert report.viewed_bytes == 0
    assert report.copied_bytes >= array.nbytes
    assert not report.zero_copy


def test_a_copy_is_told_from_a_view(stored):
    view = stored({"a": np.arange(N), "b": np.arange(N)})
    found = decode(view)
    found["b"] = found["b"].copy()
    report = CopyReport.measure(found, view)
    assert (report.viewed_bytes, report.copied_bytes) == (8 * N, 8 * N)
    assert [(part.where, part.viewed) for part in report.parts] == [("['a']", True), ("['b']", False)]


def test_bytes_are_copies_and_memoryviews_are_not(stored):
    assert decode_with_report(stored(b"x" * N))[1].copied_bytes == N
    assert decode_with_report(stored(memoryview(b"x" * N)))[1].viewed_bytes == N


def test_shared_data_count_once(stored):
    array = np.arange(N)
    assert decode_with_report(stored([array, array, Record(array)]))[1].viewed_bytes == array.nbytes


def test_small_data_do_not_count_against_zero_copy(stored):
    report = decode_with_report(stored([np.arange(3), np.arange(N)]))[1]
    assert report.copied_bytes == 24
    assert report.zero_copy


def test_cycles_end(stored):
    record = Record(np.arange(N))
    record.inside = [record]
    assert decode_with_report(stored(record))[1].viewed_bytes == 8 * N


def test_nothing_to_report(stored):
    report = decode_with_report(stored({"a": [1, "x", None]}))[1]
    assert report.zero_copy
    assert str(report) == f"0 bytes viewed, 0 copied; {report.nbytes} stored"


def test_the_table(stored):
    view = stored({"numbers": np.arange(N), "text": b"x" * 3000})
    report = decode_with_report(view)[1]
    assert str(report).splitlines() == [
        f"40,000 bytes viewed, 3,000 copied; {len(view):,} stored",
        "  40,000  view  numpy int64  ['numbers']",
        "   3,000  COPY  bytes        ['text']",
    ]
    many = decode_with_report(stored([np.arange(N) for _ in range(30)]))[1]
    assert str(many).endswith("and 10 smaller ones")


def test_ready_for_json(stored):
    report = decode_with_report(stored(np.arange(N)))[1]
    assert json.loads(json.dumps(report.to_dict())) == {
        "nbytes": report.nbytes,
        "viewed_bytes": 8 * N,
        "copied_bytes": 0,
        "zero_copy": True,
        "parts": [{"where": "", "kind": "numpy int64", "nbytes": 8 * N, "viewed": True}],
    }


def test_measuring_keeps_nothing_alive():
    data = bytearray(b"".join(encode(np.arange(N)).parts))
    found, report = decode_with_report(memoryview(data))
    assert report.zero_copy
    del found
    data.append(0)  # which a view would forbid
