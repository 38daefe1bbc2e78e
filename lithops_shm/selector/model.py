"""How long a job takes, how much memory and what it costs, here and elsewhere: formulas, and nothing that runs.

`docs/selector.md` derives them. Both sides give the same kind of answer, a sum of named terms, so that they can be
shown beside each other, and each corrected by what was measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lithops_shm.selector.profile import HostProfile, JobProfile
from lithops_shm.selector.rates import GB, Limits, LocalRates, Prices, RemoteRates

__all__ = ["GROUPS", "Plan", "Prediction", "Term", "predict_local", "predict_remote"]

GROUPS = ("start", "compute", "data")
"""What terms are about; measurements correct each group by a factor of its own."""

_HOURS_A_MONTH = 730.0
_PART_BYTES = 64 << 20  # of a multipart upload; Seer's c
_RANGES_AT_ONCE = 16  # that a reducer reads; shuffle/media does
_PAYLOAD_BYTES = 8_192  # what Lithops sends with the invocation of one call: the configuration, and names of objects
_UNKNOWN_COMPUTE_SPREAD = 1.0


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a prediction.

    Parameters
    ----------
    name:
        For people.
    seconds:
        How long it takes.
    group:
        One of GROUPS.
    spread:
        Standard deviation of the seconds, as a fraction of them.
    correction:
        What the seconds of the formula were multiplied by, because of what was measured of earlier jobs.
    """

    name: str
    seconds: float
    group: str
    spread: float
    correction: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a job would be cut up.

    Parameters
    ----------
    functions, partitions:
        Calls of its first stage, and of its second (0 without a shuffle).
    workers:
        Calls at once.
    memory_mb:
        Of one function, in MiB, where that is bought; 0 where it is not.
    """

    functions: int
    partitions: int
    workers: int
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a plan would take.

    Parameters
    ----------
    terms:
        Whose sum are the seconds.
    peak_bytes:
        Most memory at once: of this machine, or of one remote function.
    spilled_bytes:
        That would go to disk.
    usd:
        US dollars.
    longest_call_s:
        Seconds of the longest call.
    payload_bytes:
        Of one invocation.
    """

    terms: tuple[Term, ...]
    peak_bytes: int
    usd: float
    spilled_bytes: int = 0
    longest_call_s: float = 0.0
    payload_bytes: int = 0

    @property
    def seconds(self) -> float:
        """The expected time."""
        return sum(term.seconds for term in self.terms)

    @property
    def spread(self) -> float:
        """Standard deviation of the time as a fraction of it, taking the terms for independent."""
        seconds = self.seconds
        return math.sqrt(sum((term.seconds * term.spread) ** 2 for term in self.terms)) / seconds if seconds else 0.0


def predict_local(
    nbytes: int,
    job: JobProfile,
    plan: Plan,
    host: HostProfile,
    rates: LocalRates,
    usd_hour: float,
    remote: RemoteRates | None,
) -> Prediction:
    """On this machine, through segments.

    Parameters
    ----------
    nbytes:
        Size of the input.
    usd_hour:
        What an hour of this machine costs.
    remote:
        Of the storage the input is in, when it is not here.
    """
    exchanged, result = nbytes * job.intermediate_ratio, nbytes * job.output_ratio
    working = int(nbytes / plan.functions * rates.working_set) * plan.workers
    in_segments = int(exchanged + result)
    spilled = max(0, in_segments - max(0, min(host.segment_bytes, host.memory_bytes - working)))
    recycled = min(float(host.pool_bytes), exchanged + result)
    mean_write = exchanged + result - recycled
    waves = math.ceil(plan.functions / plan.workers)
    terms = [
        ("workers start", rates.pool_start_s, "start"),
        ("calls", (plan.functions + plan.partitions) / plan.workers * rates.call_s, "start"),
        *_reading(nbytes, job, plan, rates, remote),
        _compute(nbytes, job, rates, waves / plan.functions),
        ("write segments", mean_write / rates.fresh_bps + recycled / rates.recycled_bps, "data"),
    ]
    if plan.partitions:
        reducing = min(plan.workers, plan.partitions)
        terms += [
            ("stages", rates.stage_s, "start"),
            ("partition", exchanged / (rates.partition_bps * plan.workers), "data"),
            ("merge", exchanged / (rates.merge_bps * reducing), "data"),
        ]
    if spilled:
        terms.append(("spill", 2 * spilled / rates.spill_bps, "data"))
    found = _with_spread(terms, job, rates.spread)
    seconds = sum(term.seconds for term in found)
    peak = min(in_segments, in_segments - spilled) + working
    return Prediction(found, peak, seconds / 3600 * usd_hour, spilled)


