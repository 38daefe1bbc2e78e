"""What operations do with rows: pure functions of Arrow tables, and of their schemas."""

from __future__ import annotations

from seer_integration.kernels.aggregation import finished, merged, partial
from seer_integration.kernels.binding import bound
from seer_integration.kernels.joining import join
from seer_integration.kernels.ordering import distinct, sample, top
from seer_integration.kernels.rows import aligned, filtered, selected
from seer_integration.kernels.schemas import schema_after

__all__ = [
    "aligned",
    "bound",
    "distinct",
    "filtered",
    "finished",
    "join",
    "merged",
    "partial",
    "sample",
    "schema_after",
    "selected",
    "top",
]
