"""Fills the tables of docs/study.md from runs of `lithops-shm bench`: beside the study's figures, this machine's.

python tests/benchmarks/study.py RUN [RUN ...]

A table lies between `<!-- figures: NAME -->` and `<!-- end -->`; what the runs do not have stays as it is. The charts
of README.md are drawn of the same runs.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lithops_shm.bench import charts
from lithops_shm.bench.report import machine, value
from lithops_shm.bench.results import Measurement, Results, load

DOCS = Path(__file__).parents[2] / "docs"
STUDY = DOCS / "study.md"
CHARTS = ("io-read.png", "shuffle.png")
_TEXTS, _OBJECTS = "string[pyarrow]", "object"
_CSV_ROW = 100  # bytes of a row of terasort's file


class Frames:
    """The largest frame of a dtype in a run of ``io``."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def __call__(self, dtype: str, contestant: str, metric: str) -> Measurement:
        found = [
            each
            for each in self._results.of("io", metric)
            if each.contestant == contestant and each.case["dtype"] == dtype
        ]
        if not found:
            raise LookupError(f"no {metric} of {contestant}, {dtype}")
        return max(found, key=lambda each: int(each.case["bytes"]))

    def best(self, dtype: str, metric: str, contestants: Sequence[str]) -> Measurement:
        return min((self(dtype, name, metric) for name in contestants), key=lambda each: each.median)


def sizes(results: Results) -> list[str]:
    frames = Frames(results)

    def beside(dtype: str, contestant: str, metric: str) -> str:
        found = frames(dtype, contestant, metric)
        whole = int(found.case["rows"]) * _CSV_ROW if dtype != "numpy" else int(found.case["bytes"])
        return f"{value(found.median, 'B')}, {found.median / whole:.2f}x"

    return [
        _row("terasort in memory, `object`", "1,010.9 MB, 2.02x", beside(_OBJECTS, "pandas", "in memory")),
        _row("terasort in memory, Arrow texts", "527.3 MB, 1.05x", beside(_TEXTS, "pandas", "in memory")),
        _row("its segment, Arrow codec", "527.3 MB, 1.05x", beside(_TEXTS, "arrow, shm", "stored")),
        _row("its segment, pickle of `object`", "518.3 MB, 1.04x", beside(_OBJECTS, "pickle, shm", "stored")),
        _row("terasort as Parquet (snappy)", "197.5 MB, 0.40x", beside(_TEXTS, "parquet, boto3", "stored")),
        _row("brain as Parquet (snappy)", "36.5 MB of 94.6, 0.39x", beside("numpy", "parquet, boto3", "stored")),
    ]


def write_memory(results: Results) -> list[str]:
    return [
        _lines(results, dtype, contestant, "encode", "put", study)
        for dtype, contestant, study in (
            (_TEXTS, "arrow, shm", "two increments: convert, then copy"),
            (_TEXTS, "pickle, shm", "two increments"),
            (_OBJECTS, "arrow, shm", "two increments"),
            (_OBJECTS, "pickle, shm", "two increments"),
            ("numpy", "pickle5, shm", "not tried"),
        )
    ]


def read_memory(results: Results) -> list[str]:
    return [
        _lines(results, dtype, contestant, "get", "decode", study)
        for dtype, contestant, study in (
            (_TEXTS, "arrow, shm", "0"),
            (_TEXTS, "pickle, shm", "a copy or more"),
            (_OBJECTS, "arrow, shm", "a copy or more"),
            (_OBJECTS, "pickle, shm", "a copy or more"),
            ("numpy", "pickle5, shm", "not tried"),
            (_TEXTS, "arrow, boto3", "a copy or more"),
        )
    ]


def times(results: Results) -> list[str]:
    frames = Frames(results)
    s3 = [f"{codec}, {place}" for codec in ("arrow", "pickle5", "pickle", "parquet") for place in ("boto3", "s3fs")]
    rows = []
    for metric, of_pickle, of_s3 in (("write", "2.40x", "20.32x"), ("read", "12.09x, in 67 ms", "130.08x")):
        ours = frames(_TEXTS, "arrow, shm", metric)
        pickled, remote = frames(_TEXTS, "pickle, shm", metric), frames.best(_TEXTS, metric, s3)
        rows += [
            _row(f"{metric}: Arrow against pickle, shared memory", of_pickle, _faster(ours, pickled)),
            _row(
                f"{metric}: shared memory and Arrow against the best S3 ({remote.contestant})",
                of_s3,
                _faster(ours, remote),
            ),
        ]
    through = [frames(_TEXTS, name, "read through") for name in ("arrow, shm", "pickle, shm")]
    rows.append(_row("read, and every page looked at: Arrow against pickle", "not measured", _faster(*through)))
    recycled = frames(_TEXTS, "arrow, shm-recycled", "write")
    rows.append(
        _row(
            "write: recycled pages against fresh",
            "no such thing",
            _faster(recycled, frames(_TEXTS, "arrow, shm", "write")),
        )
    )
    return rows


