"""Terasort with Lithops, through shared memory and through Lithops' own disk storage, verified and timed.

Rows are 100 bytes of CSV: a key of 10 characters and a value of 88. Mappers read a part of the file each, sort
it and leave it as one object, cut into ranges of keys; reducers take their range from every mapper and merge it.
The two runs differ in `Exchange` alone: how a table gets from one function to the next.

    python examples/terasort.py --size 1GB --repeat 3
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lithops
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc

from lithops_shm.config import parse_bytes

KEY, VALUE, ROW = 10, 88, 100  # bytes; a comma and a newline make up the hundred
BUCKET = "terasort"
ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", dtype=np.uint8)
BLOCK_ROWS = 640_000


class SharedMemory:
    """Tables stay where they are written; readers map them."""

    def write(self, storage: lithops.Storage, key: str, pieces: list[pa.Table]) -> list[Any]:
        import lithops_shm as shm

        ref = shm.put(pa.concat_tables(pieces), bucket=BUCKET, key=key)
        ends = np.cumsum([piece.num_rows for piece in pieces]).tolist()
        return [(ref, end - piece.num_rows, end) for piece, end in zip(pieces, ends, strict=True)]

    def read(self, storage: lithops.Storage, piece: Any) -> pa.Table:
        import lithops_shm as shm

        ref, start, end = piece
        return shm.get(ref).slice(start, end - start)


class StorageObjects:
    """Tables are written as objects of the Lithops storage, one a mapper, and read by byte range."""

    def write(self, storage: lithops.Storage, key: str, pieces: list[pa.Table]) -> list[Any]:
        sink = pa.BufferOutputStream()
        ranges = []
        for piece in pieces:
            start = sink.tell()
            with pa.ipc.new_stream(sink, piece.schema) as writer:
                writer.write_table(piece)
            ranges.append((key, start, sink.tell()))
        storage.put_object(BUCKET, key, sink.getvalue().to_pybytes())
        return ranges

    def read(self, storage: lithops.Storage, piece: Any) -> pa.Table:
        key, start, end = piece
        data = storage.get_object(BUCKET, key, extra_get_args={"Range": f"bytes={start}-{end - 1}"})
        return pa.ipc.open_stream(data).read_all()


Exchange = SharedMemory | StorageObjects
EXCHANGES: dict[str, Exchange] = {"shm": SharedMemory(), "localhost": StorageObjects()}


def generate(path: Path, rows: int) -> int:
    """Write the CSV file; gives the checksum of its rows, which does not depend on their order."""
    random = np.random.default_rng(2026)
    checksum = 0
    with path.open("wb") as file:
        for start in range(0, rows, BLOCK_ROWS):
            block = ALPHABET[random.integers(0, 64, (min(BLOCK_ROWS, rows - start), ROW), dtype=np.uint8)]
            block[:, KEY], block[:, ROW - 1] = ord(","), ord("\n")
            checksum += row_checksum(block[:, :KEY], block[:, KEY + 1 : ROW - 1])
            file.write(block.tobytes())
    return checksum % 2**64


def row_checksum(keys: np.ndarray, values: np.ndarray) -> int:
    """The sum over all rows of a hash of each: equal for the same rows in any order, modulo 2**64."""
    columns = np.ascontiguousarray(np.hstack([keys[:, :8], values])).view(np.uint64)
    weights = np.random.default_rng(1).integers(1, 2**63, columns.shape[1] + 1, dtype=np.uint64) | np.uint64(1)
    hashes = np.ascontiguousarray(keys[:, 8:]).view(np.uint16)[:, 0] * weights[-1]
    for column, weight in enumerate(weights[:-1]):
        hashes += columns[:, column] * weight
    hashes ^= hashes >> np.uint64(29)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(32)
    return int(hashes.sum(dtype=np.uint64))


def characters(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """A column of texts of one width as bytes, shape (rows, width)."""
    parts = [np.empty((0, width), np.uint8)]
    for chunk in column.chunks:
        _, offsets, data = chunk.buffers()
        if len(chunk):
            start = np.frombuffer(offsets, np.int64)[chunk.offset]
            parts.append(np.frombuffer(data, np.uint8)[start : start + len(chunk) * width].reshape(-1, width))
    return np.concatenate(parts)


def by_key(table: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """The table sorted by key, and the first 8 bytes of its keys as numbers that sort as they do."""
    keys = characters(table["key"], KEY)
    heads = np.ascontiguousarray(keys[:, :8]).view(">u8")[:, 0].astype(np.uint64)
    order = np.argsort(heads)
    heads = heads[order]
    if (heads[1:] == heads[:-1]).any():  # the last two characters decide
        tails = np.ascontiguousarray(keys[:, 8:]).view(">u2")[:, 0]
        order = np.lexsort((tails, np.ascontiguousarray(keys[:, :8]).view(">u8")[:, 0]))
    return table.take(pa.array(order)), heads


def map_part(
    number: int, start: int, rows: int, path: str, bounds: list[int], medium: str, storage: lithops.Storage
) -> list[Any]:
    """Read `rows` rows of the file from row `start` on, sort them, and leave them cut at the bounds."""
    with open(path, "rb") as file:
        file.seek(start * ROW)
        table = pa.csv.read_csv(
            pa.BufferReader(file.read(rows * ROW)),
            read_options=pa.csv.ReadOptions(column_names=["key", "value"], use_threads=False, block_size=64 << 20),
            convert_options=pa.csv.ConvertOptions(column_types={"key": pa.large_string(), "value": pa.large_string()}),
        )
    table, heads = by_key(table)
    cuts = [0, *np.searchsorted(heads, np.array(bounds, dtype=np.uint64)).tolist(), len(heads)]
    pieces = [table.slice(a, b - a) for a, b in itertools.pairwise(cuts)]
    return EXCHANGES[medium].write(storage, f"mapped/{number:05}", pieces)


def reduce_range(number: int, pieces: list[Any], medium: str, storage: lithops.Storage) -> list[Any]:
    """Merge one range of keys from all mappers."""
    exchange = EXCHANGES[medium]
    table, _ = by_key(pa.concat_tables([exchange.read(storage, piece) for piece in pieces]))
    return exchange.write(storage, f"sorted/{number:05}", [table])


def sample_bounds(path: Path, rows: int, ranges: int) -> list[int]:
    """Key prefixes that cut the file into ranges of about the same size, from 10,000 rows."""
    picks = np.sort(np.random.default_rng(3).integers(0, rows, min(rows, 10_000)))
    file = np.memmap(path, dtype=np.uint8, mode="r", shape=(rows, ROW))
    heads = np.sort(np.ascontiguousarray(file[picks, :8]).view(">u8")[:, 0].astype(np.uint64))
    return [int(heads[len(heads) * i // ranges]) for i in range(1, ranges)]


@dataclass
class Run:
    """One sort: its times in seconds, and what it left."""

    map_s: float
    reduce_s: float
    pieces: list[Any]

    @property
    def total_s(self) -> float:
        return self.map_s + self.reduce_s


def sort(executor: lithops.FunctionExecutor, path: Path, rows: int, functions: int, medium: str) -> Run:
    """Sort the file with `functions` mappers and as many reducers."""
    started = time.perf_counter()
    share = -(-rows // functions)
    common = {"path": str(path), "bounds": sample_bounds(path, rows, functions), "medium": medium}
    starts = range(0, rows, share)
    parts = [{"number": i, "start": at, "rows": min(share, rows - at), **common} for i, at in enumerate(starts)]
    mapped = executor.get_result(executor.map(map_part, parts))
    middle = time.perf_counter()
    work = [{"number": i, "pieces": [m[i] for m in mapped], "medium": medium} for i in range(functions)]
    merged = executor.get_result(executor.map(reduce_range, work))
    return Run(middle - started, time.perf_counter() - middle, [piece for pieces in merged for piece in pieces])


def verify(run: Run, storage: lithops.Storage, medium: str, rows: int, checksum: int) -> None:
    """Stop the program unless the result is the input, sorted: order, count and checksum."""
    found, total, last = 0, 0, b""
    for piece in run.pieces:
        table = EXCHANGES[medium].read(storage, piece)
        if not table.num_rows:
            continue
        keys = characters(table["key"], KEY)
        texts = np.ascontiguousarray(keys).view(f"S{KEY}")[:, 0]
        if (texts[1:] < texts[:-1]).any() or bytes(texts[0]) < last:
            sys.exit(f"{medium}: the keys are out of order")
        last = bytes(texts[-1])
        found += table.num_rows
        total += row_checksum(keys, characters(table["value"], VALUE))
    if found != rows:
        sys.exit(f"{medium}: {found:,} rows came out of {rows:,}")
    if total % 2**64 != checksum:
        sys.exit(f"{medium}: the checksum of the rows is {total % 2**64:016x}, not {checksum:016x}")


def clear(storage: lithops.Storage) -> None:
    storage.delete_objects(BUCKET, storage.list_keys(BUCKET))


def touch(size: int) -> None:
    """Take and give back as much memory as a run will use: pages new to a virtual machine cost extra once."""
    for _ in range(2):
        np.zeros(size, dtype=np.uint8)[::4096] = 1


def draw(medians: dict[str, Run], title: str, path: Path) -> None:
    """A bar for each medium, its map and its reduce stage on top of each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = figure.subplots()
    names = list(medians)
    maps = [medians[name].map_s for name in names]
    reduces = [medians[name].reduce_s for name in names]
    axes.barh(names, maps, label="map", color="#4477aa")
    axes.barh(names, reduces, left=maps, label="reduce", color="#ccbb44")
    for row, name in enumerate(names):
        axes.text(medians[name].total_s, row, f" {medians[name].total_s:.2f} s", va="center")
    axes.set(xlabel="seconds, less is better", title=title, xlim=(0, 1.18 * max(m.total_s for m in medians.values())))
    axes.invert_yaxis()
    figure.legend(loc="outside right center")
    figure.savefig(path, dpi=120)


