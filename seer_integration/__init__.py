"""Seer's jobs on shared memory: stages of operations, planned as a graph, run here or in the cloud."""

TYPE_CHECKING = False  # as in lithops_shm: nothing is imported before it is used
if TYPE_CHECKING:
    from typing import Any

    from seer_integration import errors as errors
    from seer_integration.job import Job as Job
    from seer_integration.operations import Aggregate as Aggregate
    from seer_integration.operations import Collect as Collect
    from seer_integration.operations import Custom as Custom
    from seer_integration.operations import Distinct as Distinct
    from seer_integration.operations import Exchange as Exchange
    from seer_integration.operations import Filter as Filter
    from seer_integration.operations import Groupby as Groupby
    from seer_integration.operations import Join as Join
    from seer_integration.operations import Limit as Limit
    from seer_integration.operations import Reduce as Reduce
    from seer_integration.operations import Sample as Sample
    from seer_integration.operations import Scan as Scan
    from seer_integration.operations import Select as Select
    from seer_integration.operations import Sort as Sort
    from seer_integration.operations import Transform as Transform
    from seer_integration.operations import Union as Union
    from seer_integration.operations import Write as Write
    from seer_integration.pipeline import Pipeline as Pipeline
    from seer_integration.pipeline import merge as merge

# Public name -> the module that defines it (None: the name is itself a module).
_EXPORTS: "dict[str, str | None]" = {
    "Job": "seer_integration.job",
    "Pipeline": "seer_integration.pipeline",
    "merge": "seer_integration.pipeline",
    "errors": None,
}

__all__ = [
    "Aggregate",
    "Collect",
    "Custom",
    "Distinct",
    "Exchange",
    "Filter",
    "Groupby",
    "Job",
    "Join",
    "Limit",
    "Pipeline",
    "Reduce",
    "Sample",
    "Scan",
    "Select",
    "Sort",
    "Transform",
    "Union",
    "Write",
    "errors",
    "merge",
]


def __getattr__(name: str) -> "Any":
    if name not in __all__:
        raise AttributeError(f"module 'seer_integration' has no attribute {name!r}")
    from importlib import import_module

    home = _EXPORTS.get(name, "seer_integration.operations")
    value = import_module(f"seer_integration.{name}") if home is None else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return sorted({*globals(), *__all__})
