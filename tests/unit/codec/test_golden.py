"""Objects stored by every earlier layout version are still read.

Never change a file in ``golden``. For a new layout version, add its number to `WRITTEN`, and its files by running this
module as a script, before the release that writes it.
"""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lithops_shm.codec import decode, encode
from lithops_shm.codec.layout import VERSION, unpack

GOLDEN = Path(__file__).with_name("golden")
WRITTEN = [1]

NUMBERS = np.arange(300).reshape(30, 10)
WORDS = ["a", None, "b", "a long word, far too long to be kept inline"]

OBJECTS = {
    "bytes": b"\x00\x01binary\xff",
    "bytearray": bytearray(b"mutable"),
    "memoryview": memoryview(np.arange(6, dtype="i4").reshape(2, 3)),
    "buffer": pa.py_buffer(b"an Arrow buffer"),
    "table": pa.table(
        {
            "i": [1, None, 3, 4],
            "s": WORDS,
            "v": pa.array(WORDS, pa.string_view()),
            "d": pa.array(WORDS).dictionary_encode(),
        }
    ).replace_schema_metadata({"origin": "golden"}),
    "batch": pa.record_batch({"t": pa.array([0, None], pa.timestamp("ns", "UTC")), "l": [[1, 2], None]}),
    "chunked": pa.chunked_array([["a"], [], ["b", "c"]], pa.large_string()),
    "array": pa.array([1.5, None]),
    "pickle": {
        "plain": [None, 1, "text", {"nested": (2.5, b"bytes")}],
        "inline": np.arange(3, dtype=">i2"),
        "C": NUMBERS,
        "F": NUMBERS.T,
        "step": NUMBERS[::2, ::-1],
        "broadcast": np.broadcast_to(NUMBERS[:, :1], (30, 7)),
        "datetime": NUMBERS.astype("M8[ms]"),
        "structured": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
        "masked": np.ma.array(NUMBERS, mask=NUMBERS % 3 == 0, fill_value=-1),
        "matrix": NUMBERS.view(np.matrix),
        "arrow": pa.array(range(400)),
    },
}


@pytest.mark.parametrize("version", WRITTEN)
@pytest.mark.parametrize("name", OBJECTS)
def test_old_layouts_are_read(assert_identical, name, version):
    data = (GOLDEN / f"v{version}-{name}.bin").read_bytes()
    assert data[8:12] == version.to_bytes(4, "little")
    found = decode(data)
    expected = OBJECTS[name]
    if isinstance(expected, (memoryview, pa.Buffer)):
        assert found == expected
    else:
        assert_identical(expected, found)


def test_the_version_written_has_golden_files():
    assert max(WRITTEN) == VERSION


@pytest.mark.parametrize("name", ["bytes", "bytearray", "memoryview", "buffer"])
def test_the_layout_has_not_changed_without_a_new_version(name):
    """Down to the bytes; Arrow and pickle may write the same in another way with another release."""
    data = (GOLDEN / f"v{VERSION}-{name}.bin").read_bytes()
    assert b"".join(encode(OBJECTS[name]).parts) == data


def test_kinds_are_stable():
    kinds = {name: unpack(memoryview((GOLDEN / f"v1-{name}.bin").read_bytes())).kind for name in OBJECTS}
    assert kinds["bytes"] == kinds["memoryview"] == 1
    assert kinds["table"] == kinds["array"] == 2
    assert kinds["pickle"] == 3


NAMES = {
    "arrays": ["view", "masked", "cast"],
    "arrow": ["load"],
    "frames": ["column", "extension_array", "polars_frame"],
}


@pytest.mark.parametrize("room", NAMES)
def test_names_in_stored_objects_resolve(room):
    module = import_module(f"lithops_shm.codec.{room}")
    assert all(callable(getattr(module, name)) for name in NAMES[room])


if __name__ == "__main__":
    for name, obj in OBJECTS.items():
        path = GOLDEN / f"v{VERSION}-{name}.bin"
        if path.exists():
            sys.exit(f"{path} exists, and must not change")
        path.write_bytes(b"".join(encode(obj).parts))
