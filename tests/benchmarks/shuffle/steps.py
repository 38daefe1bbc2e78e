"""The figures of the shuffle, beside DuckDB, Polars, Dask, Ray Data, stock Lithops, and itself over S3."""

from __future__ import annotations

import os
import secrets
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import datasets
import ours
from contestants import Stage
from figures import Figure, told

import lithops_shm as shm
from lithops_shm.bench.plan import Plan
from lithops_shm.bench.race import spread
from lithops_shm.bench.results import Results
from lithops_shm.bench.run import run as measure
from lithops_shm.bench.sorting import Outcome, Race

__all__ = ["STEPS"]

GB = 1_000_000_000
ROOT = Path(__file__).parents[3]
RUN = ROOT / "build" / "bench" / "shuffle"
CHART = ROOT / "docs" / "shuffle.png"


def _ratio(samples: Sequence[float], others: Sequence[float]) -> float:
    """How many times the seconds of the others these took."""
    return statistics.median(samples) / statistics.median(others)


def sorts(stage: Stage) -> list[Figure]:
    """Terasort of 1 GB, beside all peers, as `lithops-shm bench shuffle` measures it"""
    shutil.rmtree(RUN, ignore_errors=True)
    results = Results(f"lithops-shm bench shuffle --size 1GB --repeat {stage.repeat}", {})
    measure(["shuffle"], Plan(sizes=(GB,), repeat=stage.repeat), results, RUN)
    for each in results.failed:
        raise RuntimeError(f"{each['contestant']}: {each['reason']}")
    shutil.copy(RUN / CHART.name, CHART)
    seconds = {each.contestant: each.samples for each in results.of("shuffle", "sort")}
    peaks = {each.contestant: each.median for each in results.of("shuffle", "peak memory")}
    mine = seconds["shm"]
    skipped = {each["contestant"]: each["reason"] for each in results.skipped}

    def beside(name: str) -> str:
        if name in skipped:
            return f"{name}: skipped, {skipped[name]}"
        return f"{name} {spread(seconds[name], 's')}, {_ratio(seconds[name], mine):.2f}x"

    rows = [
        ("no slower than DuckDB's `ORDER BY` and Polars' streaming sort", ("duckdb", "polars"), 1.0),
        ("3.5x faster than Lithops' own disk storage with pickled partitions", ("lithops",), 3.5),
        ("3x faster than over S3, by either engine", ("shm-boto3", "shm-s3fs"), 3.0),
        ("5x faster than Ray Data and Dask", ("ray", "dask"), 5.0),
    ]
    figures = [
        Figure(
            f"terasort of 1 GB, against {', '.join(names)}",
            required,
            "; ".join([spread(mine, "s"), *map(beside, names)]),
            all(name in seconds and _ratio(seconds[name], mine) >= least for name in names),
            "From the CSV file, in the page cache, to sorted Arrow tables that the client can read; each run in a "
            "program of its own, which has started and sorted a small file before. Every result is verified.\n\n"
            "![Terasort of 1 GB by every engine](shuffle.png)"
            if names[0] == "duckdb"
            else "",
        )
        for required, names, least in rows
    ]
    peak = peaks.pop("shm")
    others = ", ".join(f"{name} {each / 1e6:,.0f} MB" for name, each in peaks.items())
    return [
        *figures,
        Figure(
            "terasort of 1 GB: peak memory of all processes, private and shared",
            "under 2.5x the input",
            f"{peak / GB:.2f}x the input ({peak / 1e6:,.0f} MB); {others}",
            peak / GB < 2.5,
            "Looked at every 20 ms, in a run that is not timed.",
        ),
    ]


def scaling(stage: Stage) -> list[Figure]:
    """More functions, and more data"""
    found = _alternating(
        {GB: ("shm-4x4", "shm-64x64", "shm"), 2 * GB: ("shm",), 4 * GB: ("shm", "shm-spilling")}, stage.repeat
    )
    few, many, whole = found[GB, "shm-4x4"], found[GB, "shm-64x64"], found[GB, "shm"]
    ratio = _ratio(many, few)
    figures = [
        Figure(
            "64 mappers x 64 partitions instead of 4 x 4, 1 GB",
            "under 1.3x the time",
            f"{ratio:.2f}x: {spread(many, 's')}, {spread(few, 's')}",
            ratio < 1.3,
        )
    ]
    for size in (2 * GB, 4 * GB):
        large = found[size, "shm"]
        share = _ratio(large, whole) / (size / GB)
        figures.append(
            Figure(
                f"terasort of {size // GB} GB instead of 1 GB",
                "within 10 % of proportional",
                f"{share:.2f}x the proportional time: {spread(large, 's')}, {spread(whole, 's')}",
                share < 1.1,
            )
        )
    figures.append(
        Figure(
            "terasort of 4 GB with a budget of 1.5 GB",
            "spills and completes",
            f"{spread(found[4 * GB, 'shm-spilling'], 's')}, verified",
            True,
        )
    )
    return figures


