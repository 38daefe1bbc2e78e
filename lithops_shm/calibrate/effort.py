"""How much is done to measure: enough for good figures in under two minutes, or as little as shows that it works."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Effort"]


@dataclass(frozen=True, slots=True)
class Effort:
    """Amounts of work.

    Parameters
    ----------
    rounds:
        Samples of each rate; their median counts.
    part_bytes:
        Of input for each CPU, in a rehearsal of a shuffle.
    calls:
        Empty ones, to tell what one takes.
    spill_bytes:
        Written to the spill directory and read again.
    window_s:
        Seconds for which a storage is kept busy, for each point that is measured.
    connections:
        How many at once, in ascending order.
    requests:
        Small ones, one after the other, for the latency.
    functions:
        Elsewhere at once, at most.
    hold_s:
        For how long each of these stays, so that each has a worker of its own.
    """

    rounds: int
    part_bytes: int
    calls: int
    spill_bytes: int
    window_s: float
    connections: tuple[int, ...]
    requests: int
    functions: int
    hold_s: float


FULL = Effort(3, 64 << 20, 400, 64 << 20, 1.5, (1, 2, 4, 8, 16), 20, 16, 0.5)
QUICK = Effort(1, 2 << 20, 20, 4 << 20, 0.1, (1, 4), 4, 2, 0.05)
