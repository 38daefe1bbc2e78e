"""What became of a decision: the time its job took, for the history."""

from __future__ import annotations

import logging
import sqlite3
import time

from lithops_shm.selector import Decision
from lithops_shm.selector.history import History

__all__ = ["Outcome"]

logger = logging.getLogger("lithops.lithops_shm")


class Outcome:
    """Of one decision, from the submission of its first job to the first time results are had.

    Parameters
    ----------
    decision:
        What was decided; it is logged.
    history:
        Where predicted and actual times are kept; ``None`` to keep none.
    """

    def __init__(self, decision: Decision, history: History | None) -> None:
        self._decision = decision
        self._history = history
        self._began: float | None = None
        prediction = decision.chosen.prediction
        logger.info(
            "decision %s: %s with %s, %.1f s predicted (policy %s); its reasons: FunctionExecutor.decision.explain()",
            decision.id,
            decision.chosen.backend,
            decision.chosen.storage,
            prediction.seconds,
            decision.policy,
        )

    def begins(self) -> None:
        """A job is being submitted."""
        if self._began is not None or self._history is None:
            return
        self._began = time.monotonic()
        try:
            self._history.add(self._decision)
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def ends(self) -> None:
        """Results of it are here."""
        if self._began is None or self._history is None:
            return
        try:
            self._history.finish(self._decision.id, time.monotonic() - self._began)
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)
        self._history = None  # what is run after that is another job

    def _give_up(self, error: Exception) -> None:
        logger.warning("no history of predictions is kept: %s", error)
        self._history = None
