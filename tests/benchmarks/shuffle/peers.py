"""Terasort by several engines: seconds and peak memory of each, every result verified.

python tests/benchmarks/shuffle/peers.py --size 1GB --repeat 3 --peers duckdb,polars

Each run is a program of its own. It imports, starts and sorts a small file first; timed is then one sort, from the CSV
file, which is in the page cache, to Arrow tables in the memory of that program.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import datasets
import numpy as np
from clients import Client
from memory import Sampler
from servers import rclone
from sorters import SORTERS

from lithops_shm import host
from lithops_shm.config import parse_bytes

__all__ = ["Outcome", "Race", "table"]

# As much memory as the hungriest needs, in sizes of the file: pages new to a virtual machine cost extra once.
_TOUCH = 6

_PROGRAM = """
import json, os, sys, time
name, cpus, scratch, shared, *sys.path[:0] = sys.argv[1:]
os.environ["TMPDIR"] = scratch  # before anything asks for the temporary directory

def pid():
    return os.getpid()

def sort(path):
    global tables
    started = time.perf_counter()
    tables = sorter.sort(path)
    return time.perf_counter() - started

def check(rows, checksum):
    from checks import check_sorted
    check_sorted(tables, rows, checksum)

def close():
    global tables
    del tables
    sorter.close()

if __name__ == "__main__":
    import sorters
    sorter = sorters.SORTERS[name].sorter(int(cpus), scratch, shared)
    sort(sorters.small_file(scratch))
    del tables
    print("ready", flush=True)
    commands = {"pid": pid, "sort": sort, "check": check, "close": close}
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        print("answer", json.dumps(commands[command](*arguments)), flush=True)
"""


@dataclass
class Outcome:
    """What became of a peer: its runs, or why there are none.

    Attributes
    ----------
    seconds:
        Of each timed run, the sort alone.
    before, peak:
        Bytes in use by all its processes before the sort, and the most during it, in a run of its own.
    trouble:
        Empty, or why the peer is out of the race: skipped, or failed.
    """

    seconds: list[float] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    trouble: str = ""


class Race:
    """The file, and the peers that sort it.

    Parameters
    ----------
    size:
        Of the file, in bytes.
    cpus:
        What each peer may use.
    directory:
        Where the file and all that the peers write is, on a disk; a short path, because Ray makes sockets there.
    """

    def __init__(self, size: int, *, cpus: int | None = None, directory: Path | None = None) -> None:
        self.cpus = cpus or host.usable_cpus()
        self._scratch = tempfile.TemporaryDirectory(prefix="sort-", dir=directory)
        self.path = Path(self._scratch.name) / "terasort.csv"
        self.rows, self.checksum = datasets.terasort(self.path, size)
        self.size = self.path.stat().st_size

    def __enter__(self) -> Race:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def run(self, names: Iterable[str], repeat: int) -> dict[str, Outcome]:
        """Have each sort the file `repeat` times, in turn, the order alternating; who fails once is out.

        Once more, not timed, their memory is looked at: that stops the processes it looks at for up to a second in all.
        """
        outcomes = {name: Outcome(trouble=_missing(name)) for name in names}
        for turn in range(repeat + 1):
            for name in list(outcomes) if turn % 2 == 0 else reversed(outcomes):
                outcome = outcomes[name]
                if outcome.trouble:
                    continue
                try:
                    self._run_once(name, outcome, timed=turn < repeat)
                except RuntimeError as error:
                    outcome.trouble = f"failed: {str(error).strip().splitlines()[-1]}"
                    print(f"{name}: {error}", file=sys.stderr)
                else:
                    said = f"{outcome.seconds[-1]:.2f} s" if turn < repeat else f"{outcome.peak[-1] / 1e6:,.0f} MB"
                    print(f"  run {turn + 1} of {repeat + 1}, {name}: {said}", file=sys.stderr, flush=True)
        return outcomes

    def _run_once(self, name: str, outcome: Outcome, *, timed: bool) -> None:
        scratch = tempfile.mkdtemp(prefix="run-", dir=self._scratch.name)
        shared = tempfile.mkdtemp(prefix="sort-", dir="/dev/shm")
        try:
            paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
            with Client(_PROGRAM, name, str(self.cpus), scratch, shared, *paths) as client:
                pid = client.ask("pid")
                self._warm()
                if timed:
                    outcome.seconds.append(client.ask("sort", str(self.path)))
                else:
                    with Sampler(pid, shared) as sampler:
                        client.ask("sort", str(self.path))
                    outcome.before.append(sampler.first)
                    outcome.peak.append(sampler.peak)
                client.ask("check", self.rows, self.checksum)
                client.ask("close")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.rmtree(shared, ignore_errors=True)

    def _warm(self) -> None:
        """Have the file in the page cache, and the memory owned by the machine."""
        with self.path.open("rb", buffering=0) as file:
            block = bytearray(1 << 20)
            while file.readinto(block):
                pass
        available = host.memory_available() or 0
        np.zeros(min(_TOUCH * self.size, int(0.7 * available)), dtype=np.uint8)[::4096] = 1


def table(outcomes: dict[str, Outcome]) -> str:
    """Medians, least and most, as Markdown."""
    lines = ["| peer | seconds | min - max | peak MB | of which before |", "|---|---|---|---|---|"]
    for name, outcome in outcomes.items():
        if outcome.trouble:
            lines.append(f"| {name} | {outcome.trouble} | | | |")
            continue
        seconds, peak, before = (statistics.median(each) for each in (outcome.seconds, outcome.peak, outcome.before))
        spread = f"{min(outcome.seconds):.2f} - {max(outcome.seconds):.2f}"
        lines.append(f"| {name} | {seconds:.2f} | {spread} | {peak / 1e6:,.0f} | {before / 1e6:,.0f} |")
    return "\n".join(lines)


def _missing(name: str) -> str:
    package = SORTERS[name].package
    if package == "rclone":
        return "" if rclone() else "skipped, rclone is not installed"
    return "" if importlib.util.find_spec(package) else f"skipped, {package} is not installed"


def arguments() -> argparse.Namespace:
    def peers(text: str) -> list[str]:
        unknown = [name for name in text.split(",") if name not in SORTERS]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(SORTERS)}")
        return text.split(",")

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=parse_bytes, default=200_000_000, help="of the file, such as 200MB")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, alternating (default: %(default)s)")
    parser.add_argument("--peers", type=peers, default=list(SORTERS), help=f"of {','.join(SORTERS)} (default: all)")
    parser.add_argument("--cpus", type=int, help="for each peer (default: all that may be used)")
    parser.add_argument("--directory", type=Path, help="for the file (default: the temporary directory)")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    with Race(options.size, cpus=options.cpus, directory=options.directory) as race:
        outcomes = race.run(options.peers, options.repeat)
        print(f"terasort of {race.size / 1e6:,.0f} MB, {race.cpus} CPUs, {options.repeat} runs, all results verified\n")
    print(table(outcomes))
    if any(outcome.trouble.startswith("failed") for outcome in outcomes.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
