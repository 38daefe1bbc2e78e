"""Plans: what is fused, what is read, where rows meet, and what is refused before anything runs."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seer_integration.dag import Graph
from seer_integration.datasets.places import Places
from seer_integration.datasets.sources import survey
from seer_integration.errors import PlanError
from seer_integration.job import Job
from seer_integration.operations import (
    Aggregate,
    Collect,
    Distinct,
    Exchange,
    Filter,
    Groupby,
    Join,
    Limit,
    Operation,
    Scan,
    Select,
    Sort,
    Transform,
    Union,
    Write,
)
from seer_integration.planner.alike import HashedAlike
from seer_integration.planner.assemble import assembled
from seer_integration.planner.explain import explained
from seer_integration.planner.plan import (
    BroadcastJoin,
    ExchangeInput,
    FinalAggregate,
    KeptInput,
    PartialAggregate,
    Plan,
    ShuffledJoin,
    StagePlan,
)
from seer_integration.runner.flows import require_writable

Stages = dict[int | str, list[Operation]]


def _none(name: str) -> Any:
    raise AssertionError(f"no storage is needed, and {name} was asked for")


@pytest.fixture
def places() -> Iterator[Places]:
    found = Places(_none)
    yield found
    found.close()


@pytest.fixture
def planned(tmp_path: Path, places: Places) -> Callable[..., Plan]:
    """A plan over the files ``left`` (k, a, b: 100 rows) and ``right`` (k, b, c: 10), by their names."""
    for name, rows, columns in (("left", 100, "kab"), ("right", 10, "kbc")):
        table = pa.table({column: pa.array(range(rows), pa.int64()) for column in columns})
        pq.write_table(table.append_column("text", pa.array(["x"] * rows)), tmp_path / f"{name}.parquet")

    def planned(stages: Stages, dependencies: Sequence[tuple[int | str, int | str]] = ()) -> Plan:
        stages = {
            name: [
                Scan(str(tmp_path / f"{each.file}.parquet")) if isinstance(each, Scan) else each for each in operations
            ]
            for name, operations in stages.items()
        }
        graph = Graph(stages, dependencies)
        sources = {
            name: survey(scan, places, "shm")
            for name, spec in graph.stages.items()
            if isinstance(scan := spec.operations[0], Scan)
        }
        plan = assembled(graph, sources, places, slots=2)
        assert explained(plan, {}).count("[") >= len(plan.stages)
        return plan

    return planned


LEFT, RIGHT = Scan("left"), Scan("right")
BOTH: Stages = {"l": [LEFT], "r": [RIGHT]}
INTO_J: list[tuple[int | str, int | str]] = [("l", "j"), ("r", "j")]


def steps(stage: StagePlan) -> list[str]:
    return [step.operation.name for step in stage.steps]


def test_operations_in_place_are_one_pass(planned: Callable[..., Plan]) -> None:
    plan = planned(
        {0: [LEFT, Filter("a > 1")], 1: [Select({"d": "a + b"}), Transform(len)], 2: [Collect()]}, [(0, 1), (1, 2)]
    )
    assert [steps(stage) for stage in plan.stages] == [["Select", "Transform"]]
    assert plan.stages[0].names == ("0", "1", "2")


def test_filters_and_columns_are_pushed_into_scans(planned: Callable[..., Plan]) -> None:
    plan = planned({0: [LEFT, Filter("a > 1"), Filter("b < 5"), Select(["k"]), Collect()]})
    (reading,) = plan.readings
    assert reading.columns == ("k",)
    assert str(reading.where) == '"a" > 1 AND "b" < 5'
    assert steps(plan.stages[0]) == ["Select"]


def test_a_function_may_need_every_column(planned: Callable[..., Plan]) -> None:
    plan = planned({0: [LEFT, Filter(lambda frame: frame), Filter("a > 1"), Select(["k"]), Collect()]})
    assert (plan.readings[0].columns, plan.readings[0].where) == (None, None)


def test_rows_that_are_only_counted_are_read_by_one_column(planned: Callable[..., Plan]) -> None:
    plan = planned({0: [LEFT, Aggregate({"n": "count"}), Collect()]})
    assert plan.readings[0].columns == ("k",)


def test_a_filter_that_several_branches_do_not_share_stays(planned: Callable[..., Plan]) -> None:
    plan = planned({0: [LEFT], 1: [Filter("a > 1"), Collect()], 2: [Collect()]}, [(0, 1), (0, 2)])
    assert plan.readings[0].where is None
    assert len(plan.stages) == 1  # both branches are of one pass
    assert len(plan.stages[0].outputs) == 2


def test_aggregates_are_partial_before_they_travel(planned: Callable[..., Plan]) -> None:
    plan = planned({0: [LEFT, Aggregate({"n": "count"}, by="k"), Collect()]})
    assert [steps(stage) for stage in plan.stages] == [["PartialAggregate"], ["FinalAggregate"]]
    assert plan.edges[0].shuffle.columns == ("k",)
    of_all = planned({0: [LEFT, Aggregate({"n": "count"}), Collect()]})
    assert isinstance(of_all.stages[1].input, KeptInput)


@pytest.mark.parametrize("then", [Aggregate({"n": "count"}, by=["k", "a"]), Groupby("k"), Distinct(["k"])], ids=str)
def test_rows_that_met_do_not_travel_again(planned: Callable[..., Plan], then: Operation) -> None:
    plan = planned({0: [LEFT, Exchange()], 1: [Groupby("k"), Filter("b > 1"), then, Collect()]}, [(0, 1)])
    assert len(plan.edges) == 1
    apart = planned({0: [LEFT, Exchange()], 1: [Groupby("b"), then, Collect()]}, [(0, 1)])
    assert len(apart.edges) == 2


def test_sorting_is_in_ranges_and_limits_gather(planned: Callable[..., Plan]) -> None:
    plan = planned({0: [LEFT, Exchange(partitions=3)], 1: [Sort("k"), Limit(5), Collect()]}, [(0, 1)])
    (edge,) = plan.edges
    assert (edge.shuffle.kind, edge.shuffle.sort, edge.shuffle.partitions) == ("range", True, 3)
    assert [steps(stage) for stage in plan.stages] == [[], ["Limit"], ["Limit"]]
    assert isinstance(plan.stages[2].input, KeptInput)


def test_a_small_right_side_is_given_to_all(planned: Callable[..., Plan]) -> None:
    plan = planned({**BOTH, "j": [Join("k"), Collect()]}, INTO_J)
    assert not plan.edges
    (join,) = [step.operation for stage in plan.stages for step in stage.steps]
    assert isinstance(join, BroadcastJoin)
    left = next(stage for stage in plan.stages if stage.broadcasts)
    assert plan.before(left) == {stage.number for stage in plan.stages} - {left.number}
    assert "given to every task" in plan.notes[0]


def test_a_join_can_be_told_to_shuffle(planned: Callable[..., Plan]) -> None:
    plan = planned({**BOTH, "j": [Join("k", strategy="shuffle"), Collect()]}, INTO_J)
    assert [edge.shuffle.partitions for edge in plan.edges] == [2, 2]
    assert isinstance(plan.stages[-1].input, ExchangeInput)
    assert isinstance(plan.stages[-1].steps[0].operation, ShuffledJoin)
    assert [edge.shuffle.kind for edge in plan.edges] == ["hash", "hash"]


def test_a_stage_does_not_wait_for_itself(planned: Callable[..., Plan]) -> None:
    plan = planned({"a": [LEFT], "j": [Join("k"), Collect()]}, [("a", "j"), ("a", "j")])
    assert len(plan.edges) == 2
    assert "both sides come from one stage" in plan.notes[0]
    # Nor for one that waits for it: the right side is aggregated from the left.
    stages: Stages = {"l": [LEFT], "sums": [Aggregate({"n": "count"}, by="k")], "j": [Join("k"), Collect()]}
    plan = planned(stages, [("l", "sums"), ("l", "j"), ("sums", "j")])
    assert len(plan.edges) == 3
    for stage in plan.stages:
        assert stage.number not in plan.before(stage)


def test_only_columns_that_a_join_needs_are_read(planned: Callable[..., Plan]) -> None:
    plan = planned({**BOTH, "j": [Join("k", strategy="shuffle"), Select(["b_right"]), Collect()]}, INTO_J)
    read = {reading.survey.source.location.key[-12:]: reading.columns for reading in plan.readings}
    assert sorted(map(sorted, filter(None, read.values()))) == [["b", "k"], ["b", "k"]]  # b of the left names b_right
    semi = planned({**BOTH, "j": [Join("k", how="semi"), Select(["a"]), Collect()]}, INTO_J)
    assert sorted(reading.columns or () for reading in semi.readings) == [("k",), ("k", "a")]


def test_keys_of_unknown_or_different_types_are_hashed_alike(planned: Callable[..., Plan]) -> None:
    stages: Stages = {**BOTH, "t": [Transform(len)], "j": [Join("k", strategy="shuffle"), Collect()]}
    plan = planned(stages, [("l", "t"), ("t", "j"), ("r", "j")])
    assert all(isinstance(edge.shuffle.kind, HashedAlike) for edge in plan.edges)
    values = [0, -3, 2**40, None]
    kinds = [pa.int64(), pa.float64(), pa.decimal128(20, 0)]
    found = [HashedAlike()(pa.table({"k": pa.array(values, pa.int64()).cast(kind)}), 1000) for kind in kinds]
    assert all(np.array_equal(found[0], each) for each in found[1:])


def test_a_union_of_two_sources_is_two_producers(planned: Callable[..., Plan]) -> None:
    plan = planned(
        {"l": [LEFT, Select(["k"])], "r": [RIGHT, Select(["k"])], "u": [Union(), Sort("k"), Collect()]},
        [("l", "u"), ("r", "u")],
    )
    assert len(plan.edges[0].producers) == 2
    assert len(plan.stages) == 3


@pytest.mark.parametrize(
    ("stages", "dependencies", "said"),
    [
        ({0: [LEFT, Sort("kk"), Collect()]}, [], "stage 0, Sort: "),
        ({0: [LEFT, Filter("text > 3"), Collect()]}, [], "stage 0, Filter: "),
        ({0: [LEFT, Aggregate({"s": ("sum", "text")}), Collect()]}, [], "stage 0, Aggregate: "),
        ({**BOTH, "j": [Join("k", right_on="text"), Collect()]}, INTO_J, "stage j, Join: "),
        ({**BOTH, "j": [Union(), Collect()]}, INTO_J, "stage j, Union: "),
        ({0: [LEFT, Exchange()], 1: [Transform(len), Collect()]}, [(0, 1)], "Exchange(by=...)"),
        ({0: [LEFT, Transform(len), Distinct(), Collect()]}, [], "name them: Distinct(columns=[...])"),
    ],
)
def test_columns_and_types_are_refused_beforehand(
    planned: Callable[..., Plan], stages: Stages, dependencies: list[tuple[int | str, int | str]], said: str
) -> None:
    with pytest.raises(PlanError) as raised:
        planned(stages, dependencies)
    assert said in str(raised.value)


def test_sinks_are_refused_beforehand(planned: Callable[..., Plan], tmp_path: Path) -> None:
    def writes(*sinks: Write) -> Plan:
        stages: Stages = {"l": [LEFT], **{f"w{number}": [each] for number, each in enumerate(sinks)}}
        return planned(stages, [("l", f"w{number}") for number in range(len(sinks))])

    out = str(tmp_path / "out")
    with pytest.raises(PlanError, match=r"stage w1, Write: stage w0, Write writes to .*out/ too"):
        require_writable(writes(Write(key=out), Write(key=out + "/")), "shm")
    with pytest.raises(PlanError, match="stage w0, Write: "):
        require_writable(writes(Write(key=out, index=["zz"])), "shm")
    require_writable(writes(Write(key=out), Write(key=out + "2")), "shm")


def test_partial_and_final_aggregates_go_together(planned: Callable[..., Plan]) -> None:
    stages: Stages = {0: [LEFT, Exchange()], 1: [Groupby("k"), Aggregate({"n": "count"}, by="k"), Collect()]}
    plan = planned(stages, [(0, 1)])
    kinds = [type(step.operation) for step in plan.stages[1].steps]
    assert kinds == [PartialAggregate, FinalAggregate]


@pytest.mark.parametrize("name", ["", "a/b", "x" * 41, "é"])
def test_names_that_cannot_be_part_of_a_key_are_refused(name: str) -> None:
    with pytest.raises(PlanError, match="becomes part of keys"):
        Job(name=name, lithops_config={"lithops": {"backend": "shm", "storage": "shm"}})
