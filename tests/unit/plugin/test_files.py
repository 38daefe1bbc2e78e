"""Files that appear whole."""

import os
import stat
import threading
from pathlib import Path

import pytest

from lithops_shm.plugin.storage.files import save


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)  # as long as a name can be
    target.write_bytes(b"before")
    save(memoryview(bytes(1 << 20)), str(target))
    assert target.stat().st_size == 1 << 20
    assert os.listdir(tmp_path) == [target.name]


def test_what_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, target: str) -> None:
        raise KeyboardInterrupt

    target = tmp_path / "target"
    target.write_bytes(b"before")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        save(memoryview(b"after"), str(target))
    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["target"]


def test_a_directory_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(IsADirectoryError):
        save(memoryview(b"data"), str(tmp_path / "target"))
    assert os.listdir(tmp_path) == ["target"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    save(memoryview(b"data"), str(pipe))
    reader.join(10)
    assert found == [b"data"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
