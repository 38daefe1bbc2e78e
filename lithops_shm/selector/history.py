"""What was predicted and what happened, in a SQLite file; and what that says of the next prediction."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import operator
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lithops_shm.selector.calibration import host_id
from lithops_shm.selector.candidates import Correct
from lithops_shm.selector.decision import Decision
from lithops_shm.selector.model import GROUPS, Term

__all__ = ["History", "Run", "factors", "history_file"]

logger = logging.getLogger(__name__)

_SCHEMA = (
    """create table if not exists runs (
    id text primary key, at real, host text, place text, backend text, storage text,
    policy text, job text, terms text, predicted real, spread real, actual real
)""",
    "create index if not exists runs_at on runs (at)",
)
_LATEST = 50  # runs of a place that corrections are made from
_KEPT = 10_000  # rows of the table
_TRUST = 1.0  # in the rates: counts as much as so many runs that were predicted right
_MOST_LOG = math.log(10.0)  # of a factor, and of one over a factor
_STEPS, _SETTLED = 12, 1e-3  # of the search for factors, at most; and the change after which it ends
_LONGEST_STEP = 0.7  # in logarithms: further away the straight line it follows says nothing
_SWEEPS = 12  # over the factors, for a step
_ENOUGH_FOR_SPREAD = 5  # runs from which the spread of predictions is taken
_LEAST_SPREAD = 0.05
_WAIT_S = 5.0  # for another process that is writing


_Learnt = dict[str, tuple[dict[str, float], float | None]]
_State = tuple[str | int | None, ...]
# What the file says, for as long as it does not change: learning takes longer than deciding.
_learnt: dict[_State, _Learnt] = {}


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

    A file that cannot be read, because it is damaged or somebody else's, is no reason not to decide: it counts as
    empty, and `trouble` says why; where that means that nothing is corrected, it is logged. The file is left as it is.

    Parameters
    ----------
    path:
        ``None`` for the default, see :func:`history_file`.

    Attributes
    ----------
    trouble:
        Why it could not be read the last time, in a sentence; empty when it could.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = history_file(path)
        self.trouble = ""

    def add(self, decision: Decision) -> None:
        """A job is about to run as decided. Names of inputs are not kept, of no job.

        Raises
        ------
        OSError, sqlite3.Error
            When it cannot be written.
        """
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
        """A job has run, and took so long; raises as :meth:`add`."""
        with self._open() as database:
            database.execute("update runs set actual = ? where id = ?", (seconds, decision_id))

    def runs(self, limit: int = 100, **where: str | None) -> list[Run]:
        """The latest of this machine that have ended, newest first.

        Parameters
        ----------
        limit:
            How many at most.
        where:
            Only those with these values of `place`, `backend` or `storage`.
        """
        self.trouble = ""
        conditions = "".join(f" and {name} is ?" for name in where)
        query = f"""select id, at, place, backend, storage, terms, predicted, actual from runs
                    where host = ? and actual > 0{conditions} order by at desc limit ?"""
        try:
            if not os.path.exists(self.path):
                return []
            with self._open() as database:
                rows = database.execute(query, (host_id(), *where.values(), limit)).fetchall()
        except (OSError, sqlite3.Error) as error:
            self.trouble = (
                f"{self.path} cannot be read ({error}): earlier predictions are not known, and correct nothing; "
                "remove it to begin anew, or name another with `selector: {history_file: ...}`"
            )
            return []
        return [run for run in map(_run, rows) if run is not None]

    def corrections(self, backend: str | None, storage: str | None) -> Correct:
        """What multiplies the terms of each place, learnt from its latest runs; remote ones on these backends."""
        state = self._state(backend, storage)
        learnt = _learnt.get(state)
        if learnt is None:
            learnt = self._learn(backend, storage)
            if not self.trouble:
                _learnt.clear()
                _learnt[state] = learnt

        def correct(place: str, terms: tuple[Term, ...]) -> tuple[Term, ...]:
            if place not in learnt:
                return terms
            multipliers, spread = learnt[place]
            return tuple(_corrected(term, multipliers[term.group], spread) for term in terms)

        return correct

    def _learn(self, backend: str | None, storage: str | None) -> _Learnt:
        of_place = {"local": self.runs(_LATEST, place="local")}
        if self.trouble:
            logger.warning("%s", self.trouble)
        elif backend is not None:
            of_place["remote"] = self.runs(_LATEST, place="remote", backend=backend, storage=storage)
        learnt = {}
        for place, runs in of_place.items():
            if runs:
                found = factors(runs)
                learnt[place] = found, _spread(runs, found)
        return learnt

    def _state(self, *of: str | None) -> _State:
        """Changes when the file does."""
        try:
            found = os.stat(self.path)
        except OSError:
            return (self.path, *of)
        return (self.path, found.st_ino, found.st_size, found.st_mtime_ns, *of)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        if not os.path.exists(self.path):
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
        with contextlib.closing(sqlite3.connect(self.path, timeout=_WAIT_S)) as database, database:
            database.row_factory = sqlite3.Row
            for statement in _SCHEMA:
                database.execute(statement)
            yield database


def history_file(path: str | None = None) -> str:
    """Where the file is: `path`, or in the user's directory for state (XDG base directories)."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.abspath(path or os.path.join(home, "lithops-shm", "history.sqlite"))


