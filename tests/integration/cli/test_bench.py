"""``lithops-shm bench``, end to end and in little: what is measured, verified, written, drawn and compared."""

from __future__ import annotations

import gc
import importlib.util
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import psutil
import pytest
from matplotlib import font_manager, image, mathtext

from lithops_shm.bench import io, io_program, program, race, selection, servers, shuffle, sorting, tasks
from lithops_shm.bench.contestants import CODECS, PLACES, RUNNERS, SORTERS, Contestant
from lithops_shm.bench.frames import DTYPES, make_frame
from lithops_shm.bench.places import Site
from lithops_shm.bench.program import Client, ProgramError
from lithops_shm.bench.results import FILE, SCHEMA, Results, load
from lithops_shm.cli import main
from lithops_shm.config import StoreSettings
from lithops_shm.errors import ConfigError
from lithops_shm.store import Store

Bench = Callable[..., Path]
WHITE = 0.99
BLUE = np.array([0x44, 0x77, 0xAA]) / 255  # of what is ours


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cleaner_finishes: None) -> Iterator[Bench]:
    """Runs a part in this process, which must end with that code; gives its directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(part: str, *arguments: str, code: int = 0) -> Path:
        output = tmp_path / part
        assert main(["bench", part, "--repeat", "1", "--output", str(output), *arguments]) == code
        return output

    yield run
    # matplotlib keeps the files of its fonts open.
    font_manager._get_font.cache_clear()
    mathtext.MathTextParser._parse_cached.cache_clear()
    gc.collect()


def checked(output: Path, part: str, contestants: set[str]) -> Results:
    """The run, after a look at its files: all that promise to be there are, and are what they say."""
    raw = json.loads((output / FILE).read_text())
    assert raw["schema"] == SCHEMA == 1
    assert {"cpu", "cpus", "usable_cpus", "memory_bytes", "system", "kernel"} <= raw["host"].keys()
    assert {"python", "lithops", "pyarrow", "pandas", "numpy"} <= raw["versions"].keys()
    assert raw["command"].startswith(f"lithops-shm bench {part} ")
    results = load(output)
    assert {each.contestant for each in results.measurements} == contestants
    assert results.failed == []
    for each in raw["measurements"]:
        assert set(each) == {"part", "contestant", "case", "metric", "unit", "samples"}
        assert each["part"] == part
        assert each["samples"]
        assert each["unit"] in ("s", "B", "")
        if each["unit"] == "s":
            assert all(0 < sample < 600 for sample in each["samples"])
    report = (output / "report.md").read_text()
    for name in contestants - {"pandas"}:
        assert name in report
    for chart in output.glob("*.png"):
        assert f"({chart.name})" in report
    return results


def require_data(chart: Path, colour: np.ndarray = BLUE, least: int = 200, smallest: int = 200) -> None:
    """An image with so many pixels of a colour that only bars, lines and points have."""
    pixels = image.imread(chart)[:, :, :3]
    assert min(pixels.shape[:2]) > smallest
    assert (pixels > WHITE).all(axis=2).mean() > 0.3
    assert (abs(pixels - colour) < 0.02).all(axis=2).sum() >= least


def test_frames(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["arrow", "pickle"]
    output = bench("io", "--rows", "30000", "--dtype", "string[pyarrow],numpy", "--only", "arrow,pickle,shm,boto3")
    found = checked(output, "io", {"pandas", *(f"{codec}, {place}" for codec in names for place in ("shm", "boto3"))})
    said = capsys.readouterr()
    assert said.err == "", "a bar is for terminals"
    assert str(output / "report.md") in said.out
    values = {(each.contestant, each.case["dtype"], each.metric): each.median for each in found.measurements}
    for dtype in ("string[pyarrow]", "numpy"):
        data = 30_000 * DTYPES[dtype].row_bytes
        assert values["arrow, shm", dtype, "zero-copy"] == 1
        assert values["arrow, boto3", dtype, "zero-copy"] == 0, "it came through a socket"
        assert values["pickle, shm", dtype, "zero-copy"] == 0
        assert data <= values["pandas", dtype, "in memory"] < 1.5 * data
        for name in ("arrow, shm", "pickle, boto3"):
            assert data <= values[name, dtype, "stored"] < 1.5 * data
        assert values["pickle, shm", dtype, "private after encode"] >= data
        assert values["arrow, boto3", dtype, "private after get"] >= 0.9 * data
        assert values["arrow, shm", dtype, "read through"] > values["arrow, shm", dtype, "read"]
        assert values["arrow, shm", dtype, "shared after decode"] >= 0.9 * data
    assert {each["note"] for each in found.notes} == {"S3 is rclone on this machine, over its temporary directory."}
    for name in ("io-read.png", "io-write.png", "io-memory.png"):
        require_data(output / name)


def test_calls(bench: Bench) -> None:
    output = bench("tasks", "--calls", "2,101", "--only", "shm,lithops,loky")
    found = checked(output, "tasks", {"shm", "lithops", "loky"})
    assert {(each.contestant, each.case["calls"]) for each in found.of("tasks", "map")} == {
        ("shm", 2), ("shm", 101), ("loky", 2), ("loky", 101), ("lithops", 2),
    }  # fmt: skip
    assert {each.contestant for each in found.of("tasks", "one call")} == {"shm", "lithops", "loky"}
    assert [each["contestant"] for each in found.skipped] == ["lithops, 101 calls"]
    require_data(output / "tasks.png")
    report = (output / "report.md").read_text()
    for row in ("| shm | map of 101 | - |", "| loky | one call | - |", "| loky | one call after another | - |"):
        assert row in report


def test_calls_that_are_given_something(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    output = bench("tasks", "--calls", "5", "--size", "1KB,1MB", "--only", "shm,lithops")
    found = checked(output, "tasks", {"shm", "lithops"})
    for name in ("shm", "lithops"):  # which by itself refuses more than 4 MiB of arguments
        assert {each.case["bytes"] for each in found.of("tasks", "map") if each.contestant == name} == {1000, 1_000_000}
    assert "| shm | map of 5 | 1.0 MB |" in (output / "report.md").read_text()
    assert main(["bench", "tasks", "--calls", "1000000", "--size", "1GB", "--output", f"{output}-2"]) == 2
    assert "give a smaller size, or fewer calls" in capsys.readouterr().err


def test_terasort(bench: Bench) -> None:
    output = bench("shuffle", "--rows", "4000", "--workers", "1", "--only", "shm,duckdb")
    found = checked(output, "shuffle", {"shm", "duckdb"})
    for metric in ("sort", "peak memory"):
        cases = {(each.contestant, *each.case.values()) for each in found.of("shuffle", metric)}
        assert cases == {("shm", 400_000, 1), ("duckdb", 400_000, 1)}
    require_data(output / "shuffle.png")


def test_the_selector(bench: Bench) -> None:
    output = bench("selector", "--rows", "600", "--jobs", "1", "--quick")
    found = checked(output, "selector", {"local", "remote", "selector", "always local", "always remote"})
    assert len(found.of("selector", "took")) == 2
    assert found.of("selector", "decision")[0].median < 1
    require_data(output / "selector.png", least=10)


def test_all_of_it(bench: Bench) -> None:
    little = ["--rows", "1000", "--dtype", "numpy", "--calls", "2", "--workers", "1", "--jobs", "1", "--quick"]
    output = bench("all", "--only", "arrow,shm", *little)
    found = load(output)
    assert found.parts == ["io", "tasks", "shuffle", "selector"]
    assert found.failed == []
    for chart in ("io-read.png", "io-write.png", "io-memory.png", "tasks.png", "shuffle.png", "selector.png"):
        assert f"({chart})" in (output / "report.md").read_text()
        require_data(output / chart, least=10, smallest=150)  # there is one bar


class TestWhoTakesPart:
    def test_a_missing_peer_is_skipped_by_name(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        there = importlib.util.find_spec
        gone = ("duckdb", "loky", "joblib", "matplotlib")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in gone else there(name))
        monkeypatch.setattr("lithops_shm.bench.contestants.no_server", lambda: "no S3 server (pip install it)")
        output = bench("shuffle", "--rows", "1000", "--workers", "1", "--only", "duckdb,shm-s3fs")
        results = load(output)
        assert results.measurements == []
        skipped = {each["contestant"]: each["reason"] for each in results.skipped}
        assert skipped == {
            "duckdb": "duckdb is not installed (pip install 'lithops-shm[bench]')",
            "shm-s3fs": "no S3 server (pip install it)",
            "matplotlib": "matplotlib is not installed (pip install 'lithops-shm[bench]')",
        }
        said = capsys.readouterr().out
        report = (output / "report.md").read_text()
        for name, reason in skipped.items():
            assert f"{name}: {reason}" in said
            assert f"{name}: {reason}" in report
        assert list(output.glob("*.png")) == []

    @pytest.mark.parametrize(
        "table", [CODECS, PLACES, RUNNERS, SORTERS], ids=("codecs", "places", "runners", "sorters")
    )
    def test_every_declaration_leads_to_a_class(self, table: tuple[Contestant, ...]) -> None:
        assert len({each.name for each in table}) == len(table)
        for each in table:
            assert isinstance(each.load(), type)
            assert each.load().__doc__

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["io", "--only", "arow"], ["'arow'", "arrow"]),
            (["io", "--dtype", "text"], ["'text'", "string[pyarrow]"]),
            (["shuffle", "--size", "lots"], ["--size", "lots"]),
            (["shuffle", "--workers", "0"], ["--workers", "'0'"]),
            (["tasks", "--repeat", "0"], ["--repeat", "0"]),
        ],
    )
    def test_mistakes_are_one_sentence(
        self, arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["bench", *arguments, "--output", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert all(word in said for word in words)
        assert not (tmp_path / "out").exists()


class WrongCodec:
    """Forgets the last row."""

    def encode(self, frame: pd.DataFrame) -> list[Any]:
        return [frame.iloc[:-1].to_csv(index=False).encode()]

    def decode(self, data: Any, dtype: str) -> pd.DataFrame:
        return make_frame(dtype, 9)


class RaisingCodec(WrongCodec):
    def decode(self, data: Any, dtype: str) -> pd.DataFrame:
        raise OSError("broken")


@pytest.fixture
def site(shm_directory: Path) -> Iterator[Site]:
    with Store.open(StoreSettings(directory=str(shm_directory), spill=False)) as store:
        yield Site(store, None)


def test_a_wrong_result_puts_out_its_contestant_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in (WrongCodec, RaisingCodec):
        monkeypatch.setattr(f"lithops_shm.bench.codecs.{cls.__name__}", cls, raising=False)
    bad = [Contestant(cls.__name__, f"lithops_shm.bench.codecs:{cls.__name__}") for cls in (WrongCodec, RaisingCodec)]
    monkeypatch.setattr(io_program, "CODECS", (*CODECS, *bad))
    pairs = [["WrongCodec", "shm"], ["arrow", "shm"], ["RaisingCodec", "shm-recycled"]]
    found = io_program.times(site, "arrow", 10, 2, pairs)
    assert found["frame"] >= 10 * DTYPES["arrow"].row_bytes
    wrong, right, raising = found["pairs"]
    assert wrong["failed"] == "ProgramError: what was read is not what was written"
    assert raising["failed"] == "OSError: broken"
    assert wrong["write"] == raising["read"] == []
    assert (right["failed"], len(right["write"]), len(right["read"])) == ("", 2, 2)


def test_a_failure_is_reported_and_is_the_exit_code(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(io, "measure", lambda plan, results, step: results.fail("io", "arrow, shm", "at\nit is wrong"))
    output = bench("io", code=1)
    reported = {"part": "io", "contestant": "arrow, shm", "reason": "it is wrong", "said": "at\nit is wrong"}
    assert load(output).failed == [reported]
    assert "failed: io, arrow, shm: it is wrong" in capsys.readouterr().out


def test_a_part_that_fails_is_no_end_of_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(plan: object, results: object, step: object) -> None:
        raise ProgramError("it was killed")

    def measures(plan: object, results: Results, step: object) -> None:
        results.add("tasks", "shm", {"calls": 1, "bytes": 0}, "one call", "s", [1.0])

    monkeypatch.setattr(io, "measure", fails)
    monkeypatch.setattr(tasks, "measure", measures)
    for part in (shuffle, selection):
        monkeypatch.setattr(part, "measure", lambda plan, results, step: None)
    output = bench("all", code=1)
    assert [each["reason"] for each in load(output).failed] == ["it ended before its time: it was killed"]
    assert "failed: io, io: it ended before its time" in capsys.readouterr().out
    assert "| shm | one call |" in (output / "report.md").read_text()


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_ENDS_S", 0.2)
    code = "import time; print('ready', flush=True); time.sleep(600)"
    with pytest.raises(ProgramError, match="had not ended"), Client(["-c", code]):
        pass


def test_turns_alternate_after_one_that_does_not_count() -> None:
    events: list[object] = []
    for name, counts in race.turns("abc", 2, lambda: events.append("prepared")):
        events.append(name if counts else f"({name})")
    assert events == ["prepared", "(c)", "(b)", "(a)", "prepared", *"abc", "prepared", *"cba"]


def test_memory_is_touched_as_far_as_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(race.np, "zeros", lambda nbytes, dtype: asked.append(nbytes) or np.ones(1, dtype))
    monkeypatch.setattr(race.host, "memory_available", lambda: 1000)
    for headroom, least in ((None, 700), (100, 70), (0, 0)):
        monkeypatch.setattr(race.host, "cgroup_headroom", lambda headroom=headroom: headroom)
        race.touch(5000)
        assert asked.pop() == least
    race.touch(0)
    assert asked == [0]


def test_an_rclone_that_serves_no_s3_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 1.65, as distributions have it."""
    old = tmp_path / "rclone"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setattr(servers.shutil, "which", lambda *_, **__: str(old))
    assert servers._rclone.__wrapped__() is None


