"""What a job could run on, each with its prediction, or with the reason why it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from lithops_shm.selector.model import Plan, Prediction, Term, predict_local, predict_remote
from lithops_shm.selector.profile import HostProfile, JobProfile
from lithops_shm.selector.rates import Limits, LocalRates, Prices, RemoteRates
from lithops_shm.sizes import size

__all__ = ["Candidate", "Correct", "Remote", "candidates"]

# Least share of a function's memory that its part may take (Seer, Middleware '22), in a fleet of more than a few.
_LEAST_SHARE, _SMALL_FLEET = 0.05, 64
_REMOTE_STEPS = 8  # sizes of a fleet that are looked at
_HALF = 0.5  # of the memory, for what workers have of their own
_OF_A_CORE_MB = 1_769  # a function with one whole CPU, where memory buys CPU
_SAFE = 0.9  # of a limit that a prediction may use

Correct = Callable[[str, tuple[Term, ...]], tuple[Term, ...]]
"""Terms of a place, corrected by what was measured of it before."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A compute backend and a storage that are not this machine.

    Parameters
    ----------
    backend, storage:
        By their names in Lithops.
    rates, prices, limits:
        What is known of them.
    memory_mb:
        Of a function, as configured; ``None`` to choose.
    trusted:
        Whether its owner lets confidential data go there.
    """

    backend: str
    storage: str
    rates: RemoteRates = field(default_factory=RemoteRates)
    prices: Prices = field(default_factory=Prices)
    limits: Limits = field(default_factory=Limits)
    memory_mb: int | None = None
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place and a plan, and what they would take.

    Parameters
    ----------
    place:
        ``"local"`` or ``"remote"``.
    backend, storage:
        By their names in Lithops.
    plan:
        How the job would be cut up.
    prediction:
        What it would take.
    rejected:
        The hard constraint it breaks, in a sentence; empty when it breaks none.
    """

    place: str
    backend: str
    storage: str
    plan: Plan
    prediction: Prediction
    rejected: str = ""

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready: bytes, seconds, US dollars."""
        found = self.prediction
        return {
            "place": self.place,
            "backend": self.backend,
            "storage": self.storage,
            "workers": self.plan.workers,
            "functions": self.plan.functions,
            "partitions": self.plan.partitions,
            "memory_mb": self.plan.memory_mb,
            "seconds": found.seconds,
            "spread": found.spread,
            "peak_bytes": found.peak_bytes,
            "spilled_bytes": found.spilled_bytes,
            "usd": found.usd,
            "terms": {term.name: term.seconds for term in found.terms},
            "rejected": self.rejected,
        }


def _as_they_are(place: str, terms: tuple[Term, ...]) -> tuple[Term, ...]:  # noqa: ARG001 - a Correct
    return terms


def candidates(
    nbytes: int,
    job: JobProfile,
    host: HostProfile,
    rates: LocalRates,
    remote: Remote | None,
    *,
    usd_hour: float = 0.0,
    correct: Correct = _as_they_are,
) -> list[Candidate]:
    """All that are considered for an input of `nbytes`, those that break a hard constraint among them.

    Parameters
    ----------
    usd_hour:
        What an hour of this machine costs.
    correct:
        Applied to the terms of every prediction.
    """
    found = []
    for plan in _local_plans(nbytes, job, host, rates):
        prediction = predict_local(nbytes, job, plan, host, rates, usd_hour, remote.rates if remote else None)
        prediction = replace(prediction, terms=correct("local", prediction.terms))
        if usd_hour:
            prediction = replace(prediction, usd=prediction.seconds / 3600 * usd_hour)
        rejected = _local_rejection(job, host, prediction)
        found.append(Candidate("local", "shm", "shm", plan, prediction, rejected or _common_rejection(job, prediction)))
    if remote is not None:
        for plan in _remote_plans(nbytes, job, remote, 1 + rates.working_set):
            prediction = predict_remote(nbytes, job, plan, rates, remote.rates, remote.prices, remote.limits)
            prediction = replace(prediction, terms=correct("remote", prediction.terms))
            rejected = _remote_rejection(job, remote, plan, prediction) or _common_rejection(job, prediction)
            found.append(Candidate("remote", remote.backend, remote.storage, plan, prediction, rejected))
    return found


def _local_plans(nbytes: int, job: JobProfile, host: HostProfile, rates: LocalRates) -> Iterator[Plan]:
    """With all CPUs, and with ever fewer: each worker needs memory of its own."""
    workers = min(host.cpus, job.functions or host.cpus)
    while workers:
        functions = job.functions or _functions_that_fit(nbytes, workers, host, rates)
        yield Plan(functions, _partitions(job, functions), workers)
        workers //= 2


def _functions_that_fit(nbytes: int, workers: int, host: HostProfile, rates: LocalRates) -> int:
    """As many as workers, and more where their parts together would take over half of the memory."""
    rounds = math.ceil(nbytes * rates.working_set / max(1.0, host.memory_bytes * _HALF))
    return workers * min(max(1, rounds), 1_000)


def _remote_plans(nbytes: int, job: JobProfile, remote: Remote, held: float) -> Iterator[Plan]:
    """`held`: bytes of memory that a function needs for each byte of its part."""
    limits = remote.limits
    usual = remote.memory_mb or (min(_OF_A_CORE_MB, limits.memory_mb) if limits.memory_per_vcpu_mb else 0)
    for functions in _fleets(nbytes * held, job, (usual or limits.memory_mb) << 20, limits.concurrency):
        memory = usual
        if usual and remote.memory_mb is None:  # as much more as the parts of a given number of functions need
            memory = max(usual, min(limits.memory_mb, math.ceil(nbytes * held / functions / _SAFE / (1 << 20))))
        yield Plan(functions, _partitions(job, functions), min(functions, limits.concurrency), memory)


def _fleets(held: float, job: JobProfile, memory_bytes: int, concurrency: int) -> list[int]:
    """From as few functions as hold the data to as many as are worth starting, in steps of a factor."""
    if job.functions:
        return [job.functions]
    least = max(1, math.ceil(held / (_SAFE * memory_bytes)))
    most = min(max(least, math.ceil(held / (_LEAST_SHARE * memory_bytes)), _SMALL_FLEET), max(least, concurrency))
    factor = max(2.0, (most / least) ** (1 / (_REMOTE_STEPS - 1)))
    return sorted({min(most, math.ceil(least * factor**step)) for step in range(_REMOTE_STEPS)})


def _partitions(job: JobProfile, functions: int) -> int:
    return 0 if job.intermediate_ratio == 0 else job.partitions or functions


def _local_rejection(job: JobProfile, host: HostProfile, prediction: Prediction) -> str:
    if prediction.peak_bytes > host.memory_bytes:  # what segments take is bounded: it is the workers' own
        return f"needs {size(prediction.peak_bytes)} of memory, and {size(host.memory_bytes)} are free"
    if prediction.spilled_bytes > host.spill_bytes * _SAFE:
        why = "confidential data does not go to disk" if job.confidential else f"{size(host.spill_bytes)} are free"
        return f"{size(prediction.spilled_bytes)} do not fit in memory and would go to disk: {why}"
    return ""


def _remote_rejection(job: JobProfile, remote: Remote, plan: Plan, prediction: Prediction) -> str:
    limits = remote.limits
    memory_mb = plan.memory_mb or limits.memory_mb
    if job.confidential and not remote.trusted:
        return "the data is confidential, and stays on this machine"
    if memory_mb > limits.memory_mb:
        return f"a function has at most {limits.memory_mb} MiB on {remote.backend}"
    if plan.workers > limits.concurrency:
        return f"{remote.backend} runs at most {limits.concurrency} functions at once"
    if prediction.peak_bytes > memory_mb * (1 << 20) * _SAFE:
        return f"a function needs {size(prediction.peak_bytes)}, and has {memory_mb} MiB"
    if limits.seconds is not None and prediction.longest_call_s > limits.seconds * _SAFE:
        return f"a call takes {prediction.longest_call_s:,.0f} s, and may take {limits.seconds:,.0f}"
    if prediction.payload_bytes > limits.payload_bytes:
        return f"an invocation carries {size(prediction.payload_bytes)}, and may carry {size(limits.payload_bytes)}"
    return ""


def _common_rejection(job: JobProfile, prediction: Prediction) -> str:
    if job.deadline_s is not None and prediction.seconds > job.deadline_s:
        return f"takes {prediction.seconds:,.1f} s, and the deadline is {job.deadline_s:,.1f} s"
    if job.budget_usd is not None and prediction.usd > job.budget_usd:
        return f"costs ${prediction.usd:,.4f}, and the budget is ${job.budget_usd:,.4f}"
    return ""
