"""The same job here and on AWS Lambda: Lithops' own backend, unmodified, with our shuffle over S3."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from effort import THOROUGH
from lambdaruntime import lay, link
from lambdaserver import REACH, REGION, USER_ID, LambdaServer
from s3servers import Server, new_bucket

import lithops_shm
from lithops_shm.cli.layer import REQUIREMENTS, layer_name, needed, own_files

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

BEGINNING = f"""{REACH}
import hashlib, json, os, sys, time
import numpy as np
import pyarrow as pa
import lithops_shm as shm

def rows(part):
    random = np.random.default_rng(part)
    keys = random.integers(0, 1 << 40, 50_000)
    return pa.table({{"key": keys, "text": [f"{{key:>090}}" for key in keys], "part": np.full(len(keys), part)}})

def digest(table):
    keys = table["key"].to_numpy()
    whole = hashlib.sha256(keys.tobytes())
    whole.update("".join(table["text"].to_pylist()).encode())
    return [table.num_rows, bool((keys[1:] >= keys[:-1]).all()), int(keys[0]), int(keys[-1]), whole.hexdigest()]

def sort(executor, map_function=rows, mappers=3):
    shuffle = shm.Shuffle(by="key", partitions=2, kind="range", sort=True)
    partitions = executor.map_reduce(map_function, range(mappers), digest, shuffle=shuffle)
    return partitions.get_result(timeout=120), partitions.summary

def executor_of(config):
    return shm.FunctionExecutor(config=config, log_level=None)

remote = json.loads(sys.argv[1])
"""


@pytest.fixture
def layer(lambda_server: LambdaServer) -> Callable[..., None]:
    """Publishes what is installed here as the layer that Lithops looks for, so that it builds none."""

    def publish(*, ours: bool = True) -> None:
        directory = lambda_server.new_directory("layer")
        lay(directory / "python", REQUIREMENTS, needed)
        for source, name in own_files() if ours else ():
            link(source, directory / "python" / name)
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        # Bytecode is that of this installation, so that functions start sooner; it does not count.
        files = (path for path in directory.rglob("*") if path.is_file() and path.suffix != ".pyc")
        lambda_server.add_layer(layer_name(USER_ID, python), directory, sum(path.stat().st_size for path in files))

    return publish


@pytest.fixture
def remote(lambda_server: LambdaServer, rclone_server: Server, environment: dict[str, str]) -> dict[str, Any]:
    """A configuration, as a user would write it; credentials come from the environment, as those of a role do."""
    environment.update(lambda_server.client_environment)
    return {
        "lithops": {
            "backend": "aws_lambda",
            "storage": "aws_s3",
            "monitoring_interval": 0.1,
            "data_cleaner": False,
        },
        "aws": {"region": REGION},
        "aws_lambda": {
            "execution_role": "arn:aws:iam::123456789012:role/lithops",
            "runtime_memory": 1024,
            "runtime_timeout": 100,
            "max_workers": 4,
            "invoke_pool_threads": 4,
        },
        "aws_s3": {"storage_bucket": new_bucket(rclone_server.url)},
    }


@pytest.fixture
def answers(run: Callable[..., str], remote: dict[str, Any], lambda_server: LambdaServer) -> Callable[[str], Any]:
    """Runs a program after the common beginning; gives what it printed last, as JSON."""

    def answers(program: str) -> Any:
        try:
            return json.loads(run(BEGINNING + program, json.dumps(remote)).splitlines()[-1])
        except BaseException:
            print(lambda_server.log())  # pytest shows it with the failure
            raise

    return answers


def test_a_sort_gives_the_same_here_and_on_lambda(
    answers: Callable[[str], Any], layer: Callable[..., None], lambda_server: LambdaServer, rclone_server: Server
) -> None:
    layer()
    found = answers("""
if __name__ == "__main__":
    here, _ = sort(shm.FunctionExecutor(log_level=None))
    there, summary = sort(executor_of(remote))
    print(json.dumps([here, there, summary.rows, summary.exchanged_bytes, summary.retried]))
""")
    here, there, rows, nbytes, retried = found
    assert here == there
    assert [each[1] for each in there] == [True] * 2
    assert sum(each[0] for each in there) == rows == 150_000
    assert nbytes > 15_000_000
    assert retried == 0
    assert len(lambda_server.invocations) >= 6, "the runtime's description, three mappers, two reducers"
    left = [path.name for path in rclone_server.directory.rglob("*") if "shuffles" in str(path) and path.is_file()]
    assert left == []


def test_a_job_gives_the_same_here_and_on_lambda(answers: Callable[[str], Any], layer: Callable[..., None]) -> None:
    layer()
    here, there, place = answers("""
import lithops
from seer_integration import Aggregate, Collect, Filter, Job, Scan, Transform, Write

def made(storage, bucket):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows(0).schema) as writer:
        writer.write_table(rows(0))
    storage.put_object(bucket, "in/0.arrow", sink.getvalue().to_pybytes())

def result(bucket, **settings):
    with Job(show_progress=False, **settings) as job:
        job.add("in", Scan, file="in/", bucket=bucket)
        job.add("in", Filter, action="key > 1000000")
        job.add("in", Transform, action=lambda frame: frame.assign(last=frame["key"] % 10))
        job.add("in", Aggregate, values={"n": "count", "least": ("min", "key")}, by="last")
        job.add("in", Write, bucket=bucket, key="out")
        job.add("in", Collect)
        return job.result().sort_values("last").values.tolist(), job.decision

