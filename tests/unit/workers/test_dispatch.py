"""Which worker runs which call: sequences of events, and what the dispatcher says to do."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lithops_shm.workers.dispatch import Assign, Dispatcher, Fork, LostCall, Retire
from lithops_shm.workers.job import Call, Event, Job


def job(key: str, calls: int = 1, **more: Any) -> Job:
    def follow(event: Event) -> None:
        """Nobody asks."""

    named = tuple(Call(f"{key}{number}", b"") for number in range(calls))
    return Job(key, "runner", b"", named, follow, **more)


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


def forked(dispatcher: Dispatcher, memory: int | None = None) -> int:
    """Plan, and give how many workers are to be forked."""
    return sum(action.count for action in dispatcher.plan(memory) if isinstance(action, Fork))


class TestForks:
    def test_spares_are_forked_once(self) -> None:
        dispatcher = Dispatcher(4, spares=2)
        assert dispatcher.plan() == [Fork(2)]
        assert dispatcher.plan() == []

    def test_a_fork_that_failed_is_asked_for_again(self) -> None:
        dispatcher = Dispatcher(4, spares=2)
        dispatcher.plan()
        dispatcher.fork_failed()
        assert dispatcher.plan() == [Fork(1)]

    def test_no_spares_no_work_no_forks(self) -> None:
        assert Dispatcher(4, spares=0).plan() == []

    def test_a_job_gets_as_many_workers_as_it_has_calls_and_there_are_slots(self) -> None:
        dispatcher = Dispatcher(4, spares=1)
        dispatcher.add_job(job("a", 9))
        assert dispatcher.plan() == [Fork(4)]
        for number in range(4):
            dispatcher.worker_ready(number)
        assert assigned(dispatcher) == {0: "a0", 1: "a1", 2: "a2", 3: "a3"}
        assert dispatcher.running == 4

    def test_a_job_of_few_calls_gets_no_more_workers_than_that(self) -> None:
        dispatcher = Dispatcher(8, spares=0)
        dispatcher.add_job(job("a", 2))
        dispatcher.add_job(job("b", 1))
        assert dispatcher.plan() == [Fork(3)]

    def test_those_that_are_being_forked_count(self) -> None:
        dispatcher = Dispatcher(4, spares=2)
        assert forked(dispatcher) == 2
        dispatcher.add_job(job("a", 3))
        assert forked(dispatcher) == 1
        dispatcher.worker_ready(0)
        assert dispatcher.plan()[-1] != Fork(1), "two of three are on their way still"

    def test_those_that_took_the_spares_are_replaced(self) -> None:
        dispatcher = with_workers(4, 2)
        dispatcher.add_job(job("a", 2))
        actions = dispatcher.plan()
        assert [type(action) for action in actions] == [Assign, Assign, Fork]
        assert actions[-1] == Fork(2)

    def test_with_all_slots_taken_no_more_are_forked_than_the_spares(self) -> None:
        dispatcher = with_workers(2)
        dispatcher.add_job(job("a", 100))
        assert forked(dispatcher) == 2
        assert forked(dispatcher) == 0

    def test_calls_that_wait_for_memory_need_no_worker_yet(self) -> None:
        dispatcher = Dispatcher(4, spares=0)
        dispatcher.add_job(job("large", 8, memory_bytes=100))
        assert dispatcher.plan(99) == []
        dispatcher.add_job(job("small", 1))
        assert dispatcher.plan(99) == [Fork(1)]


class TestAssignments:
    def test_a_worker_goes_on_with_its_job_and_is_told_of_it_once(self) -> None:
        dispatcher = with_workers(1)
        a = job("a", 2)
        dispatcher.add_job(a)
        assert dispatcher.plan()[0] == Assign(0, a, a.calls[0], first=True)
        dispatcher.call_done(0)
        assert dispatcher.plan()[0] == Assign(0, a, a.calls[1], first=False)

    def test_what_a_worker_runs_can_be_asked(self) -> None:
        dispatcher = with_workers(2)
        a = job("a")
        dispatcher.add_job(a)
        dispatcher.plan()
        assert dispatcher.call_of(0) == (a, a.calls[0])
        assert dispatcher.workers_of("a") == [0]
        assert dispatcher.call_of(1) is None, "it is fresh"
        assert dispatcher.call_of(7) is None, "it does not exist"
        dispatcher.call_done(0)
        assert dispatcher.call_of(0) is None
        assert dispatcher.workers_of("a") == []

    def test_a_worker_is_let_go_when_its_job_has_no_call_left_for_it(self) -> None:
        dispatcher = with_workers(2)
        dispatcher.add_job(job("a", 2))
        dispatcher.add_job(job("b", 1))
        assert assigned(dispatcher) == {0: "a0", 1: "b0"}
        dispatcher.call_done(1)
        actions = dispatcher.plan()
        assert Retire(1) in actions
        assert not [action for action in actions if isinstance(action, Assign)], "no worker of b's runs a call of a's"

    def test_a_worker_is_let_go_while_another_runs_the_last_call_of_its_job(self) -> None:
        dispatcher = with_workers(2)
        dispatcher.add_job(job("a", 2))
        dispatcher.plan()
        dispatcher.call_done(0)
        assert Retire(0) in dispatcher.plan()
        assert dispatcher.busy

    def test_one_that_was_let_go_is_forgotten(self) -> None:
        dispatcher = with_workers(1)
        dispatcher.add_job(job("a"))
        dispatcher.plan()
        dispatcher.call_done(0)
        assert Retire(0) in dispatcher.plan()
        assert Retire(0) not in dispatcher.plan()
        assert dispatcher.worker_gone(0) is None

    def test_fresh_workers_are_kept(self) -> None:
        assert with_workers(2).plan() == []

    def test_no_more_calls_run_than_there_are_slots_though_there_are_more_workers(self) -> None:
        dispatcher = with_workers(2, 5)
        dispatcher.add_job(job("a", 5))
        assert assigned(dispatcher) == {0: "a0", 1: "a1"}
        assert assigned(dispatcher) == {}
        dispatcher.call_done(1)
        assert assigned(dispatcher) == {1: "a2"}

    def test_a_call_that_waits_for_others_gives_up_its_place_for_as_long(self) -> None:
        dispatcher = with_workers(1, 2)
        dispatcher.add_job(job("waits"))
        dispatcher.add_job(job("awaited", 2))
        assert assigned(dispatcher) == {0: "waits0"}
        dispatcher.worker_waits(0, True)
        assert assigned(dispatcher) == {1: "awaited0"}
        dispatcher.worker_waits(0, False)
        dispatcher.call_done(1)
        assert assigned(dispatcher) == {}, "it has its place back"


class TestFairness:
    def test_jobs_share_the_workers_evenly(self) -> None:
        dispatcher = with_workers(4)
        dispatcher.add_job(job("a", 9))
        dispatcher.add_job(job("b", 9))
        assert Counter(call[0] for call in assigned(dispatcher).values()) == {"a": 2, "b": 2}

    def test_a_job_that_came_late_gets_the_next_place(self) -> None:
        dispatcher = with_workers(2, 4)
        dispatcher.add_job(job("a", 9))
        dispatcher.plan()
        dispatcher.add_job(job("b", 1))
        dispatcher.call_done(0)
        assert set(assigned(dispatcher).values()) == {"b0"}

    def test_of_several_with_as_few_calls_running_the_oldest_is_first(self) -> None:
        dispatcher = with_workers(1, 3)
        for key in ("b", "a", "c"):
            dispatcher.add_job(job(key))
        order = []
        for worker in range(3):
            order += assigned(dispatcher).values()
            dispatcher.call_done(worker)
        assert order == ["b0", "a0", "c0"]

    def test_calls_of_a_job_run_in_their_order(self) -> None:
        dispatcher = with_workers(1)
        dispatcher.add_job(job("a", 5))
        order = []
        for _ in range(5):
            order += assigned(dispatcher).values()
            dispatcher.call_done(0)
        assert order == ["a0", "a1", "a2", "a3", "a4"]

    def test_jobs_of_a_group_run_in_their_order(self) -> None:
        dispatcher = with_workers(4)
        dispatcher.add_job(job("a", 3, group="g"))
        dispatcher.add_job(job("b", 3, group="g"))
        dispatcher.add_job(job("c", 1, group="h"))
        assert sorted(assigned(dispatcher).values()) == ["a0", "a1", "a2", "c0"]

    def test_groups_share_the_workers_evenly_however_many_jobs_they_have(self) -> None:
        dispatcher = with_workers(4)
        for key in ("a", "b", "c"):
            dispatcher.add_job(job(key, 9, group="many"))
        dispatcher.add_job(job("d", 9, group="one"))
        assert Counter(call[0] for call in assigned(dispatcher).values()) == {"a": 2, "d": 2}


class TestDeaths:
    def test_a_lost_call_is_given_back(self) -> None:
        dispatcher = with_workers(2)
        a = job("a", 2)
        dispatcher.add_job(a)
        dispatcher.plan()
        assert dispatcher.worker_gone(0, may_retry=True) == LostCall(a, a.calls[0], again=False)
        assert dispatcher.worker_gone(0) is None, "it is gone already"
        dispatcher.call_done(1)
        assert not dispatcher.busy

    def test_a_fresh_worker_that_ends_is_replaced(self) -> None:
        dispatcher = with_workers(1)
        assert dispatcher.worker_gone(0) is None
        assert dispatcher.plan() == [Fork(1)]

    def test_one_that_ends_between_two_calls_takes_none_with_it(self) -> None:
        dispatcher = with_workers(1)
        dispatcher.add_job(job("a", 2))
        dispatcher.plan()
        dispatcher.call_done(0)
        assert dispatcher.worker_gone(0, may_retry=True) is None
        forked(dispatcher)
        dispatcher.worker_ready(1)
        assert assigned(dispatcher) == {1: "a1"}

    def test_the_place_of_a_worker_that_ended_is_free(self) -> None:
        dispatcher = with_workers(1, 2)
        dispatcher.add_job(job("a", 2))
        dispatcher.plan()
        dispatcher.worker_gone(0)
        assert dispatcher.running == 0
        assert assigned(dispatcher) == {1: "a1"}

    def test_one_that_ends_while_it_waits_gives_back_its_call(self) -> None:
        dispatcher = with_workers(1)
        a = job("a")
        dispatcher.add_job(a)
        dispatcher.plan()
        dispatcher.worker_waits(0, True)
        assert dispatcher.worker_gone(0) == LostCall(a, a.calls[0])
        assert (dispatcher.running, dispatcher.busy) == (0, False)

    def test_a_lost_call_runs_again_as_often_as_its_job_says_and_before_all_others(self) -> None:
        dispatcher = with_workers(1, 4)
        dispatcher.add_job(job("a", 2, retries=2))
        again = []
        for worker in range(3):
            assert assigned(dispatcher) == {worker: "a0"}, "before the calls that wait for their first attempt"
            lost = dispatcher.worker_gone(worker, may_retry=True)
            assert lost is not None
            again.append(lost.again)
        assert again == [True, True, False]
        assert assigned(dispatcher) == {3: "a1"}

    def test_each_call_has_attempts_of_its_own(self) -> None:
        dispatcher = with_workers(2, 4)
        dispatcher.add_job(job("a", 2, retries=1))
        assert assigned(dispatcher) == {0: "a0", 1: "a1"}
        lost = [dispatcher.worker_gone(worker, may_retry=True) for worker in (0, 1)]
        assert [found is not None and found.again for found in lost] == [True, True]
        assert sorted(assigned(dispatcher).values()) == ["a0", "a1"]

    def test_what_was_killed_on_purpose_does_not_run_again(self) -> None:
        dispatcher = with_workers(1)
        dispatcher.add_job(job("a", 1, retries=5))
        dispatcher.plan()
        lost = dispatcher.worker_gone(0, may_retry=False)
        assert lost is not None
        assert not lost.again
        assert not dispatcher.busy

    def test_a_call_that_will_run_again_is_not_over(self) -> None:
        dispatcher = with_workers(1)
        dispatcher.add_job(job("a", 1, retries=1))
        dispatcher.plan()
        dispatcher.worker_gone(0, may_retry=True)
        assert dispatcher.busy
        assert dispatcher.is_open("a", "a0")


class TestCancelling:
    def test_drops_what_has_no_worker_yet(self) -> None:
        dispatcher = with_workers(1)
        dispatcher.add_job(job("a", 3))
        dispatcher.add_job(job("b", 1))
        dispatcher.plan()
        assert [lost.call.id for lost in dispatcher.cancel(["a", "unknown"])] == ["a1", "a2"]
        assert dispatcher.workers_of("a") == [0], "what runs goes on"
        dispatcher.call_done(0)
        assert [left.key for left in dispatcher.jobs()] == ["b"]

    def test_a_job_of_which_nothing_runs_is_over(self) -> None:
        dispatcher = Dispatcher(1, spares=0)
        dispatcher.add_job(job("a", 3))
        assert [(lost.call.id, lost.again) for lost in dispatcher.cancel(["a"])] == [
            ("a0", False),
            ("a1", False),
            ("a2", False),
        ]
        assert not dispatcher.busy
        assert dispatcher.cancel(["a"]) == []

    def test_its_dropped_calls_are_over_and_those_that_run_are_not(self) -> None:
        dispatcher = with_workers(1)
        dispatcher.add_job(job("a", 2))
        dispatcher.plan()
        dispatcher.cancel(["a"])
        assert (dispatcher.is_open("a", "a0"), dispatcher.is_open("a", "a1")) == (True, False)

    def test_its_workers_are_let_go_after_the_call_they_run(self) -> None:
        dispatcher = with_workers(1)
        dispatcher.add_job(job("a", 2))
        dispatcher.plan()
        dispatcher.cancel(["a"])
        assert Retire(0) not in dispatcher.plan()
        dispatcher.call_done(0)
        assert Retire(0) in dispatcher.plan()


class TestMemory:
    def test_a_call_waits_until_as_much_is_available(self) -> None:
        dispatcher = with_workers(1)
        dispatcher.add_job(job("a", memory_bytes=100))
        assert assigned(dispatcher, 99) == {}
        assert dispatcher.busy
        assert assigned(dispatcher, 100) == {0: "a0"}

    def test_one_that_waits_holds_up_no_job_that_asks_for_none(self) -> None:
        dispatcher = with_workers(3)
        dispatcher.add_job(job("large", 2, memory_bytes=100))
        dispatcher.add_job(job("small", 1))
        assert assigned(dispatcher, 99) == {0: "small0"}
        assert assigned(dispatcher, 150) == {1: "large0"}, "and 50 are not enough for another"
        assert assigned(dispatcher, 100) == {2: "large1"}

    def test_a_job_that_asks_for_less_passes_one_that_asks_for_more(self) -> None:
        dispatcher = with_workers(2)
        dispatcher.add_job(job("large", memory_bytes=100))
        dispatcher.add_job(job("medium", memory_bytes=50))
        assert assigned(dispatcher, 99) == {0: "medium0"}

    def test_less_than_nothing_available_holds_up_no_job_that_asks_for_none(self) -> None:
        """Running calls may have been promised more than there is by now."""
        dispatcher = with_workers(2)
        dispatcher.add_job(job("large", memory_bytes=100))
        dispatcher.add_job(job("small", 1))
        assert assigned(dispatcher, -1) == {0: "small0"}

    def test_calls_of_one_plan_share_what_is_available(self) -> None:
        dispatcher = with_workers(8)
        dispatcher.add_job(job("a", 4, memory_bytes=100))
        dispatcher.add_job(job("b", 4, memory_bytes=30))
        given = assigned(dispatcher, 290)
        assert Counter(call[0] for call in given.values()) == {"a": 2, "b": 3}, "200 and 90"

    def test_what_is_not_known_is_not_waited_for(self) -> None:
        dispatcher = with_workers(2)
        dispatcher.add_job(job("a", 2, memory_bytes=1 << 60))
        assert len(assigned(dispatcher, None)) == 2


class TestJobs:
    def test_a_key_is_one_job_at_a_time(self) -> None:
        dispatcher = with_workers(1)
        dispatcher.add_job(job("a"))
        with pytest.raises(ValueError, match="job a is running already"):
            dispatcher.add_job(job("a"))
        dispatcher.plan()
        dispatcher.call_done(0)
        dispatcher.add_job(job("a"))

    def test_one_without_calls_is_over_at_once(self) -> None:
        dispatcher = Dispatcher(1, spares=1)
        dispatcher.add_job(job("a", 0))
        assert not dispatcher.busy
        assert dispatcher.jobs() == []

    def test_no_call_of_a_job_nobody_knows_is_open(self) -> None:
        dispatcher = Dispatcher(1, spares=1)
        dispatcher.add_job(job("a"))
        assert dispatcher.is_open("a", "a0")
        assert not dispatcher.is_open("a", "a1")
        assert not dispatcher.is_open("b", "b0")


class EveryCallEndsOnce(RuleBasedStateMachine):
    """Events in any order a pool could tell them in, beside a book of who runs what and how each call ended."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher = Dispatcher(1, spares=0)
        self.asked = self.numbers = 0
        self.job_of: dict[int, Job | None] = {}
        self.calls: dict[int, Call] = {}
        self.waiting: set[int] = set()
        self.added: dict[str, Job] = {}
        self.attempts: Counter[str] = Counter()
        self.retried: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.dropped: set[str] = set()

    @initialize(slots=st.integers(1, 4), spares=st.integers(0, 3))
    def begin(self, slots: int, spares: int) -> None:
        self.dispatcher = Dispatcher(slots, spares)

    @rule(
        calls=st.integers(0, 5),
        retries=st.integers(0, 2),
        memory=st.sampled_from([0, 10, 100]),
        group=st.sampled_from(["", "g", "h"]),
    )
    def a_job_comes(self, calls: int, retries: int, memory: int, group: str) -> None:
        new = job(f"job {len(self.added)}.", calls, retries=retries, memory_bytes=memory, group=group)
        self.added[new.key] = new
        self.dispatcher.add_job(new)

    @rule(memory=st.sampled_from([None, 0, 25, 1000]))
    def a_plan_is_made(self, memory: int | None) -> None:
        before = self.dispatcher.running
        actions = self.dispatcher.plan(memory)
        assignments = [action for action in actions if isinstance(action, Assign)]
        assert not assignments or before + len(assignments) <= self.dispatcher.slots
        assert memory is None or sum(each.job.memory_bytes for each in assignments) <= memory
        for action in actions:
            if isinstance(action, Assign):
                assert action.worker not in self.calls, "one call at a time"
                assert self.job_of[action.worker] in (None, action.job), "of one job for life"
                assert action.first is (self.job_of[action.worker] is None)
                self.job_of[action.worker], self.calls[action.worker] = action.job, action.call
                self.attempts[action.call.id] += 1
            elif isinstance(action, Retire):
                assert self.job_of.pop(action.worker) is not None, "fresh ones are kept"
                assert action.worker not in self.calls
            else:
                assert action.count > 0
                self.asked += action.count
        fresh = sum(bound is None for bound in self.job_of.values())
        assert fresh + self.asked <= max(self.dispatcher.slots, self.dispatcher.spares)

    @precondition(lambda self: self.asked)
    @rule()
    def a_worker_is_ready(self) -> None:
        self.asked, self.numbers = self.asked - 1, self.numbers + 1
        self.job_of[self.numbers] = None
        self.dispatcher.worker_ready(self.numbers)

    @precondition(lambda self: self.asked)
    @rule()
    def a_fork_fails(self) -> None:
        self.asked -= 1
        self.dispatcher.fork_failed()

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def a_call_is_done(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from(sorted(self.calls))))

    @precondition(lambda self: self.job_of)
    @rule(data=st.data(), may_retry=st.booleans())
    def a_worker_is_gone(self, data: st.DataObject, may_retry: bool) -> None:
        worker = data.draw(st.sampled_from(sorted(self.job_of)))
        bound, call = self.job_of.pop(worker), self.calls.pop(worker, None)
        self.waiting.discard(worker)
        lost = self.dispatcher.worker_gone(worker, may_retry=may_retry)
        if bound is None or call is None:
            assert lost is None
            return
        again = may_retry and self.retried[call.id] < bound.retries
        assert lost == LostCall(bound, call, again)
        (self.retried if again else self.ended)[call.id] += 1

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def a_call_waits_for_others_or_goes_on(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.calls)))
        self.waiting ^= {worker}
        self.dispatcher.worker_waits(worker, worker in self.waiting)

    @precondition(lambda self: self.added)
    @rule(data=st.data())
    def jobs_are_cancelled(self, data: st.DataObject) -> None:
        keys = data.draw(st.sets(st.sampled_from(sorted(self.added)), min_size=1))
        for lost in self.dispatcher.cancel(keys):
            assert lost.job.key in keys
            assert not lost.again
            self.ended[lost.call.id] += 1
            self.dropped.add(lost.call.id)

    @invariant()
    def the_books_agree(self) -> None:
        assert self.dispatcher.running == len(self.calls.keys() - self.waiting)
        assert {worker: self.dispatcher.call_of(worker) for worker in self.job_of} == {
            worker: (bound, self.calls[worker]) if bound is not None and worker in self.calls else None
            for worker, bound in self.job_of.items()
        }
        left = {each.key for each in self.added.values() if any(not self.ended[call.id] for call in each.calls)}
        assert {each.key for each in self.dispatcher.jobs()} == left
        assert self.dispatcher.busy is bool(left)
        for each in self.added.values():
            for call in each.calls:
                assert self.dispatcher.is_open(each.key, call.id) is not bool(self.ended[call.id])

    def teardown(self) -> None:
        """Let everything run to its end."""
        calls = [call.id for each in self.added.values() for call in each.calls]
        for _ in range(2 * len(calls) + 1):  # every other round has workers for what is left, and ends a call at least
            self.a_plan_is_made(None)
            for worker in sorted(self.calls):
                self.end(worker)
            while self.asked:
                self.a_worker_is_ready()
            self.the_books_agree()
        assert not self.dispatcher.busy
        assert self.ended == Counter(calls), "each is done, lost or dropped, and once"
        for call in calls:
            assert self.attempts[call] - self.retried[call] == (call not in self.dropped)
        self.a_plan_is_made(None)
        assert all(bound is None for bound in self.job_of.values()), "workers of jobs that are over are let go"

    def end(self, worker: int) -> None:
        self.ended[self.calls.pop(worker).id] += 1
        self.waiting.discard(worker)
        self.dispatcher.call_done(worker)


TestEveryCallEndsOnce = EveryCallEndsOnce.TestCase
TestEveryCallEndsOnce.settings = hypothesis_settings(max_examples=100, stateful_step_count=40, deadline=None)
