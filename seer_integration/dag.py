"""The stages of a job and which of them follow which: checked, and put in an order in which they can be planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter

from seer_integration.errors import PlanError
from seer_integration.operations import Collect, Exchange, Join, Operation, Union, Write

__all__ = ["Graph", "StageName", "StageSpec"]

StageName = int | str


@dataclass(frozen=True)
class StageSpec:
    """One stage.

    Parameters
    ----------
    name:
        A number, as in Seer, or a text.
    operations:
        In the order in which they are applied.
    parents:
        The stages whose rows it takes, in the order of their declaration.
    """

    name: StageName
    operations: tuple[Operation, ...]
    parents: tuple[StageName, ...]


class Graph:
    """Stages in an order in which each follows its parents.

    Parameters
    ----------
    operations:
        Of each stage.
    dependencies:
        (parent, child), in the order in which they were declared.

    Raises
    ------
    PlanError
        When stages or operations do not go together; it names them.
    """

    def __init__(
        self,
        operations: Mapping[StageName, Sequence[Operation]],
        dependencies: Sequence[tuple[StageName, StageName]],
    ) -> None:
        if not operations:
            raise PlanError("the job", "it has no stages; add operations to some")
        for pair in dependencies:
            for name in pair:
                if name not in operations:
                    raise PlanError(
                        "the job", f"the dependency {pair[0]!r} -> {pair[1]!r} {_unknown(name, operations)}"
                    )
        parents: dict[StageName, list[StageName]] = {name: [] for name in operations}
        for parent, child in dependencies:
            parents[child].append(parent)
        self.stages = {
            name: StageSpec(name, tuple(operations[name]), tuple(parents[name])) for name in _ordered(parents)
        }
        self.children: dict[StageName, list[StageName]] = {name: [] for name in self.stages}
        for parent, child in dict.fromkeys(dependencies):
            self.children[parent].append(child)
        for stage in self.stages.values():
            _check(stage)
        self._check_ends()

    def _check_ends(self) -> None:
        ends = [stage for stage in self.stages.values() if not self.children[stage.name]]
        for stage in ends:
            last = stage.operations[-1]
            if isinstance(last, Exchange):
                raise PlanError(f"stage {stage.name}", "it ends in Exchange, and no stage takes its rows")
            if len(ends) > 1 and not any(isinstance(each, (Write, Collect)) for each in stage.operations):
                raise PlanError(
                    f"stage {stage.name}",
                    "it is used by no other stage and its rows are neither written nor collected; add Write or Collect",
                )


def _unknown(name: StageName, known: Mapping[StageName, object]) -> str:
    near = get_close_matches(str(name), [str(each) for each in known], 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(repr, known))}"
    return f"names stage {name!r}, which has no operations; {hint}"


def _ordered(parents: Mapping[StageName, Sequence[StageName]]) -> list[StageName]:
    sorter: TopologicalSorter[StageName] = TopologicalSorter({name: list(each) for name, each in parents.items()})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise PlanError(
            "the job", f"stages follow each other in a circle: {' -> '.join(map(str, error.args[1]))}"
        ) from None


def _check(stage: StageSpec) -> None:
    where = f"stage {stage.name}"
    if not stage.operations:
        raise PlanError(where, "it has no operations; add some, or do not declare it")
    first = stage.operations[0]
    if not stage.parents and not first.is_source:
        raise PlanError(where, f"it has no parents, so it has to begin with Scan, not with {first.name}")
    if stage.parents and first.is_source:
        raise PlanError(where, "it begins with Scan, and so can have no parents; use a Join or a Union of two stages")
    if len(stage.parents) > 1 and not isinstance(first, (Join, Union)):
        raise PlanError(where, f"it has {len(stage.parents)} parents, so it has to begin with Join or Union")
    if isinstance(first, Join) and len(stage.parents) != 2:
        raise PlanError(where, f"a Join is of two parents, and it has {len(stage.parents)}; declare both dependencies")
    for number, operation in enumerate(stage.operations):
        is_last = number == len(stage.operations) - 1
        if number and (operation.is_source or isinstance(operation, (Join, Union))):
            raise PlanError(where, f"{operation.name} begins a stage; put it in a stage of its own")
        if isinstance(operation, Exchange) and not is_last:
            raise PlanError(
                where, f"Exchange ends a stage; put what follows, {stage.operations[number + 1].name}, in the next"
            )
        if isinstance(operation, Write) and not all(
            isinstance(each, (Write, Collect, Exchange)) for each in stage.operations[number:]
        ):
            raise PlanError(where, "after Write no operation changes rows any more; put the others before it")
