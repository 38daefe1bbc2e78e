"""The leak check catches what it is for."""

import os
import secrets
import subprocess
import sys
import threading
from pathlib import Path

from leaks import Snapshot, settled


def test_a_descriptor(tmp_path: Path) -> None:
    before = Snapshot.take()
    file = (tmp_path / "f").open("w")
    assert [leak for leak in settled(before, 0) if leak.startswith("descriptors")]
    file.close()
    assert settled(before) == []


def test_a_thread() -> None:
    before = Snapshot.take()
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    assert [leak for leak in settled(before, 0) if leak.startswith("threads")]
    event.set()
    thread.join()
    assert settled(before) == []


def test_a_process() -> None:
    before = Snapshot.take()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert [leak for leak in settled(before, 0) if leak.startswith("children")]
    child.communicate()
    assert settled(before) == []


def test_a_base_directory_in_shared_memory() -> None:
    before = Snapshot.take()
    path = Path("/dev/shm" if os.path.isdir("/dev/shm") else "/var/tmp") / f"lithops-shm-leak-{secrets.token_hex(4)}"
    path.mkdir()
    assert [leak for leak in settled(before, 0) if leak.startswith("shared_memory")]
    path.rmdir()
    assert settled(before) == []
