"""The figures of warm workers, beside stock Lithops and Ray, as `lithops-shm bench tasks` measures them."""

from __future__ import annotations

import json
import secrets
import statistics
from collections.abc import Iterator

from clients import LITHOPS
from contestants import Stage
from figures import Figure

from lithops_shm.bench import tasks
from lithops_shm.bench.plan import Plan
from lithops_shm.bench.program import Client
from lithops_shm.bench.race import spread
from lithops_shm.bench.results import Measurement, Results

__all__ = ["STEPS"]

_FEW, _MANY = 32, 1000
_CALLS = 10_000


def _ours(stage: Stage, *, ours: bool = False) -> Client:
    directory = f"{stage.directory}-{secrets.token_hex(2)}"
    section = {"directory": directory, "spill": False, "pool_bytes": 0}
    options = {"config": {"lithops": {"backend": "shm", "storage": "shm"}, "shm": section}, "ours": ours}
    return Client(["-c", LITHOPS, json.dumps(options), str(stage.size)])


def calls(stage: Stage) -> list[Figure]:
    """Empty calls, beside stock Lithops and Ray"""
    results = Results("", {})
    plan = Plan(repeat=stage.repeat, calls=(_FEW, _MANY), only=("shm", "lithops", "ray"))
    tasks.measure(plan, results, lambda _: None)
    found = {(each.contestant, each.case["calls"]): list(each.samples) for each in results.of("tasks", "map")}
    single, back_to_back = ([*each.samples] for each in _of_ours(results, "one call", "one call after another"))
    for each in results.failed:
        raise RuntimeError(f"{each['contestant']}: {each['reason']}")
    ours, stock = found["shm", _FEW], found["lithops", _FEW]
    many, ray = found["shm", _MANY], found.get(("ray", _MANY))
    ratio = statistics.median(stock) / statistics.median(ours)
    mine, theirs = statistics.median(many), statistics.median(ray) if ray else None
    beside = f"{mine / theirs:.2f}x the {spread(ray, 's')} of Ray" if ray and theirs else "Ray: skipped, not installed"
    return [
        Figure(
            "`map` of 32 no-ops, warm",
            "25x faster than stock Lithops localhost, and under 0.15 s",
            f"{ratio:.0f}x ({spread(ours, 's')}, {spread(stock, 's')})",
            ratio >= 25 and statistics.median(ours) < 0.15,
            "The same executor again and again, results compared. Stock Lithops has storage and compute on localhost.",
        ),
        Figure(
            f"`map` of {_MANY:,} no-ops",
            "under 2x Ray's time for as many tasks on the same cores, and under 1.5 s",
            f"{spread(many, 's')}; {beside}",
            mine < 1.5 and (theirs is None or mine < 2 * theirs),
        ),
        Figure(
            "one `call_async` to its result",
            "median under 20 ms",
            f"{spread(single, 'ms', 1e3, 1)}; back to back {spread(back_to_back, 'ms', 1e3, 1)}",
            statistics.median(single) < 0.020,
            "Twenty a run, each after a pause of 50 ms, in which a worker is made ready for it. Back to back, calls "
            "share the cores with what makes the next worker ready.",
        ),
    ]


def _of_ours(results: Results, *metrics: str) -> Iterator[Measurement]:
    return (each for metric in metrics for each in results.of("tasks", metric) if each.contestant == "shm")


def start(stage: Stage) -> list[Figure]:
    """The first job of a fresh client"""
    seconds = []
    for _ in range(stage.repeat + 1):
        with tasks.runner("shm") as client:
            seconds.append(client.ask("first"))
            client.ask("close")
    return [
        Figure(
            "first job of a fresh client process, `import lithops` to result",
            "under 1.5 s",
            spread(seconds[1:], "s"),
            statistics.median(seconds[1:]) < 1.5,
        )
    ]


def results(stage: Stage) -> list[Figure]:
    """Large results, to the client and to a reducer"""
    stage.touch(4 * stage.size)
    with _ours(stage, ours=True) as client:
        nbytes = client.ask("stored")
        found: dict[str, list[list[float]]] = {"client": [], "reducer": []}
        writes = []
        for _ in range(stage.repeat + 1):
            writes.append(client.ask("put_again"))
            found["client"].append(client.ask("give_to_client"))
            found["reducer"].append(client.ask("give_to_reducer"))
    write = statistics.median(writes[1:])
    figures = []
    for name, runs in found.items():
        seconds, growths = [run[0] for run in runs[1:]], [run[1] for run in runs[1:]]
        assert len({run[2] for run in runs}) == 1
        ratio, growth = statistics.median(seconds) / write, max(growths) / nbytes
        figures.append(
            Figure(
                f"returning a {nbytes / 1e6:.0f} MB Arrow table to the {name}",
                "under 1.2x one store write; private memory of the receiver grows by less than 1 %",
                f"{ratio:.2f}x ({spread(seconds, 's')}, {spread(writes[1:], 's')}); {growth:.2%}",
                ratio < 1.2 and growth < 0.01,
                "From the end of the function that returns the table to its being read where it goes. The function has "
                "it from shared memory, so that making it takes no memory; what is returned is written anew, to fresh "
                "pages. Beside it, one put of the same table by the client. A reducer is waiting for its input, and "
                "its private memory is compared with that of one that gets 1 MB.",
            )
        )
    return figures


def arguments(stage: Stage) -> list[Figure]:
    """A large argument of many calls"""
    stage.touch(5 * stage.size)
    with _ours(stage, ours=True) as client:
        seconds, peak = client.ask("pass_to_many", 32)
    ratio = peak / stage.size
    return [
        Figure(
            f"passing one {stage.size / 1e6:.0f} MB frame to 32 calls",
            "stored once; peak memory of all processes under 1.3x the frame plus baseline",
            f"{ratio:.2f}x, in {seconds:.2f} s",
            ratio < 1.3,
            "Private memory of the client and all processes below it, and the pages of the store's directory, looked "
            "at every 20 ms; less what it was before the job, the client's own frame included.",
        )
    ]


def upkeep(stage: Stage) -> list[Figure]:
    """Many calls, and what they leave"""
    with _ours(stage) as client:
        client.ask("map_nothing", _MANY)
        before = client.ask("upkeep")
        for _ in range(_CALLS // _MANY):
            client.ask("map_nothing", _MANY)
        after = client.ask("upkeep")
    growth = {name: after[name] - before[name] for name in before}
    return [
        Figure(
            f"{_CALLS:,} calls",
            "memory of client and workers flat within 50 MB; no file descriptors or threads gained",
            f"client {growth['client'] / 1e6:+.1f} MB, workers {growth['workers'] / 1e6:+.1f} MB, "
            f"descriptors {growth['descriptors']:+d}, threads {growth['threads']:+d}",
            max(growth["client"], growth["workers"]) < 50e6 and growth["descriptors"] <= 0 and growth["threads"] <= 0,
            f"After {_MANY:,} calls that do not count, in jobs of {_MANY:,}.",
        )
    ]


STEPS = [calls, start, results, arguments, upkeep]
