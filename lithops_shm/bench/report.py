"""The run in words and tables: ``report.md``."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from lithops_shm.bench.results import Measurement, Results

__all__ = ["FILE", "machine", "rows_of", "value", "write"]

FILE = "report.md"

_HOW = """All samples are in `results.json`. Figures are medians, with the least and the most in brackets, if there are
several. Contestants took turns. Every result was compared with what it must be. MB and GB are 10⁶ and 10⁹ bytes."""

_TURNS = """The order alternated, after one turn that does not count; memory was taken and given back first, because
pages new to a virtual machine cost extra once."""

_TITLES = {"io": "Writing and reading frames", "tasks": "Calls", "shuffle": "Terasort", "selector": "The selector"}
_MEANS = {
    "io": f"""{_TURNS}

A write is the frame encoded and stored; a read is it fetched and made a frame again. What is mapped comes page by page,
as it is used; read through is the time until every page has been looked at. GB/s are of the frame's data. Memory is
what a fresh process grows by after each line, the frame that is written not counted: private is anonymous memory,
shared are pages of files and segments that it maps (`smaps_rollup`); in a read, every page was read. Zero-copy is a
read whose every buffer lies in stored memory. `arrow` is a table as Arrow IPC, `pickle5` the frame with its arrays out
of band, `pickle` one stream.""",
    "tasks": f"""{_TURNS}

Calls that give back what they are given, of engines that are all up and warm, and idle while another is measured: many
by one map, and one from its call to its result, after a pause or right after another.""",
    "shuffle": """From a CSV file in the page cache to sorted Arrow tables that the client can read, by an engine that
