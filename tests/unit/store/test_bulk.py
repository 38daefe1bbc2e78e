"""Moving bytes: flattening, splitting, and writing over what is there."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithops_shm.store import bulk


@given(st.lists(st.binary(max_size=9)), st.integers(0, 60))
def test_split_loses_nothing(parts: list[bytes], count: int) -> None:
    head, tail = bulk.split(bulk.flat(parts), count)
    joined = b"".join(parts)
    assert b"".join(head) == joined[:count]
    assert b"".join(tail) == joined[count:]


def test_flat_takes_any_buffer_and_refuses_text() -> None:
    import array

    assert b"".join(bulk.flat(array.array("i", [1, 2]))) == array.array("i", [1, 2]).tobytes()
    assert b"".join(bulk.flat(memoryview(b"abcdef")[::2])) == b"ace"
    assert bulk.flat([b"", b""]) == []
    for wrong in ("text", 7, None, ["text"]):
        with pytest.raises(TypeError):
            bulk.flat(wrong)


@pytest.mark.parametrize("offset", [0, 1, 4095, 4096, 70_001])
def test_overwrite_through_a_map_equals_write(tmp_path: Path, offset: int) -> None:
    total = 9 << 20  # beyond the size from which maps and threads are used
    parts = [os.urandom(total // 3), os.urandom(17), os.urandom(total - total // 3 - 17)]
    path = tmp_path / "file"
    path.write_bytes(b"\xff" * (offset + total + 5))
    fd = os.open(path, os.O_RDWR)
    try:
        assert bulk.overwrite(fd, offset, bulk.flat(parts)) == total
    finally:
        os.close(fd)
    assert path.read_bytes() == b"\xff" * offset + b"".join(parts) + b"\xff" * 5


def test_more_buffers_than_one_call_takes(tmp_path: Path) -> None:
    parts = [bytes([i % 256]) * 3 for i in range(5000)]
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        assert bulk.write(fd, 2, bulk.flat(parts)) == 15_000
        assert os.pread(fd, 15_002, 0) == b"\0\0" + b"".join(parts)
    finally:
        os.close(fd)
