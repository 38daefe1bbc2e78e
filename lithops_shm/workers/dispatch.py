"""Which worker runs which call: a state machine that is told what happened and says what to do. No I/O, no clock.

Workers are forked fresh, bound to the job whose call they run first, and let go when it has no call left for them; so
nothing that a call leaves in its process reaches another job. A few fresh ones wait ahead of need.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from lithops_shm.workers.job import Call, Job

__all__ = ["Assign", "Dispatcher", "Fork", "LostCall", "Retire", "WarmUp"]

_UNBEGUN = 10  # how often a call is given to another worker because one had ended before it began with it


@dataclass(frozen=True, slots=True)
class Fork:
    """Start this many fresh workers."""

    count: int


@dataclass(frozen=True, slots=True)
class Assign:
    """Send a call to a worker; `first` when it is its first of this job."""

    worker: int
    job: Job
    call: Call
    first: bool


@dataclass(frozen=True, slots=True)
class Retire:
    """Let a worker go, that has nothing to do."""

    worker: int


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Have a worker without a job call a function with a payload, as the last job wanted."""

    worker: int
    function: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class LostCall:
    """A call whose worker went away, or that was cancelled before it had one; `again` when another will run it."""

    job: Job
    call: Call
    again: bool = False


class _Warmth(IntEnum):
    """In the order in which fresh workers are taken."""

    WARM = 0
    COLD = 1
    WARMING = 2


@dataclass(slots=True)
class _Worker:
    job: str | None = None
    call: Call | None = None
    warmth: _Warmth = _Warmth.COLD
    waiting: bool = False


@dataclass(slots=True)
class _JobState:
    job: Job
    pending: deque[Call] = field(default_factory=deque)
    running: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    unbegun: Counter[str] = field(default_factory=Counter)
    open: set[str] = field(default_factory=set)


