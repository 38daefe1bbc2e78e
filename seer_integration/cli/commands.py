"""What each command does, given its options. What only some need is imported there: mistakes should be told at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lithops_shm.cli.configuration import load
from lithops_shm.cli.terminal import escaped, plural, print_json
from seer_integration.errors import JobFileError, PlanError
from seer_integration.jobfile import JobFile, read
from seer_integration.operations import Scan

__all__ = ["explain", "index", "run", "validate"]


def run(options: argparse.Namespace) -> int:
    """Run the job; print or write what it collects, and its summary; always 0."""
    from seer_integration.cli.results import printed, written

    found = _read(options)
    if options.output is not None and len(found.collected) != 1:
        have = f"those of stages {', '.join(map(str, found.collected))}" if found.collected else "none: add Collect"
        raise JobFileError(found.file, 0, f"--output is for the rows of one Collect, and the job has {have}")
    with _job(found, options) as job:
        summary = job.run()
        results = {name: job.result(name, library="arrow") for name in found.collected}
        if options.output is not None:
            written(results[found.collected[0]], options.output)
        if options.json:
            shown = [
                {"stage": name, "rows": each.num_rows, "columns": each.column_names} for name, each in results.items()
            ]
            print_json("run", {"job": found.file, **summary.to_dict(), "results": shown, "output": options.output})
            return 0
        for name, table in results.items():
            if options.output is None:
                printed(table, options.rows, f"stage {name}:" if len(results) > 1 else "")
            else:
                print(f"{plural(table.num_rows, 'row')} written to {escaped(options.output)}")
    if not options.quiet:
        sys.stdout.flush()
        print(summary, file=sys.stderr)
    return 0


def explain(options: argparse.Namespace) -> int:
    """Print how the job would run; always 0."""
    found = _read(options)
    with _job(found, options) as job:
        plan = job.explain()
    if options.json:
        print_json("explain", {"job": found.file, "plan": plan.splitlines()})
    else:
        print("\n".join(map(escaped, plan.splitlines())))
    return 0


def validate(options: argparse.Namespace) -> int:
    """Say what is wrong with the file; gives 2 when something is, else 0."""
    try:
        found = _read(options)
        found.config(_given(options))
    except JobFileError as error:
        if not options.json:
            raise
        print_json("validate", {"job": options.job, "stages": [], "mistakes": str(error).splitlines()})
        return 2
    stages = [{"stage": stage.name, "line": stage.line, "after": list(stage.after),
               "operations": [each.name for each in stage.operations]} for stage in found.stages]  # fmt: skip
    if options.json:
        print_json("validate", {"job": options.job, "stages": stages, "mistakes": []})
    else:
        operations = sum(len(stage.operations) for stage in found.stages)
        print(f"{escaped(options.job)}: {plural(len(stages), 'stage')}, {plural(operations, 'operation')}, no mistakes")
    return 0


def index(options: argparse.Namespace) -> int:
    """Index a dataset, or what a stage of a job scans; always 0."""
    from seer_integration.datasets.location import location_of
    from seer_integration.environment import Environment
    from seer_integration.skipping import build

    scan, config = _scan(options)
    environment = Environment(config)
    where = location_of(scan.file, scan.bucket, scan.storage, environment.storage)
    environment.require_allowed(where.storage, writes=True)
    with environment.places() as places:
        built = build(scan, options.columns, places, environment.storage)
    if options.json:
        numbers = {"objects": built.objects, "rows": built.rows, "bytes_read": built.bytes_read}
        print_json("index", {"index": str(built.location), "columns": list(built.columns), **numbers})
    else:
        print(escaped(str(built)))
    return 0


def _scan(options: argparse.Namespace) -> tuple[Scan, dict[str, Any] | None]:
    """What to index, and the Lithops configuration with it."""
    if not options.dataset.endswith((".yaml", ".yml")):
        names = ("bucket", "storage", "format", "header", "delimiter")
        return Scan(options.dataset, **{name: getattr(options, name) for name in names}), _given(options)
    found = read(options.dataset, dict(options.set))
    scans = {str(stage.name): each for stage in found.stages for each in stage.operations if isinstance(each, Scan)}
    if options.stage is None and len(scans) == 1:
        ((_, scan),) = scans.items()
    elif options.stage in scans:
        scan = scans[options.stage]
    else:
        raise JobFileError(found.file, 0, f"name the stage of one dataset with --stage: {', '.join(scans)}")
    return scan, found.config(_given(options))


def _read(options: argparse.Namespace) -> JobFile:
    return read(options.job, dict(options.set))


def _given(options: argparse.Namespace) -> dict[str, Any] | None:
    return None if options.config is None else load(options.config)[0]


@contextmanager
def _job(found: JobFile, options: argparse.Namespace) -> Iterator[Any]:
    """The job, closed at the end; mistakes that only its data shows are those of a line too."""
    from seer_integration.jobfile.build import job_of

    try:
        with job_of(found, _given(options), show_progress=not options.quiet) as job:
            yield job
    except PlanError as error:
        raise found.located(error) from error
