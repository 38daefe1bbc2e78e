"""Jobs one after the other on one executor, and a command line beside a client at work."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from effort import THOROUGH

from lithops_shm.config import StoreSettings
from lithops_shm.store import inspect

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

# Stock Lithops starts no task runners for a job that comes right after the one before; see plugin/polling/manager.
SEQUENCE = """
import faulthandler
import lithops

def call(x):
    if x % 3 == 2:
        raise ValueError(x)
    return x

if __name__ == "__main__":
    faulthandler.dump_traceback_later(100, exit=True)
    executor = lithops.FunctionExecutor()
    answers = []
    for number in range(6):
        try:
            answers.append(executor.get_result(executor.call_async(call, number)))
        except ValueError as error:
            answers.append(f"failed {error}")
    print(answers)
"""

CLIENT = """
import lithops

if __name__ == "__main__":
    storage = lithops.Storage(backend="shm")
    storage.put_object("bucket", "of-the-client", b"client")
    print("ready", flush=True)
    input()
    print(storage.list_keys("bucket"), storage.get_object("bucket", "f"))
"""


@pytest.fixture
def section(section: dict[str, Any]) -> dict[str, Any]:
    """Nothing here needs pandas, which takes each pool a second to load."""
    return {"preload": ["numpy"], **section}


@pytest.mark.parametrize("compute", ["shm", "localhost"] if THOROUGH else ["shm"])
def test_calls_in_a_row_all_run(run: Callable[..., str]) -> None:
    expected = [f"failed {number}" if number % 3 == 2 else number for number in range(6)]
    assert run(SEQUENCE).splitlines()[-1] == str(expected)


def test_the_command_line_works_beside_a_client(
    tmp_path: Path, environment: dict[str, str], settings: StoreSettings
) -> None:
    lithops = str(Path(sys.executable).parent / "lithops")
    (tmp_path / "f").write_text("file")
    (tmp_path / "client.py").write_text(CLIENT)

    def storage(*arguments: str) -> str:
        command = [lithops, "storage", *arguments, "-b", "shm"]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    with subprocess.Popen(
        [sys.executable, "client.py"],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline().strip() == "ready"
        assert "of-the-client" in storage("list", "bucket")
        storage("get", "bucket", "of-the-client", "-o", "got")
        assert (tmp_path / "got").read_bytes() == b"client"
        storage("put", "f", "bucket")
        storage("delete", "bucket", "of-the-client")
        output, _ = client.communicate("\n", timeout=150)
        assert output.strip() == "['f'] b'file'"
    # What the command put outlives every client, and every command.
    (tmp_path / "f").unlink()
    storage("get", "bucket", "f")
    assert (tmp_path / "f").read_text() == "file"
    storage("delete", "bucket", "f")
    assert inspect(settings).segments == ()
    subprocess.run([sys.executable, "-m", "lithops_shm", "gc", "--kept"], env=environment, timeout=150, check=True)
