"""What was predicted and what happened, in a SQLite file; and what that says of the next prediction."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lithops_shm.selector.calibration import host_id
from lithops_shm.selector.candidates import Correct
from lithops_shm.selector.decision import Decision
from lithops_shm.selector.model import GROUPS, Term

__all__ = ["History", "Run", "history_file"]

_SCHEMA = """
create table if not exists runs (
    id text primary key, at real, host text, place text, backend text, storage text,
    policy text, job text, terms text, predicted real, spread real, actual real
)"""
_LATEST = 50  # runs of a place that corrections are made from
_KEPT = 10_000  # rows of the table
_TRUST_IN_RATES = 1.0  # counts as much as so many runs that were predicted right
_LEAST_FACTOR, _MOST_FACTOR = 0.1, 10.0
_ENOUGH_FOR_SPREAD = 5  # runs from which the spread of predictions is taken
_LEAST_SPREAD = 0.05
_WAIT_S = 5.0  # for another process that is writing


@dataclass(frozen=True, slots=True)
class Run:
    """One job that ran: seconds predicted and seconds it took."""

    id: str
    at: float
    place: str
    backend: str
    storage: str
    terms: dict[str, float]
    predicted: float
    actual: float

    @property
    def error(self) -> float:
        """How far the prediction was from what happened, as a fraction of that; negative when too low."""
        return self.predicted / self.actual - 1


class History:
    """The file; opened for each use, so that processes share it.

    Parameters
    ----------
    path:
        ``None`` for the default, see :func:`history_file`.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = history_file(path)

    def add(self, decision: Decision) -> None:
        """A job is about to run as decided. Names of inputs are not kept, of no job."""
        chosen = decision.chosen
        job = {key: value for key, value in decision.job.to_mapping().items() if key != "inputs"}
        terms = dict.fromkeys(GROUPS, 0.0)
        for term in chosen.prediction.terms:
            terms[term.group] += term.seconds / term.correction
        row = (decision.id, time.time(), host_id(), chosen.place, chosen.backend, chosen.storage, decision.policy)
        prediction = (chosen.prediction.seconds, chosen.prediction.spread)
        with self._open() as database:
            database.execute(
                "insert or replace into runs values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, null)",
                (*row, json.dumps(job), json.dumps(terms), *prediction),
            )
            database.execute(
                "delete from runs where id not in (select id from runs order by at desc limit ?)", (_KEPT,)
            )

    def finish(self, decision_id: str, seconds: float) -> None:
        """A job has run, and took so long."""
        with self._open() as database:
            database.execute("update runs set actual = ? where id = ?", (seconds, decision_id))

    def runs(self, limit: int = 100) -> list[Run]:
        """The latest of this machine that have ended, newest first."""
        if not os.path.exists(self._path):
            return []
        query = """select id, at, place, backend, storage, terms, predicted, actual from runs
                   where host = ? and actual > 0 order by at desc limit ?"""
        with self._open() as database:
            rows = database.execute(query, (host_id(), limit)).fetchall()
        return [Run(**{**row, "terms": json.loads(row["terms"])}) for row in rows]

    def corrections(self, backend: str | None, storage: str | None) -> Correct:
        """What multiplies the terms of each place, learnt from its latest runs; remote ones on these backends."""
        runs = self.runs(20 * _LATEST)
        of_place = {
            "local": [run for run in runs if run.place == "local"][:_LATEST],
            "remote": [run for run in runs if (run.place, run.backend, run.storage) == ("remote", backend, storage)][
                :_LATEST
            ],
        }
        learnt = {place: (factors(of_it), _spread(of_it)) for place, of_it in of_place.items() if of_it}

        def correct(place: str, terms: tuple[Term, ...]) -> tuple[Term, ...]:
            if place not in learnt:
                return terms
            multipliers, spread = learnt[place]
            return tuple(_corrected(term, multipliers[term.group], spread) for term in terms)

        return correct

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        if not os.path.exists(self._path):
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
        with contextlib.closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as database, database:
            database.row_factory = sqlite3.Row
            database.execute(_SCHEMA)
            yield database


def history_file(path: str | None = None) -> str:
    """Where the file is: `path`, or in the user's directory for state (XDG base directories)."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return path or os.path.join(home, "lithops-shm", "history.sqlite")


def _corrected(term: Term, factor: float, spread: float | None) -> Term:
    return replace(term, seconds=term.seconds * factor, spread=spread or term.spread, correction=factor)


def factors(runs: Sequence[Run]) -> dict[str, float]:
    """What each group of terms is multiplied by, so that the runs would have been predicted best.

    Ridge regression (Hoerl and Kennard, 1970) of the relative errors, drawn towards 1: with few runs, or with runs
    that do not tell groups apart, the rates are believed.
    """
    size = len(GROUPS)
    left = [[_TRUST_IN_RATES * (row == column) for column in range(size)] for row in range(size)]
    right = [_TRUST_IN_RATES] * size
    for run in runs:
        shares = [run.terms.get(group, 0.0) / run.actual for group in GROUPS]
        for row in range(size):
            right[row] += shares[row]
            for column in range(size):
                left[row][column] += shares[row] * shares[column]
    found = _solved(left, right)
    return {group: min(_MOST_FACTOR, max(_LEAST_FACTOR, value)) for group, value in zip(GROUPS, found, strict=True)}


def _solved(left: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination; the matrix is symmetric and positive definite, so no rows need to change places."""
    size = len(right)
    for pivot in range(size):
        for row in range(pivot + 1, size):
            factor = left[row][pivot] / left[pivot][pivot]
            left[row] = [a - factor * b for a, b in zip(left[row], left[pivot], strict=True)]
            right[row] -= factor * right[pivot]
    found = [0.0] * size
    for row in reversed(range(size)):
        known = sum(left[row][column] * found[column] for column in range(row + 1, size))
        found[row] = (right[row] - known) / left[row][row]
    return found


def _spread(runs: Sequence[Run]) -> float | None:
    """Of predictions that are corrected by these runs; ``None`` for too few."""
    if len(runs) < _ENOUGH_FOR_SPREAD:
        return None
    learnt = factors(runs)
    errors = [sum(learnt[group] * run.terms.get(group, 0.0) for group in GROUPS) / run.actual - 1 for run in runs]
    return max(_LEAST_SPREAD, math.sqrt(sum(error**2 for error in errors) / len(errors)))
