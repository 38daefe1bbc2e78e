"""Which attempts of a stage's tasks run, and which count: told what happened, it says what to do. No I/O, no clock."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

__all__ = ["Attempts", "Launch"]

# When a task is taken for a straggler. Backups start when a stage is close to its end (Dean and Ghemawat, "MapReduce",
# OSDI 2004, section 3.6); how close, and how slow is too slow, are ours, near to what Spark had up to version 3
# (spark.speculation.quantile 0.75, spark.speculation.multiplier 1.5). Of two or three tasks all but one are enough,
# though that is less than the share.
_DONE_SHARE = 0.75
_TIMES_MEDIAN = 2.0
_LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class Launch:
    """Start an attempt of a task."""

    task: int
    attempt: int


@dataclass(slots=True)
class _Task:
    launched: int = 0
    running: dict[int, float | None] = field(default_factory=dict)  # attempt -> when it began, once known
    failures: int = 0
    raised: bool = False
    counts: int | None = None
    has_backup: bool = False


class Attempts:
    """The tasks of one stage, numbered from 0, each with its attempts, numbered from 0.

    Parameters
    ----------
    tasks:
        How many.
    retries:
        How often a task is started again whose attempts all died.
    backups:
        Whether stragglers get a second attempt beside the first.
    """

    def __init__(self, tasks: int, *, retries: int, backups: bool) -> None:
        self._tasks = [_Task() for _ in range(tasks)]
        self._retries = retries
        self._backups = backups
        self._seconds: list[float] = []
        self.retried = 0
        self.backed_up = 0

    @property
    def over(self) -> bool:
        """Whether every task has an attempt that counts."""
        return all(task.counts is not None for task in self._tasks)

    @property
    def done(self) -> int:
        """Tasks with an attempt that counts."""
        return sum(task.counts is not None for task in self._tasks)

    def counts(self, task: int) -> int | None:
        """The attempt of a task that counts, if it has one yet."""
        return self._tasks[task].counts

    def start(self) -> list[Launch]:
        """The first attempt of each task."""
        return [self._launch(task) for task in range(len(self._tasks))]

    def began(self, launch: Launch, at: float | None) -> None:
        """When a worker took up an attempt, in seconds of any clock, the same one throughout; ``None`` for not yet."""
        running = self._tasks[launch.task].running
        if launch.attempt in running and running[launch.attempt] is None:
            running[launch.attempt] = at

    def succeeded(self, launch: Launch, now: float) -> bool:
        """An attempt has finished; gives whether it counts, which the first one of its task does."""
        task = self._tasks[launch.task]
        began = task.running.pop(launch.attempt, None)
        if task.counts is not None:
            return False
        task.counts = launch.attempt
        if began is not None:
            self._seconds.append(now - began)
        return True

    def died(self, launch: Launch) -> list[Launch] | None:
        """An attempt was lost; gives what to start in its place, or ``None`` when the stage has failed by it."""
        task = self._tasks[launch.task]
        task.running.pop(launch.attempt, None)
        task.failures += 1
        if task.counts is not None or task.running:
            return []
        if task.raised or task.failures > self._retries:
            return None
        self.retried += 1
        return [self._launch(launch.task)]

    def raised(self, launch: Launch) -> list[Launch] | None:
        """An attempt ended with an error, which a new one would meet as well, so that none is started.

        Gives nothing to start, or ``None`` when the stage has failed by it: not while another attempt of the task runs,
        whose success makes the error one of this attempt alone.
        """
        task = self._tasks[launch.task]
        task.running.pop(launch.attempt, None)
        task.raised = True
        return [] if task.counts is not None or task.running else None

    def stragglers(self, now: float) -> list[Launch]:
        """Backups to start, near the end of the stage, for tasks that take much longer than the others did."""
        tasks = len(self._tasks)
        if not self._backups or not self._seconds or self.done < min(_DONE_SHARE * tasks, tasks - 1):
            return []
        limit = max(_LEAST_S, _TIMES_MEDIAN * statistics.median(self._seconds))
        slow = [
            number
            for number, task in enumerate(self._tasks)
            if task.counts is None
            and not task.has_backup
            and any(began is not None and now - began > limit for began in task.running.values())
        ]
        for number in slow:
            self._tasks[number].has_backup = True
        self.backed_up += len(slow)
        return [self._launch(number) for number in slow]

    def _launch(self, number: int) -> Launch:
        task = self._tasks[number]
        launch = Launch(number, task.launched)
        task.launched += 1
        task.running[launch.attempt] = None
        return launch
