"""Which thread is the manager of an executor's jobs, and how long it is waited for."""

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from lithops_shm.plugin.polling.manager import wait_for_idle_manager


class Handler:
    """As Lithops' localhost: a thread whose function closes over the handler of one executor."""

    def __init__(self, executor_id: str) -> None:
        self.env = SimpleNamespace(jobs={f"{executor_id}-A000": None})
        self.done = threading.Event()

    def start_manager(self) -> threading.Thread:
        def job_manager() -> None:
            self.done.wait(30)

        thread = threading.Thread(target=job_manager)
        thread.start()
        return thread


@pytest.fixture
def handler() -> Iterator[Any]:
    handler = Handler("abc-1")
    thread = handler.start_manager()
    yield handler
    handler.done.set()
    thread.join()


def test_it_waits_for_the_executors_own_manager(handler: Handler) -> None:
    threading.Timer(0.05, handler.done.set).start()
    wait_for_idle_manager("abc-1", 30)
    assert handler.done.is_set()


@pytest.mark.parametrize("executor_id", ["abc-10", "abc", "xyz-1"])
def test_it_does_not_wait_for_others(handler: Handler, executor_id: str) -> None:
    if executor_id == "abc":
        handler.env.jobs = {"abcd-1-A000": None}
    wait_for_idle_manager(executor_id, 30)
    assert not handler.done.is_set()


def test_it_does_not_wait_for_ever(handler: Handler) -> None:
    started = time.monotonic()
    wait_for_idle_manager("abc-1", 0.01)
    assert time.monotonic() > started
    assert not handler.done.is_set()


def test_threads_of_the_same_name_that_are_something_else_are_passed_over() -> None:
    done = threading.Event()

    def job_manager() -> None:
        done.wait(30)

    thread = threading.Thread(target=job_manager)
    thread.start()
    wait_for_idle_manager("abc-1", 30)
    assert not done.is_set()
    done.set()
    thread.join()
