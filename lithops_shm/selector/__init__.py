"""Chooses between this machine's shared memory and functions elsewhere, and says why. It runs nothing.

:func:`~lithops_shm.selector.decision.decide` is the door: profiles and rates go in, a decision comes out.
"""

from __future__ import annotations

from lithops_shm.selector.candidates import Candidate, Remote
from lithops_shm.selector.decision import Decision, Knowledge, decide
from lithops_shm.selector.profile import HostProfile, JobProfile

__all__ = ["Candidate", "Decision", "HostProfile", "JobProfile", "Knowledge", "Remote", "decide"]
