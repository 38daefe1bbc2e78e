"""What the model knows of speeds, prices and limits: dated defaults, replaced by what `lithops-shm calibrate` measures.

Bandwidths are bytes a second, times seconds, prices US dollars. Every rate comes with a `spread`: the standard
deviation of what it predicts, as a fraction.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_SPREAD", "LAMBDA", "MEASURED_SPREAD", "Limits", "LocalRates", "Prices", "RemoteRates"]

DEFAULT_SPREAD = 0.5
"""Of constants that were measured on another machine."""
MEASURED_SPREAD = 0.2
"""Of constants that were measured on this one: its own times drift by as much between runs."""

MB, GB, MiB = 1e6, 1e9, float(1 << 20)


@dataclass(frozen=True, slots=True)
class LocalRates:
    """This machine's, as measured by ``lithops-shm calibrate``.

    The defaults are medians on a 2-core virtual machine (Xeon at 2.5 GHz, 2026-11); docs/benchmarks.md shows such runs.

    Parameters
    ----------
    pool_start_s:
        From the first job of a client to its first result.
    call_s:
        Of one empty call, one after the other, on one worker.
    stage_s:
        What a shuffle takes whatever its size.
    read_bps:
        One core, reading input that is on this machine, as bytes.
    fresh_bps, recycled_bps:
        Into segments of new pages, and of recycled ones; all cores together.
    partition_bps, merge_bps:
        One core, giving rows to partitions, and putting a partition together and in order.
    spill_bps:
        To the spill directory and back, in bytes of data.
    compute_s_per_gb:
        Of functions about which nothing is known; what reading CSV and sorting it take.
    working_set:
        Private memory of a worker for each byte of its part; more than half of it is what parsing CSV keeps.
    spread:
        See the module.
    """

    pool_start_s: float = 0.8
    call_s: float = 0.002
    stage_s: float = 0.15
    read_bps: float = 1.5 * GB
    fresh_bps: float = 2.2 * GB
    recycled_bps: float = 5.0 * GB
    partition_bps: float = 250 * MB
    merge_bps: float = 400 * MB
    spill_bps: float = 200 * MB
    compute_s_per_gb: float = 3.0
    working_set: float = 4.5
    spread: float = DEFAULT_SPREAD


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a compute and a storage backend, in US dollars.

    The defaults are the public list prices of AWS, us-east-1, x86, read on 2026-10-31.

    Parameters
    ----------
    gb_second:
        Of a function's memory, for 2**30 bytes and a second.
    invocation:
        Of one call.
    put, get:
        Of one write or listing, and of one read.
    stored_gb_month:
        Of 10^9 bytes kept for 730 hours.
    """

    gb_second: float = 0.0000166667
    invocation: float = 0.20e-6
    put: float = 0.005e-3
    get: float = 0.0004e-3
    stored_gb_month: float = 0.023


@dataclass(frozen=True, slots=True)
class Limits:
    """What a compute backend allows; the defaults are those of AWS Lambda (its documentation, 2026-10-31).

    Parameters
    ----------
    memory_mb:
        Of one function, in MiB.
    seconds:
        One call may take; ``None`` for any.
    concurrency:
        Calls at once.
    payload_bytes:
        Of one asynchronous invocation.
    memory_per_vcpu_mb:
        With which a function gets one CPU; less memory gets less of it. 0 where memory buys none.
    """

    memory_mb: int = 10_240
    seconds: float | None = 900.0
    concurrency: int = 1_000
    payload_bytes: int = 1_000_000
    memory_per_vcpu_mb: int = 1_769


LAMBDA = Limits()


@dataclass(frozen=True, slots=True)
class RemoteRates:
    """Those of a compute backend and a storage, as measured by ``lithops-shm calibrate --storage``.

    Parameters
    ----------
    start_s:
        From submitting a job to its first call's beginning.
    starts_per_s:
        New functions that come up in a second (AWS documentation: 1,000 in 10 s).
    stage_s:
        Until the client knows that a stage is over, and what it takes whatever its size.
    shuffle_s, shuffle_function_s:
        What a shuffle takes beyond that, whatever its size: connections, the manifest. In all, and for each function
        beside others; on Lambda they share nothing, elsewhere the CPUs of a machine.
    invoke_s:
        The client's time for one call's invocation; `invocations_at_once` go side by side.
    read_bps, write_bps:
        Of one function, from and to the storage (75-90 MB/s from one Lambda: literature; calibrate yours).
    total_bps:
        Of all functions together; ``None`` when the store has no bound that matters.
    upload_bps:
        Of this machine to the storage.
    latency_s:
        Of a small request.
    reads_per_s, writes_per_s:
        Requests for one prefix (AWS documentation: 5,500 and 3,500).
    cpu:
        Speed of one of its CPUs, with one of this machine's as 1.
    spread:
        See the module.
    """

    start_s: float = 1.5
    starts_per_s: float = 100.0
    stage_s: float = 2.0
    shuffle_s: float = 1.0
    shuffle_function_s: float = 0.001
    invoke_s: float = 0.05
    invocations_at_once: int = 64
    read_bps: float = 80 * MiB
    write_bps: float = 80 * MiB
    total_bps: float | None = None
    upload_bps: float = 80 * MiB
    latency_s: float = 0.02
    reads_per_s: float = 5_500.0
    writes_per_s: float = 3_500.0
    cpu: float = 1.0
    spread: float = DEFAULT_SPREAD