class Dispatcher:
    """Keeps jobs, calls and workers.

    Parameters
    ----------
    slots:
        Most calls at once.
    spares:
        Fresh workers to keep ready beyond those that are busy, while there is work or none has been idle for long.
    """

    def __init__(self, slots: int, spares: int) -> None:
        self.slots = slots
        self.spares = spares
        self._jobs: dict[str, _JobState] = {}
        self._workers: dict[int, _Worker] = {}
        self._forking = 0
        self._warm_up: tuple[str, bytes] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call is running or waiting to."""
        return bool(self._jobs)

    @property
    def running(self) -> int:
        """Calls that have a worker, and do not wait for another call."""
        return sum(worker.call is not None and not worker.waiting for worker in self._workers.values())

    def jobs(self) -> list[Job]:
        """The jobs that are not over."""
        return [state.job for state in self._jobs.values()]

    def call_of(self, worker: int) -> tuple[Job, Call] | None:
        """What a worker is running."""
        state = self._workers.get(worker)
        if state is None or state.call is None or state.job is None:
            return None
        return self._jobs[state.job].job, state.call

    def has_job(self, job_key: str) -> bool:
        """Whether a job has calls that are running or waiting to."""
        return job_key in self._jobs

    def is_open(self, job_key: str, call_id: str) -> bool:
        """Whether a call is running or waiting to."""
        return job_key in self._jobs and call_id in self._jobs[job_key].open

    def workers_of(self, job_key: str) -> list[int]:
        """The workers that run calls of a job."""
        return [number for number, worker in self._workers.items() if worker.job == job_key and worker.call]

    def add_job(self, job: Job) -> None:
        """Queue the calls of a job.

        Raises
        ------
        ValueError
            When a job of that key is still running.
        """
        if job.key in self._jobs:
            raise ValueError(f"job {job.key} is running already")
        if job.calls:
            self._jobs[job.key] = _JobState(job, deque(job.calls), open={call.id for call in job.calls})
            self._warm_up = (job.warm_up, job.payload) if job.warm_up else None

    def worker_ready(self, worker: int) -> None:
        """A fresh worker has been forked."""
        self._forking -= 1
        self._workers[worker] = _Worker()

    def fork_failed(self) -> None:
        """A fork that was asked for did not come about."""
        self._forking -= 1

    def worker_warm(self, worker: int) -> None:
        """A worker's warm-up is over."""
        self._workers[worker].warmth = _Warmth.WARM

    def worker_waits(self, worker: int, waiting: bool) -> None:
        """A worker's call waits for other calls, which may need its place; or goes on."""
        self._workers[worker].waiting = waiting

    def call_done(self, worker: int) -> None:
        """A worker has finished its call."""
        state = self._workers[worker]
        if state.call is not None and state.job is not None:
            self._jobs[state.job].open.discard(state.call.id)
            self._finish_one(state.job)
        state.call, state.waiting = None, False

    def worker_gone(self, worker: int, *, begun: bool = True, may_retry: bool = False) -> LostCall | None:
        """A worker has ended; gives the call it was running, which runs again if that and its job allow it.

        A call that it had not `begun` needs no leave of its job's: nothing of it has happened.
        """
        state = self._workers.pop(worker, None)
        if state is not None and state.warmth is _Warmth.WARMING and state.job is None:
            self._warm_up = None  # it may have been the end of it, and would be that of the next
        if state is None or state.call is None or state.job is None:
            return None
        of_job = self._jobs[state.job]
        unbegun = not begun and of_job.unbegun[state.call.id] < _UNBEGUN
        again = may_retry and (unbegun or of_job.lost[state.call.id] < of_job.job.retries)
        if again:
            (of_job.unbegun if unbegun else of_job.lost)[state.call.id] += 1
            of_job.pending.appendleft(state.call)
        else:
            of_job.open.discard(state.call.id)
        self._finish_one(state.job)
        return LostCall(of_job.job, state.call, again)

    def cancel(self, job_keys: Iterable[str]) -> list[LostCall]:
        """Drop the calls of jobs that have no worker yet; those that run go on."""
        dropped = []
        for key in set(job_keys) & self._jobs.keys():
            state = self._jobs[key]
            dropped += [LostCall(state.job, call) for call in state.pending]
            state.open.difference_update(call.id for call in state.pending)
            state.pending.clear()
            self._forget_if_over(key)
        return dropped

    def plan(self, memory_available: int | None = None) -> list[Assign | Fork | Retire | WarmUp]:
        """What to do now.

        Parameters
        ----------
        memory_available:
            Bytes that no running call uses or may still ask for; ``None`` for any amount.
        """
        actions: list[Assign | Fork | Retire | WarmUp] = []
        waiting = 0
        while self.running < self.slots:
            state = self._next_job(memory_available)
            if state is None:
                break
            worker = self._worker_for(state.job.key)
            if worker is None:
                waiting = min(self.slots - self.running, sum(len(each.pending) for each in self._jobs.values()))
                break
            first = self._workers[worker].job is None
            call = state.pending.popleft()
            state.running += 1
            self._workers[worker] = _Worker(state.job.key, call)
            actions.append(Assign(worker, state.job, call, first))
            if memory_available is not None:
                memory_available -= state.job.memory_bytes
        actions += [Retire(worker) for worker in self._finished()]
        for action in actions:
            if isinstance(action, Retire):
                del self._workers[action.worker]
        actions += self._warm_ups()
        missing = max(waiting, self.spares) - self._fresh() - self._forking
        if missing > 0:
            self._forking += missing
            actions.append(Fork(missing))
        return actions

    def _warm_ups(self) -> list[WarmUp]:
        """Of fresh workers, as many at once as there are places that no call has, nor waits for."""
        if self._warm_up is None or any(state.pending for state in self._jobs.values()):
            return []
        fresh = [number for number, worker in self._workers.items() if worker.job is None]
        cold = [number for number in fresh if self._workers[number].warmth is _Warmth.COLD]
        warming = sum(self._workers[number].warmth is _Warmth.WARMING for number in fresh)
        chosen = cold[: max(0, self.slots - self.running - warming)]
        for number in chosen:
            self._workers[number].warmth = _Warmth.WARMING
        return [WarmUp(number, *self._warm_up) for number in chosen]

    def _next_job(self, memory_available: int | None) -> _JobState | None:
        """Of the group with the fewest calls running the oldest job, of several groups the one with the oldest."""
        running: Counter[str] = Counter()
        for state in self._jobs.values():
            running[state.job.group or state.job.key] += state.running
        fitting = [state for state in self._jobs.values() if state.pending and self._fits(state.job, memory_available)]
        return min(fitting, key=lambda state: running[state.job.group or state.job.key], default=None)

    def _fits(self, job: Job, memory_available: int | None) -> bool:
        return memory_available is None or not job.memory_bytes or job.memory_bytes <= memory_available

    def _worker_for(self, job_key: str) -> int | None:
        idle = [number for number, worker in self._workers.items() if worker.call is None]
        of_job = (number for number in idle if self._workers[number].job == job_key)
        fresh = (number for number in idle if self._workers[number].job is None)
        return next(of_job, min(fresh, key=lambda number: self._workers[number].warmth, default=None))

    def _finished(self) -> list[int]:
        """Workers bound to a job that has no call left for them."""
        return [
            number
            for number, worker in self._workers.items()
            if worker.call is None
            and worker.job is not None
            and (worker.job not in self._jobs or not self._jobs[worker.job].pending)
        ]

    def _fresh(self) -> int:
        return sum(worker.job is None for worker in self._workers.values())

    def _finish_one(self, key: str) -> None:
        self._jobs[key].running -= 1
        self._forget_if_over(key)

    def _forget_if_over(self, key: str) -> None:
        state = self._jobs[key]
        if not state.pending and not state.running:
            del self._jobs[key]
