"""Trees are remembered only when no session can have come or gone unseen."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lithops_shm.store.layout import Layout
from lithops_shm.store.trees import Trees

LONG_AGO_S = 10


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "base" / "sessions" / "one").mkdir(parents=True)
    return Layout(str(tmp_path / "base"), str(tmp_path / "spill"))


def changed_at(directory: str, ns: int) -> None:
    os.utime(directory, ns=(ns, ns))


def sessions(trees: Trees) -> list[tuple[str, bool]]:
    return sorted((tree.session, tree.spilled) for tree in trees.now())


def test_what_has_not_changed_is_not_listed_again(layout: Layout) -> None:
    changed_at(layout.sessions, time.time_ns() - LONG_AGO_S * 10**9)
    trees = Trees(layout)
    assert trees.now() is trees.now()


def test_sessions_come_and_go(layout: Layout) -> None:
    changed_at(layout.sessions, time.time_ns() - LONG_AGO_S * 10**9)
    trees = Trees(layout)
    assert sessions(trees) == [("one", False)]
    os.mkdir(layout.session("two"))
    assert sessions(trees) == [("one", False), ("two", False)]
    os.rmdir(layout.session("one"))
    assert sessions(trees) == [("two", False)]
    os.makedirs(f"{layout.spill}/two")
    assert sessions(trees) == [("two", False), ("two", True)]


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
def test_a_change_within_the_tick_of_the_last_one_is_seen(layout: Layout, on_disk: bool) -> None:
    changed_at(layout.sessions, time.time_ns() - LONG_AGO_S * 10**9)
    changing = layout.sessions
    if on_disk:
        assert layout.spill is not None
        changing = layout.spill
        os.mkdir(changing)
    tick = time.time_ns()
    changed_at(changing, tick)
    trees = Trees(layout)
    before = sessions(trees)
    os.mkdir(f"{changing}/two")
    changed_at(changing, tick)
    assert sessions(trees) == sorted([*before, ("two", on_disk)])
