"""What the pool runs: jobs made of calls, and what it tells of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from lithops_shm.workers.death import Death

__all__ = ["Call", "Event", "EventKind", "Job"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a job.

    Parameters
    ----------
    id:
        Unique within its job.
    payload:
        What the job's runner is given.
    """

    id: str
    payload: bytes


class EventKind(Enum):
    """What can be told of a call."""

    STARTED = "started"  # a worker has it
    REPORT = "report"  # its runner reported something
    DONE = "done"  # its runner returned
    DIED = "died"  # its worker ended before that
    RETRIED = "retried"  # its worker ended before that, and another will run it


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a call.

    Parameters
    ----------
    kind, call_id:
        What, and to which.
    report:
        What its runner reported, for REPORT.
    death:
        How its worker ended, for DIED and RETRIED.
    """

    kind: EventKind
    call_id: str
    report: bytes = b""
    death: Death | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Calls that share a runner. A worker that has run a call of one job never runs one of another.

    Parameters
    ----------
    key:
        Unique within the pool.
    group:
        Jobs of one group run in their order; groups share the workers evenly. Empty for a group of its own.
    runner:
        ``"module:function"``, imported in the worker and called once there with `payload` and with a function that
        reports bytes to `on_event`; gives the function that runs one call's payload.
    payload:
        For the runner.
    calls:
        What to run, in order.
    on_event:
        Told of every event, from the pool's own thread: it must not block, nor raise.
    environ, directory:
        The environment variables and the working directory of its workers.
    timeout_s:
        Seconds a call may take before its worker is killed; ``None`` for any time.
    memory_bytes:
        Memory that must be available before one of its calls starts, in bytes.
    warm_up:
        ``"module:function"``, called with `payload` in workers that wait for the next job, in places that no call
        wants: it does what a call does, so that the next one finds it done, and leaves nothing. Empty for none.
    retries:
        How often a call is run again whose worker died; not one that was killed for its timeout, or cancelled.
    """

    key: str
    runner: str
    payload: bytes
    calls: tuple[Call, ...]
    on_event: Callable[[Event], None]
    group: str = ""
    environ: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    timeout_s: float | None = None
    memory_bytes: int = 0
    warm_up: str = ""
    retries: int = 0
