"""What was measured several times: medians, and how far the samples lie apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from lithops_shm.selector.rates import MEASURED_SPREAD, LocalRates, RemoteRates

__all__ = ["Measured", "Samples"]

_ENOUGH = 3  # samples that a spread can be told from
_LEAST = 1e-9  # a rate divides, or is divided by

Rates = TypeVar("Rates", LocalRates, RemoteRates)


@dataclass(frozen=True, slots=True)
class Measured(Generic[Rates]):
    """Rates, and the names of those among them that were measured; the others are defaults."""

    rates: Rates
    names: frozenset[str]

    @classmethod
    def of(cls, base: Rates, found: Mapping[str, float | None], spread: float | None = None) -> Measured[Rates]:
        """`base` with what was found in place of its defaults, and with a spread, if one is known."""
        values: dict[str, Any] = dict(found) if spread is None else {**found, "spread": spread}
        return cls(replace(base, **values), frozenset(values))


class Samples:
    """Values by the name of what they are of."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """One sample of each; those that are not positive are the noise of a difference, and count as nearly nothing.

        Raises
        ------
        ValueError
            For what is no finite number.
        """
        for name, value in values.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} was measured as {value}")
            self._values.setdefault(name, []).append(max(value, _LEAST))

    def medians(self) -> dict[str, float]:
        """Of all that was sampled."""
        return {name: statistics.median(values) for name, values in self._values.items()}

    @property
    def spread(self) -> float:
        """What predictions from the medians spread by, as a fraction: of a typical rate, and no less than times drift.

        The root of the mean square of the standard deviations over the means, of the rates with enough samples.
        """
        shares = [
            statistics.stdev(values) / statistics.fmean(values)
            for values in self._values.values()
            if len(values) >= _ENOUGH
        ]
        found = math.sqrt(statistics.fmean(share**2 for share in shares)) if shares else 0.0
        return max(MEASURED_SPREAD, found)
