"""Trying again what may work the next time, and only that, for a bounded time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from lithops_shm.shuffle.media.failures import Failed, Kind, Table

__all__ = ["Backoff", "RetryPolicy", "again_after", "retried", "retried_async"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to go on, and how long to wait between.

    Parameters
    ----------
    deadline_s:
        No try begins later than this after the first, in seconds; one that runs by then may take its own timeout more.
    base_s, cap_s:
        The pause before try n + 1 is drawn evenly from 0 up to ``min(cap_s, base_s * 2**n)`` seconds: "full jitter" of
        https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (M. Brooker, 2015), which finds it
        to need the fewest calls of those it compares. The two values are ours: 0.1 s is a few round trips to S3, and
        after 5 s a server that restarts is back.
    """

    deadline_s: float = 60.0
    base_s: float = 0.1
    cap_s: float = 5.0


class Backoff:
    """The pauses of one operation. Pure but for the clock and the dice it is given."""

    def __init__(
        self,
        policy: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._uniform = uniform
        self._began = clock()
        self.tries = 0

    @property
    def seconds(self) -> float:
        """Time since the first try began."""
        return self._clock() - self._began

    def pause(self) -> float | None:
        """Seconds to wait after a try that failed; ``None`` when the next would begin too late."""
        policy = self._policy
        # The exponent is bounded, or the power of a long series of tries overflows a float.
        pause = self._uniform(0, min(policy.cap_s, policy.base_s * 2 ** min(self.tries, 30)))
        self.tries += 1
        return pause if self.seconds + pause < policy.deadline_s else None


def retried(
    action: Callable[[], Result],
    table: Table,
    policy: RetryPolicy,
    *,
    about: str = "",
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Result:
    """What `action` gives, tried again after failures that `table` calls transient; `about` the key of that name.

    Raises
    ------
    Failed
        From the last error: at once for a failure of another kind, else at the deadline.
    """
    backoff = Backoff(policy, clock, uniform)
    while True:
        try:
            return action()
        except table.errors as error:
            failed, pause = _judged(error, table, backoff, about)
            if pause is None:
                raise failed from error
        sleep(pause)


async def retried_async(
    action: Callable[[], Awaitable[Result]], table: Table, policy: RetryPolicy, *, about: str = ""
) -> Result:
    """As :func:`retried`, for a coroutine function on an event loop."""
    backoff = Backoff(policy)
    while True:
        try:
            return await action()
        except table.errors as error:
            failed, pause = _judged(error, table, backoff, about)
            if pause is None:
                raise failed from error
        await asyncio.sleep(pause)


def again_after(kind: Kind, action: Callable[[], Result], policy: RetryPolicy) -> Result:
    """What `action` gives, begun anew for as long as it comes to failures of this kind; raises Failed."""
    backoff = Backoff(policy)
    while True:
        try:
            return action()
        except Failed as failed:
            pause = backoff.pause()
            if failed.failure.kind is not kind or pause is None:
                raise
        time.sleep(pause)


def _judged(error: Exception, table: Table, backoff: Backoff, about: str) -> tuple[Failed, float | None]:
    failure = table.failure_of(error)
    pause = backoff.pause()
    failed = Failed(failure, about, backoff.tries, backoff.seconds)
    return failed, pause if failure.kind is Kind.TRANSIENT else None
