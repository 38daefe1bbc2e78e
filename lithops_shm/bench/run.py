"""A run from its plan to its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from lithops_shm.bench import charts, io, report, selection, shuffle, tasks
from lithops_shm.bench.contestants import CODECS, PLACES, RUNNERS, SORTERS
from lithops_shm.bench.plan import Plan
from lithops_shm.bench.program import ProgramError
from lithops_shm.bench.results import FILE, Results
from lithops_shm.calibrate import Progress
from lithops_shm.errors import ConfigError, ShmError

__all__ = ["PARTS", "run"]

PARTS: dict[str, ModuleType] = {"io": io, "tasks": tasks, "shuffle": shuffle, "selector": selection}
_TABLES = {"io": (CODECS, PLACES), "tasks": (RUNNERS,), "shuffle": (SORTERS,), "selector": ()}


def run(names: Sequence[str], plan: Plan, results: Results, output: Path) -> list[Path]:
    """Measure parts by name, and write ``results.json``, ``report.md`` and the charts into a directory.

    What is there of a part is written when the part is over. One that fails is in the report, and the next is measured;
    one that is cut off is written without charts, with a note that says so. Everything else that a run makes is gone
    when this returns or raises.

    Returns
    -------
    The files.

    Raises
    ------
    ConfigError
        When the directory has a run already, or the plan names somebody unknown.
    """
    plan.require([table for name in names for table in _TABLES[name]])
    if (output / FILE).exists():
        raise ConfigError(f"{output} has the results of a run already: name another directory, or remove {FILE} there")
    output.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    with Progress(sum(PARTS[name].steps(plan) for name in names)) as progress:
        for name in names:
            try:
                PARTS[name].measure(plan, results, progress.step)
            except ConfigError:
                raise
            except (ProgramError, ShmError, OSError) as error:
                results.fail(name, name, f"it ended before its time: {error}")
            except BaseException:
                if results.of(name):
                    results.note(name, "It ended before its time: what is here was measured until then.")
                    results.save(output)
                    report.write(results, output, [path.name for path in files[1:-1]])
                raise
            files = [results.save(output), *charts.draw(results, output)]
            files.append(report.write(results, output, [path.name for path in files[1:]]))
            results.save(output)  # once more: charts may have been skipped
    return files
