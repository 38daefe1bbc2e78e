"""Which codec takes what, and what comes back."""

import mmap
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import lithops_shm.codec
from lithops_shm.codec import Encoded, decode, encode
from lithops_shm.errors import NotSerializableError

N = 5000


@pytest.mark.parametrize(
    ("obj", "codec"),
    [
        (b"x", "bytes"),
        (bytearray(b"x"), "bytes"),
        (memoryview(b"x"), "bytes"),
        (pa.py_buffer(b"x"), "bytes"),
        (pa.table({"a": [1]}), "arrow"),
        (pa.array([1]), "arrow"),
        (pa.scalar(1), "pickle"),
        (pa.schema([]), "pickle"),
        (np.arange(3), "pickle"),
        (pd.DataFrame({"a": [1]}), "pickle"),
        ("text", "pickle"),
        ({"t": pa.table({"a": [1]})}, "pickle"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_choice(round_trip, obj, codec):
    encoded = encode(obj)
    assert isinstance(encoded, Encoded)
    assert encoded.codec == codec
    assert all(type(part) is memoryview and part.format == "B" and part.ndim == 1 for part in encoded.parts)
    round_trip(obj, codec="pickle") if codec != "bytes" else None
    assert encode(obj, codec=codec).codec == codec


@pytest.mark.parametrize(
    ("obj", "codec", "words"),
    [
        (
            "text",
            "bytes",
            "cannot store a str: codec 'bytes' takes bytes, bytearray, memoryview and pyarrow.Buffer; use codec=",
        ),
        (b"x", "arrow", "cannot store a bytes: codec 'arrow' takes pyarrow Table"),
        (pd.DataFrame(), "arrow", r"cannot store a pandas\.\S*DataFrame: codec 'arrow'"),
    ],
)
def test_impossible_choices(obj, codec, words):
    with pytest.raises(NotSerializableError, match=words):
        encode(obj, codec=codec)


def test_unknown_codec():
    with pytest.raises(ValueError, match="no codec 'json'; there are auto, bytes, arrow, pickle"):
        encode(1, codec="json")


@pytest.mark.parametrize("size", [0, 1, N])
def test_bytes_likes(stored, size):
    data = bytes(range(256)) * size
    for obj in (data, bytearray(data)):
        assert decode(stored(obj)) == obj
        assert type(decode(stored(obj))) is type(obj)
    view = stored(memoryview(data))
    found = decode(view)
    assert found == data
    assert found.readonly
    assert not decode(view, writable=True).readonly
    found = decode(stored(pa.py_buffer(data)))
    assert found.equals(pa.py_buffer(data))
    assert not found.is_mutable


def test_subclasses_of_bytes_are_pickled(round_trip):
    assert encode(np.bytes_(b"x")).codec == "pickle"
    assert type(round_trip(np.bytes_(b"x"))) is np.bytes_


MEMORYVIEWS = {
    "matrix": memoryview(np.arange(6.0).reshape(2, 3)),
    "transposed": memoryview(np.arange(6).reshape(2, 3).T),
    "step": memoryview(b"abcdef")[::2],
    "scalar": memoryview(np.array(5)),
    "bool": memoryview(np.array([True, False])),
    "empty": memoryview(np.zeros(0, "u2")),
    "char": memoryview(b"abc").cast("c"),
}


@pytest.mark.parametrize("obj", MEMORYVIEWS.values(), ids=MEMORYVIEWS)
def test_memoryviews_keep_format_and_shape(stored, obj):
    found = decode(stored(obj))
    assert found == obj
    assert (found.format, found.shape) == (obj.format, obj.shape)


@pytest.mark.parametrize(
    "array", [np.zeros(1, ">i4"), np.zeros(1, "F"), np.zeros((0, 2)), np.zeros(1, "i4,i4")], ids=str
)
def test_memoryviews_that_nothing_can_make_again(array):
    with pytest.raises(NotSerializableError, match="nothing can make another of format"):
        encode(memoryview(array))


def test_large_bytes_are_not_copied():
    data = b"x" * 100_000
    assert any(part.obj is data for part in encode(data).parts)


def test_views_outlive_the_mapping_s_name(stored):
    view = stored({"a": np.arange(N), "t": pa.array(range(N))})
    mapping = mmap.mmap(-1, len(view))
    mapping[:] = view
    found = decode(memoryview(mapping))
    with pytest.raises(BufferError):
        mapping.close()
    del mapping
    assert found["a"][-1] == found["t"][-1].as_py() == N - 1


def test_the_view_given_may_be_writable_and_the_result_is_not(stored):
    found = decode(bytearray(stored({"a": np.arange(N)})))["a"]
    assert not found.flags.writeable


def test_a_copy_does_not_need_what_it_was_read_from(stored):
    data = bytearray(stored({"a": np.arange(N), "t": pa.array(range(N)), "m": b"x"}))
    found = decode(data, writable=True)
    data[:] = bytes(len(data))
    assert found["a"][-1] == found["t"][-1].as_py() == N - 1


def test_exports():
    assert sorted(lithops_shm.codec.__all__) == ["CopyReport", "Encoded", "decode", "decode_with_report", "encode"]


@pytest.mark.parametrize(
    ("script", "absent"),
    [
        ("import lithops_shm.codec", "numpy pyarrow pandas polars cloudpickle"),
        (
            "from lithops_shm.codec import *; decode(b''.join(encode(b'x').parts))",
            "numpy pyarrow pandas polars cloudpickle",
        ),
        (
            "from lithops_shm.codec import *; decode(b''.join(encode({'a': [1]}).parts))",
            "numpy pyarrow pandas polars cloudpickle",
        ),
        (
            "import numpy; from lithops_shm.codec import *; decode(b''.join(encode(numpy.arange(9)).parts))",
            "pyarrow pandas polars",
        ),
        (
            "import pyarrow; from lithops_shm.codec import *; decode(b''.join(encode(pyarrow.nulls(3)).parts))",
            "pandas polars",
        ),
    ],
)
def test_nothing_is_imported_that_is_not_used(script, absent):
    check = f"import sys\n{script}\nprint(*sorted(set({absent.split()!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
