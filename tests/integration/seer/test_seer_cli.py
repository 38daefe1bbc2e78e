"""The command: what it runs, what it prints where, and how it ends."""

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from seer_integration.cli import main
from seer_integration.datasets.committed import MANIFEST

EXAMPLES = Path(__file__).parents[3] / "examples" / "jobs"

# Many commands in one process: it is starting one that takes time.
COMMANDS = """
import io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout
from seer_integration.cli import main

def outcome(arguments):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([each.replace("PID", str(os.getpid())) for each in arguments])
    return code, out.getvalue(), err.getvalue()

if __name__ == "__main__":
    print(json.dumps([outcome(arguments) for arguments in json.loads(sys.argv[1])]))
"""
FUNCTIONS = """
import os, signal
import helper

def doubled(frame, by=2):
    return frame.assign(twice=frame["quantity"] * by * helper.ONE)

def broken(frame):
    raise LookupError("of the function")

def interrupted(frame, client):
    os.kill(client, signal.SIGINT)
    signal.pause()
"""
JOB = """
parameters: {{client: 0}}
stages:
  all:
    - Scan: {{file: sales.csv, header: true}}
    - {step}
    - Limit: {{rows: 2, key: [quantity, day, shop, product], descending: true}}
"""


def sold(least: int) -> list[tuple[str, float, int]]:
    """What the example computes, in plain Python: revenue and sales of each city, the greatest first."""
    with open(EXAMPLES / "shops.csv", newline="") as file:
        city = {row["shop"]: row["city"] for row in csv.DictReader(file)}
    revenue: Counter[str] = Counter()
    count: Counter[str] = Counter()
    with open(EXAMPLES / "sales.csv", newline="") as file:
        for row in csv.DictReader(file):
            wanted = int(row["quantity"]) >= least and row["product"] in ("lamp", "chair", "table")
            if wanted and row["shop"] in city:
                revenue[city[row["shop"]]] += float(row["price"]) * int(row["quantity"])  # type: ignore[assignment]
                count[city[row["shop"]]] += 1
    return [(name, total, count[name]) for name, total in revenue.most_common()]


@pytest.fixture
def jobs(tmp_path: Path) -> Callable[[str, str], str]:
    """Write a job of one step; functions lie beside it."""
    directory = tmp_path / "jobs"
    directory.mkdir()
    (directory / "functions_of_the_job.py").write_text(FUNCTIONS)
    (directory / "helper.py").write_text("ONE = 1\n")
    shutil.copy(EXAMPLES / "sales.csv", tmp_path)  # which commands run in

    def write(name: str, step: str) -> str:
        path = directory / f"{name}.yaml"
        path.write_text(JOB.format(step=step))
        return str(path)

    return write


@pytest.mark.usefixtures("cleaner_finishes")
def test_jobs_run(run: Callable[..., str], jobs: Callable[[str, str], str], tmp_path: Path) -> None:
    rows = [(f"{number * 7919 % 1000:010d}", f"value {number}") for number in range(1000)]
    (tmp_path / "terasort.csv").write_text("".join(f"{key},{value}\n" for key, value in rows))
    sales, terasort = str(EXAMPLES / "sales.yaml"), str(EXAMPLES / "terasort.yaml")
    commands = [
        ["run", sales, "--set", "least=3", "--output", "cities.csv", "--json", "--quiet"],
        ["run", terasort, "--set", "input=terasort.csv", "--quiet"],
        ["run", jobs("own", "Transform: {action: 'functions_of_the_job:doubled', arguments: {by: 3}}"), "--rows", "1"],
        ["run", jobs("broken", "Transform: functions_of_the_job:broken"), "--quiet"],
        [
            "run",
            jobs("interrupted", "Transform: {action: 'functions_of_the_job:interrupted', arguments: \"${client}\"}"),
            "--set",
            "client={client: PID}",
        ],
        ["explain", sales],
        ["explain", sales, "--json"],
        ["explain", jobs("wrong", "Filter: quantitty > 3")],
        ["run", terasort, "--set", "input=terasrot.csv"],
        ["run", sales, "--config", "none.yaml"],
        ["index", "sorted", "--columns", "0", "--json"],
        ["index", jobs("indexed", "Distinct"), "--columns", "quantity,product"],
    ]
    outcomes = json.loads(run(COMMANDS, json.dumps(commands)))
    assert [code for code, _, _ in outcomes] == [0, 0, 0, 1, 130, 0, 0, 2, 1, 2, 0, 0], outcomes
    said = [(out, err) for _, out, err in outcomes]

    summary = json.loads(said[0][0])
    assert (summary["schema"], summary["command"], summary["job"]) == (1, "run", sales)
    assert summary["results"] == [{"stage": "cities", "rows": 3, "columns": ["city", "revenue", "sales"]}]
    assert (summary["output"], said[0][1]) == ("cities.csv", "")
    with open(tmp_path / "cities.csv", newline="") as file:
        found = [(row["city"], float(row["revenue"]), int(row["sales"])) for row in csv.DictReader(file)]
    assert found == sold(3)[:3]

    assert said[1] == ("", "")
    parts = json.loads((tmp_path / "sorted" / MANIFEST).read_text())["parts"]
    tables = [pq.read_table(tmp_path / "sorted" / part["key"]) for part in parts]
    assert [tuple(row.values()) for table in tables for row in table.to_pylist()] == sorted(rows)

    head, row, count = said[2][0].splitlines()
    assert (head.split()[-1], row.split()[-1], count) == ("twice", "18", "(the first 1 of 2 rows)")
    assert "seconds" in said[2][1]
    assert "LookupError: of the function" in said[3][1]

    assert "Traceback" not in said[4][1]

    assert "exchanged by city" in said[5][0]
    assert json.loads(said[6][0])["plan"] == said[5][0].splitlines()
    assert ", line 6: " in said[7][1]
    assert "did you mean 'quantity'?" in said[7][1]
    assert "did you mean terasort.csv" in said[8][1]
    assert said[9][1] == "seer_integration: there is no configuration file none.yaml\n"

    indexed = json.loads(said[10][0])
    assert (indexed["command"], indexed["columns"], indexed["rows"]) == ("index", ["0"], 1000)
    assert Path(indexed["index"]).is_file()
    assert "quantity, product of 1 objects, 300 rows" in said[11][0]


