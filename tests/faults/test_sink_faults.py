"""Runs that are killed at every step of writing a dataset: what readers see then, and what the next run leaves."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from seer_integration.datasets.committed import MANIFEST, objects
from seer_integration.datasets.index import INDEX
from seer_integration.datasets.location import Location
from seer_integration.datasets.places import Places
from seer_integration.datasets.runs import part_name
from seer_integration.datasets.sinks import Sink, commit, prepare, write_part

_STEPS = 20  # more than there are


def ran(directory: Path, job: str, first: int) -> None:
    """A run of two tasks, one of them with two attempts."""
    sink = Sink(Location(None, "", f"{directory}/data"), "ipc", None, "overwrite", True, job)
    with Places(lambda name: None) as places:
        prepare(sink, places)
        attempts = [(0, 0), (0, 1), (1, 0)]
        tables = [pa.table({"number": [first + task]}) for task, _ in attempts]
        parts = [write_part(sink, *which, [each], None, places) for which, each in zip(attempts, tables, strict=True)]
        commit(sink, parts[1:], None, places)


def numbers(directory: Path) -> list[int]:
    with Places(lambda name: None) as places:
        found = objects(Location(None, "", f"{directory}/data/"), places)
        assert found is not None
        return [row for each in found[1] for row in pa.ipc.open_file(each.key).read_all()["number"].to_pylist()]


def killed_at(step: int, run: Callable[[], None]) -> bool:
    """Run it in a child that is killed before it makes the change to the file system of that number; whether it was."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            count = 0

            def counted(change: Callable[..., Any]) -> Callable[..., Any]:
                def changed(*arguments: Any) -> Any:
                    nonlocal count
                    if count == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                    count += 1
                    return change(*arguments)

                return changed

            os.replace, os.unlink = counted(os.replace), counted(os.unlink)
            run()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_a_run_that_is_killed_at_any_step_and_run_again_leaves_one_dataset(tmp_path: Path) -> None:
    for step in range(_STEPS):
        directory = tmp_path / str(step)
        ran(directory, "before", 10)
        was_killed = killed_at(step, lambda: ran(directory, "killed", 20))  # noqa: B023  # it is over at once
        assert numbers(directory) in ([10, 11], [20, 21])
        ran(directory, "after", 30)
        assert numbers(directory) == [30, 31]
        parts = {part_name(0, 1, "after", "arrow"), part_name(1, 0, "after", "arrow")}
        left = set(os.listdir(directory / "data")) - {MANIFEST, INDEX} - parts
        assert all(name.startswith("._RUN-") for name in left)  # a marker that was not yet there
        if not was_killed:
            break
    else:
        pytest.fail(f"more than {_STEPS} steps")
    assert step > 8
    assert not left
