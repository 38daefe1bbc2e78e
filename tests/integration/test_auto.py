"""backend='auto': one decision for an executor, and what runs is what was decided."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lithops_shm as shm
from lithops_shm.errors import ConfidentialityError, ConfigError, NoPlaceError

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

PROGRAM = """
import json, os, sys
import numpy as np
import pyarrow as pa
import lithops_shm as shm
from lithops_shm.selector.history import History

def double(x):
    return 2 * x

def pid(x):
    return os.getpid()

def table(n):
    return pa.table({"k": np.arange(1000) * 7 % 13 + n})

def rows(table):
    return table.num_rows

def auto(**more):
    return shm.FunctionExecutor(backend="auto", log_level=None, **more)

if __name__ == "__main__":
    executor = auto(profile=shm.JobProfile(input_bytes=1_000_000, functions=4, intermediate_ratio=0))
    answers = {"results": executor.get_result(executor.map(double, range(4)))}
    answers["where"] = executor.config["lithops"]["backend"], executor.config["lithops"]["storage"]
    answers["place"] = executor.decision.place
    before = executor.decision
    shuffled = auto(profile={"input_bytes": 50_000, "partitions": 3})
    job = shuffled.map_reduce(table, range(4), rows, shuffle=shm.Shuffle(by="k", partitions=3))
    answers["shuffled"] = sum(shuffled.get_result(job))
    pinned = auto(decision=before)
    answers["pinned"] = pinned.decision.id == before.id, pinned.get_result(pinned.map(double, [1]))
    answers["remote"] = auto(profile={"input_bytes": "1 GB", "compute_s_per_gb": 90_000}).decision.place
    runs = History().runs()
    answers["runs"] = [[run.id == before.id, run.place, run.predicted > 0, run.actual > 0] for run in runs]
    print(json.dumps(answers))
"""


@pytest.fixture
def more_config() -> dict[str, Any]:
    return {"selector": {"backend": "localhost_is_not_it", "storage": "nor_this"}}


def test_an_executor_runs_where_it_was_decided(run: Callable[..., str]) -> None:
    answers = json.loads(run(PROGRAM).splitlines()[-1])
    assert answers["results"] == [0, 2, 4, 6]
    assert answers["where"] == ["shm", "shm"]
    assert answers["place"] == "local"
    assert answers["shuffled"] == 4000
    assert answers["pinned"] == [True, [2]]
    assert len(answers["runs"]) == 2, "the same decision is one row"
    assert all(run[1:] == ["local", True, True] for run in answers["runs"])


def config(tmp_path: Path, **selector: Any) -> dict[str, Any]:
    own = {"history_file": str(tmp_path / "history.sqlite"), "history": False, **selector}
    return {"lithops": {"backend": "auto"}, "shm": {"directory": f"/dev/shm/{tmp_path.name}"}, "selector": own}


def test_what_can_run_nowhere_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(NoPlaceError, match=r"of memory, and .* are free"):
        shm.FunctionExecutor(config=config(tmp_path), profile={"input_bytes": "900 TB"})
    assert not list(tmp_path.iterdir())


def test_contradictions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave out storage='aws_s3'"):
        shm.FunctionExecutor(config=config(tmp_path), storage="aws_s3")
    with pytest.raises(ConfigError, match="for backend='auto'"):
        shm.FunctionExecutor(config={"lithops": {}}, profile={"input_bytes": "1 GB"})
    with pytest.raises(ConfigError, match="did you mean 'policy'"):
        shm.FunctionExecutor(config=config(tmp_path, polcy="model"))
    with pytest.raises(ConfigError, match="and no storage"):
        shm.select({}, config=config(tmp_path, backend="aws_lambda"))


def test_confidential_is_what_anybody_says(tmp_path: Path) -> None:
    remote = {"backend": "aws_lambda", "storage": "aws_s3"}
    found = config(tmp_path, **remote, policy="always-remote")
    for job, section in (({"confidential": True}, {}), ({"confidential": False}, {"confidential": True})):
        asked = {**found, "shm": {**found["shm"], **section}}
        with pytest.raises(NoPlaceError, match="confidential"):
            shm.select({"input_bytes": "1 GB", **job}, config=asked)
    with pytest.raises(NoPlaceError, match="confidential"):
        shm.FunctionExecutor(config=found, profile={"input_bytes": "1 GB"}, confidential=True)


def test_where_lithops_functions_run_already_is_the_remote_choice(tmp_path: Path) -> None:
    found = config(tmp_path)
    found["lithops"] = {"backend": "aws_lambda", "storage": "aws_s3"}
    decision = shm.select({"input_bytes": "1 GB"}, config=found)
    assert {each.backend for each in decision.considered} == {"shm", "aws_lambda"}
    assert shm.select({"input_bytes": "1 GB"}, config={"lithops": {}}, history=False).place == "local"


def test_a_decision_is_logged(run: Callable[..., str], caplog: pytest.LogCaptureFixture) -> None:
    from lithops_shm.placement.outcome import Outcome

    decision = shm.select({"input_bytes": "1 GB"}, config={"lithops": {}}, history=False)
    with caplog.at_level(logging.INFO, "lithops.lithops_shm"):
        Outcome(decision, None).begins()
    assert decision.id in caplog.text
    assert "shm with shm" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"backend": "aws_lambda", "storage": "aws_s3"}, "lithops.backend"),
        ({"backend": "shm", "storage": "aws_s3"}, "lithops.storage"),
        ({"backend": "localhost", "storage": "localhost"}, "lithops.backend"),
    ],
    ids=str,
)
def test_a_confidential_executor_elsewhere_is_refused_before_anything_is_made(
    tmp_path: Path, arguments: dict[str, str], key: str
) -> None:
    found = {**config(tmp_path), "lithops": {}}
    with pytest.raises(ConfidentialityError, match=key):
        shm.FunctionExecutor(config=found, confidential=True, **arguments)
    assert not list(tmp_path.iterdir())
