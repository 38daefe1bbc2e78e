"""Jobs run here and elsewhere, and what it costs to believe the selector."""

from __future__ import annotations
