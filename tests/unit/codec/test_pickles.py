"""Anything Python: by plain pickle where that will do, by cloudpickle where it must, by name when it cannot."""

import dataclasses
import gc
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lithops_shm.codec import decode, decode_with_report, encode, pickles
from lithops_shm.errors import NotSerializableError

N = 5000


@dataclasses.dataclass
class Record:
    """A bit of everything."""

    array: Any
    table: Any
    frame: Any
    name: str = "x"


class Buffered:
    """A class with its own support of protocol 5."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: int) -> Any:
        return Buffered, (pickle.PickleBuffer(self.data),)


class Unruly:
    """A class whose pickling fails in an unusual way."""

    def __reduce__(self):
        raise LookupError("no state today")


PLAIN = [
    None, True, 1, 2**100, 1.5, float("nan"), "text", "é\ud800", b"", (), [], {}, set(), {1: {2: [3]}}, range(3), ...,
    [1, "1", 1.0, True], b"x" * 100_000, "x" * 100_000, {"big": [b"y" * 200_000, "z" * 70_000]},
]  # fmt: skip


@pytest.mark.parametrize("obj", PLAIN, ids=lambda obj: repr(obj)[:20])
def test_plain_objects(round_trip, obj):
    round_trip(obj)
    round_trip(obj, codec="pickle")


def test_data_at_any_depth_are_views(round_trip, stored):
    frame = pd.DataFrame({"a": np.arange(N), "b": pd.array(["x"] * N, dtype="string[pyarrow]")})
    record = Record(np.arange(N), pa.table({"a": range(N)}), frame)
    nested = {"records": [record, {"again": (record.table.column("a"), frame["b"])}]}
    round_trip(nested)
    assert decode_with_report(stored(nested))[1].zero_copy


def test_references_and_cycles(stored):
    array, table, frame = np.arange(N), pa.table({"a": range(N)}), pd.DataFrame({"a": ["x"] * N, "b": ["y"] * N})
    ring: list[Any] = [array, table, frame, {"array": array, "table": table, "frame": frame}]
    ring.append(ring)
    found = decode(stored(ring))
    assert found[4] is found
    assert found[3]["array"] is found[0]
    assert found[3]["table"] is found[1]
    assert found[3]["frame"] is found[2]


def test_own_support_of_protocol_5(stored):
    for size in (10, N):
        found, report = decode_with_report(stored([Buffered(b"x" * size), Buffered(bytearray(size))]))
        assert [bytes(item.data) for item in found] == [b"x" * size, bytes(size)]
    assert report.viewed_bytes == 2 * N


def test_large_texts_are_not_copied_into_the_stream():
    text = b"x" * 1_000_000
    assert any(part.obj is text for part in encode({"text": text}).parts)


def test_lambdas_and_local_classes(stored):
    class Local:
        def __init__(self, array):
            self.array = array

    factor = 3
    found, report = decode_with_report(stored({"f": lambda x: factor * x, "local": Local(np.arange(N))}))
    assert found["f"](2) == 6
    assert type(found["local"]).__name__ == "Local"
    assert report.viewed_bytes == 8 * N


SCRIPT = """
import dataclasses, sys
import numpy as np
from lithops_shm.codec import decode, encode

@dataclasses.dataclass
class Point:
    x: int
    data: object

    def double(self):
        return helper(self.x)

def helper(x):
    return 2 * x

if __name__ == "__main__":
    for obj in (Point(21, np.arange(5000)), helper, Point):
        with open(sys.argv[1], "wb") as file:
            file.writelines(encode(obj).parts)
        print(decode(open(sys.argv[1], "rb").read()))
    with open(sys.argv[1], "wb") as file:
        file.writelines(encode(Point(21, np.arange(5000))).parts)
"""


def test_what_is_defined_in_main_is_known_elsewhere(tmp_path):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    subprocess.run([sys.executable, tmp_path / "script.py", tmp_path / "object"], check=True, stdout=subprocess.DEVNULL)
    found, report = decode_with_report((tmp_path / "object").read_bytes())
    assert found.double() == 42
    assert report.viewed_bytes == 40_000


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (threading.Lock(), r"cannot store a _thread\.lock: cannot pickle '_thread\.lock' object; leave that part out"),
        ({"a": [threading.Lock()]}, r"cannot store a dict: cannot pickle '_thread\.lock' object"),
        ((i for i in ()), "cannot store a generator: cannot pickle 'generator' object"),
        (Unruly(), r"cannot store a .*Unruly: no state today"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(obj, words):
    with pytest.raises(NotSerializableError, match=words):
        encode(obj)


def test_deep_nesting_is_refused():
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotSerializableError, match="recursion"):
        encode(deep)
    while deep:  # taken apart from the outside, for the deallocator's sake
        deep = deep[0]


def test_running_out_of_memory_is_not_a_matter_of_types():
    class Greedy:
        def __reduce__(self):
            raise MemoryError

    with pytest.raises(MemoryError):
        encode(Greedy())


def test_without_cloudpickle(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    pickles._cloud_pickler.cache_clear()
    try:
        with pytest.raises(NotSerializableError, match="with cloudpickle installed more can be stored"):
            encode(lambda: 1)
        assert encode({"a": 1}).codec == "pickle"
    finally:
        pickles._cloud_pickler.cache_clear()


def test_encoding_keeps_nothing_alive():
    class Array(np.ndarray):
        """One that can be referred to weakly."""

    gc.collect()
    gc.disable()
    try:
        array = np.arange(N).view(Array)
        alive = weakref.ref(array)
        encode([array])
        del array
        assert alive() is None, "without waiting for the collector of cycles"
    finally:
        gc.enable()
