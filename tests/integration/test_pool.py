"""The pool by itself, with real processes and no Lithops: starts, ends, waits and accidents."""

import contextlib
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lithops_shm import host
from lithops_shm.config import WorkerSettings
from lithops_shm.errors import NotAdmittedError
from lithops_shm.workers import Call, Event, Job, Pool
from lithops_shm.workers.death import Cause
from lithops_shm.workers.job import EventKind

RUNNER = """
import os, pickle, time

def open_job(payload, report):
    def run(call):
        report(pickle.dumps((os.getpid(), eval(call))))
    return run

def warm_up(payload):
    from lithops_shm.workers import worker
    worker.report(b"nobody asked")
    worker.report_last(b"nor for that")
    with open(payload, "a") as file:
        print(os.getpid(), file=file)
    raise ValueError("this is nobody's business")

def die(payload):
    warm_up_pid = open(payload, "a")
    print(os.getpid(), file=warm_up_pid, flush=True)
    os._exit(3)
"""


class Followed:
    """A job's events, as they come."""

    def __init__(self, key: str, *calls: str, payload: bytes = b"", **more: Any) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        named = tuple(Call(str(number), call.encode()) for number, call in enumerate(calls))
        environ = {"PATH": os.environ["PATH"]}
        self.job = Job(key, "pool_runner:open_job", payload, named, self._events.put, environ=environ, **more)

    def next(self, *kinds: EventKind) -> Event:
        """The next event, of those kinds."""
        while True:
            event = self._events.get(timeout=60)
            if event.kind in kinds or not kinds:
                return event

    def ends(self) -> dict[str, Event]:
        """How each call ended, once all have."""
        found: dict[str, Event] = {}
        while len(found) < len(self.job.calls):
            event = self.next(EventKind.DONE, EventKind.DIED)
            assert event.call_id not in found
            found[event.call_id] = event
        return found


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pool]]:
    """Pools that are closed at the end of the test."""
    (tmp_path / "pool_runner.py").write_text(RUNNER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = []

    def make(**settings: Any) -> Pool:
        made.append(Pool(WorkerSettings(**{"worker_processes": 2, "preload": ("pool_runner",), **settings})))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def children(pid: int) -> list[int]:
    """Those of all threads of a process."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it is just ending
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def zygotes() -> list[int]:
    found = []
    for pid in children(os.getpid()):
        with contextlib.suppress(FileNotFoundError):  # it is just ending
            if b"zygote" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_calls_of_a_job_are_told_of_in_order(make: Callable[..., Pool]) -> None:
    followed = Followed("a", "1 + 1")
    make().submit(followed.job)
    kinds = [followed.next().kind for _ in range(3)]
    assert kinds == [EventKind.STARTED, EventKind.REPORT, EventKind.DONE]


def test_two_thousand_calls_take_few_processes(make: Callable[..., Pool]) -> None:
    followed = Followed("a", *["0"] * 2000)
    pool = make()
    before = len(os.listdir("/proc/self/fd"))
    pool.submit(followed.job)
    assert {event.kind for event in followed.ends().values()} == {EventKind.DONE}
    pool.join()
    assert len(os.listdir("/proc/self/fd")) - before < 20


def test_jobs_of_many_threads_all_run(make: Callable[..., Pool]) -> None:
    pool = make()
    jobs = [Followed(f"job {number}", *["0"] * 20) for number in range(10)]
    threads = [threading.Thread(target=pool.submit, args=(followed.job,)) for followed in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for followed in jobs:
        assert {event.kind for event in followed.ends().values()} == {EventKind.DONE}


def test_idle_workers_are_let_go_and_the_next_job_has_new_ones(make: Callable[..., Pool]) -> None:
    pool = make(idle_seconds=0.2)
    for key in ("a", "b"):
        followed = Followed(key, "0")
        pool.submit(followed.job)
        assert followed.ends()["0"].kind is EventKind.DONE
        assert eventually(lambda: not zygotes()), "the pool has been idle for long"


def test_what_a_worker_has_started_ends_with_it(make: Callable[..., Pool], tmp_path: Path) -> None:
    note = tmp_path / "pid"
    started = f"open({str(note)!r}, 'w').write(str(os.spawnlp(os.P_NOWAIT, 'sleep', 'sleep', '600')))"
    followed = Followed("a", f"{started} and time.sleep(600)")
    pool = make()
    pool.submit(followed.job)
    assert eventually(lambda: note.exists() and bool(note.read_text()))
    pool.cancel(["a"], kill=True)
    death = followed.ends()["0"].death
    assert death is not None
    assert death.cause is Cause.CANCELLED
    assert eventually(lambda: not Path(f"/proc/{note.read_text()}").exists())


def test_the_end_of_jobs_can_be_awaited(make: Callable[..., Pool], tmp_path: Path) -> None:
    note = tmp_path / "pid"
    followed = Followed("a", f"open({str(note)!r}, 'w').write(str(os.getpid())) and time.sleep(600)", "0", "0")
    pool = make()
    assert pool.await_end(["a"], 0), "there is nothing to wait for"
    pool.submit(followed.job)
    assert eventually(lambda: note.exists() and bool(note.read_text()))
    assert not pool.await_end(["a"], 0.2)
    pool.cancel(["a"], kill=True)
    assert pool.await_end(["a", "unknown"], 30)
    assert not Path(f"/proc/{note.read_text()}").exists()
    assert pool.await_end(["a"], 30), "it is over already"


def test_cancelling_drops_the_calls_that_wait(make: Callable[..., Pool], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    held = f"[time.sleep(0.01) for _ in iter(lambda: os.path.exists({str(gate)!r}), True)]"
    followed, after = Followed("a", held, held, "0", "0"), Followed("b", "0")
    pool = make()
    pool.submit(followed.job)
    followed.next(EventKind.STARTED)
    followed.next(EventKind.STARTED)
    pool.cancel(["a"])
    gate.touch()
    assert [followed.next(EventKind.DONE).kind for _ in range(2)]
    pool.submit(after.job)
    after.ends()
    assert followed._events.empty(), "nothing is told of calls that were dropped"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_end_of_the_zygote_loses_the_calls_that_run_and_no_more(
    make: Callable[..., Pool], number: signal.Signals, tmp_path: Path
) -> None:
    pool = make()
    begun = tmp_path / "begun"
    followed = Followed("a", f"open({str(begun)!r}, 'w') and time.sleep(600)")
    pool.submit(followed.job)
    assert eventually(begun.exists)
    (zygote,) = zygotes()
    os.kill(zygote, number)
    death = followed.ends()["0"].death
    assert death is not None
    assert death.cause in (Cause.LOST, Cause.KILLED)
    after = Followed("b", "0")
    pool.submit(after.job)
    assert after.ends()["0"].kind is EventKind.DONE


def test_a_job_finds_workers_though_those_that_waited_for_it_were_killed(make: Callable[..., Pool]) -> None:
    pool = make()
    for number in range(20):
        if number:
            for worker in children(*zygotes()):
                with contextlib.suppress(ProcessLookupError):  # that of the last job is just ending
                    os.kill(worker, signal.SIGKILL)
        followed = Followed(str(number), "0", "0")
        pool.submit(followed.job)
        assert {event.kind for event in followed.ends().values()} == {EventKind.DONE}


def test_a_call_whose_worker_closes_its_connection_is_lost(make: Callable[..., Pool]) -> None:
    followed = Followed("a", "os.closerange(3, 200) or time.sleep(600)")
    make().submit(followed.job)
    death = followed.ends()["0"].death
    assert death is not None
    assert death.cause is Cause.LOST


def test_a_call_that_asks_for_more_than_there_is_is_refused(make: Callable[..., Pool]) -> None:
    with pytest.raises(NotAdmittedError, match="asks for"):
        make().submit(Followed("a", "0", memory_bytes=1 << 60).job)


def test_a_call_waits_until_its_memory_is_there(make: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch) -> None:
    available = 1_000_000
    monkeypatch.setattr(host, "memory_available", lambda: available)
    pool = make()
    waits, passes = Followed("a", "0", memory_bytes=2_000_000), Followed("b", "0")
    pool.submit(waits.job)
    pool.submit(passes.job)
    assert passes.ends()["0"].kind is EventKind.DONE
    time.sleep(0.5)
    assert waits._events.empty()
    available = 3_000_000
    assert waits.ends()["0"].kind is EventKind.DONE


def test_memory_that_a_running_call_was_promised_is_not_given_twice(
    make: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    held = f"[time.sleep(0.01) for _ in iter(lambda: os.path.exists({str(gate)!r}), True)]"
    monkeypatch.setattr(host, "memory_available", lambda: 1_500_000_000)
    followed = Followed("a", held, held, memory_bytes=1_000_000_000)
    make().submit(followed.job)
    followed.next(EventKind.STARTED)
    time.sleep(0.5)
    assert followed._events.empty(), "it has not taken its memory yet, and may"
    gate.touch()
    assert {event.kind for event in followed.ends().values()} == {EventKind.DONE}


def test_no_interpreter_for_workers_is_said_of_the_call(make: Callable[..., Pool], monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    followed = Followed("a", "0")
    make().submit(followed.job)
    death = followed.ends()["0"].death
    assert death is not None
    assert death.cause is Cause.UNAVAILABLE
    assert "no worker can be started" in death.reason


def test_workers_that_wait_are_warmed_up_and_nobody_hears_of_it(make: Callable[..., Pool], tmp_path: Path) -> None:
    note = tmp_path / "warm"
    more: dict[str, Any] = {"payload": str(note).encode(), "warm_up": "pool_runner:warm_up"}
    pool = make()
    first = Followed("a", "0", **more)
    pool.submit(first.job)
    assert first.ends()["0"].kind is EventKind.DONE
    assert eventually(lambda: note.exists() and len(note.read_text().split()) >= 2), "more than one waits"
    second = Followed("b", "7", **more)
    pool.submit(second.job)
    pid, value = pickle.loads(second.next(EventKind.REPORT).report)
    assert value == 7
    assert str(pid) in note.read_text().split()
    assert [second.next().kind] == [EventKind.DONE], "and nothing that was reported before"


def test_a_warm_up_that_ends_its_worker_is_not_tried_again(make: Callable[..., Pool], tmp_path: Path) -> None:
    note = tmp_path / "dead"
    pool = make()
    first = Followed("a", "0", payload=str(note).encode(), warm_up="pool_runner:die")
    pool.submit(first.job)
    assert first.ends()["0"].kind is EventKind.DONE
    assert eventually(lambda: note.exists() and bool(note.read_text()))
    second = Followed("b", *["0"] * 5)
    pool.submit(second.job)
    assert {event.kind for event in second.ends().values()} == {EventKind.DONE}
    assert len(note.read_text().split()) <= 2, "as many as were sent into it at once"
