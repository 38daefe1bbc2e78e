"""Maps: what they show, how long they live, and that huge pages come and go without a trace in the bytes."""

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lithops_shm.store import memory

HUGE = memory.huge_page_bytes()
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="maps are listed in /proc")
SIZES = [1, 4095, 4096, 4097, (2 << 20) - 1, 2 << 20, (6 << 20) + 1]


@pytest.fixture
def file() -> Iterator[Path]:
    directory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    fd, path = tempfile.mkstemp(prefix="lithops-shm-map-", dir=directory)
    os.close(fd)
    yield Path(path)
    os.unlink(path)


def mapped(path: Path, size: int, *, writable: bool = False, offset: int = 0) -> memoryview:
    fd = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
    try:
        return memory.map_file(fd, offset, size, writable=writable)
    finally:
        os.close(fd)


def maps_of(path: Path) -> list[str]:
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if str(path) in line]


@pytest.mark.parametrize("size", SIZES)
def test_a_map_shows_the_file_and_no_more(file: Path, size: int) -> None:
    data = os.urandom(size)
    file.write_bytes(data)
    view = mapped(file, size)
    assert (view.format, view.shape, view.readonly) == ("B", (size,), True)
    assert view == data


@needs_linux
@pytest.mark.parametrize("size", SIZES)
def test_it_lives_as_long_as_any_view_and_holds_no_descriptor(file: Path, size: int) -> None:
    file.write_bytes(b"x" * size)
    before = len(os.listdir("/proc/self/fd"))
    view = mapped(file, size)
    part = view[size // 2 : size // 2 + 1]
    assert len(os.listdir("/proc/self/fd")) == before
    del view
    assert len(maps_of(file)) == 1
    assert part == b"x"
    del part
    assert maps_of(file) == []


@needs_linux
@pytest.mark.skipif(not HUGE, reason="no huge pages here")
def test_large_ones_begin_where_huge_pages_can(file: Path) -> None:
    file.write_bytes(bytes(3 * HUGE))
    views = [mapped(file, size) for size in (HUGE, 2 * HUGE + 1, 3 * HUGE)]
    starts = [int(line.partition("-")[0], 16) for line in maps_of(file)]
    assert len(starts) == len(views)
    assert [start % HUGE for start in starts] == [0, 0, 0]


@needs_linux
def test_what_was_reserved_for_alignment_is_given_back(file: Path) -> None:
    def address_space() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0])

    file.write_bytes(bytes(6 << 20))
    mapped(file, 6 << 20)  # its type is made, and kept
    gc.collect()
    before = address_space()
    for _ in range(50):
        mapped(file, 6 << 20)
    assert address_space() - before < (2 << 20) // os.sysconf("SC_PAGESIZE")


def test_a_part_of_a_file(file: Path) -> None:
    data = os.urandom(5 << 20)
    file.write_bytes(data)
    assert mapped(file, 1 << 20, offset=2 << 20) == data[2 << 20 : 3 << 20]
    mapped(file, 100, offset=4 << 20, writable=True)[:5] = b"later"
    assert file.read_bytes() == data[: 4 << 20] + b"later" + data[(4 << 20) + 5 :]


def test_a_map_that_cannot_be_is_an_error(file: Path) -> None:
    file.write_bytes(b"x")
    with pytest.raises(OSError, match=r"Cannot allocate memory|Invalid argument"):
        mapped(file, 1 << 60)
    fd = os.open(file, os.O_RDONLY)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        memory.map_file(fd, 0, 4 << 20)
    assert maps_of(file) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_it_too_and_leaves_it_alone(file: Path) -> None:
    file.write_bytes(b"x" * (3 << 20))
    view = mapped(file, 3 << 20)
    child = os.fork()
    if child == 0:
        same = bytes(view[:3]) == b"xxx"
        del view
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert view[-1:] == b"x"


def test_views_that_live_to_the_end_of_the_interpreter(file: Path) -> None:
    file.write_bytes(b"x" * (3 << 20))
    code = (
        "import os, sys\nfrom lithops_shm.store import memory\n"
        f"view = memory.map_file(os.open({str(file)!r}, os.O_RDONLY), 0, 3 << 20)\nsys.kept = view[5:]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not HUGE, reason="no huge pages here")
def test_collapse_keeps_what_is_there_and_adds_zeros(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(2 * HUGE)
        opened.seek(HUGE + 5)
        opened.write(b"here")
    view = mapped(file, 2 * HUGE, writable=True)
    if not memory.collapse(view[HUGE:]):
        pytest.skip("this kernel makes no huge pages of files, or has none left")
    assert os.stat(file).st_blocks * 512 == HUGE
    assert view[HUGE:] == bytes(5) + b"here" + bytes(HUGE - 9)


def test_moving_more_than_fits_is_refused() -> None:
    target = bytearray(10)
    memory.move(memoryview(target), [memoryview(b"ab"), memoryview(b"cd")])
    assert target == b"abcd" + bytes(6)
    with pytest.raises(ValueError, match="do not fit"):
        memory.move(memoryview(target)[:3], [memoryview(b"ab"), memoryview(b"cd")])
    assert target == b"abcd" + bytes(6)
