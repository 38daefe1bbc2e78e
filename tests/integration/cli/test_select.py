"""``lithops-shm select``: the decision for every option, mistakes as sentences, and the history."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lithops_shm.selector import Candidate, Decision, JobProfile
from lithops_shm.selector.calibration import Calibration, save_calibration
from lithops_shm.selector.history import History
from lithops_shm.selector.model import Plan, Prediction, Term
from lithops_shm.selector.rates import LocalRates

REMOTE = {"backend": "aws_lambda", "storage": "aws_s3"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """What the selector reads: not those of whoever runs the tests."""
    return {"calibration": str(tmp_path / "rates.json"), "history_file": str(tmp_path / "history.sqlite")}


@pytest.fixture
def select(run: Any, tmp_path: Path, directories: dict[str, str], files: dict[str, str]) -> Callable[..., Any]:
    """Run it with a remote choice, or with other settings of the selector; gives what it printed, or its JSON."""
    save_calibration(Calibration(LocalRates(spread=0.1)), files["calibration"])

    def select(*arguments: str, code: int = 0, as_json: bool = True, **selector: Any) -> Any:
        config = tmp_path / "select.yaml"
        section = {**files, **(selector or REMOTE)}
        config.write_text(json.dumps({"lithops": {"storage": "shm"}, "shm": directories, "selector": section}))
        words = ("select", *arguments, "--config", str(config))
        if code:
            done = run(*words, configured=False, code=code)
            assert done.stdout == ""
            return done.stderr
        return run.json(*words, configured=False) if as_json else run(*words, configured=False).stdout

    return select


def chosen(decision: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = decision["candidates"][decision["chosen"]]
    return found


def test_it_prints_where_and_why_and_runs_nothing(select: Any, shm_directory: Path, tmp_path: Path) -> None:
    out = select("--size", "200 MB", as_json=False)
    assert out.startswith("190.7 MiB of input: shm with shm, ")
    assert "-> " in out
    assert "aws_lambda with aws_s3" in out
    assert "Its time: " in out
    assert not shm_directory.exists()
    assert not (tmp_path / "history.sqlite").exists()


def test_options_are_the_profile(select: Any) -> None:
    given = "--size 5GB --functions 64 --partitions 16 --intermediate-ratio 0.5 --compute 2.5 --deadline 900 --budget 3"
    decision = select(*given.split())
    job = decision["job"]
    assert {key: job[key] for key in ("input_bytes", "functions", "partitions", "intermediate_ratio")} == {
        "input_bytes": 5 * 10**9,
        "functions": 64,
        "partitions": 16,
        "intermediate_ratio": 0.5,
    }
    assert {key: job[key] for key in ("compute_s_per_gb", "deadline_s", "budget_usd", "confidential")} == {
        "compute_s_per_gb": 2.5,
        "deadline_s": 900,
        "budget_usd": 3,
        "confidential": False,
    }
    assert chosen(decision)["functions"] == 64
    assert chosen(decision)["partitions"] == 16
    assert decision["policy"] == "model"


def test_zero_is_a_value(select: Any) -> None:
    decision = select("--size", "1 GB", "--intermediate-ratio", "0", "--compute", "0", "--budget", "0")
    assert chosen(decision)["partitions"] == 0
    assert chosen(decision)["place"] == "local"
    assert decision["job"]["compute_s_per_gb"] == 0


def test_inputs_are_sized(select: Any, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_bytes(bytes(3_000))
    (tmp_path / "two.csv").write_bytes(bytes(4_000))
    (tmp_path / "three").write_bytes(bytes(5_000))
    decision = select("--input", f"{tmp_path}/*.csv", "--input", str(tmp_path / "three"))
    assert decision["job"]["input_bytes"] == 12_000
    assert decision["job"]["input_place"] == "local"


def test_a_size_that_is_not_known_is_said(select: Any) -> None:
    assert "the size of the input is not known" in " ".join(select()["notes"])


def test_a_confidential_job_stays(select: Any) -> None:
    heavy = ("--size", "1 GB", "--compute", "5000")
    assert chosen(select(*heavy))["place"] == "remote"
    assert chosen(select(*heavy, "--confidential"))["place"] == "local"


def test_policy_and_pin_go_before_the_configuration(select: Any) -> None:
    assert chosen(select("--size", "1 MB", "--policy", "always-remote"))["place"] == "remote"
    assert select("--size", "1 MB", "--policy", "cheapest")["policy"] == "cheapest"
    assert chosen(select("--size", "1 MB", "--pin", "remote"))["place"] == "remote"
    assert chosen(select("--size", "1 MB", "--pin", "local", **REMOTE, pin="remote"))["place"] == "local"


def test_the_calibration_is_used(select: Any, files: dict[str, str]) -> None:
    before = chosen(select("--size", "1 GB"))["seconds"]
    save_calibration(Calibration(LocalRates(pool_start_s=100.0)), files["calibration"])
    after = select("--size", "1 GB", "--pin", "local")
    assert chosen(after)["seconds"] == pytest.approx(before + 99.2)
    assert after["notes"] == []


@pytest.mark.parametrize(
    ("arguments", "selector", "words"),
    [
        (("--size", "900 TB"), {"policy": "model"}, ["this job can run nowhere", "shm: needs", "name a remote"]),
        (("--size", "1 GB", "--deadline", "0.001"), REMOTE, ["shm: takes", "aws_lambda: takes", "a later deadline"]),
        (("--size", "900 TB", "--confidential"), REMOTE, ["aws_lambda: the data is confidential"]),
        (("--size", "much"), REMOTE, ["input_bytes", "not a size"]),
        (("--size", "5", "--functions", "64"), REMOTE, ["if megabytes are meant", "write '5 MB'"]),
        (("--functions", "0"), REMOTE, ["functions", "from 1 to 1,000,000"]),
        (("--deadline", "-1"), REMOTE, ["deadline_s", "from 0 up"]),
        (("--compute", "nan"), REMOTE, ["compute_s_per_gb"]),
        (("--input", "/nowhere/at/all"), REMOTE, ["no file or directory"]),
        (("--input", "nostore://bucket/key"), REMOTE, ["the size of the input cannot be found"]),
        (("--size", "1 GB", "--policy", "fastes"), REMOTE, ["did you mean 'fastest'"]),
        (("--size", "1 GB"), {"backend": "aws_lambda"}, ["and no storage"]),
        (("--size", "1 GB"), {"polcy": "model"}, ["did you mean 'policy'"]),
        (("--size", "1 GB"), {"calibration": "/nowhere"}, ["there is no such file; run `lithops-shm calibrate`"]),
        (("--history", "--size", "1 GB"), REMOTE, ["leave out the options of a job"]),
        (("--history", "--pin", "local"), REMOTE, ["leave out the options of a job"]),
    ],
)  # fmt: skip
def test_mistakes_are_sentences(select: Any, arguments: tuple[str, ...], selector: Any, words: list[str]) -> None:
    said = select(*arguments, code=2, **selector)
    assert said.startswith("lithops-shm: ")
    for word in words:
        assert word in said


def test_an_argument_that_is_no_number_is_a_usage_error(select: Any) -> None:
    assert "--functions" in select("--functions", "many", code=2)
    assert "--pin" in select("--pin", "here", code=2)


def ran(path: str, place: str, predicted: float, actual: float) -> None:
    backend, storage = ("shm", "shm") if place == "local" else ("aws_lambda", "aws_s3")
    prediction = Prediction((Term("data", predicted, "data", 0.5),), 0, 0.0)
    candidate = Candidate(place, backend, storage, Plan(1, 0, 1), prediction)
    made = Decision(candidate, (candidate,), JobProfile(10**9), {}, "model")
    history = History(path)
    history.add(made)
    history.finish(made.id, actual)


def test_an_empty_history_says_how_it_fills(select: Any, files: dict[str, str]) -> None:
    out = select("--history", as_json=False)
    assert "no job that was decided on has run on this machine yet" in out
    assert "backend='auto'" in out
    assert files["history_file"] in out
    assert "nothing more is written down" in select("--history", as_json=False, history=False)
    assert select("--history")["runs"] == []
    assert not Path(files["history_file"]).exists()


def test_the_history_shows_errors_by_place(select: Any, files: dict[str, str]) -> None:
    for predicted, actual in ((1.0, 2.0), (9.0, 10.0), (12.0, 10.0)):
        ran(files["history_file"], "local", predicted, actual)
    ran(files["history_file"], "remote", 30.0, 20.0)
    lines = select("--history", as_json=False).splitlines()
    assert lines[0].split() == ["when", "where", "predicted", "actual", "error"]
    assert lines[1].split()[1:] == ["aws_lambda", "with", "aws_s3", "30.00", "s", "20.00", "s", "+50%"]
    assert lines[4].split()[1:] == ["shm", "with", "shm", "1.00", "s", "2.00", "s", "-50%"]
    assert "local: median error 20%, of 3 runs" in lines
    assert "remote: median error 50%, of 1 run" in lines
    found = select("--history")
    assert [run["place"] for run in found["runs"]] == ["remote", "local", "local", "local"]
    assert found["runs"][0]["error"] == pytest.approx(0.5)
    assert found["median_error"] == {"local": pytest.approx(0.2), "remote": pytest.approx(0.5)}
    assert found["counted"] == {"local": 3, "remote": 1}


def test_the_history_corrects_decisions(select: Any, files: dict[str, str]) -> None:
    before = chosen(select("--size", "1 GB", "--pin", "local"))["seconds"]
    for _ in range(10):
        ran(files["history_file"], "local", 1.0, 5.0)
    assert chosen(select("--size", "1 GB", "--pin", "local"))["seconds"] > 1.5 * before


def test_a_history_that_is_none_is_said_and_decisions_go_on(select: Any, files: dict[str, str]) -> None:
    Path(files["history_file"]).write_text("this is no database" * 100)
    said = select("--history", code=2)
    assert "cannot be read" in said
    assert "remove it to begin anew" in said
    assert said.count("\n") == 1
    assert chosen(select("--size", "1 MB"))["place"] == "local"


def test_a_history_of_a_newer_release_is_no_traceback(select: Any, files: dict[str, str]) -> None:
    with sqlite3.connect(files["history_file"]) as database:
        database.execute("create table runs (id, at, other)")
    database.close()
    assert "cannot be read" in select("--history", code=2)
