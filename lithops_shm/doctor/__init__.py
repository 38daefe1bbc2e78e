"""What this machine and this installation mean for shared memory, and what to change.

The rooms ``memory``, ``safety`` and ``software`` judge facts handed to them; ``examine`` collects the facts.
"""

from __future__ import annotations

from lithops_shm.doctor.examine import examine
from lithops_shm.doctor.finding import Finding, Severity

__all__ = ["Finding", "Severity", "examine"]
