"""Pictures of a run: medians as bars from zero, with least and most as whiskers, labelled where they are."""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lithops_shm.bench.results import Measurement, Results

__all__ = ["draw", "draw_regret"]

_DPI = 120
_BAR_IN = 0.23  # inches of a bar
# Tol's bright colours, which the colour-blind can tell apart; ours is always the first.
_BLUE, _RED, _GREEN, _YELLOW, _CYAN, _GREY = "#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#999999"
_CODECS = {"arrow": _BLUE, "pickle5": _GREEN, "pickle": _RED, "parquet": _YELLOW}


def draw(results: Results, output: Path) -> list[Path]:
    """Draw what there is into a directory; gives the files. Without matplotlib it is skipped, and said to be."""
    if importlib.util.find_spec("matplotlib") is None:
        results.skip("charts", "matplotlib", "matplotlib is not installed (pip install 'lithops-shm[bench]')")
        return []
    charts: list[tuple[str, Callable[[Results, Path], bool]]] = [
        ("io-read.png", lambda r, p: _matrix(r, p, "read", "Reading a frame: seconds, less is better")),
        ("io-write.png", lambda r, p: _matrix(r, p, "write", "Writing a frame: seconds, less is better")),
        (
            "io-memory.png",
            lambda r, p: _matrix(
                r, p, "private after decode", "Private memory that reading a frame adds: times its data, less is better"
            ),
        ),
        ("io-sizes.png", _by_size),
        ("tasks.png", _tasks),
        ("shuffle.png", _shuffle),
        ("selector.png", draw_regret),
    ]
    return [output / name for name, make in charts if make(results, output / name)]


def _matrix(results: Results, path: Path, metric: str, title: str) -> bool:
    """A panel for each dtype at its largest size, a bar for each place and codec."""
    panels = {}
    found = results.of("io", metric)
    for dtype in dict.fromkeys(each.case["dtype"] for each in found):
        of_dtype = [each for each in found if each.case["dtype"] == dtype]
        largest = max(int(each.case["bytes"]) for each in of_dtype)
        panels[f"{dtype}, {_megabytes(largest)}"] = [each for each in of_dtype if each.case["bytes"] == largest]
    if not panels:
        return False
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    most = max(len(bars) for bars in panels.values())
    figure, axes = _figure(rows, columns, (5.6 * columns, rows * (most * _BAR_IN + 0.9)))
    for ax, (name, bars) in zip(axes, panels.items(), strict=False):
        factor = 1.0 if bars[0].unit == "s" else 1 / int(bars[0].case["bytes"])
        worded = _seconds if bars[0].unit == "s" else lambda value: f"{max(value, 0.0):.2f}x"
        labels = [each.contestant.partition(", ") for each in bars]
        _bars(
            ax,
            [f"{place}  {codec}" for codec, _, place in labels],
            [[max(0.0, value * factor) for value in each.samples] for each in bars],
            [_CODECS.get(codec, _GREY) for codec, _, _ in labels],
            worded,
        )
        places = [place for _, _, place in labels]
        for row in range(1, len(places)):
            if places[row] != places[row - 1]:
                ax.axhline(row - 0.5, color="#dddddd", linewidth=0.8)
        ax.set_title(name, fontsize=10, loc="left")
    _save(figure, axes[len(panels) :], path, title)
    return True


