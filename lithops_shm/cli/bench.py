"""``lithops-shm bench``: measure this machine's tables, calls, shuffles and decisions; compare two runs."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lithops_shm.bench.plan import Plan
from lithops_shm.cli.terminal import escaped, plural, print_json, table
from lithops_shm.config import parse_bytes
from lithops_shm.errors import ConfigError

__all__ = ["run"]

_FAILED = 1
_TERMINATED = 143  # 128 + SIGTERM, as shells report it


def run(options: argparse.Namespace) -> int:
    """Measure, or compare; 1 when a contestant failed or gave a wrong result."""
    return _compare(options) if options.part == "compare" else _measure(options)


def _measure(options: argparse.Namespace) -> int:
    plan = _plan(options)

    from lithops_shm.bench.results import FILE, Results
    from lithops_shm.bench.run import PARTS
    from lithops_shm.bench.run import run as measure

    output = Path(options.output or time.strftime("lithops-shm-bench-%Y%m%d-%H%M%S"))
    asked = {name: value for name, value in vars(options).items() if name not in ("command", "json", "output")}
    results = Results(shlex.join(["lithops-shm", *options.words]), asked)
    before = signal.signal(signal.SIGTERM, _terminated)
    began = time.monotonic()
    try:
        files = measure(list(PARTS) if options.part == "all" else [options.part], plan, results, output)
    except (KeyboardInterrupt, SystemExit):
        if (output / FILE).exists():
            print(f"lithops-shm: cut off; what was measured until then is in {output}", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    seconds = time.monotonic() - began
    if options.json:
        print_json(
            "bench",
            {
                "part": options.part,
                "files": [str(path) for path in files],
                "seconds": seconds,
                "measurements": len(results.measurements),
                "skipped": results.skipped,
                "failed": results.failed,
            },
        )
        return _FAILED if results.failed else 0
    for word, found in (("skipped", results.skipped), ("failed", results.failed)):
        for each in found:
            print(f"{word}: {each['part']}, {escaped(each['contestant'])}: {escaped(each['reason'])}")
    print(f"{plural(len(results.measurements), 'measurement')} in {seconds:.0f} s, written to")
    for path in files:
        print(f"  {escaped(str(path))}")
    return _FAILED if results.failed else 0


def _terminated(_signal: int, _frame: object) -> None:
    """End as after Ctrl-C: what was started and stored goes."""
    sys.exit(_TERMINATED)


def _plan(options: argparse.Namespace) -> Plan:
    """What was asked for. Raises ConfigError for what cannot be."""
    from lithops_shm.bench.frames import DTYPES

    if options.size and getattr(options, "rows", None) is not None:
        raise ConfigError("--size and --rows both say how much data: give one of them")
    for name in ("rows", "repeat", "jobs"):
        number = getattr(options, name, None)
        if number is not None and number < 1:
            raise ConfigError(f"--{name} is {number}: it must be 1 or more")
    given: dict[str, Any] = {
        "sizes": tuple(_size(text) for text in _words(options.size)),
        "rows": getattr(options, "rows", None),
        "sized": ("io", "shuffle") if options.part == "all" else (options.part,),
        "repeat": options.repeat,
        "only": _words(options.only),
    }
    for word in _words(getattr(options, "dtype", None)):
        if word not in DTYPES:
            raise ConfigError(f"--dtype: there is no {word!r}; there are {', '.join(DTYPES)}")
    for option, name in (("dtype", "dtype_names"), ("workers", "workers"), ("calls", "calls")):
        words = _words(getattr(options, option, None))
        if words:
            given[name] = words if option == "dtype" else tuple(_count(option, word) for word in words)
    for name in ("jobs", "quick"):
        if getattr(options, name, None) is not None:
            given[name] = getattr(options, name)
    return Plan(**given)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip()) if text else ()


def _size(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise ConfigError(f"--size: {error}") from None


def _count(option: str, text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(f"--{option}: {text!r} is not a whole number from 1 up")
    return int(text)


def _compare(options: argparse.Namespace) -> int:
    """Medians of two runs, their ratio, and whether it could be noise."""
    from lithops_shm.bench.compare import compare, differing, unmatched
    from lithops_shm.bench.report import value
    from lithops_shm.bench.results import load

    first, second = load(Path(options.first)), load(Path(options.second))
    found, other = compare(first, second), differing(first, second)
    alone = {"first": unmatched(first, second), "second": unmatched(second, first)}
    if options.json:
        both = [
            {
                **{name: thing for name, thing in asdict(each.first).items() if name != "samples"},
                "first": each.first.median,
                "second": each.second.median,
                "ratio": each.ratio,
                "overlap": each.overlap,
            }
            for each in found
        ]
        only = {name: [asdict(each) for each in measurements] for name, measurements in alone.items()}
        print_json("bench compare", {"both": both, "only": only, "differing": other})
        return 0
    rows = []
    for each in found:
        one = each.first
        case = ", ".join(f"{name} {thing}" for name, thing in one.case.items())
        medians = (value(one.median, one.unit), value(each.second.median, one.unit))
        ratio = f"{each.ratio:.2f}" if each.ratio is not None else "-"
        overlap = {True: "yes", False: "no", None: "?"}[each.overlap]
        rows.append((f"{one.part} {one.metric}", one.contestant, case, *medians, ratio, overlap))
    header = ("what", "contestant", "case", "first", "second", "ratio", "overlap")
    table(header, rows, right="first second ratio", shrink=("case", "contestant"))
    print()
    for line in other:
        print(f"different: {escaped(line)}")
    for name, measurements in alone.items():
        if measurements:
            print(f"only in the {name}: {plural(len(measurements), 'measurement')}")
    return 0
