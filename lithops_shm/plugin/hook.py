"""The import hook: Lithops finds its `shm` backends by name, wherever it was imported from.

Lithops loads ``lithops.storage.backends.<name>`` by import path, in the client and in every worker, and some
workers import a copy of Lithops from its temporary directory. ``lithops_shm.pth`` is read at interpreter start and
installs this finder when a module of Lithops is first asked for, so that the name leads to our package in all of them.
Nothing is imported here but `sys` until then, and what the line in the .pth file has to run is compiled only then.
"""

import sys

TYPE_CHECKING = False  # type checkers take it for True
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["BackendFinder", "RegisteringLoader", "install", "is_installed"]

# The name Lithops imports -> the package of ours that is loaded under it, as a path below this one.
BACKENDS = {
    "lithops.storage.backends.shm": "storage",
    "lithops.serverless.backends.shm": "compute",
    "lithops.monitoring.backends.shm": "monitoring",
    "lithops.monitoring.backends.shm_polling": "polling",
}
# Lithops knows its compute backends from a table in this module; ours has to be in it.
CONSTANTS = "lithops.constants"


class BackendFinder:
    """A meta-path finder that answers for the names in `BACKENDS`, and for `CONSTANTS`, and for no other."""

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The spec of one of our packages under Lithops' name for it, or ``None`` at once for any other name."""
        if name not in BACKENDS and name != CONSTANTS:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if name == CONSTANTS:
            if spec is not None and spec.loader is not None:
                spec.loader = RegisteringLoader(spec.loader)  # type: ignore[assignment]  # a loader by its methods
        elif spec is None:  # should Lithops get a backend of that name some day, it is not hidden
            from importlib.util import spec_from_file_location
            from os.path import dirname, join

            package = join(dirname(__file__), BACKENDS[name])
            spec = spec_from_file_location(name, join(package, "__init__.py"), submodule_search_locations=[package])
        return spec


class RegisteringLoader:
    """Loads Lithops' constants as `loader` does, adds our name to its table of compute backends, and guards forks."""

    def __init__(self, loader: "Any") -> None:
        self._loader = loader

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: "ModuleType") -> None:
        self._loader.exec_module(module)
        register(module)
        # Lithops forks its workers with the connections of their storage open, and then both sides use them.
        from lithops_shm.forks import protect_forks

        protect_forks()

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)  # for those who ask a loader for sources and files


def register(constants: "Any") -> None:
    """Add our name to Lithops' table of compute backends; twice is once."""
    if "shm" not in constants.SERVERLESS_BACKENDS:
        constants.SERVERLESS_BACKENDS += ("shm",)


def install() -> None:
    """Put the finder in place; doing it twice is doing it once.

    The place is directly before the finder that searches `sys.path`: an import that is under way, at which
    ``lithops_shm.pth`` calls this, has not come to it.
    """
    if not is_installed():
        from importlib.machinery import PathFinder

        before_paths = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(before_paths, BackendFinder)
        for finder in sys.meta_path:
            if getattr(finder, "__name__", "") == "LithopsShmFinder":  # of the .pth file: it has done what it is for
                finder.find_spec = _nothing  # type: ignore[method-assign]
        if CONSTANTS in sys.modules:
            register(sys.modules[CONSTANTS])


def _nothing(name: str, *where: "Any") -> None:
    """What a finder gives that knows no module."""


def is_installed() -> bool:
    """Whether this interpreter has the finder."""
    return BackendFinder in sys.meta_path
