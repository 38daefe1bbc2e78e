"""The command ``lithops-shm``: parse arguments, print results."""

from __future__ import annotations

from lithops_shm.cli.main import main

__all__ = ["main"]
