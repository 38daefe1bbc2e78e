"""The program that runs functions elsewhere and times them; run by :mod:`lithops_shm.calibrate.elsewhere`.

Its functions travel by value, and use no more than the standard library and, where there is one, NumPy: nothing has to
be installed where they run.
"""

from __future__ import annotations

import importlib
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import lithops

from lithops_shm.calibrate.child import answer
from lithops_shm.config import SECTION

__all__ = ["compared", "line"]

_PHASES = ("write", "read", "small writes", "small reads")
_SLACK = 2.0  # windows from the beginning of a phase to that of the next: what is under way is finished first
_PATIENCE = 1.5  # times the time that functions took to start is waited for the last of them
_LEAST_S = 1e-4


def stay(seconds: float) -> tuple[float, float]:
    """A function that is there for so long; when it began and ended."""
    began = time.time()
    time.sleep(seconds)
    return began, time.time()


def spin(rounds: int) -> tuple[float, float | None]:
    """A function that computes; median seconds of a loop in Python, and of sorting and adding in NumPy, if there."""

    def median(action: Callable[[], Any]) -> float:
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            action()
            times.append(time.perf_counter() - started)
        return statistics.median(times)

    python = median(lambda: sum(number * number % 7 for number in range(200_000)))
    try:
        # By name: Lithops would send along what it finds imported here.
        numpy: Any = importlib.import_module("numpy")
    except ImportError:
        return python, None
    numbers = numpy.random.default_rng(3).random(400_000)
    return python, median(lambda: numpy.cumsum(numpy.sort(numbers)))


def transfer(
    number: int, bucket: str, prefix: str, nbytes: int, begins_at: float, window: float, storage: Any
) -> dict[str, tuple[float, float]]:
    """A function that keeps the storage busy, phase by phase, together with the others; amounts and their seconds.

    Parameters
    ----------
    begins_at:
        When the first phase does, in seconds since 1970; clocks agree well enough for that.
    storage:
        Given by Lithops.
    """
    block, small = os.urandom(nbytes), bytes(1024)
    large_key, small_key = f"{prefix}/function-{number}-large", f"{prefix}/function-{number}-small"
    actions: tuple[tuple[Callable[[], Any], int], ...] = (
        (lambda: storage.put_object(bucket, large_key, block), nbytes),
        (lambda: storage.get_object(bucket, large_key), nbytes),
        (lambda: storage.put_object(bucket, small_key, small), 1),
        (lambda: storage.get_object(bucket, small_key), 1),
    )
    found = {}
    for index, (name, (action, amount)) in enumerate(zip(_PHASES, actions, strict=True)):
        time.sleep(max(0.0, begins_at + index * _SLACK * window - time.time()))
        started, done = time.perf_counter(), 0
        while not done or time.perf_counter() - started < window:
            action()
            done += amount
        found[name] = float(done), time.perf_counter() - started
    return found


