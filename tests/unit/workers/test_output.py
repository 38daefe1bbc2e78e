"""What a worker has printed, and which calls it has begun, read by its client."""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lithops_shm.workers.output import calls_begun, new_output, note_begun, tail
from lithops_shm.workers.processes import WorkerProcess


@pytest.fixture
def output() -> Iterator[int]:
    descriptor = new_output()
    yield descriptor
    os.close(descriptor)


def test_what_is_printed_is_apart_from_the_count(output: int) -> None:
    assert (calls_begun(output), tail(output)) == (0, "")
    os.write(output, b"first\n")
    note_begun(output, 1)
    os.write(output, b"second\n")
    note_begun(output, 70_000)
    assert (calls_begun(output), tail(output)) == (70_000, "first\nsecond")


def test_the_end_of_a_long_output_is_given(output: int) -> None:
    os.write(output, b"x" * 10_000 + b"the end")
    assert len(tail(output)) == 4096
    assert tail(output).endswith("the end")


def test_a_worker_begins_each_call_anew(output: int) -> None:
    worker = WorkerProcess(1, cast(Any, SimpleNamespace()), output, 0)
    worker.calls += 1
    assert not worker.has_begun
    note_begun(output, 1)
    assert worker.has_begun
    worker.calls += 1
    assert not worker.has_begun, "it had not begun with this one"