def _by_size(results: Results, path: Path) -> bool:
    """Reading from shared memory, by size: a panel for each dtype, a line for each codec."""
    found = [each for each in results.of("io", "read") if each.contestant.endswith(", shm")]
    dtypes = list(dict.fromkeys(each.case["dtype"] for each in found))
    if len({each.case["bytes"] for each in found if each.case["dtype"] == (dtypes or [""])[0]}) < 2:
        return False
    columns = min(3, len(dtypes))
    rows = -(-len(dtypes) // columns)
    figure, axes = _figure(rows, columns, (3.9 * columns, 3.2 * rows))
    for ax, dtype in zip(axes, dtypes, strict=False):
        ends = []
        for codec, colour in _CODECS.items():
            line = [each for each in found if each.case["dtype"] == dtype and each.contestant == f"{codec}, shm"]
            line.sort(key=lambda each: int(each.case["bytes"]))
            if not line:
                continue
            sizes, medians = [int(each.case["bytes"]) / 1e6 for each in line], [each.median for each in line]
            ax.errorbar(sizes, medians, yerr=_whiskers(line), color=colour, marker="o", markersize=4, capsize=3)
            ends.append((medians[-1], codec, colour, sizes[-1]))
        _label_ends(ax, ends)
        ax.set_ylim(bottom=0)
        ax.set_xlim(left=0)
        ax.set_xlabel("MB of data", fontsize=9)
        ax.set_ylabel("seconds", fontsize=9)
        ax.set_title(dtype, fontsize=10, loc="left")
    _save(figure, axes[len(dtypes) :], path, "Reading from shared memory by size: less is better")
    return True


def _tasks(results: Results, path: Path) -> bool:
    """Calls per second of each map, and the time of one call."""
    maps = results.of("tasks", "map")
    panels: list[tuple[str, list[Measurement]]] = [
        (f"calls per second, {calls:,} at once: more is better", [each for each in maps if each.case["calls"] == calls])
        for calls in dict.fromkeys(each.case["calls"] for each in maps)
    ]
    single = results.of("tasks", "one call")
    panels += [("one call to its result, ms: less is better", single)] if single else []
    if not panels:
        return False
    most = max(len(bars) for _, bars in panels)
    figure, axes = _figure(len(panels), 1, (7, len(panels) * (most * _BAR_IN + 0.9)))
    for ax, (name, bars) in zip(axes, panels, strict=True):
        colours = [_BLUE if each.contestant == "shm" else _GREY for each in bars]
        names = [each.contestant for each in bars]
        if bars[0].metric == "map":
            rates = [[int(each.case["calls"]) / value for value in each.samples] for each in bars]
            _bars(ax, names, rates, colours, _rate)
        else:
            _bars(ax, names, [[1e3 * value for value in each.samples] for each in bars], colours, _milliseconds)
        ax.set_title(name, fontsize=10, loc="left")
    _save(figure, [], path, "Calls that do nothing")
    return True


def _shuffle(results: Results, path: Path) -> bool:
    """Seconds of each sort, and its peak memory; a row for each size and number of workers."""
    found = results.of("shuffle")
    cases = list(dict.fromkeys((each.case["bytes"], each.case["workers"]) for each in found))
    if not cases:
        return False
    most = len({each.contestant for each in found})
    figure, axes = _figure(len(cases), 2, (11, len(cases) * (most * _BAR_IN + 0.9)))
    for row, (size, workers) in enumerate(cases):
        here = [each for each in found if (each.case["bytes"], each.case["workers"]) == (size, workers)]
        for ax, metric in zip(axes[2 * row : 2 * row + 2], ("sort", "peak memory"), strict=True):
            bars = sorted((each for each in here if each.metric == metric), key=lambda each: each.median)
            if not bars:
                ax.set_axis_off()
                continue
            colours = [_BLUE if each.contestant == "shm" else _GREY for each in bars]
            factor, worded = (1.0, _seconds) if metric == "sort" else (1 / int(size), "{:.1f}x the input".format)
            samples = [[value * factor for value in each.samples] for each in bars]
            _bars(ax, [each.contestant for each in bars], samples, colours, worded)
            case = f"{_megabytes(int(size))}, {workers} workers"
            ax.set_title(f"{case}: {'seconds' if metric == 'sort' else 'peak memory'}", fontsize=10, loc="left")
    _save(figure, [], path, "Terasort: less is better")
    return True


def draw_regret(results: Results, path: Path) -> bool:
    """Predicted against actual seconds, and the regret of each job beside that of always choosing one place."""
    regrets = results.of("selector", "regret")
    if not regrets:
        return False
    figure, (left, right) = _figure(1, 2, (11, 4.5))
    for place, colour in (("local", _BLUE), ("remote", _RED)):
        took = {each.key[3]: each.median for each in results.of("selector", "took") if each.contestant == place}
        guess = {each.key[3]: each.median for each in results.of("selector", "predicted") if each.contestant == place}
        jobs = [case for case in took if case in guess]
        left.scatter([took[case] for case in jobs], [guess[case] for case in jobs], s=18, c=colour, label=place)
    ends = [limit for limits in (left.get_xlim(), left.get_ylim()) for limit in limits if limit > 0]
    left.plot([min(ends), max(ends)], [min(ends), max(ends)], color="black", linestyle=":", linewidth=1)
    left.set(xscale="log", yscale="log", xlabel="seconds a job took", ylabel="seconds predicted")
    left.legend(frameon=False)
    free = {each.key[3] for each in regrets if each.contestant == "always local"}
    for name, colour in (("selector", _BLUE), ("always local", _YELLOW), ("always remote", _RED)):
        values = [each.median for each in regrets if each.contestant == name and each.key[3] in free]
        if values:
            label = f"{name}: {100 * statistics.mean(values):.0f} % mean"
            right.plot(sorted(100 * value for value in values), color=colour, marker=".", label=label)
    right.set(xlabel="jobs, in the order of their regret", ylabel="regret, %", yscale="symlog")
    right.set_ylim(bottom=0)
    right.legend(frameon=False)
    _save(figure, [], path, "The selector: predictions, and the cost of believing them")
    return True


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    """A figure that belongs to no window, and its axes in reading order."""
    Figure = importlib.import_module("matplotlib.figure").Figure  # noqa: N806

    figure = Figure(figsize=(size[0], size[1] + 0.4), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _bars(
    ax: Any,
    names: Sequence[str],
    samples: Sequence[Sequence[float]],
    colours: Sequence[str],
    worded: Callable[[float], str],
) -> None:
    """Bars of medians, from the top down, each with its whisker and its value behind it."""
    medians = [statistics.median(each) for each in samples]
    low = [median - min(each) for median, each in zip(medians, samples, strict=True)]
    high = [max(each) - median for median, each in zip(medians, samples, strict=True)]
    rows = range(len(names))
    several = any(len(each) > 1 for each in samples)
    whisker = {"ecolor": "#333333", "elinewidth": 1.0, "capsize": 2.5}
    ax.barh(rows, medians, color=colours, height=0.75, xerr=[low, high] if several else None, error_kw=whisker)
    most = max(max(each) for each in samples) or 1.0
    for row, (median, each) in enumerate(zip(medians, samples, strict=True)):
        ax.text(max(each) + 0.015 * most, row, worded(median), va="center", fontsize=8)
    ax.set_yticks(rows, names, fontsize=8)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, 1.22 * most)
    ax.tick_params(axis="x", labelsize=8)
    ax.tick_params(axis="y", length=0)


def _label_ends(ax: Any, ends: list[tuple[float, str, str, float]]) -> None:
    """The names of lines where they end, kept apart."""
    top = ax.get_ylim()[1]
    last = -top
    for value, name, colour, at in sorted(ends):
        last = max(value, last + 0.07 * top)
        ax.annotate(name, (at, last), xytext=(5, 0), textcoords="offset points", color=colour, fontsize=8, va="center")
    ax.margins(x=0.2)


def _whiskers(line: Sequence[Measurement]) -> list[list[float]]:
    return [
        [each.median - min(each.samples) for each in line],
        [max(each.samples) - each.median for each in line],
    ]


def _save(figure: Any, empty: Sequence[Any], path: Path, title: str) -> None:
    for ax in empty:
        ax.set_axis_off()
    for ax in figure.axes:
        ax.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left", weight="bold")
    figure.savefig(path, dpi=_DPI)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 1e8 else f"{count / 1e6:.3g} MB"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def _rate(value: float) -> str:
    return f"{value:,.0f} /s" if value >= 10 else f"{value:.2g} /s"


def _milliseconds(value: float) -> str:
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1e3:.2f} s"
