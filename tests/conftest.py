"""What all tests share: the leak check, a place in shared memory, and settings for Hypothesis."""

import os
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from effort import THOROUGH

pytest_plugins = ["leaks", "programs", "s3servers"]

settings.register_profile("ci", max_examples=60, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile("thorough" if THOROUGH else "ci")

# A shell starts what runs in the background deaf to it, and so all that this starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Lithops reads these as the session a process belongs to: tests start from none.
for name in [name for name in os.environ if name.startswith(("LITHOPS", "__LITHOPS"))]:
    del os.environ[name]


@pytest.fixture
def shm_directory() -> Iterator[Path]:
    """A base directory that does not exist yet, on the tmpfs if there is one, and must be gone at the end."""
    parent = Path("/dev/shm") if os.path.isdir("/dev/shm") else Path(os.environ.get("TMPDIR", "/tmp"))
    path = parent / f"lithops-shm-test-{os.getpid()}-{secrets.token_hex(4)}"
    yield path
    left = path.exists()
    shutil.rmtree(path, ignore_errors=True)
    assert not left, f"{path} was left behind"


@pytest.fixture
def cleaner_finishes(tmp_path: Path) -> Iterator[None]:
    """For tests that run executors: Lithops' cleaner outlives its client by seconds, in a session of its own."""
    yield
    deadline = time.monotonic() + 60
    while _cleaner_runs(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)


def _cleaner_runs(home: str) -> bool:
    """Whether a cleaner started by a test with that home directory is still at work."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_cleaner = b"lithops.scripts.cleaner" in (process / "cmdline").read_bytes()
            if is_cleaner and f"HOME={home}\0".encode() in (process / "environ").read_bytes():
                return True
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return False
