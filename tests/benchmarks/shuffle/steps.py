"""The figures of the shuffle, beside DuckDB, Polars, Dask, Ray Data, stock Lithops, and itself over S3."""

from __future__ import annotations

import os
import secrets
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import datasets
import ours
from contestants import Stage
from figures import Figure, told

import lithops_shm as shm
from lithops_shm.bench.sorting import Outcome, Race

__all__ = ["STEPS"]

GB = 1_000_000_000
_PEERS = ("shm", "duckdb", "polars", "dask", "ray", "lithops", "shm-boto3", "shm-s3fs")


def _seconds(outcome: Outcome) -> str:
    if outcome.trouble:
        return outcome.trouble.strip().splitlines()[-1]
    return f"{statistics.median(outcome.seconds):.2f} s [{min(outcome.seconds):.2f}, {max(outcome.seconds):.2f}]"


def _ratio(outcome: Outcome, other: Outcome) -> float:
    """How many times the seconds of `other` this one took."""
    if outcome.trouble or other.trouble:
        return float("nan")
    return statistics.median(outcome.seconds) / statistics.median(other.seconds)


def _compared(found: dict[str, Outcome], names: tuple[str, ...]) -> str:
    mine = found["shm"]
    rest = [f"{name} {_seconds(found[name])}, {_ratio(found[name], mine):.2f}x" for name in names]
    return f"{_seconds(mine)}; " + "; ".join(rest)


def sorts(stage: Stage) -> list[Figure]:
    """Terasort of 1 GB, beside all peers"""
    with Race(GB) as race:
        found = race.run(_PEERS, stage.repeat, told)
        size = race.size
    mine = found["shm"]
    peak = max(mine.peak) / size
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
            _compared(found, names),
            all(_ratio(found[name], mine) >= least for name in names),
            "From the CSV file, in the page cache, to sorted Arrow tables that the client can read; each run in a "
            "program of its own, which has started and sorted a small file before. Every result is verified."
            if names[0] == "duckdb"
            else "",
        )
        for required, names, least in rows
    ]
    return [
        *figures,
        Figure(
            "terasort of 1 GB: peak memory of all processes, private and shared",
            "under 2.5x the input",
            f"{peak:.2f}x the input ({max(mine.peak) / 1e6:,.0f} MB, of which {max(mine.before) / 1e6:,.0f} before the "
            f"sort); {_peaks(found)}",
            peak < 2.5,
            "Looked at every 20 ms, in a run that is not timed.",
        ),
    ]


def _peaks(found: dict[str, Outcome]) -> str:
    return ", ".join(
        f"{name} {max(each.peak) / 1e6:,.0f} MB" for name, each in found.items() if name != "shm" and each.peak
    )


def scaling(stage: Stage) -> list[Figure]:
    """More functions, and more data"""
    with Race(GB) as race:
        found = race.run(("shm-4x4", "shm-64x64", "shm"), stage.repeat, told)
    ratio = _ratio(found["shm-64x64"], found["shm-4x4"])
    figures = [
        Figure(
            "64 mappers x 64 partitions instead of 4 x 4, 1 GB",
            "under 1.3x the time",
            f"{ratio:.2f}x: {_seconds(found['shm-64x64'])}, {_seconds(found['shm-4x4'])}",
            ratio < 1.3,
        )
    ]
    runs = max(2, stage.repeat // 2)
    for size in (2 * GB, 4 * GB):
        with Race(size) as race:
            names = ("shm", "shm-spilling") if size == 4 * GB else ("shm",)
            large = race.run(names, runs, told)
        share = _ratio(large["shm"], found["shm"]) / (size / GB)
        figures.append(
            Figure(
                f"terasort of {size // GB} GB instead of 1 GB",
                "within 10 % of proportional",
                f"{share:.2f}x the proportional time: {_seconds(large['shm'])}, {_seconds(found['shm'])}",
                share < 1.1,
            )
        )
        if "shm-spilling" in large:
            spilling = large["shm-spilling"]
            figures.append(
                Figure(
                    "terasort of 4 GB with a budget of 1.5 GB",
                    "spills and completes",
                    f"{_seconds(spilling)}, verified",
                    not spilling.trouble,
                )
            )
    return figures


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
