"""Graphs that make no job are refused, by the stage; others are put in order."""

import pytest

from seer_integration.dag import Graph
from seer_integration.errors import PlanError
from seer_integration.operations import (
    Collect,
    Exchange,
    Filter,
    Join,
    Limit,
    Operation,
    Scan,
    Sort,
    Union,
    Write,
)

SCAN, SORT, WRITE = Scan("in.csv"), Sort("0"), Write(key="out")


def test_stages_come_after_their_parents() -> None:
    graph = Graph({"c": [Join("k")], "b": [SCAN], "a": [SCAN]}, [("a", "c"), ("b", "c")])
    assert list(graph.stages).index("c") == 2
    assert graph.stages["c"].parents == ("a", "b")  # in the order of their declaration: left and right
    assert graph.children == {"a": ["c"], "b": ["c"], "c": []}


def test_a_stage_may_be_its_childs_parent_twice() -> None:
    graph = Graph({0: [SCAN], 1: [Join("k")]}, [(0, 1), (0, 1)])
    assert graph.stages[1].parents == (0, 0)
    assert graph.children[0] == [1]


@pytest.mark.parametrize(
    ("operations", "dependencies", "said"),
    [
        ({}, [], "the job: it has no stages"),
        ({0: [SCAN], 1: []}, [(0, 1)], "stage 1: it has no operations"),
        ({0: [SCAN], "sort": [SORT]}, [(0, "srot")], "did you mean 'sort'?"),
        ({0: [SORT]}, [], "stage 0: it has no parents, so it has to begin with Scan, not with Sort"),
        ({0: [SCAN], 1: [SCAN]}, [(0, 1)], "stage 1: it begins with Scan, and so can have no parents"),
        (
            {0: [SCAN], 1: [SCAN], 2: [SORT]},
            [(0, 2), (1, 2)],
            "stage 2: it has 2 parents, so it has to begin with",
        ),
        ({0: [SCAN], 1: [Join("k")]}, [(0, 1)], "stage 1: a Join is of two parents, and it has 1"),
        ({0: [SCAN, Union()]}, [], "stage 0: Union begins a stage"),
        ({0: [SCAN, SCAN]}, [], "stage 0: Scan begins a stage"),
        ({0: [SCAN, Exchange(), SORT]}, [], "stage 0: Exchange ends a stage; put what follows, Sort, in the next"),
        ({0: [SCAN, Exchange()]}, [], "stage 0: it ends in Exchange, and no stage takes its rows"),
        ({0: [SCAN, WRITE, Limit(3)]}, [], "stage 0: after Write no operation changes rows"),
        ({0: [SCAN, WRITE], 1: [SCAN, Filter("a > 1")]}, [], "stage 1: it is used by no other stage"),
        (
            {0: [SCAN], 1: [SORT], 2: [SORT], 3: [SORT]},
            [(0, 1), (1, 2), (2, 3), (3, 1)],
            "stages follow each other in a circle: ",
        ),
    ],
)
def test_what_makes_no_job_is_refused(
    operations: dict[int | str, list[Operation]], dependencies: list[tuple[int | str, int | str]], said: str
) -> None:
    with pytest.raises(PlanError) as raised:
        Graph(operations, dependencies)
    assert said in str(raised.value)


def test_a_circle_is_named() -> None:
    with pytest.raises(PlanError, match=r"circle: (a -> b -> a|b -> a -> b)"):
        Graph({"a": [Union()], "b": [Union(), Collect()]}, [("a", "b"), ("b", "a")])
