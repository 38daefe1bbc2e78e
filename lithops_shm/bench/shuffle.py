"""The part ``shuffle``: terasort by every engine, by size and number of workers."""

from __future__ import annotations

from lithops_shm.bench.contestants import SORTERS
from lithops_shm.bench.plan import Plan, Step
from lithops_shm.bench.results import Results
from lithops_shm.bench.sorting import Outcome, Race
from lithops_shm.bench.terasort import ROW

__all__ = ["PART", "measure", "steps"]

PART = "shuffle"


def steps(plan: Plan) -> int:
    """How many there will be."""
    runs = (plan.repeat_of(PART) + 1) * len(plan.chosen(PART, SORTERS, None))
    return runs * len(_sizes(plan)) * len(plan.workers)


def measure(plan: Plan, results: Results, step: Step) -> None:
    """Sort; each contestant has as many processes, or threads, as the others."""
    names = [each.name for each in plan.chosen(PART, SORTERS, results)]
    for size in _sizes(plan):
        with Race(size) as race:
            for workers in plan.workers:
                outcomes: dict[str, Outcome] = {}
                try:
                    race.run(names, plan.repeat_of(PART), step, cpus=workers, outcomes=outcomes)
                finally:
                    _report(outcomes, {"bytes": race.size, "workers": workers}, results)


def _report(outcomes: dict[str, Outcome], case: dict[str, str | int], results: Results) -> None:
    for name, outcome in outcomes.items():
        if outcome.trouble:
            results.fail(PART, name, outcome.trouble)
        results.add(PART, name, case, "sort", "s", outcome.seconds)
        results.add(PART, name, case, "peak memory", "B", outcome.peak)


def _sizes(plan: Plan) -> list[int]:
    rows = plan.rows_of(PART)
    return [rows * ROW] if rows else list(plan.sizes_of(PART))
