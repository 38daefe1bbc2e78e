"""Predicted against actual: what is kept, what is learnt from it, and what becomes of a file that is none."""

import logging
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithops_shm.config import SelectorSettings
from lithops_shm.selector import Candidate, Decision, HostProfile, JobProfile, Knowledge, Remote, decide
from lithops_shm.selector.history import History, Run, factors, history_file
from lithops_shm.selector.model import GROUPS, Plan, Prediction, Term
from lithops_shm.selector.rates import LocalRates

GB = 10**9
HOST = HostProfile(cpus=4, memory_bytes=16 * GB, segment_bytes=12 * GB)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(str(tmp_path / "state" / "history.sqlite"))


def decision(seconds: dict[str, float], place: str = "local", backend: str = "shm", storage: str = "shm") -> Decision:
    """One that predicts so many seconds for each group of terms."""
    terms = tuple(Term(f"{group} term", each, group, 0.5) for group, each in seconds.items())
    chosen = Candidate(place, backend, storage, Plan(1, 1, 1), Prediction(terms, 0, 0.0))
    return Decision(chosen, (chosen,), JobProfile(GB, inputs="s3://secret/name"), {}, "model")


def ran(history: History, seconds: dict[str, float], actual: float, *where: str) -> str:
    made = decision(seconds, *where)
    history.add(made)
    history.finish(made.id, actual)
    return made.id


def runs_of(true: dict[str, float], count: int, noise: float = 0.0, seed: int = 1) -> list[Run]:
    """Runs of all kinds of jobs that took what these factors make of their predictions, and some noise."""
    dice = random.Random(seed)
    found = []
    for number in range(count):
        terms = {group: dice.lognormvariate(0, 1.5) for group in GROUPS}
        actual = sum(true[group] * each for group, each in terms.items()) * dice.lognormvariate(0, noise)
        found.append(Run(str(number), float(number), "local", "shm", "shm", terms, sum(terms.values()), actual))
    return found


def mean_error(runs: Sequence[Run], learnt: dict[str, float]) -> float:
    errors = [abs(sum(learnt[group] * run.terms[group] for group in GROUPS) / run.actual - 1) for run in runs]
    return sum(errors) / len(errors)


def test_what_ran_is_there_newest_first(history: History) -> None:
    assert history.runs() == []
    assert not os.path.exists(history.path), "looking leaves nothing"
    began = time.time()
    first = ran(history, {"start": 1.0, "data": 3.0}, 5.0)
    second = ran(history, {"compute": 2.0}, 1.0, "remote", "aws_lambda", "aws_s3")
    runs = history.runs()
    assert [run.id for run in runs] == [second, first]
    assert (runs[1].place, runs[1].backend, runs[1].storage) == ("local", "shm", "shm")
    assert runs[1].terms == {"start": 1.0, "compute": 0.0, "data": 3.0}
    assert (runs[1].predicted, runs[1].actual, runs[1].error) == (4.0, 5.0, pytest.approx(-0.2))
    assert runs[0].error == pytest.approx(1.0)
    assert began <= runs[1].at <= runs[0].at <= time.time()
    assert history.runs(1) == runs[:1]
    assert history.runs(place="local") == runs[1:]
    assert history.runs(backend="aws_lambda", storage="other") == []


def test_what_has_not_ended_is_no_run(history: History) -> None:
    history.add(decision({"data": 1.0}))
    history.finish("never added", 1.0)
    assert history.runs() == []


def test_the_file_is_the_users_alone_and_names_no_input(history: History) -> None:
    ran(history, {"data": 1.0}, 1.0)
    assert os.stat(history.path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(history.path)).st_mode & 0o777 == 0o700
    assert b"secret" not in Path(history.path).read_bytes()


def test_other_machines_runs_do_not_count(history: History) -> None:
    ran(history, {"data": 1.0}, 1.0)
    with sqlite3.connect(history.path) as database:
        database.execute("update runs set host = 'other'")
    database.close()
    assert history.runs() == []


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert history_file() == "/state/lithops-shm/history.sqlite"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert history_file() == "/home/me/.local/state/lithops-shm/history.sqlite"
    assert history_file("/named") == "/named"


