"""Which worker runs which call: sequences of events, and what the dispatcher says to do."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithops_shm.workers.dispatch import Assign, Dispatcher, Fork, Retire, WarmUp
from lithops_shm.workers.job import Call, Event, Job


def job(key: str, calls: int = 1, **more: object) -> Job:
    def follow(event: Event) -> None:
        """Nobody asks."""

    named = tuple(Call(f"{key}{number}", b"") for number in range(calls))
    return Job(key, "runner", b"", named, follow, **more)  # type: ignore[arg-type]


def with_workers(slots: int, count: int | None = None) -> Dispatcher:
    """One that has been given fresh workers, numbered from 0."""
    dispatcher = Dispatcher(slots, spares=count or slots)
    (fork,) = dispatcher.plan()
    assert fork == Fork(count or slots)
    for number in range(fork.count):
        dispatcher.worker_ready(number)
    return dispatcher


def assigned(dispatcher: Dispatcher, memory: int | None = None) -> dict[int, str]:
    """Plan, and give which call each worker got."""
    return {action.worker: action.call.id for action in dispatcher.plan(memory) if isinstance(action, Assign)}


def test_spares_are_forked_once() -> None:
    dispatcher = Dispatcher(4, spares=2)
    assert dispatcher.plan() == [Fork(2)]
    assert dispatcher.plan() == []
    dispatcher.fork_failed()
    assert dispatcher.plan() == [Fork(1)]


def test_a_job_gets_as_many_workers_as_it_has_calls_and_there_are_slots() -> None:
    dispatcher = Dispatcher(4, spares=1)
    dispatcher.add_job(job("a", 9))
    assert dispatcher.plan() == [Fork(4)]
    for number in range(4):
        dispatcher.worker_ready(number)
    assert assigned(dispatcher) == {0: "a0", 1: "a1", 2: "a2", 3: "a3"}
    assert dispatcher.running == 4


def test_a_worker_goes_on_with_its_job_and_is_told_of_it_once() -> None:
    dispatcher = with_workers(1)
    dispatcher.add_job(job("a", 2))
    first = next(action for action in dispatcher.plan() if isinstance(action, Assign))
    dispatcher.call_done(0)
    second = next(action for action in dispatcher.plan() if isinstance(action, Assign))
    assert (first.first, second.first) == (True, False)
    assert (first.worker, second.worker) == (0, 0)


def test_a_worker_is_let_go_when_its_job_has_no_call_left_for_it() -> None:
    dispatcher = with_workers(2)
    dispatcher.add_job(job("a", 2))
    dispatcher.add_job(job("b", 1))
    assert assigned(dispatcher) == {0: "a0", 1: "b0"}
    dispatcher.call_done(1)
    actions = dispatcher.plan()
    assert Retire(1) in actions
    assert not [action for action in actions if isinstance(action, Assign)], "no worker of b's runs a call of a's"


def test_jobs_share_the_workers_evenly() -> None:
    dispatcher = with_workers(4)
    dispatcher.add_job(job("a", 9))
    dispatcher.add_job(job("b", 9))
    assert Counter(call[0] for call in assigned(dispatcher).values()) == {"a": 2, "b": 2}


def test_jobs_of_a_group_run_in_their_order() -> None:
    dispatcher = with_workers(4)
    dispatcher.add_job(job("a", 3, group="g"))
    dispatcher.add_job(job("b", 3, group="g"))
    dispatcher.add_job(job("c", 1, group="h"))
    assert sorted(assigned(dispatcher).values()) == ["a0", "a1", "a2", "c0"]


def test_a_call_that_waits_for_others_gives_up_its_place_for_as_long() -> None:
    dispatcher = with_workers(1, 2)
    dispatcher.add_job(job("waits"))
    dispatcher.add_job(job("awaited", 2))
    assert assigned(dispatcher) == {0: "waits0"}
    dispatcher.worker_waits(0, True)
    assert assigned(dispatcher) == {1: "awaited0"}
    dispatcher.worker_waits(0, False)
    dispatcher.call_done(1)
    assert assigned(dispatcher) == {}, "it has its place back"


def test_a_lost_call_is_given_back() -> None:
    dispatcher = with_workers(2)
    dispatcher.add_job(job("a", 2))
    dispatcher.plan()
    lost = dispatcher.worker_gone(0, may_retry=True)
    assert lost is not None
    assert (lost.job.key, lost.call.id, lost.again) == ("a", "a0", False)
    assert dispatcher.worker_gone(0) is None
    dispatcher.call_done(1)
    assert not dispatcher.busy


def test_a_fresh_worker_that_ends_is_replaced() -> None:
    dispatcher = with_workers(1)
    assert dispatcher.worker_gone(0) is None
    assert dispatcher.plan() == [Fork(1)]


def test_a_lost_call_runs_again_as_often_as_its_job_says() -> None:
    dispatcher = with_workers(1, 4)
    dispatcher.add_job(job("a", 2, retries=2))
    seen = []
    for worker, expected in ((0, True), (1, True), (2, False)):
        assert assigned(dispatcher) == {worker: "a0"}, "before the calls that wait for their first attempt"
        lost = dispatcher.worker_gone(worker, may_retry=True)
        assert lost is not None
        seen.append(lost.again is expected)
    assert all(seen)
    assert assigned(dispatcher) == {3: "a1"}


def test_a_call_that_no_worker_has_begun_runs_whatever_its_job_says_but_not_for_ever() -> None:
    dispatcher = with_workers(1, 13)
    dispatcher.add_job(job("a", 1, retries=2))
    for worker in range(13):
        assert assigned(dispatcher) == {worker: "a0"}
        lost = dispatcher.worker_gone(worker, begun=False, may_retry=True)
        assert lost is not None
        assert lost.again is (worker < 12)
    assert not dispatcher.busy


def test_fresh_workers_are_warmed_up_once_and_in_places_that_no_call_wants() -> None:
    dispatcher = with_workers(2, 3)
    assert dispatcher.plan() == [], "nobody has said how"
    dispatcher.add_job(job("a", 2, warm_up="m:f"))
    assert [type(action) for action in dispatcher.plan()] == [Assign, Assign, Fork]
    dispatcher.worker_ready(3)
    dispatcher.worker_ready(4)
    assert dispatcher.plan() == [], "calls come first"
    dispatcher.call_done(0)
    assert dispatcher.plan() == [Retire(0), WarmUp(2, "m:f", b"")], "beside the other call"
    assert dispatcher.plan() == []
    dispatcher.worker_warm(2)
    dispatcher.call_done(1)
    assert dispatcher.plan() == [Retire(1), WarmUp(3, "m:f", b""), WarmUp(4, "m:f", b"")]
    dispatcher.worker_warm(4)
    dispatcher.add_job(job("b", 2))
    assert assigned(dispatcher) == {2: "b0", 4: "b1"}, "those that are warm"
    dispatcher.worker_warm(3)
    dispatcher.worker_ready(5)
    dispatcher.call_done(2)
    assert dispatcher.plan() == [Retire(2)], "the last job does not want it"


def test_a_worker_that_is_warming_up_is_the_last_to_get_a_call() -> None:
    dispatcher = with_workers(1, 2)
    dispatcher.add_job(job("a", warm_up="m:f"))
    dispatcher.plan()
    dispatcher.worker_ready(2)
    dispatcher.call_done(0)
    assert WarmUp(1, "m:f", b"") in dispatcher.plan(), "one at a time in one place"
    dispatcher.add_job(job("b", 1))
    assert assigned(dispatcher) == {2: "b0"}
    dispatcher.call_done(2)
    dispatcher.plan()
    dispatcher.add_job(job("c", 1))
    assert assigned(dispatcher) == {1: "c0"}


def test_a_worker_that_ends_in_its_warm_up_is_the_last_to_have_one() -> None:
    dispatcher = with_workers(2)
    dispatcher.add_job(job("a", warm_up="m:f"))
    assert WarmUp(1, "m:f", b"") in dispatcher.plan(), "beside the call"
    dispatcher.call_done(0)
    dispatcher.plan()
    dispatcher.worker_gone(1)
    assert dispatcher.plan() == [Fork(1)]
    dispatcher.worker_ready(2)
    dispatcher.worker_ready(3)
    assert dispatcher.plan() == []


def test_what_was_killed_on_purpose_does_not_run_again() -> None:
    dispatcher = with_workers(1)
    dispatcher.add_job(job("a", 1, retries=5))
    dispatcher.plan()
    lost = dispatcher.worker_gone(0, may_retry=False)
    assert lost is not None
    assert not lost.again
    assert not dispatcher.busy


def test_cancelling_drops_what_has_no_worker_yet() -> None:
    dispatcher = with_workers(1)
    dispatcher.add_job(job("a", 3))
    dispatcher.add_job(job("b", 1))
    dispatcher.plan()
    assert [lost.call.id for lost in dispatcher.cancel(["a", "unknown"])] == ["a1", "a2"]
    assert dispatcher.workers_of("a") == [0]
    dispatcher.call_done(0)
    assert [state.key for state in dispatcher.jobs()] == ["b"]


def test_a_call_waits_for_its_memory_and_holds_up_no_job_that_asks_for_none() -> None:
    dispatcher = with_workers(3)
    dispatcher.add_job(job("large", 2, memory_bytes=100))
    dispatcher.add_job(job("small", 1))
    assert assigned(dispatcher, -1) == {0: "small0"}, "less than nothing is there when more was promised"
    assert assigned(dispatcher, 150) == {1: "large0"}, "and 50 are not enough for another"
    assert assigned(dispatcher, 100) == {2: "large1"}


def test_a_key_is_one_job_at_a_time() -> None:
    dispatcher = Dispatcher(1, spares=1)
    dispatcher.add_job(job("a"))
    with pytest.raises(ValueError, match="job a is running already"):
        dispatcher.add_job(job("a"))


def test_a_job_without_calls_is_over_at_once() -> None:
    dispatcher = Dispatcher(1, spares=1)
    dispatcher.add_job(job("a", 0))
    assert not dispatcher.busy


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_every_call_ends_once_whatever_happens(seed: int, slots: int) -> None:
    """Random events; then all is let run to its end."""
    draw = random.Random(seed)
    dispatcher = Dispatcher(slots, spares=draw.randint(0, 2))
    ended: Counter[str] = Counter()
    job_of: dict[int, str] = {}
    added: dict[str, int] = {}
    asked = numbers = 0

    def plan() -> None:
        nonlocal asked
        for action in dispatcher.plan(draw.choice([None, 5, 1000])):
            if isinstance(action, Fork):
                asked += action.count
            elif isinstance(action, Assign):
                assert job_of.setdefault(action.worker, action.job.key) == action.job.key, "of one job for life"
                assert action.worker in alive
            elif isinstance(action, WarmUp):
                assert action.worker in alive
                assert action.worker not in job_of
                assert not any(state.pending for state in dispatcher._jobs.values())
                assert action.worker not in warm
                warm.add(action.worker)
            else:
                alive.discard(action.worker)
        assert dispatcher.running <= slots

    def busy() -> list[int]:
        return [worker for worker in alive if dispatcher.call_of(worker)]

    def end(worker: int) -> None:
        found = dispatcher.call_of(worker)
        assert found is not None
        dispatcher.call_done(worker)
        ended[found[1].id] += 1

    alive: set[int] = set()
    warm: set[int] = set()
    for step in range(60):
        event = draw.choice(["add", "plan", "ready", "fail", "warm", "done", "gone", "cancel"])
        if event == "add" and len(added) < 6:
            more = {"memory_bytes": draw.choice([0, 10]), "warm_up": draw.choice(["", "m:f"])}
            new = job(f"{step}-", draw.randint(0, 5), retries=draw.randint(0, 2), **more)
            dispatcher.add_job(new)
            added[new.key] = len(new.calls)
        elif event == "ready" and asked:
            asked, numbers = asked - 1, numbers + 1
            alive.add(numbers)
            dispatcher.worker_ready(numbers)
        elif event == "fail" and asked:
            asked -= 1
            dispatcher.fork_failed()
        elif event == "warm" and warm & alive:
            dispatcher.worker_warm(draw.choice(sorted(warm & alive)))
        elif event == "done" and busy():
            end(draw.choice(busy()))
        elif event == "gone" and alive:
            worker = draw.choice(sorted(alive))
            alive.discard(worker)
            lost = dispatcher.worker_gone(worker, begun=draw.random() < 0.5, may_retry=draw.random() < 0.5)
            if lost is not None and not lost.again:
                ended[lost.call.id] += 1
        elif event == "cancel" and added:
            ended.update(lost.call.id for lost in dispatcher.cancel([draw.choice(sorted(added))]))
        plan()
    while dispatcher.busy:
        for action in dispatcher.plan():
            if isinstance(action, Fork):
                asked += action.count
            elif isinstance(action, Retire):
                alive.discard(action.worker)
        for worker in busy():
            end(worker)
        while asked:
            asked, numbers = asked - 1, numbers + 1
            alive.add(numbers)
            dispatcher.worker_ready(numbers)
    assert ended == Counter(f"{key}{number}" for key, count in added.items() for number in range(count))