def test_it_is_a_module(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "seer_integration", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "usage: python -m seer_integration" in done.stdout


def code(*arguments: Any) -> int:
    """What the command ends with, in this process; for those that run nothing."""
    try:
        return main([str(each) for each in arguments])
    except SystemExit as end:
        return int(str(end.code))


def test_a_valid_file(capsys: pytest.CaptureFixture[str]) -> None:
    file = EXAMPLES / "sales.yaml"
    assert code("validate", file) == 0
    assert capsys.readouterr().out == f"{file}: 3 stages, 8 operations, no mistakes\n"
    assert code("validate", file, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mistakes"] == []
    assert found["stages"][2]["after"] == ["sales", "shops"]
    assert found["stages"][2]["operations"] == ["Join", "Aggregate", "Limit", "Collect"]


def test_a_file_with_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("stages:\n  a:\n    - Scna: x\n    - Sort: {kye: 0}\nnmae: x\n")
    assert code("validate", path) == 2
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == f"seer_integration: {path}, line 3: there is no operation 'Scna'; did you mean 'Scan'?"
    assert [line.partition(": ")[0] for line in rest] == [f"{path}, line 4", f"{path}, line 5"]
    assert code("validate", path, "--json") == 2
    found = capsys.readouterr()
    assert [len(json.loads(found.out)["mistakes"]), found.err] == [3, ""]
    assert code("run", path) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: COMMAND"),
        (["start", "job.yaml"], "invalid choice: 'start'"),
        (["run"], "required: JOB.yaml"),
        (["run", "job.yaml"], "cannot be read: No such file"),
        (["run", EXAMPLES / "sales.yaml", "--set", "least"], "'least' is not name=value"),
        (["run", EXAMPLES / "sales.yaml", "--set", "lest=3"], "did you mean 'least'?"),
        (["run", EXAMPLES / "sales.yaml", "--output", "x.xlsx"], "none of the endings"),
        (["run", EXAMPLES / "sales.yaml", "--output", "/nowhere/x.csv"], "no directory '/nowhere'"),
        (["run", EXAMPLES / "sales.yaml", "--rows", "-1"], "whole number"),
        (["run", EXAMPLES / "terasort.yaml"], "line 12: the parameter 'input' has no value"),
        (["run", EXAMPLES / "terasort.yaml", "--set", "input=x", "--output", "x.csv"], "add Collect"),
        (["validate", EXAMPLES / "sales.yaml", "--config", "none.yaml"], "no configuration file none.yaml"),
        (["index", "x"], "required: --columns"),
        (["index", "x", "--columns", ","], "names no columns"),
        (["index", EXAMPLES / "sales.yaml", "--columns", "shop"], "with --stage: sales, shops"),
    ],
)
def test_wrong_arguments(arguments: list[Any], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code(*arguments) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert found.out == ""
