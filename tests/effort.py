"""How often tests of chance try: often enough for every run, and many times as often in a thorough one."""

import os

THOROUGH = bool(os.environ.get("SHM_TESTS_THOROUGH"))


def times(usual: int, thorough: int) -> int:
    """So many examples, kills or damages."""
    return thorough if THOROUGH else usual
