"""The part ``io``: a frame written and read by each codec at each place, its time and its memory."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lithops_shm.bench.contestants import CODECS, PLACES, Contestant
from lithops_shm.bench.plan import Plan, Step
from lithops_shm.bench.program import Client, ProgramError
from lithops_shm.bench.results import Results
from lithops_shm.bench.servers import S3Server

__all__ = ["PART", "measure", "steps"]

PART = "io"
_BUCKET = "bench"
_POOL = 3  # sizes of the data: retired pages of an object, and what encoding adds to it


@dataclass(frozen=True, slots=True)
class _Group:
    """One frame."""

    dtype: str
    dataset: str
    rows: int
    data_bytes: int


def steps(plan: Plan) -> int:
    """How many there will be."""
    return len(_groups(plan)) * (1 + len(_pairs(plan, None)))


def measure(plan: Plan, results: Results, step: Step) -> None:
    """Write and read; see the report for what of it counts."""
    pairs = _pairs(plan, results)
    if not pairs:
        return
    groups = _groups(plan)
    served = any(place.served for _, place in pairs)
    with _program(max(group.data_bytes for group in groups), served, results) as client:
        for group in groups:
            _measure_group(plan, group, pairs, client, results, step)


def _measure_group(
    plan: Plan,
    group: _Group,
    pairs: Sequence[tuple[Contestant, Contestant]],
    client: Client,
    results: Results,
    step: Step,
) -> None:
    step(f"{group.dtype}, {group.data_bytes / 1e6:.3g} MB")
    names = [[codec.name, place.name] for codec, place in pairs]
    case: dict[str, str | int] = {"dataset": group.dataset, "dtype": group.dtype, "bytes": group.data_bytes}
    case["rows"] = group.rows
    times = client.ask("times", group.dtype, group.rows, plan.repeat_of(PART), names)
    results.add(PART, "pandas", case, "in memory", "B", [times["frame"]])
    for (codec, place), found in zip(names, times["pairs"], strict=True):
        step(f"{group.dtype}, memory of {codec}, {place}")
        name = f"{codec}, {place}"
        if found["failed"]:
            results.fail(PART, name, f"{group.dtype}: {found['failed']}")
            continue
        for metric in ("write", "read", "read through"):
            results.add(PART, name, case, metric, "s", found[metric])
        results.add(PART, name, case, "stored", "B", [found["stored"]])
        try:
            wrote = client.ask("write_memory", group.dtype, group.rows, codec, place)
            read = client.ask("read_memory", group.dtype, group.rows, codec, place)
        except ProgramError as error:
            results.fail(PART, name, f"{group.dtype}, memory: {error}")
            continue
        results.add(PART, name, case, "zero-copy", "", [int(read.pop("zero_copy"))])
        for line, (private, shared) in {**wrote, **read}.items():
            results.add(PART, name, case, f"private after {line}", "B", [private])
            results.add(PART, name, case, f"shared after {line}", "B", [shared])


def _groups(plan: Plan) -> list[_Group]:
    """The frames: each dtype at each size."""
    found = []
    for dtype, kind in plan.dtypes.items():
        for size in plan.sizes_of(PART):
            rows = plan.rows_of(PART) or max(1, size // kind.size_bytes)
            found.append(_Group(dtype, kind.dataset, rows, rows * kind.row_bytes))
    return list(dict.fromkeys(found))


def _pairs(plan: Plan, results: Results | None) -> list[tuple[Contestant, Contestant]]:
    """Codecs by places that can be had; the others are skipped by name."""
    codecs, places = plan.chosen(PART, CODECS, results), plan.chosen(PART, PLACES, results)
    return [(codec, place) for place in places for codec in codecs]


@contextmanager
def _program(data_bytes: int, served: bool, results: Results) -> Iterator[Client]:
    """The program, its store and its server; nothing is left of them."""
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
    directory = f"{shared}/shm-bench-{secrets.token_hex(4)}"
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shm-bench-")))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        section: list[str] = []
        if served:
            server = stack.enter_context(S3Server(str(scratch / "s3"), _BUCKET))
            section = [server.section[name] for name in ("endpoint", "access_key_id", "secret_access_key")]
            results.note(PART, f"S3 is {server.kind} on this machine, over its temporary directory.")
        program = ["-m", "lithops_shm.bench.io_program", directory, str(_POOL * data_bytes + (1 << 20)), *section]
        # Lithops keeps its files below the temporary directory.
        yield stack.enter_context(Client(program, environ={"TMPDIR": str(scratch)}))
