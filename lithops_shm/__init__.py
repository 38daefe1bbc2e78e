"""Lithops on one big machine: co-located functions share immutable Arrow segments in memory."""

TYPE_CHECKING = False  # type checkers take it for True; importing `typing` would cost every interpreter 5 ms
if TYPE_CHECKING:
    from typing import Any

    from lithops_shm import errors as errors
    from lithops_shm.executor import FunctionExecutor as FunctionExecutor
    from lithops_shm.placement import select as select
    from lithops_shm.refs import Ref as Ref
    from lithops_shm.refs import delete as delete
    from lithops_shm.refs import get as get
    from lithops_shm.refs import put as put
    from lithops_shm.refs import report as report
    from lithops_shm.selector import Decision as Decision
    from lithops_shm.selector import JobProfile as JobProfile
    from lithops_shm.shuffle.spec import Shuffle as Shuffle

__version__ = "0.1.0"

# Public name -> the module that defines it (None: the name is itself a module). Nothing is imported
# before it is used: every interpreter on the machine passes through here at start-up.
_EXPORTS: "dict[str, str | None]" = {
    "Decision": "lithops_shm.selector",
    "FunctionExecutor": "lithops_shm.executor",
    "JobProfile": "lithops_shm.selector",
    "Ref": "lithops_shm.refs",
    "Shuffle": "lithops_shm.shuffle.spec",
    "delete": "lithops_shm.refs",
    "errors": None,
    "get": "lithops_shm.refs",
    "put": "lithops_shm.refs",
    "report": "lithops_shm.refs",
    "select": "lithops_shm.placement",
}

__all__ = [
    "Decision",
    "FunctionExecutor",
    "JobProfile",
    "Ref",
    "Shuffle",
    "delete",
    "errors",
    "get",
    "put",
    "report",
    "select",
]


def __getattr__(name: str) -> "Any":
    if name not in _EXPORTS:
        raise AttributeError(f"module 'lithops_shm' has no attribute {name!r}")
    from importlib import import_module

    home = _EXPORTS[name]
    value = import_module(f"lithops_shm.{name}") if home is None else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return sorted({*globals(), *_EXPORTS})
