"""Where Lithops jobs run: sizes of inputs from their storage, what the configuration says, and a decision."""

from __future__ import annotations

from lithops_shm.placement.choose import select

__all__ = ["select"]
