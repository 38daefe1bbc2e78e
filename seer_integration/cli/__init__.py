"""The command ``python -m seer_integration``: parse arguments, run job files, print results."""

from __future__ import annotations

from seer_integration.cli.main import main

__all__ = ["main"]
