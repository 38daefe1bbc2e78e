"""Workers are told when the last call they wait for is over, threads when the last job is."""

import threading

from lithops_shm.workers.waits import Waits


def test_a_worker_is_told_once_and_after_its_last_call() -> None:
    waits = Waits()
    assert waits.add_worker(1, [("a", "0"), ("a", "1")])
    assert waits.add_worker(2, [("a", "1")])
    assert waits.call_over("b", "1") == []
    assert waits.call_over("a", "1") == [2]
    assert waits.call_over("a", "1") == []
    assert waits.call_over("a", "0") == [1]


def test_who_has_nothing_to_wait_for_does_not() -> None:
    waits = Waits()
    assert not waits.add_worker(1, [])
    assert waits.call_over("a", "0") == []


def test_a_worker_that_has_gone_is_not_told() -> None:
    waits = Waits()
    waits.add_worker(1, [("a", "0")])
    waits.drop_worker(1)
    waits.drop_worker(1)
    assert waits.call_over("a", "0") == []


def test_a_thread_is_told_when_none_of_its_jobs_is_left() -> None:
    waits, over, other = Waits(), threading.Event(), threading.Event()
    waits.add_thread(frozenset({"a", "b"}), over)
    waits.add_thread(frozenset({"b"}), other)
    waits.tell_threads({"a", "b"}.__contains__)
    assert not over.is_set()
    waits.tell_threads({"a"}.__contains__)
    assert (over.is_set(), other.is_set()) == (False, True)
    waits.tell_threads(lambda _: False)
    assert over.is_set()
