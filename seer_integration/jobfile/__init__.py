"""Jobs written down in YAML: read, checked with the line of each mistake, and made into a Job."""

from __future__ import annotations

from seer_integration.jobfile.jobfile import JobFile, Stage
from seer_integration.jobfile.read import read

__all__ = ["JobFile", "Stage", "read"]
