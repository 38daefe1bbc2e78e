"""The regret table: jobs run both ways, and what it cost to believe the selector."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent))

from contestants import Stage
from figures import Figure
from server import FarS3

import lithops_shm as shm
from lithops_shm.selector import Decision

__all__ = ["STEPS", "Tried"]

_BUCKET = "regret"
_ROUND_TRIP_S, _BYTES_PER_S = 0.015, 90e6  # as from a function to S3 (docs/selector.md)
_REMOTE_WORKERS = 16
_MB = 1_000_000
_SIZES = (4 * _MB, 60 * _MB)
_FUNCTIONS = (4, 16)
_WORK_S = (0.0, 4.0, 20.0)  # of one core, all functions together
_PLACES = ("local", "remote")
_RUN_S = 120  # after which a job is given up
CHART = Path(__file__).parents[3] / "docs" / "selector.png"


@dataclass(frozen=True)
class Tried:
    """A job, what was decided for it, and the seconds it was predicted to take and took, by place."""

    job: shm.JobProfile
    chosen: str
    predicted: dict[str, float]
    took: dict[str, float]

    @property
    def regret(self) -> float:
        """Seconds of the choice beyond those of the best place it might have chosen, as a fraction of them."""
        best = self.took["local"] if self.job.confidential else min(self.took.values())
        return self.took[self.chosen] / best - 1

    @property
    def errors(self) -> list[float]:
        return [abs(self.predicted[place] / self.took[place] - 1) for place in self.took]


def jobs() -> list[shm.JobProfile]:
    """48 of all kinds, and four that may not leave."""
    found = [
        shm.JobProfile(
            nbytes,
            functions=functions,
            partitions=functions,
            intermediate_ratio=ratio,
            output_ratio=0,
            compute_s_per_gb=work / nbytes * 1e9,
            input_place=place,
        )
        for nbytes, functions, work, place, ratio in itertools.product(_SIZES, _FUNCTIONS, _WORK_S, _PLACES, (0, 1))
    ]
    secret = [replace(job, confidential=True) for job in found if job.input_place == "local"]
    return found + secret[-1 : -len(secret) - 1 : -6]


class Grid:
    """Runs jobs on this machine and through an S3 that is far away, with as many functions as that allows."""

    def __init__(self, server: FarS3, directory: str) -> None:
        self._section = server.section
        self._directory = directory
        self._store = f"/dev/shm/lithops-shm-regret-{secrets.token_hex(2)}"
        self.config = {
            "lithops": {"backend": "auto", "data_cleaner": False},
            "shm": {"directory": self._store, "worker_processes": _REMOTE_WORKERS, "max_workers": _REMOTE_WORKERS},
            "minio": {**server.section, "storage_bucket": _BUCKET},
            "selector": {
                "backend": "shm",
                "storage": "minio",
                "calibration": os.path.join(directory, "calibration.json"),
                "history_file": os.path.join(directory, "history.sqlite"),
            },
        }

    def calibrate(self) -> float:
        """Measure both places, as a user would; gives the seconds that takes."""
        started = time.perf_counter()
        file = os.path.join(self._directory, "lithops.json")
        Path(file).write_text(json.dumps(self.config), encoding="utf-8")
        command = [sys.executable, "-m", "lithops_shm", "calibrate", "--config", file]
        command += ["--storage", "minio", "--backend", "shm", "--output", self.config["selector"]["calibration"]]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    def decide(self, job: shm.JobProfile, **settings: Any) -> Decision:
        return shm.select(job, config=self.config, **settings)

    def run(self, job: shm.JobProfile, decision: Decision, parts: list[str], expected: list[int]) -> float:
        """Seconds of the job where it was decided; raises when its result is wrong."""
        here = job.input_place == "local"
        asked = {
            "config": decision.config,
            "section": self._section,
            "bucket": _BUCKET,
            "parts": parts if here else [name.lstrip("/") for name in parts],
            "upload": here and decision.place == "remote",
            "work_s": (job.compute_s_per_gb or 0) * (job.input_bytes or 0) / 1e9 / len(parts),
            "shuffled": job.intermediate_ratio > 0,
        }
        program = str(Path(__file__).parent / "job.py")
        done = subprocess.run(
            [sys.executable, program, json.dumps(asked)], capture_output=True, text=True, timeout=_RUN_S, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        seconds, found = json.loads(done.stdout.splitlines()[-1])
        assert found == expected, f"{found} is not {expected}"
        return float(seconds)

    def inputs(self, nbytes: int, functions: int) -> tuple[list[str], list[int]]:
        """Files of so many bytes together, in parts, and the same as objects; and what their rows add up to."""
        rng = np.random.default_rng(nbytes + functions)
        names, rows, total = [], 0, 0
        for number in range(functions):
            keys = rng.integers(0, 1 << 40, nbytes // functions // 16)
            table = pa.table({"k": keys, "x": rng.random(len(keys))})
            name = os.path.join(self._directory, f"part-{nbytes}-{functions}-{number:03}")
            with pa.OSFile(name, "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)
            key = os.path.join(self._directory, "s3", _BUCKET, name.lstrip("/"))
            os.makedirs(os.path.dirname(key), exist_ok=True)
            Path(key).write_bytes(Path(name).read_bytes())
            names.append(name)
            rows, total = rows + len(keys), total + int(keys.sum())
        return names, [rows, total]


def regret(stage: Stage) -> list[Figure]:
    """Jobs run both ways, and what it cost to believe the selector"""
    tried: list[Tried] = []
    with tempfile.TemporaryDirectory() as directory:
        with FarS3(os.path.join(directory, "s3"), _BUCKET, _ROUND_TRIP_S, _BYTES_PER_S) as server:
            grid = Grid(server, directory)
            calibrating = grid.calibrate()
            inputs = {
                (nbytes, functions): grid.inputs(nbytes, functions)
                for nbytes, functions in itertools.product(_SIZES, _FUNCTIONS)
            }
            for number, job in enumerate(jobs()):
                tried.append(_try(grid, job, *inputs[job.input_bytes or 0, job.functions or 0], number))
                print(f"  {number + 1}: {_described(tried[-1])}", file=sys.stderr, flush=True)
        deciding = _decision_ms(grid)
        far = server.is_far
    _draw(tried)
    regrets = [each.regret for each in tried]
    errors = [error for each in tried for error in each.errors]
    link = f"a link of {1e3 * _ROUND_TRIP_S:.0f} ms and {_BYTES_PER_S / 1e6:.0f} MB/s" if far else "loopback, unshaped"
    note = (
        f"Each job ran here and with {_REMOTE_WORKERS} functions that share nothing but an S3 (rclone) behind {link}; "
        "their own work is time that passes, so that functions elsewhere do not share these CPUs. Calibrating both "
        f"places took {calibrating:.0f} s.\n\n![Regret, and predicted against actual time](selector.png)\n\n"
        f"{_table(tried)}"
    )
    return [
        Figure(
            f"regret of the selector over {len(tried)} jobs",
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


def _try(grid: Grid, job: shm.JobProfile, parts: list[str], expected: list[int], number: int) -> Tried:
    decision = grid.decide(job, history=False)
    open_job = replace(job, confidential=False)
    pinned = {place: grid.decide(open_job, pin=place, history=False) for place in _PLACES}
    order = _PLACES if number % 2 else _PLACES[::-1]
    took = {place: grid.run(job, pinned[place], parts, expected) for place in order}
    predicted = {place: pinned[place].chosen.prediction.seconds for place in _PLACES}
    return Tried(job, decision.place, predicted, took)


def _decision_ms(grid: Grid) -> float:
    job, times = jobs()[0], []
    for _ in range(21):
        started = time.perf_counter()
        grid.decide(job)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def _described(tried: Tried) -> str:
    return (
        f"{tried.chosen}, local {tried.took['local']:.1f} s (predicted {tried.predicted['local']:.1f}), "
        f"remote {tried.took['remote']:.1f} s (predicted {tried.predicted['remote']:.1f})"
    )


def _table(tried: list[Tried]) -> str:
    header = ("MB", "functions", "s/GB", "input", "shuffle", "chosen")
    header += ("here, predicted", "here", "there, predicted", "there", "regret")
    return "\n".join([_row(header), _row(("---",) * len(header)), *(_row(_cells(each)) for each in tried)])


def _cells(each: Tried) -> tuple[str, ...]:
    job = each.job
    return (
        f"{(job.input_bytes or 0) / _MB:.0f}",
        str(job.functions),
        f"{job.compute_s_per_gb:.0f}",
        f"{job.input_place}{', confidential' if job.confidential else ''}",
        "yes" if job.intermediate_ratio else "no",
        each.chosen,
        *(f"{seconds[place]:.1f}" for place in _PLACES for seconds in (each.predicted, each.took)),
        f"{100 * each.regret:.0f} %",
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _draw(tried: list[Tried]) -> None:
    """Predicted against actual seconds, and the regret of each job beside that of always choosing one place."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5))
    for place, colour in (("local", "tab:blue"), ("remote", "tab:orange")):
        left.scatter([t.took[place] for t in tried], [t.predicted[place] for t in tried], s=18, c=colour, label=place)
    most = max(max(t.took.values()) for t in tried) * 1.2
    left.plot([0.3, most], [0.3, most], "k:", linewidth=1)
    left.set(xscale="log", yscale="log", xlabel="seconds a job took", ylabel="seconds predicted")
    left.legend()
    open_jobs = [t for t in tried if not t.job.confidential]
    series = {
        "the selector": [t.regret for t in open_jobs],
        "always here": [t.took["local"] / min(t.took.values()) - 1 for t in open_jobs],
        "always there": [t.took["remote"] / min(t.took.values()) - 1 for t in open_jobs],
    }
    for name, values in series.items():
        right.plot(sorted(100 * value for value in values), label=f"{name}: {100 * statistics.mean(values):.0f} % mean")
    right.set(xlabel="jobs, in the order of their regret", ylabel="regret, %", yscale="symlog")
    right.legend()
    figure.tight_layout()
    figure.savefig(CHART, dpi=120)
    pyplot.close(figure)


STEPS = [regret]