is up and has sorted a small file. The order alternated, and memory was taken and given back before each run. Peak
memory is that of all processes of an engine, private and shared, an S3 server included, in a run of its own.""",
    "selector": """Regret is what a choice cost beyond the best place, as a share of the best.""",
}


def write(results: Results, output: Path, charts: Sequence[str]) -> Path:
    """Write it; gives its path.

    Parameters
    ----------
    charts:
        File names in the same directory.
    """
    lines = ["# lithops-shm bench", "", f"Measured by `{results.command}` on {results.started}.", ""]
    lines += [f"- Machine: {machine(results)}", f"- Versions: {_versions(results)}", "", _HOW, ""]
    for part in results.parts:
        lines += [f"## {_TITLES[part]}", "", _MEANS[part], ""]
        lines += [f"{note['note']}\n" for note in results.notes if note["part"] == part]
        lines += [f"![{name}]({name})\n" for name in charts if name.startswith(part)]
        lines += [*rows_of(results, part), ""]
    for title, found in (("Skipped", results.skipped), ("Failed", results.failed)):
        if found:
            lines += [f"## {title}", "", *(f"- {e['part']}, {e['contestant']}: {e['reason']}" for e in found), ""]
    path = output / FILE
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return path


def rows_of(results: Results, part: str) -> list[str]:
    """The tables of a part, as Markdown."""
    return {"io": _io, "tasks": _tasks, "shuffle": _shuffle, "selector": _selector}[part](results)


def machine(results: Results) -> str:
    """What it was measured on, without its name."""
    host = results.host
    memory = (host["memory_bytes"] or 0) / 2**30
    cpus = (
        f"{host['usable_cpus']} of {host['cpus']} CPUs"
        if host["usable_cpus"] != host["cpus"]
        else f"{host['cpus']} CPUs"
    )
    load = f"load {host['load_before']:.1f} before"
    return f"{host['cpu']}, {cpus}, {memory:.0f} GiB, {host['system']} {host['kernel']}, {load}"


def value(number: float, unit: str) -> str:
    """A number with its unit, as long as it has to be."""
    if unit == "s":
        return f"{number:.2f} s" if number >= 1 else f"{1e3 * number:.3g} ms"
    if unit == "B":
        return f"{number / 1e6:,.1f} MB"
    return f"{number:.3g}"


def _spread(each: Measurement) -> str:
    if len(each.samples) == 1:
        return value(each.median, each.unit)
    median, low, high = (value(x, each.unit) for x in (each.median, min(each.samples), max(each.samples)))
    return f"{median} [{low}, {high}]"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def _io(results: Results) -> list[str]:
    by: dict[tuple[str, object], dict[str, dict[str, Measurement]]] = {}
    frames: dict[tuple[object, object], str] = {}
    for each in results.of("io"):
        case = each.case
        if each.metric == "in memory":
            frames[case["dtype"], case["bytes"]] = f", in memory {value(each.median, each.unit)}"
            continue
        size = f"{int(case['rows']):,} rows, {int(case['bytes']) / 1e6:,.1f} MB of data"
        size += frames.get((case["dtype"], case["bytes"]), "")
        name = f"{case['dataset']}, {case['dtype']}: {size}"
        by.setdefault((name, case["bytes"]), {}).setdefault(each.contestant, {})[each.metric] = each
    lines: list[str] = []
    header = ["codec, place", "write", "GB/s", "read", "GB/s", "read through", "stored", "zero-copy"]
    header += [f"{line}: private + shared" for line in ("encode", "put", "get", "decode")]
    for (name, nbytes), contestants in by.items():
        rows = []
        for contestant, found in contestants.items():
            if "stored" not in found:  # cut off before all of it was there
                continue
            cells = [contestant]
            for metric in ("write", "read"):
                seconds = found[metric]
                cells += [_spread(seconds), f"{int(str(nbytes)) / seconds.median / 1e9:,.2f}"]
            cells.append(_spread(found["read through"]))
            cells.append(value(found["stored"].median, "B"))
            cells.append(("yes" if found["zero-copy"].median else "no") if "zero-copy" in found else "?")
            for line in ("encode", "put", "get", "decode"):
                pair = [found.get(f"{kind} after {line}") for kind in ("private", "shared")]
                cells.append(" + ".join(f"{each.median / 1e6:,.1f}" if each else "?" for each in pair) + " MB")
            rows.append(cells)
        lines += [f"### {name}", "", *_table(header, rows), ""]
    return lines


def _tasks(results: Results) -> list[str]:
    rows = [
        (
            each.contestant,
            each.metric if each.metric != "map" else f"map of {int(each.case['calls']):,}",
            value(int(each.case["bytes"]), "B") if each.case["bytes"] else "-",
            _spread(each),
            f"{int(each.case['calls']) / each.median:,.0f}",
        )
        for each in results.of("tasks")
    ]
    return _table(("engine", "calls", "each given", "time", "calls/s"), rows)


def _shuffle(results: Results) -> list[str]:
    peaks = {(each.contestant, *each.case.values()): each for each in results.of("shuffle", "peak memory")}
    rows = []
    for each in results.of("shuffle", "sort"):
        size = int(each.case["bytes"])
        peak = peaks.get((each.contestant, *each.case.values()))
        memory = f"{peak.median / 1e6:,.0f} MB, {peak.median / size:.1f}x the input" if peak else "?"
        rows.append((f"{size / 1e6:,.4g} MB", str(each.case["workers"]), each.contestant, _spread(each), memory))
    return _table(("file", "workers", "engine", "time", "peak memory"), rows)


def _selector(results: Results) -> list[str]:
    by: dict[object, dict[tuple[str, str], Measurement]] = {}
    for each in results.of("selector"):
        by.setdefault(each.key[3], {})[each.contestant, each.metric] = each
    regrets = results.of("selector", "regret")
    lines = []
    for name in dict.fromkeys(each.contestant for each in regrets):
        values = [100 * each.median for each in regrets if each.contestant == name]
        mean = f"{statistics.mean(values):.1f} % regret in the mean, at most {max(values):.0f} %"
        lines.append(f"- {name}: {mean} ({len(values)} jobs)")
    lines += [f"- a decision: {_spread(each)}" for each in results.of("selector", "decision")]
    rows = []
    for found in by.values():
        if ("selector", "regret") not in found:
            continue
        case = found["selector", "regret"].case
        place = "local" if found["selector", "chose local"].median else "remote"
        secret = ", confidential" if case["confidential"] == "yes" else ""
        cells = [f"{int(case['bytes']) / 1e6:,.4g}", str(case["functions"]), str(case["s/GB"])]
        cells += [f"{case['input']}{secret}", str(case["shuffle"]), place]
        cells += [_spread(found[where, what]) for where in ("local", "remote") for what in ("predicted", "took")]
        rows.append([*cells, f"{100 * found['selector', 'regret'].median:.0f} %"])
    header = ("MB", "functions", "s/GB", "input", "shuffle", "chosen", "here, predicted", "here")
    return [*lines, "", *_table((*header, "there, predicted", "there", "regret"), rows)]


def _versions(results: Results) -> str:
    return ", ".join(f"{name} {number}" for name, number in results.versions.items())
