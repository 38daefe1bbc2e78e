"""Jobs of all kinds, run both ways."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from lithops_shm.bench.plan import Step
from lithops_shm.bench.program import ProgramError, stop
from lithops_shm.bench.regret.far import FarS3
from lithops_shm.placement import select
from lithops_shm.selector import Decision, JobProfile
from lithops_shm.selector.calibration import Calibration, save_calibration

__all__ = ["PLACES", "Grid", "Tried", "jobs"]

PLACES = ("local", "remote")
ROW_BYTES = 16
REMOTE_WORKERS = 16
_BUCKET = "regret"
_ROUND_TRIP_S, _BYTES_PER_S = 0.015, 90e6  # as from a function to S3 (docs/selector.md)
_FUNCTIONS = (4, 16)
_WORK_S = (0.0, 4.0, 20.0)  # of one core, all functions together
_RUN_S = 120  # after which a job is given up


@dataclass(frozen=True)
class Tried:
    """A job, what was decided for it, and the seconds it was predicted to take and took, by place.

    Parameters
    ----------
    took:
        Every run.
    """

    job: JobProfile
    chosen: str
    predicted: dict[str, float]
    took: dict[str, list[float]]

    @property
    def median(self) -> dict[str, float]:
        return {place: statistics.median(seconds) for place, seconds in self.took.items()}

    @property
    def regret(self) -> float:
        """Seconds of the choice beyond those of the best place it might have chosen, as a fraction of them."""
        return self.regret_of(self.chosen)

    def regret_of(self, place: str) -> float:
        """The same, had it been that place."""
        took = self.median
        best = took["local"] if self.job.confidential else min(took.values())
        return took[place] / best - 1

    @property
    def errors(self) -> list[float]:
        return [abs(self.predicted[place] / seconds - 1) for place, seconds in self.median.items()]


def jobs(sizes: Sequence[int]) -> list[JobProfile]:
    """Jobs of all kinds, 24 for each size; and up to four that may not leave."""
    found = [
        JobProfile(
            nbytes,
            functions=functions,
            partitions=functions,
            intermediate_ratio=ratio,
            output_ratio=0,
            compute_s_per_gb=work / nbytes * 1e9,
            input_place=place,
        )
        for nbytes, functions, work, place, ratio in itertools.product(sizes, _FUNCTIONS, _WORK_S, PLACES, (0, 1))
    ]
    secret = [replace(job, confidential=True) for job in found if job.input_place == "local"]
    return found + secret[-1 : -len(secret) - 1 : -6]


class Grid:
    """Runs jobs on this machine and through an S3 that is far away, with as many functions as that allows.

    For use in a ``with`` block, after which all of it is gone.
    """

    def __init__(self) -> None:
        shared = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
        self._scratch = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
        self._directory = self._scratch.name
        self._calibration = os.path.join(self._directory, "calibration.json")
        self._store = f"{shared}/shm-bench-{secrets.token_hex(4)}"
        try:
            self._server = FarS3(os.path.join(self._directory, "s3"), _BUCKET, _ROUND_TRIP_S, _BYTES_PER_S)
        except BaseException:
            self._scratch.cleanup()
            raise
        save_calibration(Calibration(), self._calibration)  # the defaults, until it is measured
        self.is_far = self._server.is_far
        self.config: dict[str, Any] = {
            "lithops": {"backend": "auto", "data_cleaner": False},
            "shm": {"directory": self._store, "worker_processes": REMOTE_WORKERS, "max_workers": REMOTE_WORKERS},
            "minio": {**self._server.section, "storage_bucket": _BUCKET},
            "selector": {
                "backend": "shm",
                "storage": "minio",
                "calibration": self._calibration,
                "history_file": os.path.join(self._directory, "history.sqlite"),
            },
        }

    def __enter__(self) -> Grid:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self._scratch.cleanup()
        shutil.rmtree(self._store, ignore_errors=True)

    @property
    def link(self) -> str:
        """What lies between here and the S3, in words."""
        shaped = f"a link of {1e3 * _ROUND_TRIP_S:.0f} ms and {_BYTES_PER_S / 1e6:.0f} MB/s"
        return shaped if self.is_far else "loopback, unshaped"

    def calibrate(self) -> float:
        """Measure both places, as a user would; gives the seconds that takes. Without it, rates are defaults."""
        started = time.perf_counter()
        file = os.path.join(self._directory, "lithops.json")
        Path(file).write_text(json.dumps(self.config), encoding="utf-8")
        command = ["calibrate", "--config", file, "--output", self._calibration]
        command += ["--storage", "minio", "--backend", "shm"]
        _program(["lithops_shm", *command], timeout_s=None)
        return time.perf_counter() - started

    def decide(self, job: JobProfile, **settings: Any) -> Decision:
        return select(job, config=self.config, **settings)

    def deciding_s(self, job: JobProfile, times: int = 21) -> list[float]:
        """Seconds of a decision, each time."""
        seconds = []
        for _ in range(times):
            started = time.perf_counter()
            self.decide(job)
            seconds.append(time.perf_counter() - started)
        return seconds

    def race(self, asked: Sequence[JobProfile], repeat: int, step: Step) -> Iterator[Tried]:
        """Run each of the jobs at both places, `repeat` times, the order alternating. Raises ProgramError."""
        inputs: dict[tuple[int, int], tuple[list[str], list[int]]] = {}
        for number, job in enumerate(asked):
            size = job.input_bytes or 0, job.functions or 0
            if size not in inputs:
                inputs[size] = self._inputs(*size)
            yield self._try(job, *inputs[size], number, repeat, step)

    def _try(
        self, job: JobProfile, parts: list[str], expected: list[int], number: int, repeat: int, step: Step
    ) -> Tried:
        decision = self.decide(job, history=False)
        anywhere = replace(job, confidential=False)
        pinned = {place: self.decide(anywhere, pin=place, history=False) for place in PLACES}
        took: dict[str, list[float]] = {place: [] for place in PLACES}
        for turn in range(number, number + repeat):
            for place in PLACES if turn % 2 else PLACES[::-1]:
                step(f"job {number + 1}, {place}")
                took[place].append(self._run(job, pinned[place], parts, expected))
        predicted = {place: pinned[place].chosen.prediction.seconds for place in PLACES}
        return Tried(job, decision.place, predicted, took)

    def _run(self, job: JobProfile, decision: Decision, parts: list[str], expected: list[int]) -> float:
        """Seconds of the job where it was decided; raises ProgramError when it fails, or its result is wrong."""
        here = job.input_place == "local"
        asked = {
            "config": decision.config,
            "section": self._server.section,
            "bucket": _BUCKET,
            "parts": parts if here else [name.lstrip("/") for name in parts],
            "upload": here and decision.place == "remote",
            "work_s": (job.compute_s_per_gb or 0) * (job.input_bytes or 0) / 1e9 / len(parts),
            "shuffled": job.intermediate_ratio > 0,
        }
        said = _program(["lithops_shm.bench.regret.job"], timeout_s=_RUN_S, asked=json.dumps(asked))
        seconds, found = json.loads(said.splitlines()[-1])
        if found != expected:
            raise ProgramError(f"rows and sum are {found}, not {expected}")
        return float(seconds)

    def _inputs(self, nbytes: int, functions: int) -> tuple[list[str], list[int]]:
        """Files of so many bytes together, in parts, and the same as objects; and what their rows add up to."""
        rng = np.random.default_rng(nbytes + functions)
        names, rows, total = [], 0, 0
        for number in range(functions):
            keys = rng.integers(0, 1 << 40, max(1, nbytes // functions // ROW_BYTES))
            table = pa.table({"k": keys, "x": rng.random(len(keys))})
            name = os.path.join(self._directory, f"part-{nbytes}-{functions}-{number:03}")
            with pa.OSFile(name, "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)
            self._server.keep(name.lstrip("/"), Path(name).read_bytes())
            names.append(name)
            rows, total = rows + len(keys), total + int(keys.sum())
        return names, [rows, total]


def _program(module: Sequence[str], *, timeout_s: float | None, asked: str = "") -> str:
    """Run a module to its end; gives what it prints. A configuration goes through a pipe, for others not to see."""
    with subprocess.Popen(
        [sys.executable, "-m", *module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, errors = process.communicate(asked, timeout=timeout_s)
        except BaseException as error:
            stop(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise ProgramError(f"it was not over after {timeout_s:.0f} s") from None
            raise
    if process.returncode:
        raise ProgramError(errors.strip()[-3000:] or f"{module[0]} ended with {process.returncode}")
    return said
