"""Byte ranges, as HTTP writes them and Python slices them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithops_shm.errors import InvalidRangeError
from lithops_shm.plugin.storage.ranges import resolve

sizes = st.integers(1, 50)
positions = st.integers(0, 60)


@given(sizes, positions, positions)
def test_ranges_are_slices(size: int, first: int, last: int) -> None:
    body = bytes(range(size))
    for header, expected in (
        (f"bytes={first}-{last}", body[first : last + 1] if first <= last else b""),
        (f"bytes={first}-", body[first:]),
        (f"bytes=-{last}", body[-last:] if last else b""),
    ):
        if expected:
            start, stop = resolve(header, size)
            assert body[start:stop] == expected
        else:
            with pytest.raises(InvalidRangeError):
                resolve(header, size)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "0-4",
        "bytes=a-b",
        "bytes=0-1,3-4",
        "bits=0-4",
        "bytes=1--2",
        "bytes= 0-4",
        "bytes=\u0661-",
        5,
    ],
)
def test_illegal_ranges(header: str) -> None:
    with pytest.raises(InvalidRangeError):
        resolve(header, 10)
