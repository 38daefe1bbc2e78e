"""Every figure the project promises, measured beside its baseline: prints a table, writes docs/benchmarks.md.

python tests/benchmarks/run.py --size 500MB --repeat 5
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import contestants
import figures
import regret
import seer
import tasks
from figures import Figure
from shuffle import steps as shuffle

from lithops_shm.bench.report import machine
from lithops_shm.bench.results import Results, load, versions
from lithops_shm.config import parse_bytes

Step = Callable[[contestants.Stage], "list[Figure]"]
ROOMS: dict[str, list[Step]] = {
    "store": figures.STEPS,
    "tasks": tasks.STEPS,
    "shuffle": shuffle.STEPS,
    "selector": regret.STEPS,
    "seer": seer.STEPS,
}
REPORT = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def yardstick() -> str:
    """How fast the machine is at what needs no explanation; times of others are to be read beside it."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        total = 0
        for number in range(10_000_000):
            total += number
        times.append(time.perf_counter() - started)
    return f"10,000,000 additions in a loop of Python take {statistics.median(times):.2f} s here"


def versions_here() -> str:
    """Of ours and of the peers that are installed."""
    return ", ".join(f"{name} {version}" for name, version in versions().items())


def table(measured: list[Figure]) -> str:
    rows = ["| what | required | measured | met |", "|---|---|---|---|"]
    for row in measured:
        rows += [f"| {row.what} | {row.required} | {row.measured} | {'yes' if row.met else '**no**'} |"]
    return "\n".join(rows)


INTRODUCTION = """# Benchmarks

All figures of a row come from one run, its contestants in alternating order; they are medians, with the least and
the most in brackets. Memory is taken and given back before anything is timed, because pages new to a virtual machine
cost extra once. What was read is compared with what was written. GB are 10⁹ bytes. `make bench` measures all of it, the
command below a heading that section, which is then replaced. `lithops-shm bench` measures most of it on your machine:
see [the study](study.md).
"""


def circumstances() -> str:
    """The machine as it is now, and what is installed."""
    return f"- Machine: {machine(Results('', {}))}\n- Yardstick: {yardstick()}\n- Versions: {versions_here()}"


def part(room: str, measured: list[Figure], how: str) -> str:
    """The section of a room: how it was measured, its table, and what there is to say of each row."""
    notes = "\n\n".join(f"### {figure.what}\n\n{figure.note}" for figure in measured if figure.note)
    return f"## {room.capitalize()}\n\n{how}\n\n{table(measured)}\n\n{notes}".rstrip() + "\n"


def updated(text: str, parts: dict[str, str]) -> str:
    """A report with some of its sections replaced; the others stay as they are."""
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]:
        parts.setdefault(section[3:].split("\n", 1)[0].lower(), section)
    return "\n".join([INTRODUCTION, *(parts[room].rstrip() + "\n" for room in ROOMS if room in parts)])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=parse_bytes, default=500_000_000, help="of the table, such as 500MB")
    parser.add_argument("--repeat", type=int, default=5, help="how often each contestant runs (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=ROOMS, default=list(ROOMS), help="which figures (default: all)")
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="a run of `lithops-shm bench`, for the selector's figures"
    )
    parser.add_argument("--output", type=Path, default=REPORT, help="the report (default: docs/benchmarks.md)")
    return parser.parse_args()


def measured_with(options: argparse.Namespace, room: str) -> str:
    """The command that measures a room, and where and when it does."""
    command = (
        f"python tests/benchmarks/run.py --size {options.size / 1e6:.0f}MB --repeat {options.repeat} --only {room}"
    )
    if room == "selector" and options.run is not None:
        run = load(options.run)
        here = (
            f"- Machine: {machine(run)}\n- Versions: {', '.join(f'{name} {it}' for name, it in run.versions.items())}"
        )
        return f"Measured with `{re.sub(r' --output .+', '', run.command)}` on {run.started[:10]}.\n\n{here}"
    return f"Measured with `{command}` on {datetime.now(timezone.utc).date().isoformat()}.\n\n{circumstances()}"


def main() -> None:
    options = arguments()
    started = time.perf_counter()
    measured: list[Figure] = []
    with contestants.Stage(options.size, options.repeat, options.run) as stage:
        for room in options.only:
            how, figures_of_room = measured_with(options, room), []
            for step in ROOMS[room]:
                print(f"[{room}] {(step.__doc__ or '').splitlines()[0]} ...", file=sys.stderr, flush=True)
                for figure in step(stage):  # shown at once: some steps take a quarter of an hour
                    print(f"  {figure.what}: {figure.measured}", file=sys.stderr, flush=True)
                    figures_of_room.append(figure)
            before = options.output.read_text(encoding="utf-8") if options.output.exists() else ""
            options.output.write_text(updated(before, {room: part(room, figures_of_room, how)}), encoding="utf-8")
            measured += figures_of_room
    print(table(measured))
    missed = [figure.what for figure in measured if not figure.met]
    seconds = time.perf_counter() - started
    print(f"\n{len(measured) - len(missed)} of {len(measured)} met, in {seconds:.0f} s: {options.output}")
    if missed:
        print("Not met: " + "; ".join(missed))


if __name__ == "__main__":
    main()