@pytest.mark.parametrize(
    "true",
    [
        {"start": 1.0, "compute": 1.0, "data": 1.0},
        {"start": 2.0, "compute": 1.0, "data": 0.5},
        {"start": 0.4, "compute": 5.0, "data": 2.5},
        {"start": 6.0, "compute": 0.25, "data": 4.0},
    ],
)
def test_true_factors_are_found(true: dict[str, float]) -> None:
    learnt = factors(runs_of(true, 1_000))
    for group, factor in true.items():
        assert learnt[group] == pytest.approx(factor, rel=0.2), group
    others = runs_of(true, 200, seed=2)
    before = mean_error(others, dict.fromkeys(GROUPS, 1.0))
    for noise in (0.0, 0.2):
        after = mean_error(others, factors(runs_of(true, 50, noise)))
        assert after < 0.12
        assert after < 0.3 * before or not before


@pytest.mark.parametrize("times", [0.12, 0.5, 3.0, 9.0])
def test_jobs_that_are_all_alike_are_predicted_right_all_the_same(times: float) -> None:
    """Their terms cannot be told apart; their sum can."""
    terms = {"start": 1.0, "compute": 2.0, "data": 4.0}
    run = Run("1", 1.0, "local", "shm", "shm", terms, 7.0, 7.0 * times)
    assert mean_error([run], factors([run] * 50)) < 0.2


def test_one_run_changes_little_and_none_nothing() -> None:
    assert factors([]) == {"start": 1.0, "compute": 1.0, "data": 1.0}
    one = Run("1", 1.0, "local", "shm", "shm", {"data": 1.0}, 1.0, 3.0)
    assert 1.2 < factors([one])["data"] < 2.0
    assert factors([one])["compute"] == 1.0
    right = Run("2", 1.0, "local", "shm", "shm", {"data": 1.0}, 1.0, 1.0)
    assert factors([right] * 3)["data"] == 1.0


def test_one_run_that_went_astray_counts_as_one() -> None:
    good = runs_of({"start": 1.0, "compute": 1.0, "data": 1.0}, 20)
    bad = Run("bad", 1.0, "local", "shm", "shm", {"data": 1.0}, 1.0, 1_000.0)
    assert mean_error(good, factors([*good, bad])) < 0.5


seconds = st.floats(0, 1e6)


@given(st.lists(st.tuples(seconds, seconds, seconds, st.floats(1e-6, 1e6)), max_size=12))
def test_factors_are_never_negative_nor_out_of_bounds(rows: list[tuple[float, float, float, float]]) -> None:
    runs = [
        Run("x", 0.0, "local", "shm", "shm", dict(zip(GROUPS, terms, strict=True)), sum(terms), actual)
        for *terms, actual in rows
    ]
    for factor in factors(runs).values():
        assert 0.1 - 1e-9 <= factor <= 10 + 1e-9


def corrected(history: History, place: str, terms: tuple[Term, ...]) -> dict[str, Term]:
    return {term.group: term for term in history.corrections("aws_lambda", "aws_s3")(place, terms)}


def test_terms_are_corrected_by_the_runs_of_their_place(history: History) -> None:
    terms = tuple(Term(group, 1.0, group, 0.5) for group in GROUPS)
    assert corrected(history, "local", terms) == {term.group: term for term in terms}
    for _ in range(12):
        ran(history, {"data": 1.0}, 3.0)
        ran(history, {"data": 1.0}, 0.5, "remote", "aws_lambda", "aws_s3")
        ran(history, {"data": 1.0}, 9.0, "remote", "k8s", "aws_s3")
    here, there = corrected(history, "local", terms), corrected(history, "remote", terms)
    assert here["data"].seconds == pytest.approx(3.0, rel=0.15)
    assert there["data"].seconds == pytest.approx(0.5, rel=0.15)
    assert here["start"].seconds == 1.0
    assert here["data"].correction == here["data"].seconds
    assert here["data"].spread < 0.2, "as far as these runs were off, once corrected"