class Elsewhere:
    """Functions on a backend, and what they are asked.

    Parameters
    ----------
    request:
        What is measured, and how much of it.
    say:
        Told what happens.
    """

    def __init__(self, request: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
        self._request = request
        self._say = say
        self._invocations: list[float] = []

    def measure(self) -> dict[str, Any]:
        """Run all; gives samples of what was measured, and what the backend says of itself."""
        self._say({"step": "deploy"})
        with lithops.FunctionExecutor(config=self._request["config"], log_level=None) as executor:
            info = executor.compute_handler.get_runtime_info()
            slots = int(info["max_workers"]) * _processes(executor.config)
            functions = max(1, min(self._request["functions"], slots))
            executor.get_result(executor.call_async(stay, 0))  # deploys, which is not what a job takes
            self._watch(executor.compute_handler)
            found = self._starts(executor, functions)
            self._say({"step": "compute there"})
            there = executor.get_result(executor.map(spin, [self._request["spins"]] * functions))
            begins, each = statistics.median(found["start_s"]), 1 / statistics.median(found["starts_per_s"])
            latest = begins + functions * each
            alone = self._transfers(executor, 1, latest)
            every = self._transfers(executor, functions, latest)
        stages = 2 * statistics.median(found["stage_s"])
        extra = self._shuffles(functions, lambda count: begins + count * each + stages)
        self._say({"step": "compute here"})
        here = there if self._request["here"] is None else self._spun_here(functions)
        return {
            **found,
            **extra,
            "invoke_s": self._invocations,
            "cpu": [compared(here, there)],
            "alone": {name: statistics.median(each[name][0] / each[name][1] for each in alone) for name in _PHASES},
            "together": {name: sum(each[name][0] / each[name][1] for each in every) for name in _PHASES},
            "functions": functions,
            "slots": slots,
            "memory_mb": info.get("runtime_memory"),
        }

    def _watch(self, handler: Any) -> None:
        """Time what the client does for each call, on this one executor."""
        invoke = handler.invoke

        def timed(payload: dict[str, Any], *arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return invoke(payload, *arguments, **options)
            finally:
                calls = len(payload.get("call_ids") or (0,))
                self._invocations.append((time.perf_counter() - started) / calls)

        handler.invoke = timed

    def _starts(self, executor: Any, functions: int) -> dict[str, list[float]]:
        """How functions come up, and how long the client does not know that they are gone."""
        starts, rates, stages = [], [], []
        for _ in range(self._request["rounds"]):
            self._say({"step": "start functions"})
            submitted = time.time()
            spans = executor.get_result(executor.map(stay, [self._request["hold_s"]] * functions))
            stages.append(max(_LEAST_S, time.time() - max(end for _, end in spans)))
            start, each = line([begin - submitted for begin, _ in spans])
            starts.append(start)
            rates.append(1 / each)
        return {"start_s": starts, "starts_per_s": rates, "stage_s": stages}

    def _transfers(self, executor: Any, functions: int, latest: float) -> list[dict[str, tuple[float, float]]]:
        self._say({"step": f"transfer, {functions} at once"})
        window = self._request["window_s"]
        begins_at = time.time() + _PATIENCE * latest
        self._say({"until": begins_at + (len(_PHASES) * _SLACK + 1) * window})
        common = {name: self._request[name] for name in ("bucket", "prefix", "nbytes")}
        asked = [{"number": each, "begins_at": begins_at, "window": window, **common} for each in range(functions)]
        found: list[dict[str, tuple[float, float]]] = executor.get_result(executor.map(transfer, asked))
        return found

    def _shuffles(self, functions: int, without: Callable[[int], float]) -> dict[str, list[float]]:
        """What a shuffle of nearly nothing takes beyond `without`, the seconds of a map and another of so many calls.

        Nothing is known of it where functions do not find this package.
        """
        self._say({"step": "shuffle"})
        counts = sorted({min(2, functions), functions})
        try:
            extra = [max(_LEAST_S, self._shuffle_s(count) - without(count)) for count in counts]
        except Exception:  # noqa: BLE001 - backends raise what they like, and this is the one thing they need not have
            return {"shuffle_s": [], "shuffle_function_s": []}
        slope = (extra[-1] - extra[0]) / max(1, counts[-1] - counts[0])
        slope = max(_LEAST_S, slope)
        return {"shuffle_s": [max(_LEAST_S, extra[0] - counts[0] * slope)], "shuffle_function_s": [slope]}

    def _shuffle_s(self, count: int) -> float:
        from lithops_shm.executor import FunctionExecutor
        from lithops_shm.shuffle.spec import Shuffle

        def two_rows(number: int) -> Any:
            return importlib.import_module("pyarrow").table({"key": [number, -number]})

        def rows_of(rows: Any) -> int:
            return int(rows.num_rows)

        with FunctionExecutor(config=self._request["config"], log_level=None) as executor:
            started = time.perf_counter()
            shuffle = Shuffle(by="key", partitions=count)
            job = executor.map_reduce(two_rows, range(count), rows_of, shuffle=shuffle, show_progress=False)
            executor.get_result(job)
            return time.perf_counter() - started

    def _spun_here(self, functions: int) -> list[Any]:
        """The same loop on warm workers of this machine, all at once as there."""
        with lithops.FunctionExecutor(config=self._request["here"], log_level=None) as executor:
            slots = executor.compute_handler.get_runtime_info()["max_workers"]
            spins = [self._request["spins"]] * min(functions, slots)
            found: list[Any] = executor.get_result(executor.map(spin, spins))
            return found


def _processes(config: dict[str, Any]) -> int:
    """Calls at once of one worker, as Lithops counts; of ours each has one."""
    backend = config["lithops"]["backend"]
    return 1 if backend == SECTION else int(config[backend].get("worker_processes") or 1)


def line(begins: list[float]) -> tuple[float, float]:
    """When the first function began, and how long each took after the one before: seconds, by Theil and Sen's line.

    A median of slopes, so that one environment that was warm already tells nothing of those that were not.
    """
    begins = sorted(begins)
    slopes = [
        (begins[high] - begins[low]) / (high - low) for high in range(len(begins)) for low in range(high)
    ]  # fmt: skip
    each = max(_LEAST_S, statistics.median(slopes)) if slopes else _LEAST_S
    return max(_LEAST_S, statistics.median(begin - (place + 1) * each for place, begin in enumerate(begins))), each


def compared(here: list[Any], there: list[Any]) -> float:
    """The speed of one function there, with one here as 1: over both loops, or the one that ran on both sides."""
    loops = zip(zip(*here, strict=True), zip(*there, strict=True), strict=True)
    ratios = [
        statistics.median(ours) / statistics.median(theirs) for ours, theirs in loops if None not in (*ours, *theirs)
    ]
    return statistics.geometric_mean(ratios)


if __name__ == "__main__":
    answer(lambda request, say: Elsewhere(request, say).measure())
