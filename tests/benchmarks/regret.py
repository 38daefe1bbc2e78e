"""The figures of the selector, as `lithops-shm bench selector` measures them, or has measured them."""

from __future__ import annotations

import statistics
from pathlib import Path

from contestants import Stage
from figures import Figure, told

from lithops_shm.bench import charts, report, selection
from lithops_shm.bench.plan import Plan
from lithops_shm.bench.results import Results, load

__all__ = ["STEPS"]

CHART = Path(__file__).parents[2] / "docs" / "selector.png"


def regret(stage: Stage) -> list[Figure]:
    """Jobs run both ways, and what it cost to believe the selector"""
    if stage.run is None:
        results = Results("", {})
        selection.measure(Plan(), results, told)
    else:
        results = load(stage.run)
    for each in results.failed + results.skipped:
        if each["part"] == "selector":
            raise RuntimeError(f"{each['contestant']}: {each['reason']}")
    charts.draw_regret(results, CHART)
    regrets = [each.median for each in results.of("selector", "regret") if each.contestant == "selector"]
    took = {(each.contestant, each.key[3]): each.median for each in results.of("selector", "took")}
    guesses = {(each.contestant, each.key[3]): each.median for each in results.of("selector", "predicted")}
    errors = [abs(guesses[job] / took[job] - 1) for job in took]
    deciding = 1e3 * results.of("selector", "decision")[0].median
    rows = "\n".join(row for row in report.rows_of(results, "selector") if row.startswith("|"))
    said = " ".join(each["note"] for each in results.notes if each["part"] == "selector")
    note = f"{said}\n\n![Regret, and predicted against actual time](selector.png)\n\n{rows}"
    return [
        Figure(
            f"regret of the selector over {len(regrets)} jobs",
            "under 10 % in the mean, and none over 50 %",
            f"{100 * statistics.mean(regrets):.1f} % in the mean, at most {100 * max(regrets):.0f} %",
            statistics.mean(regrets) < 0.1 and max(regrets) <= 0.5,
            note,
        ),
        Figure(
            "error of predicted times, after calibration",
            "median under 30 %",
            f"{100 * statistics.median(errors):.0f} % (of {len(errors)} runs)",
            statistics.median(errors) < 0.3,
        ),
        Figure("a decision, sizes known", "under 5 ms", f"{deciding:.2f} ms", deciding < 5),
    ]


STEPS = [regret]
