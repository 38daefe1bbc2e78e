"""Who takes part in a benchmark: those that are named, or all that are meant for everybody."""

import pytest

from lithops_shm.bench.contestants import Contestant
from lithops_shm.bench.plan import Plan
from lithops_shm.bench.results import Results
from lithops_shm.errors import ConfigError

TABLE = (
    Contestant("ours", "a:b"),
    Contestant("theirs", "a:b", packages=("not_a_package",)),
    Contestant("special", "a:b", on_request=True),
)
OTHERS = (Contestant("fast", "a:b"), Contestant("slow", "a:b", on_request=True))


def chosen(*only: str, table: tuple[Contestant, ...] = TABLE) -> list[str]:
    return [each.name for each in Plan(only=only).chosen("part", table, None)]


def test_who_runs_on_request_is_left_out_unless_named() -> None:
    assert chosen() == ["ours"]
    assert chosen("special") == ["special"]
    assert chosen("special", "ours") == ["ours", "special"]


def test_names_of_another_table_leave_this_one_as_it_is() -> None:
    assert chosen("fast") == ["ours"]
    assert chosen("special", table=OTHERS) == ["fast"]


def test_who_is_missing_is_skipped_by_name() -> None:
    results = Results("command", {})
    Plan().chosen("part", TABLE, results)
    assert [(each["part"], each["contestant"]) for each in results.skipped] == [("part", "theirs")]
    assert "not_a_package" in results.skipped[0]["reason"]


def test_an_unknown_name_is_refused() -> None:
    Plan(only=("slow", "special")).require([TABLE, OTHERS])
    with pytest.raises(ConfigError, match="'nobody'; there are ours, theirs, special, fast, slow"):
        Plan(only=("nobody",)).require([TABLE, OTHERS])
