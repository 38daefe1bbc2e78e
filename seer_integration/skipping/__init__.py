"""Reading less: what an index of a dataset, or Parquet's footers, prove not to match is not read."""

from __future__ import annotations

from seer_integration.skipping.build import Built, build, described
from seer_integration.skipping.prune import Pruned, prune

__all__ = ["Built", "Pruned", "build", "described", "prune"]
