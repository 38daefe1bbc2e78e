"""Tables as frames, each readable by itself."""

import numpy as np
import pyarrow as pa
import pytest

from lithops_shm.errors import ConfigError, SegmentCorruptError
from lithops_shm.shuffle.frames import COMPRESSIONS, FORMATS, Encoding, dump_frames, load_frames

TABLE = pa.table({"k": pa.array(range(1000)), "v": pa.array([f"text {n}" for n in range(1000)], pa.large_string())})
POSITIONS = np.array([0, 10, 10, 400, 1000])


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_any_run_of_frames_comes_back(layout: str, compression: str) -> None:
    frames, offsets, checksums = dump_frames(TABLE, POSITIONS, Encoding(layout, compression))
    data = b"".join(frames)
    assert offsets[-1] == len(data)
    assert offsets[2] == offsets[1]  # no rows, no bytes
    for first in range(4):
        for last in range(first + 1, 5):
            part = data[offsets[first] : offsets[last]]
            tables = list(load_frames(part, offsets[first : last + 1], checksums[first:last], "o"))
            expected = TABLE.slice(POSITIONS[first], POSITIONS[last] - POSITIONS[first])
            found = pa.concat_tables(tables) if tables else TABLE.schema.empty_table()
            assert found.equals(expected)


@pytest.mark.parametrize("layout", FORMATS)
def test_a_flipped_bit_anywhere_is_noticed(layout: str) -> None:
    frames, offsets, checksums = dump_frames(TABLE, POSITIONS, Encoding(layout))
    data = bytearray(b"".join(frames))
    for place in range(0, len(data), 97):
        data[place] ^= 4
        with pytest.raises(SegmentCorruptError, match="of-mapper-3 is corrupt: the checksum of bytes"):
            list(load_frames(bytes(data), offsets, checksums, "of-mapper-3"))
        data[place] ^= 4


def test_data_of_another_request_is_noticed() -> None:
    frames, offsets, checksums = dump_frames(TABLE, POSITIONS, Encoding())
    data = b"".join(frames)
    for wrong in (b"", data[: offsets[3]], bytes(len(data))):
        with pytest.raises(SegmentCorruptError):
            list(load_frames(wrong, offsets, checksums, "o"))


def test_uncompressed_frames_are_views() -> None:
    frames, offsets, checksums = dump_frames(TABLE, np.array([0, 1000]), Encoding("arrow", "none"))
    data = np.frombuffer(b"".join(frames), np.uint8)
    (table,) = load_frames(data, offsets, checksums, "o")
    address = table["k"].chunk(0).buffers()[1].address
    start = data.__array_interface__["data"][0]
    assert start <= address < start + len(data)


def test_unknown_encodings_are_refused() -> None:
    with pytest.raises(ConfigError, match="arrow or parquet"):
        Encoding("csv")
    with pytest.raises(ConfigError, match="lz4, zstd, none"):
        Encoding("arrow", "gzip")
