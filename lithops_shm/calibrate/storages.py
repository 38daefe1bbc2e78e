"""The rates of a storage, as this machine sees them: one connection, ever more of them, small requests."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from lithops_shm.calibrate.child import Step
from lithops_shm.calibrate.effort import Effort
from lithops_shm.selector.rates import RemoteRates
from lithops_shm.shuffle.media import ObjectStore

__all__ = ["Load", "bound_of", "measure_storage", "steps_of_storage"]

_SMALL = 1 << 10
_LEAST_BYTES, _MOST_BYTES = 64 << 10, 16 << 20  # of the objects that bandwidth is measured with
_SHARE = 4  # one is large enough when it takes so much of a window
_GROWS = 1.25  # times the bandwidth with twice the connections: less is no growth to speak of
_BUSY = 0.85  # of a CPU: then it is this process that has no more to give
_FAIR = 0.5  # of what requests would be without each other in their way


@dataclass(frozen=True, slots=True)
class Load:
    """What so many connections got done together in a second, and which share of a CPU it took here."""

    connections: int
    rate: float
    busy: float


def measure_storage(objects: ObjectStore, prefix: str, effort: Effort, step: Step) -> dict[str, float | None]:
    """Read and write objects, all of them below a prefix, where they stay; the rates, by names in `RemoteRates`.

    What grows as far as it is looked at has no bound that is known: `total_bps` is then ``None``, and the requests a
    second no less than the default.
    """
    step("latency")
    put_s, get_s = _latencies(objects, f"{prefix}/small", effort.requests)
    size = _size(objects, f"{prefix}/large-0", effort.window_s)
    block = memoryview(os.urandom(size))
    writes, reads = [], []
    for count in effort.connections:
        step(f"write, {count} at once")
        writes.append(
            _load(count, lambda number: objects.put(f"{prefix}/large-{number}", [block]), size, effort.window_s)
        )
        step(f"read, {count} at once")
        reads.append(_load(count, lambda number: len(objects.get(f"{prefix}/large-{number}")), size, effort.window_s))
    small = memoryview(bytes(_SMALL))
    most = effort.connections[-1]
    step("small writes")
    puts = _load(most, lambda number: objects.put(f"{prefix}/small-{number}", [small]), 1, effort.window_s)
    step("small reads")
    gets = _load(most, lambda number: len(objects.get(f"{prefix}/small-{number}")), 1, effort.window_s)
    defaults = RemoteRates()
    return {
        "latency_s": (put_s + get_s) / 2,
        "read_bps": reads[0].rate,
        "write_bps": writes[0].rate,
        "total_bps": together([bound_of(reads), bound_of(writes)]),
        "upload_bps": max(each.rate for each in writes),
        "reads_per_s": _requests(gets, get_s, defaults.reads_per_s),
        "writes_per_s": _requests(puts, put_s, defaults.writes_per_s),
    }


def steps_of_storage(effort: Effort) -> int:
    """How many steps :func:`measure_storage` tells of."""
    return 3 + 2 * len(effort.connections)


def bound_of(loads: list[Load]) -> float | None:
    """The rate at which more connections change nothing; ``None`` when it still grew, or we were what was too slow."""
    if len(loads) < 2 or loads[-1].busy > _BUSY or loads[-1].rate > _GROWS * loads[-2].rate:
        return None
    return max(each.rate for each in loads)


def together(bounds: list[float | None]) -> float | None:
    """One bound for reading and writing as much of each; ``None`` when neither has one."""
    known = [each for each in bounds if each is not None]
    return statistics.harmonic_mean(known) if known else None


def _latencies(objects: ObjectStore, key: str, count: int) -> tuple[float, float]:
    """Seconds of a small write and of a small read, after a first of each that opens the connection."""
    small = memoryview(bytes(_SMALL))
    puts, gets = [], []
    for _ in range(count + 1):
        puts.append(_timed(lambda: objects.put(key, [small])))
        gets.append(_timed(lambda: objects.get(key)))
    return statistics.median(puts[1:]), statistics.median(gets[1:])


def _size(objects: ObjectStore, key: str, window_s: float) -> int:
    """Bytes of an object that takes long enough for its latency not to matter, and not so long that few fit."""
    size = _LEAST_BYTES
    while size < _MOST_BYTES:
        block = memoryview(os.urandom(size))
        if _timed(lambda block=block: objects.put(key, [block])) > window_s / _SHARE:  # type: ignore[misc]
            break
        size *= 2
    return size


def _requests(load: Load, latency_s: float, default: float) -> float:
    """Requests a second that a prefix takes: what was measured, if it was the storage that was too slow for more."""
    alone = load.connections / max(latency_s, 1e-6)
    slowed = load.rate < _FAIR * alone and load.busy < _BUSY
    return load.rate if slowed else max(load.rate, default)


def _load(count: int, action: Callable[[int], Any], amount: int, seconds: float) -> Load:
    """Have `count` threads do it again and again; each is given its number."""
    until = time.perf_counter() + seconds
    over = threading.Event()

    def work(number: int) -> float:
        started, done = time.perf_counter(), 0
        while not done or (time.perf_counter() < until and not over.is_set()):
            action(number)
            done += amount
        return done / (time.perf_counter() - started)

    used, began = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(count) as threads:
        try:
            rate = sum(threads.map(work, range(count)))
        finally:
            over.set()  # after an interrupt they end with what they are at, before what they wrote is deleted
    return Load(count, rate, (time.process_time() - used) / (time.perf_counter() - began))


def _timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
