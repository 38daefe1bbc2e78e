"""What every test of the codec needs."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lithops_shm.codec import decode, encode

_IDENTICAL = runpy.run_path(str(Path(__file__).with_name("identical.py")))["assert_identical"]


@pytest.fixture
def assert_identical() -> Callable[[Any, Any], None]:
    return _IDENTICAL


@pytest.fixture
def stored() -> Callable[..., memoryview]:
    """Encode an object; the result is what a reader maps."""
    return _stored


@pytest.fixture
def round_trip(assert_identical: Callable[[Any, Any], None]) -> Callable[..., Any]:
    """Encode, decode and compare, as a view and as a copy; the result is the view."""

    def check(obj: Any, codec: str = "auto") -> Any:
        view = _stored(obj, codec)
        assert_identical(obj, decode(view, writable=True))
        found = decode(view)
        assert_identical(obj, found)
        return found

    return check


def _stored(obj: Any, codec: str = "auto") -> memoryview:
    encoded = encode(obj, codec)
    data = b"".join(encoded.parts)
    assert len(data) == encoded.nbytes
    return memoryview(data)
