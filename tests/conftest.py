"""What all tests share: a place in shared memory of their own."""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def shm_directory() -> Iterator[Path]:
    """A base directory that does not exist yet, on the tmpfs if there is one, and must be gone at the end."""
    parent = Path("/dev/shm") if os.path.isdir("/dev/shm") else Path(os.environ.get("TMPDIR", "/tmp"))
    path = parent / f"lithops-shm-test-{secrets.token_hex(4)}"
    yield path
    left = path.exists()
    shutil.rmtree(path, ignore_errors=True)
    assert not left, f"{path} was left behind"