def arguments() -> argparse.Namespace:
    def size(text: str) -> int:
        try:
            return parse_bytes(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    def positive(text: str) -> int:
        if not text.isdigit() or int(text) < 1:
            raise argparse.ArgumentTypeError("must be a whole number from 1 up")
        return int(text)

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--size", type=size, default="200MB", help="input, such as 200MB or 1GB (default: %(default)s)")
    add("--functions", type=positive, default=os.cpu_count(), help="mappers, and reducers (default: one a CPU)")
    add("--repeat", type=positive, default=3, help="runs of each, alternating; medians count (default: %(default)s)")
    add("--chart", type=Path, default=Path("terasort.png"), help="the bar chart (default: %(default)s)")
    add("--directory", type=Path, help="where the input is generated (default: the temporary directory)")
    options = parser.parse_args()
    if options.size < ROW * options.functions:
        parser.error(f"--size must be at least {ROW * options.functions} bytes: a row of {ROW} for each function")
    return options


def main() -> None:
    options = arguments()
    rows = options.size // ROW
    runs: dict[str, list[Run]] = {medium: [] for medium in EXCHANGES}
    with tempfile.TemporaryDirectory(prefix="terasort-", dir=options.directory) as directory:
        path = Path(directory) / "terasort.csv"
        print(f"Generating {rows:,} rows ({rows * ROW / 1e6:,.0f} MB) ...", flush=True)
        checksum = generate(path, rows)
        touch(3 * options.size)
        for turn in range(options.repeat):
            for medium in list(EXCHANGES) if turn % 2 == 0 else reversed(EXCHANGES):
                config = {
                    "lithops": {"backend": "localhost", "storage": medium},
                    "localhost": {"runtime": sys.executable},
                }
                with lithops.FunctionExecutor(config=config, log_level=None) as executor:
                    run = sort(executor, path, rows, options.functions, medium)
                    verify(run, executor.storage, medium, rows, checksum)
                    clear(executor.storage)
                runs[medium].append(run)
                print(f"  run {turn + 1} of {options.repeat}, {medium:>9}: {run.total_s:6.2f} s, verified", flush=True)
    medians = {medium: sorted(done, key=lambda run: run.total_s)[len(done) // 2] for medium, done in runs.items()}
    functions = f"{options.functions} + {options.functions} functions"
    title = f"terasort of {rows * ROW / 1e6:,.0f} MB, {functions}, {os.cpu_count()} CPUs"
    print(f"\n{title}: order, count and checksum verified in every run\n")
    print(f"{'storage':<10} {'map':>8} {'reduce':>8} {'total':>8} {'min - max':>15}")
    slowest = max(run.total_s for run in medians.values())
    for medium, run in medians.items():
        totals = [each.total_s for each in runs[medium]]
        spread = f"{min(totals):.2f} - {max(totals):.2f}"
        stages = f"{run.map_s:7.2f}s {run.reduce_s:7.2f}s {run.total_s:7.2f}s"
        print(f"{medium:<10} {stages} {spread:>14}s  {slowest / run.total_s:.2f}x")
    draw(medians, title, options.chart)
    print(f"\nChart: {options.chart}")


if __name__ == "__main__":
    main()
