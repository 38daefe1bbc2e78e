"""Functions called many times, with what they ask for by name filled in once."""

from collections.abc import Callable
from typing import Any

import pytest

from lithops_shm.plugin.calls import repeated


@pytest.fixture(autouse=True)
def in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITHOPS_CONFIG", "{}")


def plain(key: str, values: list[int]) -> Any:
    return key, values


def asks_at_the_end(key: str, values: list[int], id: int) -> Any:  # noqa: A002  (Lithops' name)
    return key, values, id


def asks_at_the_beginning(id: int, key: str, values: list[int]) -> Any:  # noqa: A002  (Lithops' name)
    return key, values, id


def asks_between(key: str, id: int, values: list[int], more: int) -> Any:  # noqa: A002  (Lithops' name)
    return key, values, id, more


def asks_by_keyword(key: str, values: list[int], *, id: int, more: int = 5) -> Any:  # noqa: A002  (Lithops' name)
    return key, values, id, more


def by_position(id: int, key: str, values: list[int], more: int, /) -> Any:  # noqa: A002  (Lithops' name)
    return key, values, id, more


def all_of_them(*both: Any, **rest: Any) -> Any:
    return *both, rest


def gathers(key: str, *values: list[int]) -> Any:
    return key, *values


def takes_more(key: str, values: list[int], *more: int, **named: int) -> Any:
    return key, values, *more, named


@pytest.mark.parametrize(
    ("function", "arguments", "rest"),
    [
        (plain, {}, ()),
        (asks_at_the_end, {}, (7,)),
        (asks_at_the_beginning, {}, (7,)),
        (asks_between, {"more": 3}, (7, 3)),
        (asks_by_keyword, {}, (7, 5)),
        (by_position, {"more": 3}, (7, 3)),
        (all_of_them, {"more": 3}, ({"more": 3},)),
        (gathers, {}, ()),
        (takes_more, {"more": (1, 2), "named": {"x": 1}}, (1, 2, {"x": 1})),
        (lambda key, values, future: (key, values, future), {"future": 3}, (3,)),
    ],
)
def test_what_comes_goes_to_the_first_that_are_not_injected(
    function: Callable[..., Any], arguments: dict[str, Any], rest: tuple[Any, ...]
) -> None:
    called = repeated(function, arguments, 7, 2)
    assert called("a", [1]) == ("a", [1], *rest)
    assert called("b", [2]) == ("b", [2], *rest)
