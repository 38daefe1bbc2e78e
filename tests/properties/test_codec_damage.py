"""Damaged objects are refused: with one of two errors, never with a crash, never with wrong data."""

import struct

import numpy as np
import pandas as pd
import pyarrow as pa
from effort import times
from hypothesis import given, settings
from hypothesis import strategies as st

from lithops_shm.codec import decode, encode
from lithops_shm.errors import LayoutVersionError, SegmentCorruptError

modest = settings(max_examples=times(200, 4000))

OBJECTS = [
    b"some bytes" * 20,
    memoryview(np.arange(20)).cast("B"),
    {"plain": [1, "2", None], "array": np.arange(3)},
    [np.arange(2000), pa.array(range(2000)), np.arange(900)[::3]],
    pd.DataFrame({"a": range(800), "b": ["x"] * 800}),
    pa.table({"a": pa.chunked_array([[1, None], [], [3]]), "d": pa.array(["x", "y", "x"]).dictionary_encode()}),
    pa.array([[1, 2], None]),
]
STORED = [b"".join(encode(obj).parts) for obj in OBJECTS]


def checked_bytes(data: bytes) -> int:
    """How many bytes from the start on the checksum covers."""
    return int(struct.unpack_from("<Q", data, 24)[0])


def refused(data: bytes | bytearray) -> bool:
    try:
        decode(data)
    except (SegmentCorruptError, LayoutVersionError):
        return True
    return False


@modest
@given(st.sampled_from(STORED), st.data())
def test_changed_bytes(stored: bytes, data: st.DataObject) -> None:
    damaged = bytearray(stored)
    places = st.integers(0, checked_bytes(stored) - 1)
    for place, value in data.draw(st.dictionaries(places, st.integers(1, 255), min_size=1, max_size=8)).items():
        damaged[place] ^= value
    assert refused(damaged)


@modest
@given(st.sampled_from(STORED), st.data())
def test_truncated(stored: bytes, data: st.DataObject) -> None:
    assert refused(stored[: data.draw(st.integers(0, len(stored) - 1))])


@modest
@given(st.sampled_from(STORED), st.binary(min_size=1, max_size=100))
def test_extended(stored: bytes, more: bytes) -> None:
    assert refused(stored + more)


@modest
@given(st.sampled_from(STORED), st.data())
def test_a_run_of_zeros(stored: bytes, data: st.DataObject) -> None:
    """As after a machine that stopped before all was written."""
    start = data.draw(st.integers(0, checked_bytes(stored) - 1))
    damaged = stored[:start] + bytes(len(stored) - start)
    assert damaged[: checked_bytes(stored)] == stored[: checked_bytes(stored)] or refused(damaged)


@modest
@given(st.binary(max_size=300))
def test_noise(noise: bytes) -> None:
    assert refused(noise)
    assert refused(STORED[0][:16] + noise)


@modest
@given(st.data())
def test_arrow_metadata_outside_the_header(data: st.DataObject) -> None:
    """A changed byte of a stream is noticed, or it is one of data."""
    index = data.draw(st.sampled_from([5, 6]))
    stored, expected = STORED[index], OBJECTS[index]
    damaged = bytearray(stored)
    damaged[data.draw(st.integers(checked_bytes(stored), len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    if not refused(damaged):
        found = decode(damaged)
        assert len(found) == len(expected)
        assert getattr(found, "schema", None) == getattr(expected, "schema", None)