def _alternating(names: dict[int, tuple[str, ...]], repeat: int) -> dict[tuple[int, str], list[float]]:
    """The seconds of sorters by size, of all sizes in turn, so that a slow minute of the machine is nobody's.

    Raises RuntimeError when one fails.
    """
    outcomes = {(size, name): Outcome() for size in names for name in names[size]}
    with ExitStack() as stack:
        races = {size: stack.enter_context(Race(size)) for size in names}
        for turn in range(repeat):
            for size, name in list(outcomes) if turn % 2 == 0 else reversed(outcomes):
                told(f"{name}, {size // GB} GB, run {turn + 1} of {repeat}")
                races[size].run_once(name, outcomes[size, name])
                if trouble := outcomes[size, name].trouble:
                    raise RuntimeError(f"{name}: {trouble}")
    return {case: outcome.seconds for case, outcome in outcomes.items()}


def balance(stage: Stage) -> list[Figure]:
    """Ranges of skewed keys"""
    table = datasets.zipf_keys(2_000_000)
    parts = [table.slice(start, 250_000) for start in range(0, table.num_rows, 250_000)]
    weights = table["key"].value_counts().field("counts").to_numpy()
    figures = []
    with _executor(stage) as executor:
        for partitions in (4, 16, 64):
            shuffle = shm.Shuffle(by="key", kind="range", partitions=partitions)
            counts = executor.map_reduce(ours.hand_over, parts, ours.count_rows, shuffle=shuffle).get_result()
            assert sum(counts) == table.num_rows
            mean = table.num_rows / partitions
            heavier = int((weights > 1.5 * mean).sum())  # keys that exceed it alone, each in a partition of its own
            largest = sorted(counts, reverse=True)[heavier] / mean
            figures.append(
                Figure(
                    f"range partitions of Zipf keys with 30 % duplicates, {partitions} partitions",
                    "largest under 1.5x the mean, wherever one key alone does not exceed it",
                    f"{largest:.2f}x the mean; {heavier} keys exceed it, the heaviest by {max(weights) / mean:.2f}x",
                    largest < 1.5,
                )
            )
    return figures


def combining(stage: Stage) -> list[Figure]:
    """Word count, with a combiner and without"""
    with tempfile.TemporaryDirectory(prefix="words-") as directory, _executor(stage) as executor:
        path = Path(directory) / "text"
        expected = datasets.text(path, GB)
        step = 16 << 20
        parts = [(str(path), start, start + step) for start in range(0, path.stat().st_size, step)]
        exchanged, seconds = [], []
        for combiner in (ours.sum_up, None):
            shuffle = shm.Shuffle(by="word", partitions=4, combiner=combiner)
            found = executor.map_reduce(ours.words_of, parts, ours.count_words, shuffle=shuffle)
            counts = {row["word"]: row["count"] for table in found.get_result() for row in table.to_pylist()}
            assert counts == {row["word"]: row["count"] for row in expected.to_pylist()}
            exchanged.append(found.summary.exchanged_bytes)
            seconds.append(found.summary.total_s)
            del found
    factor = exchanged[1] / exchanged[0]
    return [
        Figure(
            "word count of 1 GB of text, with a combiner against without",
            "bytes exchanged 10x fewer",
            f"{factor:.0f}x fewer: {exchanged[0] / 1e6:,.1f} MB, {exchanged[1] / 1e6:,.0f} MB; "
            f"{seconds[0]:.1f} s, {seconds[1]:.1f} s",
            factor >= 10,
            "Counts compared with those of the text's generator.",
        )
    ]


@contextmanager
def _executor(stage: Stage) -> Iterator[Any]:
    directory = f"{stage.directory}-{secrets.token_hex(2)}"
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parent))
    config = {"lithops": {"backend": "shm", "storage": "shm"}, "shm": {"directory": directory}}
    with shm.FunctionExecutor(config=config, log_level=None) as executor:
        yield executor


STEPS = [sorts, scaling, balance, combining]
