"""Terasort by several engines: seconds and peak memory of each, every result verified.

Each run is a program of its own. It imports, starts and sorts a small file first; timed is then one sort, from the CSV
file, which is in the page cache, to Arrow tables in the memory of that program.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lithops_shm import host
from lithops_shm.bench.contestants import SORTERS, named
from lithops_shm.bench.memory import Sampler
from lithops_shm.bench.plan import Step
from lithops_shm.bench.program import Client, ProgramError
from lithops_shm.bench.race import touch
from lithops_shm.bench.terasort import ROW, generate

__all__ = ["Outcome", "Race"]

# As much memory as the hungriest needs, in sizes of the file.
_TOUCH = 6


@dataclass
class Outcome:
    """What became of an engine: its runs, or why there are none.

    Attributes
    ----------
    seconds:
        Of each timed run, the sort alone.
    before, peak:
        Bytes in use by all its processes before the sort, and the most during it, in a run of its own.
    trouble:
        Empty, or why it is out of the race: skipped, or failed.
    """

    seconds: list[float] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    trouble: str = ""


class Race:
    """The file, and the engines that sort it.

    Parameters
    ----------
    size:
        Of the file, in bytes; what is not a whole row is left out.
    cpus:
        What each engine may use.
    directory:
        Where the file and all that the engines write is, on a disk; a short path, because Ray makes sockets there.
    """

    def __init__(self, size: int, *, cpus: int | None = None, directory: Path | None = None) -> None:
        self.cpus = cpus or host.usable_cpus()
        self._scratch = tempfile.TemporaryDirectory(prefix="sort-", dir=directory)
        self.path = Path(self._scratch.name) / "terasort.csv"
        self.rows = max(1, size // ROW)
        self.size = self.rows * ROW
        try:
            self.checksum = generate(self.path, self.rows)
        except BaseException:
            self._scratch.cleanup()
            raise

    def __enter__(self) -> Race:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def run(
        self,
        names: Iterable[str],
        repeat: int,
        step: Step,
        *,
        cpus: int | None = None,
        outcomes: dict[str, Outcome] | None = None,
    ) -> dict[str, Outcome]:
        """Have each sort the file `repeat` times, in turn, the order alternating; who fails once is out.

        Once more, not timed, their memory is looked at: that stops the processes it looks at for up to a second in all.
        What there is goes into `outcomes` as it comes, which is also what is returned.
        """
        outcomes = {} if outcomes is None else outcomes
        outcomes.update({name: Outcome(trouble=_missing(name)) for name in names})
        for turn in range(repeat + 1):
            for name in list(outcomes) if turn % 2 == 0 else reversed(outcomes):
                outcome = outcomes[name]
                if outcome.trouble:
                    continue
                step(f"{name}, run {turn + 1} of {repeat + 1}")
                self.run_once(name, outcome, cpus, timed=turn < repeat)
        return outcomes

    def run_once(self, name: str, outcome: Outcome, cpus: int | None = None, *, timed: bool = True) -> None:
        """Have one sort the file, and add its seconds, or its memory, to the outcome, or why it is out."""
        try:
            self._run(name, outcome, cpus or self.cpus, timed=timed)
        except ProgramError as error:
            outcome.trouble = f"failed: {error}"

    def _run(self, name: str, outcome: Outcome, cpus: int, *, timed: bool) -> None:
        scratch = tempfile.mkdtemp(prefix="run-", dir=self._scratch.name)
        shared = tempfile.mkdtemp(prefix="shm-bench-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        program = ["-m", "lithops_shm.bench.sorting_program", name, str(cpus), scratch, shared]
        try:
            with Client(program, environ={"TMPDIR": scratch}) as client:
                pid = client.ask("pid")
                self._warm()
                if timed:
                    seconds = client.ask("sort", str(self.path))
                    client.ask("check", self.rows, self.checksum)
                    outcome.seconds.append(seconds)
                else:
                    with Sampler(pid, shared) as sampler:
                        client.ask("sort", str(self.path))
                    client.ask("check", self.rows, self.checksum)
                    outcome.before.append(sampler.first)
                    outcome.peak.append(sampler.peak)
                client.ask("close")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.rmtree(shared, ignore_errors=True)

    def _warm(self) -> None:
        """Have the memory owned by the machine, and the file in the page cache."""
        touch(_TOUCH * self.size)
        with self.path.open("rb", buffering=0) as file:
            block = bytearray(1 << 20)
            while file.readinto(block):
                pass


def _missing(name: str) -> str:
    reason = named(SORTERS, name).missing()
    return f"skipped: {reason}" if reason else ""
