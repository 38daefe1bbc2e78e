"""The storage backend where Lithops takes it: its cleaner, its command line, and into the functions it ships."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lithops_shm.config import StoreSettings
from lithops_shm.store import inspect

CLOUD_STORAGE = """
import lithops
from lithops.storage.cloud_proxy import CloudStorage

def write(x, where):
    where.put_data(f"from-{x}", str(x))
    return x

if __name__ == "__main__":
    cloud = CloudStorage()
    with lithops.FunctionExecutor() as executor:
        executor.get_result(executor.map(write, [1, 2], extra_args=[cloud]))
    print(cloud.list_bucket_keys("from-"), cloud.get_data("from-2"))
"""

CLEANED = """
import lithops

def double(x):
    return x * 2

if __name__ == "__main__":
    executor = lithops.FunctionExecutor()
    print(executor.get_result(executor.map(double, [1, 2])))
    executor.clean(clean_cloudobjects=True, clean_fn=True)
"""

PARTITIONED = """
import sys
import lithops

def words(obj):
    return len(obj.data_stream.read().split())

def total(results):
    return sum(results)

if __name__ == "__main__":
    name = sys.argv[1]
    # Stock Lithops would run its workers with the first `python` in PATH, whatever is installed there.
    options = {} if name == "shm" else {"runtime": sys.executable}
    storage = lithops.Storage(backend=name)
    for number in range(2):
        storage.put_object("texts", f"in/{number}.txt", b"some words in a line\\n" * (20_000 + number))
    for arguments in (
        {},
        {"obj_chunk_size": 300_000},
        {"obj_chunk_number": 2, "obj_reduce_by_key": True},
    ):
        # A new one each time: Lithops may lose a job of an executor that has just finished another.
        with lithops.FunctionExecutor(storage=name, **options) as executor:
            found = executor.get_result(executor.map_reduce(words, f"{name}://texts/in/", total, **arguments))
            print("found", sorted(found) if isinstance(found, list) else found)
"""

OTHER_COMMAND = """
import click
import lithops

@click.group("other")
def other():
    pass

@other.command("storage")
def storage():
    lithops.Storage(backend="shm").put_object("bucket", "k", b"x")

other(["storage"])
"""


def test_a_cloud_storage_goes_along_into_functions(run: Callable[..., str]) -> None:
    assert run(CLOUD_STORAGE).endswith("['from-1', 'from-2'] b'2'")


def test_objects_are_partitioned_as_on_localhost_storage(run: Callable[..., str]) -> None:
    found = {
        name: [line for line in run(PARTITIONED, name).splitlines() if line.startswith("found")]
        for name in ("shm", "localhost")
    }
    assert found["shm"] == found["localhost"]
    assert found["shm"][0] == f"found {5 * (20_000 + 20_001)}"
    assert found["shm"][2] == f"found {[5 * (20_000 + number) for number in range(2)]}"


def test_the_cleaner_finds_an_empty_bucket_when_the_session_is_gone(
    run: Callable[..., str], tmp_path: Path, shm_directory: Path
) -> None:
    assert run(CLEANED).endswith("[2, 4]")
    (log,) = list(tmp_path.glob("lithops-*/cleaner"))
    deadline = time.monotonic() + 60
    while "Cleaner finished" not in _text(log / "cleaner.log") and time.monotonic() < deadline:
        time.sleep(0.2)
    text = _text(log / "cleaner.log")
    assert "Cleaner finished" in text
    assert "Traceback" not in text
    assert not shm_directory.exists()


@pytest.mark.parametrize("arguments", [["list", "lithops"], ["delete", "bucket", "k"], ["get", "bucket", "k"]])
def test_only_put_keeps_a_session(
    tmp_path: Path, environment: dict[str, str], settings: StoreSettings, arguments: list[str]
) -> None:
    command = [str(Path(sys.executable).parent / "lithops"), "storage", *arguments, "-b", "shm"]
    subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=60, check=True)
    assert inspect(settings).sessions == ()


def test_the_module_of_the_command_line_keeps_too(
    tmp_path: Path, environment: dict[str, str], settings: StoreSettings
) -> None:
    (tmp_path / "f").write_text("x")
    command = [sys.executable, "-m", "lithops.scripts.cli", "storage"]
    for arguments in (["put", "f", "bucket"], ["delete", "bucket", "f"]):
        if arguments[0] == "delete":
            assert [info.key for info in inspect(settings).segments] == ["f"]
        subprocess.run([*command, *arguments, "-b", "shm"], env=environment, cwd=tmp_path, timeout=60, check=True)
    assert inspect(settings).segments == ()
    subprocess.run(
        [sys.executable, "-m", "lithops_shm", "gc", "--kept"], env=environment, cwd=tmp_path, timeout=60, check=True
    )


def test_another_programs_command_named_storage_keeps_nothing(run: Callable[..., str], shm_directory: Path) -> None:
    run(OTHER_COMMAND)
    assert not shm_directory.exists()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