def _reading(
    nbytes: int, job: JobProfile, plan: Plan, rates: LocalRates, remote: RemoteRates | None
) -> list[tuple[str, float, str]]:
    if job.input_place == "remote" and remote is not None:
        requests = math.ceil(plan.functions / plan.workers) * remote.latency_s
        return [("download", nbytes / _together(remote.read_bps, plan.workers, remote) + requests, "data")]
    return [("read", nbytes / (rates.read_bps * plan.workers), "data")]


def predict_remote(
    nbytes: int,
    job: JobProfile,
    plan: Plan,
    local: LocalRates,
    rates: RemoteRates,
    prices: Prices,
    limits: Limits,
) -> Prediction:
    """On functions elsewhere, through an object store.

    The shuffle is Seer's model (Middleware '22) with one object for a mapper in place of one for each pair:
    ``max(D / (b p), requests / q)`` for writing and for reading, where D are bytes, b bytes a second of one function,
    p functions at once, q requests a second; and the latency of the requests that a function makes one after another.
    """
    exchanged, result = nbytes * job.intermediate_ratio, nbytes * job.output_ratio
    share = min(1.0, plan.memory_mb / limits.memory_per_vcpu_mb) if limits.memory_per_vcpu_mb and plan.memory_mb else 1
    cpu = rates.cpu * share
    p, reducing = plan.workers, min(plan.workers, plan.partitions or plan.workers)
    waves = math.ceil(plan.functions / p)
    calls = plan.functions + plan.partitions
    parts = max(1, math.ceil(exchanged / plan.functions / _PART_BYTES))
    puts = plan.functions * (parts + 1 if plan.partitions else 1) + 2 * calls
    gets = plan.functions * max(1, math.ceil(nbytes / plan.functions / _PART_BYTES)) + 2 * calls
    starting = [
        ("functions start", rates.start_s + p / rates.starts_per_s, "start"),
        ("invocations", calls * rates.invoke_s / rates.invocations_at_once, "start"),
        ("stages", rates.stage_s * (2 if plan.partitions else 1), "start"),
    ]
    if plan.partitions:
        starting.append(("functions connect", rates.shuffle_s + p * rates.shuffle_function_s, "start"))
    if job.input_place != "remote":
        starting.append(("upload", nbytes / rates.upload_bps, "data"))
    working = [
        ("download", nbytes / _together(rates.read_bps, p, rates) + waves * rates.latency_s, "data"),
        _compute(nbytes, job, local, waves / plan.functions / cpu),
        ("write results", result / _together(rates.write_bps, reducing, rates) + rates.latency_s, "data"),
    ]
    if plan.partitions:
        ranges = plan.functions * plan.partitions
        gets += ranges
        reads = math.ceil(plan.partitions / reducing) * math.ceil(plan.functions / _RANGES_AT_ONCE)
        writes = max(exchanged / _together(rates.write_bps, p, rates), puts / rates.writes_per_s)
        reading = max(exchanged / _together(rates.read_bps, reducing, rates), ranges / rates.reads_per_s)
        working += [
            ("partition", exchanged / (local.partition_bps * cpu * p), "data"),
            ("write the shuffle", writes + waves * parts * rates.latency_s, "data"),
            ("read the shuffle", reading + reads * rates.latency_s, "data"),
            ("merge", exchanged / (local.merge_bps * cpu * reducing), "data"),
        ]
    busy = sum(seconds for _, seconds, _ in working)
    stored_gb_months = (exchanged + result) / GB * busy / 3600 / _HOURS_A_MONTH
    usd = (
        busy * p * plan.memory_mb / 1024 * prices.gb_second
        + calls * prices.invocation
        + puts * prices.put
        + gets * prices.get
        + stored_gb_months * prices.stored_gb_month
    )
    per_call = max(nbytes / plan.functions, exchanged / (plan.partitions or plan.functions))
    return Prediction(
        _with_spread(starting + working, job, rates.spread),
        int(per_call * (1 + local.working_set)),
        usd,
        longest_call_s=busy / waves,
        payload_bytes=_PAYLOAD_BYTES,
    )


def _together(bps: float, functions: int, rates: RemoteRates) -> float:
    """Bandwidth of so many functions: each its own, and all no more than the store's."""
    own = bps * functions
    return own if rates.total_bps is None else min(own, rates.total_bps)


def _compute(nbytes: int, job: JobProfile, rates: LocalRates, share: float) -> tuple[str, float, str]:
    per_gb = rates.compute_s_per_gb if job.compute_s_per_gb is None else job.compute_s_per_gb
    return ("compute", nbytes / GB * per_gb * share, "compute")


def _with_spread(terms: list[tuple[str, float, str]], job: JobProfile, spread: float) -> tuple[Term, ...]:
    unknown = job.compute_s_per_gb is None
    return tuple(
        Term(name, seconds, group, max(spread, _UNKNOWN_COMPUTE_SPREAD) if group == "compute" and unknown else spread)
        for name, seconds, group in terms
    )