def test_corrections_do_not_pile_up(history: History) -> None:
    """A run that was predicted with a correction is kept as the formula had it."""
    for _ in range(10):
        correct = history.corrections(None, None)
        (term,) = correct("local", (Term("data", 1.0, "data", 0.5),))
        chosen = Candidate("local", "shm", "shm", Plan(1, 1, 1), Prediction((term,), 0, 0.0))
        made = Decision(chosen, (chosen,), JobProfile(GB), {}, "model")
        history.add(made)
        history.finish(made.id, 2.0)
    runs = history.runs()
    assert [run.terms["data"] for run in runs] == pytest.approx([1.0] * 10)
    assert runs[-1].predicted == 1.0
    assert runs[0].predicted == pytest.approx(2.0, rel=0.15)


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_history import ran
from lithops_shm.selector.history import History
for number in range(25):
    ran(History(sys.argv[1]), {"data": 1.0}, 1.0 + number)
"""


def test_processes_write_at_the_same_time(history: History) -> None:
    command = [sys.executable, "-c", WRITER, history.path, str(Path(__file__).parent)]
    writers = [subprocess.Popen(command) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    runs = history.runs()
    assert len(runs) == 50
    assert sorted({run.actual for run in runs}) == [1.0 + number for number in range(25)]


def spoil(history: History, how: str) -> None:
    """Make the file one that is no history."""
    os.makedirs(os.path.dirname(history.path), exist_ok=True)
    if how == "text":
        Path(history.path).write_text("this is no database" * 100)
    elif how == "cut":
        for _ in range(20):
            ran(history, {"data": 1.0}, 1.0)
        os.truncate(history.path, os.path.getsize(history.path) // 2 + 100)
    elif how == "other tables":
        with sqlite3.connect(history.path) as database:
            database.execute("create table runs (a, b)")
        database.close()
    else:
        os.mkdir(history.path)


@pytest.mark.parametrize("how", ["text", "cut", "other tables", "directory"])
def test_a_file_that_is_no_history_is_a_warning_and_corrects_nothing(
    history: History, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(history, how)
    before = None if how == "directory" else Path(history.path).read_bytes()
    assert history.runs() == []
    assert "cannot be read" in history.trouble
    assert "remove it to begin anew" in history.trouble
    assert "\n" not in history.trouble
    assert caplog.text == ""
    knowledge = Knowledge(HOST, LocalRates(), Remote("aws_lambda", "aws_s3"), SelectorSettings())
    job = JobProfile(GB)
    with caplog.at_level(logging.WARNING):
        correct = history.corrections("aws_lambda", "aws_s3")
    assert caplog.messages == [history.trouble]
    with_history = replace(knowledge, correct=correct)
    assert decide(job, with_history).chosen == decide(job, knowledge).chosen
    if before is not None:
        assert Path(history.path).read_bytes() == before, "it is left as it is"
    with pytest.raises((OSError, sqlite3.Error)):
        history.add(decision({"data": 1.0}))


def test_trouble_is_over_when_the_file_is_gone(history: History) -> None:
    spoil(history, "text")
    history.runs()
    assert history.trouble
    os.unlink(history.path)
    ran(history, {"data": 1.0}, 1.0)
    assert len(history.runs()) == 1
    assert history.trouble == ""


@pytest.mark.parametrize(
    ("column", "value"),
    [("terms", "{"), ("terms", "[1]"), ("terms", '{"data": "x"}'), ("terms", '{"data": -1}'), ("terms", None),
     ("predicted", "much"), ("predicted", None), ("actual", float("inf")), ("at", None)],
)  # fmt: skip
def test_rows_that_nobody_wrote_are_left_out(history: History, column: str, value: Any) -> None:
    good = ran(history, {"data": 1.0}, 1.0)
    bad = ran(history, {"data": 1.0}, 1.0)
    with sqlite3.connect(history.path) as database:
        database.execute(f"update runs set {column} = ? where id = ?", (value, bad))
    database.close()
    assert [run.id for run in history.runs()] == [good]
    assert history.trouble == ""
    history.corrections(None, None)
