"""Attempts of tasks: what is told, and what to do about it."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithops_shm.shuffle.attempts import Attempts, Launch


def test_each_task_is_started_once() -> None:
    assert Attempts(3, retries=0, backups=True).start() == [Launch(0, 0), Launch(1, 0), Launch(2, 0)]


def test_no_tasks_are_over_at_once() -> None:
    attempts = Attempts(0, retries=0, backups=True)
    assert attempts.start() == []
    assert attempts.over


def test_the_first_success_counts_and_later_ones_do_not() -> None:
    attempts = Attempts(1, retries=1, backups=True)
    (first,) = attempts.start()
    (second,) = attempts.died(first) or []
    assert attempts.succeeded(second, 1.0)
    assert attempts.counts(0) == 1
    assert not attempts.succeeded(first, 2.0)
    assert attempts.counts(0) == 1


def test_a_dead_one_is_started_again_alone_and_only_so_often() -> None:
    attempts = Attempts(2, retries=2, backups=True)
    first, _ = attempts.start()
    assert attempts.died(first) == [Launch(0, 1)]
    assert attempts.died(Launch(0, 1)) == [Launch(0, 2)]
    assert attempts.died(Launch(0, 2)) is None
    assert attempts.retried == 2


def test_a_death_that_does_not_matter_starts_nothing() -> None:
    attempts = Attempts(2, retries=0, backups=True)
    first, second = attempts.start()
    attempts.began(first, 0.0)
    attempts.began(second, 0.0)
    attempts.succeeded(first, 1.0)
    assert attempts.died(first) == []  # its task is over


def straggling(tasks: int = 4, *, backups: bool = True) -> Attempts:
    """All tasks took one second, but the last, which began at 0 as well and still runs."""
    attempts = Attempts(tasks, retries=0, backups=backups)
    for launch in attempts.start():
        attempts.began(launch, 0.0)
        if launch.task < tasks - 1:
            attempts.succeeded(launch, 1.0)
    return attempts


def test_a_straggler_gets_one_backup() -> None:
    attempts = straggling()
    assert attempts.stragglers(1.9) == []
    assert attempts.stragglers(2.1) == [Launch(3, 1)]
    assert attempts.stragglers(9.0) == []
    assert attempts.backed_up == 1
    attempts.began(Launch(3, 1), 2.2)
    assert attempts.died(Launch(3, 0)) == []  # the backup still runs
    assert attempts.succeeded(Launch(3, 1), 3.0)
    assert attempts.over


@pytest.mark.parametrize("tasks", [2, 3])
def test_in_a_small_stage_all_but_one_are_enough(tasks: int) -> None:
    assert straggling(tasks).stragglers(2.1) == [Launch(tasks - 1, 1)]


def test_one_task_alone_has_nothing_to_be_compared_with() -> None:
    assert straggling(1).stragglers(99.0) == []


@pytest.mark.parametrize("done", [0, 1])
def test_in_a_small_stage_one_done_of_three_is_too_few(done: int) -> None:
    attempts = Attempts(3, retries=0, backups=True)
    for launch in attempts.start():
        attempts.began(launch, 0.0)
        if launch.task < done:
            attempts.succeeded(launch, 1.0)
    assert attempts.stragglers(99.0) == []


def test_an_error_ends_the_stage_at_once_where_nothing_else_runs() -> None:
    attempts = Attempts(2, retries=3, backups=True)
    first, _ = attempts.start()
    assert attempts.raised(first) is None


@pytest.mark.parametrize("which", [0, 1])
def test_an_error_waits_for_the_other_attempt_whose_success_counts(which: int) -> None:
    attempts = straggling()
    both = [Launch(3, 0), *attempts.stragglers(9.0)]
    assert attempts.raised(both[which]) == []
    assert not attempts.over
    assert attempts.succeeded(both[1 - which], 10.0)
    assert attempts.over


@pytest.mark.parametrize("end", [Attempts.raised, Attempts.died])
def test_an_error_that_waited_counts_when_the_other_fails_too(
    end: Callable[[Attempts, Launch], list[Launch] | None],
) -> None:
    attempts = Attempts(2, retries=3, backups=True)
    for launch in attempts.start():
        attempts.began(launch, 0.0)
    attempts.succeeded(Launch(0, 0), 1.0)
    (backup,) = attempts.stragglers(9.0)
    assert attempts.raised(backup) == []
    assert end(attempts, Launch(1, 0)) is None  # no new attempt either: it would raise the same


def test_an_error_does_not_matter_once_another_attempt_counts() -> None:
    attempts = straggling()
    (backup,) = attempts.stragglers(9.0)
    attempts.succeeded(backup, 10.0)
    assert attempts.raised(Launch(3, 0)) == []


def test_backups_can_be_turned_off() -> None:
    assert straggling(backups=False).stragglers(99.0) == []


def test_there_are_no_backups_while_many_tasks_remain() -> None:
    attempts = Attempts(4, retries=0, backups=True)
    launches = attempts.start()
    for launch in launches:
        attempts.began(launch, 0.0)
    attempts.succeeded(launches[0], 1.0)
    assert attempts.stragglers(99.0) == []


def test_a_task_that_waits_for_a_worker_is_no_straggler() -> None:
    attempts = Attempts(4, retries=0, backups=True)
    launches = attempts.start()
    for launch in launches[:3]:
        attempts.began(launch, 0.0)
        attempts.succeeded(launch, 1.0)
    assert attempts.stragglers(99.0) == []


@given(st.integers(1, 6), st.integers(0, 3), st.booleans(), st.randoms(use_true_random=False))
def test_whatever_happens_each_task_counts_once(tasks: int, retries: int, backups: bool, chance: random.Random) -> None:
    attempts = Attempts(tasks, retries=retries, backups=backups)
    running = attempts.start()
    launched = set(running)
    counted: list[int] = []
    now = 0.0
    while running and not attempts.over:
        now += chance.random() * 3
        launch = running.pop(chance.randrange(len(running)))
        if chance.random() < 0.5:
            attempts.began(launch, now)
        if chance.random() < 0.5:
            if attempts.succeeded(launch, now):
                counted.append(launch.task)
            new = []
        else:
            instead = attempts.died(launch)
            if instead is None:
                assert attempts.counts(launch.task) is None
                return
            new = instead
        new = [*new, *attempts.stragglers(now)]
        assert not launched & set(new)  # every attempt has a number of its own
        launched |= set(new)
        running += new
    assert attempts.over
    assert sorted(counted) == list(range(tasks))
