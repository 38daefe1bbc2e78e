"""The part ``selector``: jobs run here and elsewhere, and what it costs to believe the selector."""

from __future__ import annotations

from lithops_shm.bench.plan import Plan, Step
from lithops_shm.bench.program import ProgramError
from lithops_shm.bench.regret.grid import PLACES, REMOTE_WORKERS, ROW_BYTES, Grid, Tried, jobs
from lithops_shm.bench.results import Results
from lithops_shm.bench.servers import no_server
from lithops_shm.selector import JobProfile

__all__ = ["PART", "measure", "steps"]

PART = "selector"


def steps(plan: Plan) -> int:
    """How many there will be."""
    return 0 if no_server() else 2 + len(PLACES) * plan.repeat_of(PART) * len(_jobs(plan))


def measure(plan: Plan, results: Results, step: Step) -> None:
    """Calibrate, decide, and run every job at both places."""
    reason = no_server()
    if reason is not None:
        results.skip(PART, "selector", reason)
        return
    with Grid() as grid:
        step("calibrating")
        rates = (
            "Decided from default rates." if plan.quick else f"Calibrating both places took {grid.calibrate():.0f} s."
        )
        asked = _jobs(plan)
        try:
            for tried in grid.race(asked, plan.repeat_of(PART), step):
                _add(tried, results)
        except ProgramError as error:
            results.fail(PART, "selector", str(error))
        step("deciding")
        results.add(PART, "selector", {"jobs": len(asked)}, "decision", "s", grid.deciding_s(asked[0]))
        results.note(
            PART,
            f"Each job ran here and with {REMOTE_WORKERS} functions that share nothing but an S3 behind {grid.link}; "
            f"their own work is time that passes, so that functions elsewhere do not share these CPUs. {rates}",
        )


def _add(tried: Tried, results: Results) -> None:
    case = _case(tried.job)
    for place in PLACES:
        results.add(PART, place, case, "took", "s", tried.took[place])
        results.add(PART, place, case, "predicted", "s", [tried.predicted[place]])
        if not tried.job.confidential:
            results.add(PART, f"always {place}", case, "regret", "", [tried.regret_of(place)])
    results.add(PART, "selector", case, "regret", "", [tried.regret])
    results.add(PART, "selector", case, "chose local", "", [int(tried.chosen == "local")])


def _case(job: JobProfile) -> dict[str, str | int]:
    return {
        "bytes": job.input_bytes or 0,
        "functions": job.functions or 0,
        "s/GB": round(job.compute_s_per_gb or 0),
        "input": str(job.input_place),
        "shuffle": "yes" if job.intermediate_ratio else "no",
        "confidential": "yes" if job.confidential else "no",
    }


def _jobs(plan: Plan) -> list[JobProfile]:
    rows = plan.rows_of(PART)
    sizes = [rows * ROW_BYTES] if rows else plan.sizes_of(PART)
    found = jobs(sizes)
    if plan.jobs is None or plan.jobs >= len(found):
        return found
    return [found[number * len(found) // plan.jobs] for number in range(plan.jobs)]
