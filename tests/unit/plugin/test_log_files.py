"""What calls print is in the files that `lithops logs` reads, as Lithops would have written it."""

import base64
import logging
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import lithops.future
import pytest
from lithops.storage.utils import create_job_key

from lithops_shm.plugin.monitoring import logs
from lithops_shm.plugin.monitoring.logs import LogFiles

PRINTED = ["one line\n", "two\nlines\r\n", "a \N{SNOWMAN}\n\nbelow\n"]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(logs, "LOGS_DIR", str(tmp_path / "logs"))
    monkeypatch.setattr(logs, "FN_LOG_FILE", str(tmp_path / "functions.log"))
    return tmp_path


@pytest.fixture
def lithops_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Writes what a call of an executor's job has printed as Lithops does, to other files."""
    (tmp_path / "theirs").mkdir()
    monkeypatch.setattr(lithops.future, "LOGS_DIR", str(tmp_path / "theirs" / "logs"))
    monkeypatch.setattr(lithops.future, "FN_LOG_FILE", str(tmp_path / "theirs" / "functions.log"))

    def write(job_id: str, activation: str, printed: str) -> None:
        encoded = base64.b64encode(zlib.compress(printed.encode())).decode()
        future = SimpleNamespace(
            _call_status={"logs": encoded},
            executor_id="executor",
            job_id=job_id,
            runtime_name="python",
            activation_id=activation,
        )
        lithops.future.ResponseFuture._write_activation_logs(future)

    return write


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in [directory / "functions.log", *(directory / "logs").iterdir()]}


def test_files_are_those_that_lithops_writes(directory: Path, lithops_own: Callable[[str, str, str], None]) -> None:
    files = LogFiles()
    for number, job in enumerate(["M000", "M000", "M001", "M000"]):
        for printed in PRINTED:
            lithops_own(job, f"activation-{number}", printed)
            files.append(create_job_key("executor", job), "python", f"activation-{number}", printed)
    files.close()
    assert contents(directory) == contents(directory / "theirs")
    assert len(contents(directory)) == 3


def test_what_ends_without_a_newline_ends_its_line(directory: Path) -> None:
    files = LogFiles()
    files.append("executor-M000", "python", "activation", "no end")
    files.close()
    assert contents(directory)["functions.log"] == "Activation: 'python' (activation)\n[\n    no end\n]\n\n"


def test_nothing_stays_open(directory: Path) -> None:
    before = os.listdir("/proc/self/fd")
    files = LogFiles()
    for job in ("a", "b", "a"):
        files.append(job, "python", "activation", "something")
    assert len(os.listdir("/proc/self/fd")) == len(before) + 2
    files.close()
    files.close()
    assert os.listdir("/proc/self/fd") == before


def test_a_disk_that_cannot_be_written_is_one_warning(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    (directory / "logs").write_text("a file in the way")
    files = LogFiles()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            files.append("a", "python", "activation", "something")
    assert len(caplog.records) == 1
    assert "log files" in caplog.text
