"""Measures the rates that predictions are made from: of this machine, and of a storage and functions elsewhere.

What runs jobs does so in programs of its own, as a user's would, so that what is measured is what users get, and
whatever hangs there can be ended. Nothing is left behind in any store.
"""

from __future__ import annotations

from lithops_shm.calibrate.effort import FULL, QUICK, Effort
from lithops_shm.calibrate.elsewhere import measure_remote
from lithops_shm.calibrate.machine import measure_machine
from lithops_shm.calibrate.progress import Progress
from lithops_shm.calibrate.samples import Measured

__all__ = ["FULL", "QUICK", "Effort", "Measured", "Progress", "measure_machine", "measure_remote"]