if __name__ == "__main__":
    bucket = remote["aws_s3"]["storage_bucket"]
    with shm.FunctionExecutor(log_level=None) as executor:
        made(executor.storage, "a-bucket")
        here, _ = result("a-bucket", executor=executor)
    made(lithops.Storage(config=remote), bucket)
    there, decision = result(bucket, lithops_config={**remote, "selector": {"history": False}}, policy="always-remote")
    print(json.dumps([here, there, decision.place]))
""")
    assert here == there
    assert len(here) == 10
    assert place == "remote"


def test_a_decision_for_elsewhere_is_what_runs(
    answers: Callable[[str], Any], layer: Callable[..., None], lambda_server: LambdaServer
) -> None:
    layer()
    found = answers("""
if __name__ == "__main__":
    profile = shm.JobProfile(input_bytes=16_000_000, functions=3, partitions=2)
    decision = shm.select(profile, config={**remote, "selector": {"history": False}}, pin="remote")
    section = decision.config["lithops"]
    there, _ = sort(executor_of(decision.config))
    print(json.dumps([decision.place, section["backend"], section["storage"], sum(each[0] for each in there)]))
""")
    assert found == ["remote", "aws_lambda", "aws_s3", 150_000]
    assert lambda_server.invocations


def test_the_package_goes_with_the_job_where_the_layer_has_it_not(
    answers: Callable[[str], Any], layer: Callable[..., None], environment: dict[str, str], tmp_path: Path
) -> None:
    layer(ours=False)
    # Lithops looks for modules along the path, on which an editable installation is not.
    environment["PYTHONPATH"] = str(Path(lithops_shm.__file__).parents[1])
    (tmp_path / "of_the_user.py").write_text("def doubled(frame):\n    return frame.assign(value=frame.value * 2)\n")
    found = answers("""
import pandas as pd
import of_the_user

def frame(part):
    return of_the_user.doubled(pd.DataFrame({"name": ["a", "b", "c"], "value": [part, 1, 2]}))

def total(rows):
    return rows.groupby("name")["value"].sum().to_dict()

if __name__ == "__main__":
    shuffle = shm.Shuffle(by="name", partitions=1)
    # Without this Lithops follows the imports of all engines and libraries, to half of what is installed here.
    others = ["aiobotocore", "aiohttp", "polars", "s3fs", "tqdm", "yaml"]
    partitions = executor_of(remote).map_reduce(frame, range(3), total, shuffle=shuffle, exclude_modules=others)
    print(json.dumps(partitions.get_result(timeout=120)))
""")
    assert found == [{"a": 6, "b": 6, "c": 12}]


@pytest.mark.parametrize(
    ("who", "instead"), [("getpid", "retried"), ("getppid", "backups")] if THOROUGH else [("getpid", "retried")]
)
def test_a_mapper_that_dies_on_lambda_is_run_again(
    answers: Callable[[str], Any], layer: Callable[..., None], who: str, instead: str
) -> None:
    """Its process, which Lithops reports; or all of its environment, of which nobody hears again."""
    layer()
    found = answers(f"""
def dies_once(part, storage):
    key = f"seen/{{part}}"
    if part == 1 and not storage.list_keys(storage.bucket, key):
        storage.put_object(storage.bucket, key, b"once")
        os.kill(os.{who}(), 9)
        time.sleep(60)
    return rows(part)

if __name__ == "__main__":
    there, summary = sort(executor_of(remote), dies_once, mappers=4)
    print(json.dumps([sum(each[0] for each in there), summary.{instead}]))
""")
    assert found[0] == 200_000
    assert found[1] >= 1


def test_an_error_in_a_function_on_lambda_is_raised_here(
    answers: Callable[[str], Any], layer: Callable[..., None]
) -> None:
    layer()
    found = answers("""
def wrong(part):
    raise ValueError(f"part {part} is wrong")

if __name__ == "__main__":
    try:
        sort(executor_of(remote), wrong)
    except ValueError as error:
        print(json.dumps(str(error)))
""")
    assert found.startswith("part ")


def test_what_functions_find_on_lambda(
    answers: Callable[[str], Any], layer: Callable[..., None], lambda_server: LambdaServer
) -> None:
    """Above all no sign of the defect by which Lithops' forked workers read nothing (see test_forked_connections)."""
    layer()
    found = answers("""
def read(number, storage):
    data = storage.get_object(storage.bucket, f"object-{number % 4}")  # at once: the parent uses the connection too
    import importlib.util, multiprocessing
    def works(make):
        try:
            make()
        except OSError:
            return False
        return True
    facts = {
        "guarded": sys.modules["lithops_shm.forks"]._protected,
        "semaphores": works(multiprocessing.Lock),
        "writes": works(lambda: open("/var/tmp/lambda-standin-was-here", "w").close()),
        "tmp": works(lambda: open(f"/tmp/number-{number}", "w").close()),
        "here": [name for name in ("pytest", "moto", "s3fs") if importlib.util.find_spec(name)],
        "environment": os.getppid(),
    }
    return data == bytes([number % 4]) * 50_000, facts

if __name__ == "__main__":
    executor = executor_of(remote)
    for number in range(4):
        executor.storage.put_object(executor.storage.bucket, f"object-{number}", bytes([number]) * 50_000)
    print(json.dumps(executor.get_result(executor.map(read, range(24)))))
""")
    assert [right for right, _ in found] == [True] * 24
    facts = [each for _, each in found]
    assert all(each["guarded"] for each in facts)
    assert all(each["here"] == [] for each in facts)
    assert len({each["environment"] for each in facts}) <= 2, "warm environments are used again"
    if lambda_server.sandboxed:
        assert all((each["semaphores"], each["writes"], each["tmp"]) == (False, False, True) for each in facts)