def test_an_interrupt_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a program, its store and its server are up; the leak check of all tests looks for processes."""
    token = secrets.token_hex(8)
    monkeypatch.setattr(io.secrets, "token_hex", lambda _: token)  # others may be measuring beside this test
    place = Path(f"/dev/shm/shm-bench-{token}")
    seen = []

    def interrupted(self: object, name: str, *arguments: object) -> None:
        seen.append(place.exists())
        raise KeyboardInterrupt

    monkeypatch.setattr(io.Client, "ask", interrupted)
    output = bench("io", "--rows", "10", "--dtype", "numpy", code=130)
    assert seen == [True]
    assert not place.exists()
    assert not (output / FILE).exists()


def test_moto_serves_where_there_is_no_rclone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_rclone", lambda: None)
    with servers.S3Server(str(tmp_path), "some") as server:
        assert server.kind == "moto"
        server.keep("a/b", b"data")
        client = boto3.client(
            "s3",
            endpoint_url=server.section["endpoint"],
            aws_access_key_id=server.section["access_key_id"],
            aws_secret_access_key=server.section["secret_access_key"],
            region_name="us-east-1",
        )
        with closing(client), client.get_object(Bucket="some", Key="a/b")["Body"] as body:
            assert body.read() == b"data"


@pytest.mark.parametrize("has_rclone", [True, False])
def test_a_server_ends_with_a_program_that_is_killed(tmp_path: Path, has_rclone: bool) -> None:
    code = f"""
