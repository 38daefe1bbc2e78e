"""Who waits for a status, and until when."""

import pickle
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from lithops.future import ResponseFuture

from lithops_shm.plugin import running

KEY = "lithops.jobs/a-0-A000/00000/status.json"
STORED: dict[str, bytes] = {}


@pytest.fixture(autouse=True)
def job() -> Iterator[list[str]]:
    """A job of one call; what its cancellation was told."""
    cancelled: list[str] = []
    STORED.clear()
    running.begin("a-0-A000", [KEY], lambda: cancelled.append("cancelled"), STORED.__setitem__)
    yield cancelled
    running.cancel(["a-0-A000"])
    running.applied(KEY)
    running.forget("a-0-A000")


# As in Lithops' future, by whose frame it is told from those who only look.
CALLER = """
def _poll_until_ready(wait, key, check_only):
    return wait(key)
"""


def asked(key: str, check_only: bool) -> bool:
    scope: dict[str, object] = {"__name__": "lithops.future"}
    exec(CALLER, scope)
    return bool(scope["_poll_until_ready"](running.wait, key, check_only))  # type: ignore[operator]


def test_who_only_looks_is_not_kept() -> None:
    assert not asked(KEY, check_only=True)
    assert not running.wait(KEY)


def test_other_objects_are_not_waited_for() -> None:
    assert not asked("lithops.jobs/a-0-A000/00000/output.pickle", check_only=False)


def test_a_status_has_come_when_it_has_been_applied() -> None:
    order = []

    def come() -> None:
        time.sleep(0.05)
        assert running.arrived(KEY)
        time.sleep(0.05)
        order.append("applied")
        running.applied(KEY)

    thread = threading.Thread(target=come)
    thread.start()
    assert asked(KEY, check_only=False)
    order.append("had")
    thread.join()
    assert order == ["applied", "had"]


def test_a_monitor_that_was_stopped_keeps_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_APPLIED_S", 0.05)
    running.arrived(KEY)
    assert asked(KEY, check_only=False)


def test_a_status_is_news_once(job: list[str]) -> None:
    assert running.is_running("a-0-A000")
    assert running.arrived(KEY)
    assert not running.arrived(KEY)
    assert not running.is_running("a-0-A000")
    running.cancel(["a-0-A000"])
    assert job == [], "it was over"


def test_who_waits_for_a_cancelled_job_is_let_go(job: list[str]) -> None:
    thread = threading.Timer(0.05, running.cancel, [["a-0-A000"]])
    thread.start()
    assert asked(KEY, check_only=False)
    thread.join()
    assert job == ["cancelled"]


def future(backend: str = "shm") -> ResponseFuture:
    names = {"job_id": "A000", "job_key": "a-0-A000", "executor_id": "a-0", "function_name": "f", "backend": backend}
    job = SimpleNamespace(**names, execution_timeout=1, runtime_name="r", runtime_memory=None)
    return ResponseFuture("00000", job, {}, {"backend": "shm", "shm": {"storage_bucket": "b"}})


def test_a_status_is_kept_for_this_process_and_not_stored() -> None:
    assert running.kept(KEY) is None
    running.keep(KEY, b"status")
    assert running.kept(KEY) == b"status"
    running.arrived(KEY)
    assert running.kept(KEY) == b"status", "until nobody will ask for it"
    running.forget("a-0-A000")
    assert running.kept(KEY) is None
    assert STORED == {}


def test_pickling_the_future_stores_the_status_that_has_come() -> None:
    running.keep(KEY, b"status")
    copy = pickle.loads(pickle.dumps(future()))
    assert copy.call_id == "00000"
    assert STORED == {KEY: b"status"}
    assert running.kept(KEY) == b"status"


def test_pickling_the_future_stores_the_status_that_is_to_come() -> None:
    pickle.dumps([future()])
    assert STORED == {}
    running.keep(KEY, b"status")
    assert STORED == {KEY: b"status"}


def test_futures_of_another_backend_are_only_pickled() -> None:
    running.keep(KEY, b"status")
    pickle.dumps(future("aws_lambda"))
    assert STORED == {}


def test_a_status_nobody_waits_for_is_not_kept() -> None:
    running.cancel(["a-0-A000"])
    running.keep(KEY, b"status")
    assert running.kept(KEY) is None


def test_what_an_executor_has_left_is_forgotten_with_it() -> None:
    running.keep(KEY, b"status")
    running.forget_all("a-00")
    assert running.kept(KEY) == b"status", "that is another one"
    running.forget_all("a-0")
    assert running.kept(KEY) is None
