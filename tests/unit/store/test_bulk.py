"""Moving bytes: flattening, splitting, and writing over what is there."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithops_shm.store import bulk, memory


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


@pytest.fixture(params=["tmpfs", "disk", "no huge pages"])
def fd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A file on the tmpfs, where huge pages may be had, on a disk, and on a tmpfs of a kernel without them."""
    directory = str(tmp_path) if request.param == "disk" or not os.path.isdir("/dev/shm") else "/dev/shm"
    if request.param == "no huge pages":
        monkeypatch.setattr(memory, "huge_page_bytes", lambda: 0)
    fd, path = tempfile.mkstemp(dir=directory)
    os.unlink(path)
    yield fd
    os.close(fd)


OFFSETS = [0, 1, 4095, 4096, 70_001, (2 << 20) - 1, 2 << 20, (5 << 20) + 3]
TOTAL = (9 << 20) + 77  # beyond the size from which maps, threads and huge pages are used


def pieces() -> list[bytes]:
    return [os.urandom(TOTAL // 3), os.urandom(17), os.urandom(TOTAL - TOTAL // 3 - 17)]


@pytest.mark.parametrize("offset", OFFSETS)
def test_overwrite_changes_its_range_and_no_more(fd: int, offset: int) -> None:
    parts = pieces()
    os.pwrite(fd, b"\xff" * (offset + TOTAL + 5), 0)
    assert bulk.overwrite(fd, offset, bulk.flat(parts)) == TOTAL
    assert os.pread(fd, offset + TOTAL + 6, 0) == b"\xff" * offset + b"".join(parts) + b"\xff" * 5


@pytest.mark.parametrize("offset", OFFSETS)
def test_write_appends(fd: int, offset: int) -> None:
    parts = pieces()
    os.pwrite(fd, b"\xff" * offset, 0)
    assert bulk.write(fd, offset, bulk.flat(parts)) == TOTAL
    assert os.pread(fd, offset + TOTAL + 1, 0) == b"\xff" * offset + b"".join(parts)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("more", [0, 70_001, TOTAL])
def test_allocated_pages_can_be_written_to(fd: int, offset: int, more: int) -> None:
    os.pwrite(fd, b"\xff" * (offset + more), 0)
    data = b"".join(pieces())
    room = bulk.allocate(fd, offset, TOTAL, offset + more)
    assert room is not None
    assert os.fstat(fd).st_blocks * 512 >= offset + TOTAL
    room[:] = data
    assert os.pread(fd, offset + TOTAL + 1, 0) == b"\xff" * offset + data


@pytest.mark.parametrize("prepared", [0, 1])
def test_allocated_pages_need_no_huge_ones(fd: int, prepared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = memory.collapse
    calls = iter(range(99))
    monkeypatch.setattr(memory, "collapse", lambda target: next(calls) < prepared and made(target))
    room = bulk.allocate(fd, 0, TOTAL, 0)
    assert room is not None
    assert os.fstat(fd).st_blocks * 512 >= TOTAL
    room[:] = data = b"".join(pieces())
    assert os.pread(fd, TOTAL + 1, 0) == data


@pytest.mark.parametrize("prepared", [1, 2])
def test_huge_pages_that_are_refused_in_the_middle(fd: int, prepared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fragmented machine has some: what they were not made for must be written all the same."""
    made = memory.collapse
    calls = iter(range(99))
    monkeypatch.setattr(memory, "collapse", lambda target: next(calls) < prepared and made(target))
    parts = pieces()
    assert bulk.write(fd, 3, bulk.flat(parts)) == TOTAL
    assert os.pread(fd, TOTAL + 9, 0) == bytes(3) + b"".join(parts)


def test_more_buffers_than_one_call_takes(tmp_path: Path) -> None:
    parts = [bytes([i % 256]) * 3 for i in range(5000)]
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        assert bulk.write(fd, 2, bulk.flat(parts)) == 15_000
        assert os.pread(fd, 15_002, 0) == b"\0\0" + b"".join(parts)
    finally:
        os.close(fd)