from lithops_shm.bench import servers
if not {has_rclone}:
    servers._rclone = lambda: None
server = servers.S3Server({str(tmp_path)!r}, "some")
print(server._process.pid, flush=True)
input()
"""
    program = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with program:
        assert program.stdout is not None
        server = int(program.stdout.readline())
        assert psutil.pid_exists(server)
        program.kill()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(server) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(server)


@pytest.mark.usefixtures("bench")
@pytest.mark.parametrize("ends", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_keeps_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ends: type[BaseException],
) -> None:
    made: list[str] = []

    def one(self: sorting.Race, name: str, outcome: sorting.Outcome, cpus: int | None, *, timed: bool) -> None:
        made.append(name)
        if len(made) > 3:
            raise ends(130)
        outcome.seconds.append(0.5 * len(made))

    monkeypatch.setattr(sorting.Race, "run_once", one)
    output = tmp_path / "cut-off"
    words = ["bench", "shuffle", "--rows", "10", "--repeat", "9", "--only", "shm,polars", "--output", str(output)]
    with pytest.raises(SystemExit) if ends is SystemExit else nullcontext():
        assert main(words) == 130
    found = {each.contestant: list(each.samples) for each in load(output).of("shuffle", "sort")}
    assert found == {"shm": [0.5], "polars": [1.0, 1.5]}
    assert "before its time" in (output / "report.md").read_text()
    assert f"what was measured until then is in {output}" in capsys.readouterr().err


class TestCompare:
    def run(self, directory: Path, times: dict[str, list[float]], kernel: str = "6.1") -> str:
        results = Results(
            "lithops-shm bench tasks", {}, host={"kernel": kernel, "load_before": len(times)}, versions={}
        )
        for name, samples in times.items():
            results.add("tasks", name, {"calls": 32}, "map", "s", samples)
        directory.mkdir()
        return str(results.save(directory).parent)

    def test_one_sample_has_no_range(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        runs = [self.run(tmp_path / name, {"shm": [seconds]}) for name, seconds in (("a", 1.0), ("b", 2.0))]
        assert main(["bench", "compare", *runs]) == 0
        assert capsys.readouterr().out.splitlines()[1].endswith("2.00  ?")

    def test_two_runs(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        first = self.run(tmp_path / "a", {"shm": [1, 2, 3], "ray": [4, 5], "dask": [1]})
        second = self.run(tmp_path / "b", {"shm": [3, 4, 9], "ray": [1, 2]}, kernel="6.2")
        assert main(["bench", "compare", first, f"{second}/{FILE}", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        both = {each["contestant"]: each for each in found["both"]}
        assert {
            name: (each["first"], each["second"], each["ratio"], each["overlap"]) for name, each in both.items()
        } == {
            "shm": (2, 4, 2, True),
            "ray": (4.5, 1.5, 1.5 / 4.5, False),
        }
        assert [each["contestant"] for each in found["only"]["first"]] == ["dask"]
        assert found["only"]["second"] == []
        assert found["differing"] == ["host kernel: 6.1, 6.2"]
        assert main(["bench", "compare", first, second]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["what", "contestant", "case", "first", "second", "ratio", "overlap"]
        assert lines[1].split() == ["tasks", "map", "shm", "calls", "32", "2.00", "s", "4.00", "s", "2.00", "yes"]
        assert "only in the first: 1 measurement" in lines

    def test_what_is_no_run(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = self.run(tmp_path / "a", {"shm": [1.0]})
        assert main(["bench", "compare", run, str(tmp_path)]) == 2
        assert f"{tmp_path / FILE}: No such file" in capsys.readouterr().err
        (tmp_path / "b.json").write_text(json.dumps({"schema": SCHEMA + 1}))
        with pytest.raises(ConfigError, match=f"schema {SCHEMA + 1}"):
            load(tmp_path / "b.json")
        (tmp_path / "c.json").write_text(json.dumps({"schema": SCHEMA, "command": "x"}))
        with pytest.raises(ConfigError, match="options"):
            load(tmp_path / "c.json")

    def test_a_run_is_not_overwritten(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = self.run(tmp_path / "a", {"shm": [1.0]})
        before = Path(run, FILE).read_bytes()
        assert main(["bench", "io", "--output", run]) == 2
        assert "results of a run already" in capsys.readouterr().err
        assert Path(run, FILE).read_bytes() == before
