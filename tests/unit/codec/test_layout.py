"""The header is checked before anything is believed."""

import random
import struct
from zlib import crc32

import numpy as np
import pyarrow as pa
import pytest

from lithops_shm.codec import decode, encode
from lithops_shm.codec.layout import ALIGNMENT, VERSION, Region, pack, unpack
from lithops_shm.errors import LayoutVersionError, SegmentCorruptError


def joined(kind, in_band, regions):
    parts, nbytes = pack(kind, in_band, regions)
    data = memoryview(b"".join(parts))
    assert len(data) == nbytes
    return data


def resealed(data, offset, format_, value):
    """The same bytes with one field changed and a checksum that agrees with it."""
    changed = bytearray(data)
    struct.pack_into(format_, changed, offset, value)
    (header_bytes,) = struct.unpack_from("<Q", changed, 24)
    struct.pack_into("<I", changed, 60, crc32(changed[64:header_bytes], crc32(changed[:60])))
    return memoryview(changed)


SIZES = [0, 1, 63, 64, 65, 4095, 4096, 10_000]


def test_round_trip():
    contents = [bytes([size % 251]) * size for size in SIZES]
    regions = [Region([content[:7], content[7:]], len(content)) for content in contents]
    data = joined(3, [b"in", b"-", b"band" * 5000], regions)
    kind, in_band, buffers = unpack(data)
    assert kind == 3
    assert in_band == b"in-" + b"band" * 5000
    assert buffers == contents


def test_buffers_are_aligned():
    data = joined(1, [b"x"], [Region([bytes(size)], size) for size in SIZES])
    starts = struct.unpack_from(f"<{2 * len(SIZES)}Q", data, 64)[::2]
    assert all(start % ALIGNMENT == 0 for start in starts)


def test_large_pieces_are_not_copied_and_small_ones_are_few():
    large = np.zeros(100_000, np.uint8)
    regions = [Region([bytes(8), large.data, bytes(3)], len(large) + 11)] + [Region([bytes(8)] * 100, 800)] * 9
    parts, _ = pack(1, [b"small"], regions)
    assert [np.shares_memory(np.frombuffer(part, np.uint8), large) for part in parts] == [False, True, False]


def test_the_header_is_as_documented():
    data = joined(2, [b"ab"], [Region([b"xyz"], 3)])
    assert data[:8] == b"\x89LSHM\r\n\n"
    assert struct.unpack_from("<IIIIQQ", data, 8) == (1, 2, 1, 0, 82, 131)
    assert struct.unpack_from("<QQ", data, 64) == (128, 3)
    assert struct.unpack_from("<I", data, 60)[0] == crc32(data[64:82], crc32(data[:60]))
    assert data[80:82] == b"ab"
    assert data[128:] == b"xyz"


DATA = joined(3, [b"in band"], [Region([b"a" * 100], 100), Region([b"b" * 70], 70)])


@pytest.mark.parametrize("length", range(0, len(DATA), 7))
def test_truncated(length):
    with pytest.raises(SegmentCorruptError, match=r"too few|was written as"):
        unpack(DATA[:length])


def test_extended():
    with pytest.raises(SegmentCorruptError, match=f"was written as {len(DATA)} bytes and has {len(DATA) + 1}"):
        unpack(memoryview(bytes(DATA) + b"\0"))


@pytest.mark.parametrize(
    ("offset", "format_", "value"),
    [
        (16, "<I", 3),  # more buffers than fit before the stream
        (16, "<I", 2**32 - 1),
        (24, "<Q", 95),  # a header shorter than its table
        (24, "<Q", len(DATA) + 1),
        (64, "<Q", 0),  # a buffer over the header
        (64, "<Q", 2**64 - 1),
        (72, "<Q", 2**64 - 1),
        (72, "<Q", 150),  # over the next one
        (80, "<Q", 200),  # over the one before
        (88, "<Q", 71),  # over the end
        (8, "<I", 0),  # a version that never was
    ],
)
def test_lies_with_a_correct_checksum(offset, format_, value):
    changed = bytearray(DATA)
    struct.pack_into(format_, changed, offset, value)
    (header_bytes,) = struct.unpack_from("<Q", changed, 24)
    if header_bytes <= len(changed):
        changed = resealed(DATA, offset, format_, value)
    with pytest.raises(SegmentCorruptError):
        unpack(memoryview(changed))


def test_a_newer_version_is_not_read():
    with pytest.raises(LayoutVersionError, match=f"layout version {VERSION + 1}, this release reads up to {VERSION}"):
        unpack(resealed(DATA, 8, "<I", VERSION + 1))


def test_foreign_bytes():
    with pytest.raises(SegmentCorruptError, match="not the mark"):
        unpack(memoryview(bytes(100)))


def test_an_unknown_kind_of_this_version():
    with pytest.raises(SegmentCorruptError, match="no codec of kind 77"):
        decode(joined(77, [], []))


OBJECTS = {
    "bytes": b"data" * 30,
    "pickle": {"a": np.arange(1000), "b": list(range(30)), "c": pa.array(range(1000))},
    "arrow": pa.table({"a": [1, None, 3], "b": pa.array(["x", "y", "x"]).dictionary_encode()}),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_every_flipped_bit_of_a_header_is_noticed(name):
    data = bytearray(b"".join(encode(OBJECTS[name]).parts))
    (header_bytes,) = struct.unpack_from("<Q", data, 24)
    for position in range(min(header_bytes, 600)):
        for bit in range(8):
            data[position] ^= 1 << bit
            with pytest.raises((SegmentCorruptError, LayoutVersionError)):
                decode(data)
            data[position] ^= 1 << bit


def test_every_flipped_bit_of_arrow_metadata_is_noticed():
    """Outside the header, a changed byte is noticed or changes nothing but data."""
    table = OBJECTS["arrow"]
    data = bytearray(b"".join(encode(table).parts))
    (header_bytes,) = struct.unpack_from("<Q", data, 24)
    noticed = 0
    for position in range(header_bytes, len(data)):
        data[position] ^= 1 << random.Random(position).randrange(8)
        try:
            found = decode(data)
        except SegmentCorruptError:
            noticed += 1
        else:
            assert found.schema == table.schema
            assert found.shape == table.shape
        data[position] = b"".join(encode(table).parts)[position]
    assert noticed > 0.5 * (len(data) - header_bytes)


def test_nothing_is_unpickled_before_the_checks():
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    data = bytearray(b"".join(encode(Bomb()).parts))
    data[-1] ^= 1
    with pytest.raises(SegmentCorruptError):
        decode(data)
