"""The import hook: Lithops finds its `shm` backends by name, wherever it was imported from.

Lithops loads ``lithops.storage.backends.<name>`` by import path, in the client and in every worker, and some
workers import a copy of Lithops from its temporary directory. ``lithops_shm.pth`` installs this finder at
interpreter start, so that the name leads to our package in all of them. Every interpreter on the machine passes
through here: nothing is imported but `sys` until one of the names is asked for.
"""

import sys

TYPE_CHECKING = False  # type checkers take it for True
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["BackendFinder", "install", "is_installed"]

# The name Lithops imports -> the package of ours that is loaded under it, as a path below this one.
BACKENDS = {
    "lithops.storage.backends.shm": "storage",
    "lithops.monitoring.backends.shm": "monitoring",
}


class BackendFinder:
    """A meta-path finder that answers for the names in `BACKENDS` and for no other."""

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The spec of one of our packages under Lithops' name for it, or ``None`` at once for any other name."""
        if name not in BACKENDS:
            return None
        from importlib.util import spec_from_file_location
        from os.path import dirname, join

        package = join(dirname(__file__), BACKENDS[name])
        return spec_from_file_location(name, join(package, "__init__.py"), submodule_search_locations=[package])


def install() -> None:
    """Put the finder in place; doing it twice is doing it once."""
    if not is_installed():
        sys.meta_path.append(BackendFinder)


def is_installed() -> bool:
    """Whether this interpreter has the finder."""
    return BackendFinder in sys.meta_path