def mapreduce(results: Results) -> list[str]:
    found = results.of("shuffle", "sort")
    rows = []
    for name, study in (
        ("shm-disk", "49-54 % less, 4-32 processes"),
        ("shm-s3fs", "48-65 % less"),
        ("shm-boto3", "more than that"),
        ("lithops", "49-54 % less, 4-32 processes"),
    ):
        for other in (each for each in found if each.contestant == name):
            ours = next(each for each in found if each.contestant == "shm" and each.case == other.case)
            less = f"{100 * (1 - ours.median / other.median):.0f} % less ({_seconds(ours)}; {_seconds(other)})"
            size = f"{int(other.case['bytes']) / 1e6:,.0f} MB, {other.case['workers']} workers"
            what = "disk, by a job for stock Lithops" if name == "lithops" else name.removeprefix("shm-")
            rows.append(_row(f"shared memory against {what}, {size}", study, less))
    if not rows:
        raise LookupError("no sort")
    return rows


TABLES: dict[str, tuple[str, Callable[[Results], list[str]]]] = {
    "sizes": ("| what | 2023, 500 MB | here |", sizes),
    "write-memory": ("| dtype, codec | 2023 | here, encode | here, put |", write_memory),
    "read-memory": ("| dtype, codec and place | 2023 | here, get | here, decode |", read_memory),
    "times": ("| what | 2023, 500 MB | here |", times),
    "mapreduce": ("| what | 2023, 5 GB on 32 cores | here |", mapreduce),
}


def filled(text: str, results: Results) -> str:
    """The document with those tables that the run has figures for."""
    for name, (header, rows) in TABLES.items():
        try:
            made = rows(results)
        except LookupError as error:
            print(f"{name}: left as it was, {error}")
            continue
        command = re.sub(r" --output \S+", "", results.command)
        measured = f"Measured by `{command}` on {results.started[:10]}: {machine(results)}."
        table = "\n".join([header, "|---" * (header.count("|") - 1) + "|", *made])
        block = f"<!-- figures: {name} -->\n{table}\n\n{measured}\n<!-- end -->"
        place = re.search(rf"<!-- figures: {name} -->.*?<!-- end -->", text, flags=re.DOTALL)
        if place is None:
            raise SystemExit(f"{STUDY} has no place for {name}")
        text = text[: place.start()] + block + text[place.end() :]
    return text


def draw(results: Results) -> None:
    """The charts of README.md; of frames those that the study had, in Arrow texts and in NumPy's numbers."""
    shown = [each for each in results.measurements if each.case.get("dtype", _TEXTS) in (_TEXTS, "numpy")]
    with tempfile.TemporaryDirectory() as directory:
        for path in charts.draw(replace(results, measurements=shown), Path(directory)):
            if path.name in CHARTS:
                shutil.copy(path, DOCS)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _lines(results: Results, dtype: str, contestant: str, first: str, second: str, study: str) -> str:
    """Private memory after both lines, in sizes of the data; shared beside it, where there is some."""
    cells = []
    for line in (first, second):
        private, shared = (Frames(results)(dtype, contestant, f"{kind} after {line}") for kind in ("private", "shared"))
        size = int(private.case["bytes"])
        cells.append(f"{max(0.0, private.median / size):.2f}x private, {max(0.0, shared.median / size):.2f}x shared")
    return _row(f"`{dtype}`, {contestant}", study, *cells)


def _faster(ours: Measurement, other: Measurement) -> str:
    return f"{other.median / ours.median:,.2f}x ({_seconds(ours)}; {_seconds(other)})"


def _seconds(each: Measurement) -> str:
    return f"{value(each.median, 's')} [{value(min(each.samples), 's')}, {value(max(each.samples), 's')}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="directory of a run")
    text = STUDY.read_text(encoding="utf-8")
    for run in parser.parse_args().runs:
        results = load(run)
        text = filled(text, results)
        draw(results)
    STUDY.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