def factors(runs: Sequence[Run]) -> dict[str, float]:
    """What each group of terms is multiplied by, so that the runs would have been predicted best.

    Least squares of the logarithms of predicted over actual, in the logarithms of the factors, drawn towards 1 as ridge
    regression is (Hoerl and Kennard, 1970): with few runs, or with runs that do not tell groups apart, the rates are
    believed. In logarithms twice as long and half as long count the same, one run that went astray counts little, and
    no factor is negative. Solved by Gauss and Newton's steps, within bounds.
    """
    known = [(terms, run.actual) for run in runs if sum(terms := [run.terms.get(group, 0.0) for group in GROUPS]) > 0]
    if not known:
        return dict.fromkeys(GROUPS, 1.0)
    columns = list(zip(*(terms for terms, _ in known), strict=True))
    actual = [seconds for _, seconds in known]
    # From what is best when all groups have one factor, it is not far.
    level = sum(math.log(seconds / sum(terms)) for terms, seconds in known) / (len(known) + len(GROUPS))
    logs = [min(_MOST_LOG, max(-_MOST_LOG, level))] * len(GROUPS)
    for _ in range(_STEPS):
        parts = [[math.exp(log) * seconds for seconds in column] for log, column in zip(logs, columns, strict=True)]
        totals = [sum(each) for each in zip(*parts, strict=True)]
        shares = [[part / total for part, total in zip(column, totals, strict=True)] for column in parts]
        missing = [math.log(seconds / total) for seconds, total in zip(actual, totals, strict=True)]
        left = [[sum(map(operator.mul, one, other)) for other in shares] for one in shares]
        right = [
            sum(map(operator.mul, column, missing)) - _TRUST * log for column, log in zip(shares, logs, strict=True)
        ]
        for group in range(len(GROUPS)):
            left[group][group] += _TRUST
        before, logs = logs, _stepped(logs, left, right)
        if max(abs(new - old) for new, old in zip(logs, before, strict=True)) < _SETTLED:
            break
    return {group: math.exp(log) for group, log in zip(GROUPS, logs, strict=True)}


def _stepped(logs: Sequence[float], left: list[list[float]], right: list[float]) -> list[float]:
    """The logarithms after the step that solves ``left step = right`` as well as the bounds allow.

    One unknown after the other, again and again (Gauss and Seidel): the matrix is symmetric and positive definite.
    """
    steps = [0.0] * len(logs)
    for _ in range(_SWEEPS):
        for row, log in enumerate(logs):
            others = sum(map(operator.mul, left[row], steps)) - left[row][row] * steps[row]
            step = max(-_LONGEST_STEP, min(_LONGEST_STEP, (right[row] - others) / left[row][row]))
            steps[row] = max(-_MOST_LOG - log, min(_MOST_LOG - log, step))
    return [log + step for log, step in zip(logs, steps, strict=True)]


def _corrected(term: Term, factor: float, spread: float | None) -> Term:
    return replace(term, seconds=term.seconds * factor, spread=spread or term.spread, correction=factor)


def _spread(runs: Sequence[Run], learnt: Mapping[str, float]) -> float | None:
    """Of predictions that are corrected by these factors; ``None`` for too few runs."""
    if len(runs) < _ENOUGH_FOR_SPREAD:
        return None
    errors = [sum(learnt[group] * run.terms.get(group, 0.0) for group in GROUPS) / run.actual - 1 for run in runs]
    return max(_LEAST_SPREAD, math.sqrt(sum(error**2 for error in errors) / len(errors)))


def _run(row: Mapping[str, Any]) -> Run | None:
    """A row; ``None`` for one that cannot be what :meth:`History.add` wrote."""
    try:
        terms = {str(group): float(seconds) for group, seconds in json.loads(row["terms"]).items()}
        run = Run(**{**dict(row), "terms": terms})
        numbers = [run.at, run.predicted, run.actual, *terms.values()]
        return run if all(math.isfinite(each) and each >= 0 for each in numbers) else None
    except (ValueError, TypeError, AttributeError):
        return None
