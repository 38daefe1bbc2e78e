"""The figures of warm workers, beside stock Lithops and Ray."""

from __future__ import annotations

import json
import secrets
import statistics
import sys
from contextlib import ExitStack

from clients import LITHOPS, RAY, Client, has_ray
from contestants import Stage
from figures import Figure

from lithops_shm import host

__all__ = ["STEPS"]

# Stock Lithops would run its workers with the first `python` in PATH, whichever that is.
_LOCALHOST = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"runtime": sys.executable}}
_STOCK = json.dumps({"config": _LOCALHOST})
_MANY = 1000
_CALLS = 10_000


def _ours(stage: Stage, *, ours: bool = False) -> Client:
    directory = f"{stage.directory}-{secrets.token_hex(2)}"
    section = {"directory": directory, "spill": False, "pool_bytes": 0}
    options = {"config": {"lithops": {"backend": "shm", "storage": "shm"}, "shm": section}, "ours": ours}
    return Client(LITHOPS, json.dumps(options), str(stage.size))


def _spread(seconds: list[float], unit: str = "s") -> str:
    factor, digits = {"s": (1, 3), "ms": (1e3, 1)}[unit]
    median, low, high = (value * factor for value in (statistics.median(seconds), min(seconds), max(seconds)))
    return f"{median:.{digits}f} {unit} [{low:.{digits}f}, {high:.{digits}f}]"


def calls(stage: Stage) -> list[Figure]:
    """Empty calls, beside stock Lithops and Ray"""
    with ExitStack() as stack:
        few = {
            "ours": stack.enter_context(_ours(stage)),
            "stock": stack.enter_context(Client(LITHOPS, _STOCK)),
        }
        many = {"ours": few["ours"]}
        if has_ray():
            many["ray"] = stack.enter_context(Client(RAY, str(host.usable_cpus())))
        small: dict[str, list[float]] = {name: [] for name in few}
        large: dict[str, list[float]] = {name: [] for name in many}
        for turn in range(stage.repeat + 1):
            for name, client in list(few.items())[:: 1 if turn % 2 else -1]:
                small[name].append(client.ask("map_nothing", 32))
            for name, client in list(many.items())[:: 1 if turn % 2 else -1]:
                large[name].append(client.ask("map_nothing", _MANY))
        small, large = ({name: times[1:] for name, times in each.items()} for each in (small, large))
        single = [few["ours"].ask("call_nothing", number) for number in range(200)]
    ratio = statistics.median(small["stock"]) / statistics.median(small["ours"])
    mine = statistics.median(large["ours"])
    theirs = statistics.median(large["ray"]) if "ray" in large else None
    beside = f"{mine / theirs:.2f}x the {_spread(large['ray'])} of Ray" if theirs else "Ray: skipped, not installed"
    return [
        Figure(
            "`map` of 32 no-ops, warm",
            "25x faster than stock Lithops localhost, and under 0.15 s",
            f"{ratio:.0f}x ({_spread(small['ours'])}, {_spread(small['stock'])})",
            ratio >= 25 and statistics.median(small["ours"]) < 0.15,
            "The same executor again and again, results compared. Stock Lithops has storage and compute on localhost.",
        ),
        Figure(
            f"`map` of {_MANY:,} no-ops",
            "under 2x Ray's time for as many tasks on the same cores, and under 1.5 s",
            f"{_spread(large['ours'])}; {beside}",
            mine < 1.5 and (theirs is None or mine < 2 * theirs),
        ),
        Figure(
            "one `call_async` to its result",
            "median under 20 ms",
            _spread(single[20:], "ms"),
            statistics.median(single[20:]) < 0.020,
        ),
    ]


def start(stage: Stage) -> list[Figure]:
    """The first job of a fresh client"""
    seconds = []
    for _ in range(stage.repeat + 1):
        with _ours(stage) as client:
            seconds.append(client.ask("first_result"))
    return [
        Figure(
            "first job of a fresh client process, `import lithops` to result",
            "under 1.5 s",
            _spread(seconds[1:]),
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
                f"{ratio:.2f}x ({_spread(seconds)}, {_spread(writes[1:])}); {growth:.2%}",
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
