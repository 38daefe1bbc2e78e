"""``lithops-shm select``: where a job would run, and why; or what became of earlier decisions."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from lithops_shm.cli import configuration
from lithops_shm.cli.terminal import escaped, iso_time, plural, print_json, table
from lithops_shm.config import SECTION, SelectorSettings
from lithops_shm.config.selector import SELECTOR
from lithops_shm.errors import ConfigError, ShmError
from lithops_shm.selector import JobProfile
from lithops_shm.selector.history import History, Run

__all__ = ["configured", "run"]

_FAILED = 2
_SHOWN = 20  # of the history's runs; errors are taken over more
_COUNTED = 1_000

# Options that say what the job is, and the fields of a profile they are.
_PROFILE = {
    "input": "inputs",
    "size": "input_bytes",
    "functions": "functions",
    "partitions": "partitions",
    "intermediate_ratio": "intermediate_ratio",
    "compute": "compute_s_per_gb",
    "confidential": "confidential",
    "deadline": "deadline_s",
    "budget": "budget_usd",
}
_SETTINGS = ("policy", "pin")


def run(options: argparse.Namespace) -> int:
    """Print the decision, or the history; gives 2 when the history cannot be read, else 0."""
    loaded, selector = configured(options)
    given = {
        field: value
        for name, field in _PROFILE.items()
        if (value := getattr(options, name)) is not None and value is not False
    }
    settings = {name: getattr(options, name) for name in _SETTINGS if getattr(options, name) is not None}
    if options.history:
        if given or settings:
            raise ConfigError("--history shows earlier runs, and decides nothing: leave out the options of a job")
        return _history(selector, as_json=options.json)
    decision = _decided(JobProfile(**given), loaded, settings)
    if options.json:
        print_json("select", decision.to_mapping())
    else:
        print("\n".join(escaped(line) for line in decision.explain().splitlines()))
    return 0


def configured(options: argparse.Namespace) -> tuple[dict[str, Any], SelectorSettings]:
    """The configuration, with the base directory of the command line if that names one, and its section `selector:`.

    Raises
    ------
    ConfigError
        For mistakes in it, in the section `shm:` too.
    """
    loaded, source = configuration.load(options.config)
    configuration.store_settings(loaded, source, options.directory)
    if options.directory is not None:
        directory = os.path.abspath(os.path.expanduser(options.directory))
        loaded = {**loaded, SECTION: {**(loaded.get(SECTION) or {}), "directory": directory}}
    return loaded, SelectorSettings.from_mapping(loaded.get(SELECTOR), source=source)


def _decided(job: JobProfile, loaded: dict[str, Any], settings: dict[str, Any]) -> Any:
    from lithops_shm.placement import select

    try:
        # An empty configuration would be looked for once more.
        return select(job, config=loaded or {"lithops": {}}, **settings)
    except (ShmError, OSError):
        raise
    except Exception as error:  # Lithops' storages, which are asked for sizes, raise what they like
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"the size of the input cannot be found: {said}; check the storage, or give --size"
        ) from error


def _history(settings: SelectorSettings, *, as_json: bool) -> int:
    history = History(settings.history_file)
    runs = history.runs(_COUNTED)
    if history.trouble:
        print(f"lithops-shm: {escaped(history.trouble)}", file=sys.stderr)
        return _FAILED
    by_place = {place: [run for run in runs if run.place == place] for place in sorted({run.place for run in runs})}
    if as_json:
        print_json(
            "select",
            {
                "history_file": history.path,
                "runs": [_as_json(run) for run in runs[:_SHOWN]],
                "median_error": {place: _median_error(those) for place, those in by_place.items()},
                "counted": {place: len(those) for place, those in by_place.items()},
            },
        )
        return 0
    if not runs:
        print(
            "no job that was decided on has run on this machine yet: executors with backend='auto' write down what was "
            f"predicted, and what it took, in {escaped(history.path)}"
        )
    else:
        _print(runs[:_SHOWN])
        print()
        for place, those in by_place.items():
            print(f"{place}: median error {_median_error(those):.0%}, of {plural(len(those), 'run')}")
    if not settings.history:
        print("nothing more is written down: `selector: {history: false}`")
    return 0


def _print(runs: Sequence[Run]) -> None:
    rows = [
        (
            iso_time(int(run.at)).replace(".000000", ""),
            f"{run.backend} with {run.storage}",
            f"{run.predicted:,.2f} s",
            f"{run.actual:,.2f} s",
            f"{run.error:+.0%}",
        )
        for run in runs
    ]
    header = ("when", "where", "predicted", "actual", "error")
    table(header, rows, right="predicted actual error", shrink=("where",))


def _as_json(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "at": iso_time(run.at),
        "place": run.place,
        "backend": run.backend,
        "storage": run.storage,
        "predicted_s": run.predicted,
        "actual_s": run.actual,
        "error": run.error,
    }


def _median_error(runs: Sequence[Run]) -> float:
    return statistics.median(abs(run.error) for run in runs)
