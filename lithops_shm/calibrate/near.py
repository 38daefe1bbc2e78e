"""The program whose jobs are measured on this machine; run by :mod:`lithops_shm.calibrate.machine`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lithops_shm.calibrate.child import answer
from lithops_shm.executor import FunctionExecutor

_LEAST_S = 1e-5
_AHEAD = 4  # times the input, of memory that is touched before it is used


def nothing(_: int) -> None:
    """A call that does nothing."""


def two_rows(number: int) -> Any:
    """A mapper with next to nothing to exchange."""
    import pyarrow as pa

    return pa.table({"key": [number, -number]})


def count(rows: Any) -> int:
    """Its reducer."""
    return int(rows.num_rows)


def first_jobs(request: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, float]:
    """What the first job of a client takes, a call, and a shuffle of nearly nothing; seconds.

    The shuffle is the first of its process, as most are: it loads Arrow.
    """
    say({"step": "first job"})
    with FunctionExecutor(config=request["config"], log_level=None) as executor:
        first = _timed(lambda: executor.get_result(executor.call_async(nothing, 0)))
        slots = executor.compute_handler.get_runtime_info()["max_workers"]

        def map_nothing(calls: int) -> float:
            return _timed(lambda: executor.get_result(executor.map(nothing, range(calls))))

        map_nothing(slots)  # the second job of a client still finds things for the first time
        few = map_nothing(2 * slots)
        many = map_nothing(2 * slots + request["calls"])
        from lithops_shm.shuffle.spec import Shuffle

        shuffle = Shuffle(by="key", kind="range", sort=True, partitions=slots)

        def exchange() -> None:
            job = executor.map_reduce(two_rows, range(slots), count, shuffle=shuffle, show_progress=False)
            executor.get_result(job)

        shuffled = _timed(exchange)
    return {
        "pool_start_s": first,
        "call_s": max(_LEAST_S, (many - few) / request["calls"] * slots),
        "stage_s": max(_LEAST_S, shuffled - few),
    }


def rehearse(request: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> list[dict[str, float]]:
    """Shuffles of a terasort-like table, step by step; the rates of each, in turn on fresh and on recycled pages."""
    from lithops_shm.calibrate import rehearsal
    from lithops_shm.plugin.section import store_settings
    from lithops_shm.store import Store

    with (
        FunctionExecutor(config=request["config"], log_level=None) as executor,
        Store.open(store_settings(request["config"]["shm"])) as store,
    ):
        slots = executor.compute_handler.get_runtime_info()["max_workers"]
        stage = rehearsal.Stage.of(store, slots)
        say({"step": "prepare a table"})
        rehearsal.touch(_AHEAD * slots * request["part_bytes"])
        rehearsal.prepare(store, stage, request["part_bytes"])
        found = []
        for number in range(2 * request["rounds"] + 1):
            recycled = number % 2 == 0
            say({"step": "shuffle on recycled pages" if recycled else "shuffle on fresh pages"})
            if not recycled:
                store.trim()

            def run(function: Any, arguments: list[dict[str, Any]]) -> list[Any]:
                results: list[Any] = executor.get_result(executor.map(function, arguments))
                return results

            rates = rehearsal.rates(stage, number, run, recycled=recycled)
            if number:  # the first finds nothing to recycle, and everything for the first time
                found.append(rates)
        store.delete_many(stage.bucket, store.keys(stage.bucket, stage.prefix))
    return found


def _timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    answer(lambda request, say: (first_jobs if request["what"] == "first jobs" else rehearse)(request, say))
