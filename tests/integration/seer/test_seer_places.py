"""Where jobs run, and who may read what: S3, the selector, confidential data; and pipelines of pairs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import ASK
from s3servers import ACCESS_KEY, SECRET_KEY, Server, new_bucket

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

HEAD = (
    ASK
    + """
import os, sys
import pyarrow as pa, pyarrow.parquet as pq
import lithops_shm as shm
from lithops_shm.errors import ShmError
from seer_integration import *

def made(storage, bucket):
    for number in range(3):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"k": [n % 5 for n in range(200)], "v": list(range(200))}), sink)
        storage.put_object(bucket, f"in/{number}.parquet", sink.getvalue().to_pybytes())

def stages(job, bucket):
    job.add("in", Scan, file="in/", bucket=bucket)
    job.add("in", Filter, action="v >= 100")
    job.add("sums", Aggregate, values={"sum": ("sum", "v"), "n": "count"}, by="k")
    job.add("joined", Join, on="k", strategy="shuffle")
    job.add("joined", Sort, key=["k", "v"])
    job.add("joined", Write, bucket=bucket, key="out", format="ipc")
    job.dependency("in", "sums")
    job.dependency("in", "joined")
    job.dependency("sums", "joined")
"""
)

IN_S3 = (
    HEAD
    + """
def on(config, bucket):
    with shm.FunctionExecutor(config=config, log_level=None) as executor:
        made(executor.storage, bucket)
        job = Job(executor=executor, show_progress=False)
        stages(job, bucket)
        summary = job.run()
        back = Job(executor=executor, show_progress=False)
        back.add(0, Scan, file="out/", bucket=bucket)
        table = back.result(library="arrow")
        kept = back.cache(0)
        again = Job(executor=executor, show_progress=False)
        again.add(0, Scan, file=kept)
        again.add(0, Aggregate, values={"n": "count"})
        count = int(again.result()["n"][0])
        kept.release()
        keys = executor.storage.list_keys(bucket)
        return [table.column_names, [list(row.values()) for row in table.to_pylist()], summary.written, count,
                [key for key in keys if key.startswith("lithops-shm")]]

if __name__ == "__main__":
    os.environ["AWS_ENDPOINT_URL"] = sys.argv[1]
    os.environ["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"
    elsewhere, here = json.loads(sys.argv[2]), json.loads(sys.argv[3])
    print(json.dumps([on(elsewhere, elsewhere["aws_s3"]["storage_bucket"]), on(here, "a-bucket")]))
"""
)

CHOSEN = (
    HEAD
    + """
FILE = os.path.join(sys.argv[1], "in.parquet")
REMOTE = {"aws_lambda": {"execution_role": "arn:aws:iam::1:role/x"}, "aws_s3": {"storage_bucket": "b"}}

def job_of(*operations, **settings):
    job = Job(show_progress=False, **settings)
    for operation in operations:
        job.add(0, operation)
    return job

def with_remote(**settings):
    with open(os.environ["LITHOPS_CONFIG_FILE"]) as file:
        import yaml
        config = yaml.safe_load(file)
    selector = {"backend": "aws_lambda", "storage": "aws_s3", "history": False}
    return {**config, **REMOTE, "selector": {**selector, **settings}}

def files_are_read_where_they_are():
    # Whatever a policy says: functions elsewhere could not read this file.
    job = job_of(Scan(FILE), Limit(3, key="v"), lithops_config=with_remote(), policy="fastest")
    try:
        return [len(job.result()), job.decision.place, "pinned to local" in job.explain()]
    finally:
        job.close()

def confidential_data_stays_in_memory():
    found = []
    for operations, settings in [
        ([Scan(FILE), Write(key=sys.argv[1] + "/out")], {}),
        ([Scan("in/", bucket="b", storage="aws_s3")], {"lithops_config": with_remote()}),
    ]:
        try:
            job_of(*operations, confidential=True, **settings).explain()
        except shm.errors.ConfidentialityError as error:
            found.append(str(error))
    job = job_of(Scan(FILE), Aggregate({"n": "count"}), confidential=True)
    try:
        return [*found, int(job.result()["n"][0]), job._environment.executor.config["shm"]["confidential"]]
    finally:
        job.close()

def pairs():
    lines = Pipeline(["to be or not to be", "that is the question"])
    def words(line):
        for word in line.split():
            yield word, 1
    def total(word, counts):
        return sum(counts)
    def by_length(keys, partitions):
        return [len(key) % partitions for key in keys]
    split = lines.map(words)
    counted = split.combine(total).shuffle(by_length).reduce(total, 3)
    upper = counted.map(lambda pair: (pair[0].upper(), pair[1]))
    with open(os.path.join(sys.argv[1], "lines.txt"), "w") as file:
        file.write("be\\n\\nquick, be\\n")
    with shm.FunctionExecutor(log_level=None) as executor:
        both = merge([split, Pipeline(os.path.join(sys.argv[1], "lines.txt")).map(words)]).reduce(total)
        return [sorted(upper.result(executor=executor)), dict(both.result(executor=executor))["be"],
                "ReducePairs" in counted.explain(executor=executor)]

def a_pipeline_needs_its_reduce():
    return Pipeline([1]).combine(max).explain()

if __name__ == "__main__":
    pq.write_table(pa.table({"k": [1, 2] * 50, "v": list(range(100))}), FILE)
    ask([files_are_read_where_they_are, confidential_data_stays_in_memory, pairs, a_pipeline_needs_its_reduce])
"""
)


def test_jobs_in_s3_give_what_they_give_in_memory(
    run: Callable[..., str], section: dict[str, Any], rclone_server: Server
) -> None:
    here = {"lithops": {"backend": "shm", "storage": "shm"}, "shm": section}
    elsewhere = {
        "lithops": {"backend": "shm", "storage": "aws_s3", "data_cleaner": False},
        "aws": {"region": "us-east-1", "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY},
        "aws_s3": {"storage_bucket": new_bucket(rclone_server.url)},
        "shm": section,
    }
    in_s3, in_memory = json.loads(
        run(IN_S3, rclone_server.url, json.dumps(elsewhere), json.dumps(here)).splitlines()[-1]
    )
    assert in_s3[0] == in_memory[0] == ["k", "v", "sum", "n"]
    assert in_s3[1] == in_memory[1]
    rows = [(n % 5, n) for _ in range(3) for n in range(100, 200)]
    sums = {key: sum(value for other, value in rows if other == key) for key in range(5)}
    assert sorted(map(tuple, in_s3[1])) == sorted((key, value, sums[key], 60) for key, value in rows)
    assert (in_s3[3], in_s3[4], in_memory[3], in_memory[4]) == (300, [], 300, [])


def test_jobs_run_where_they_may(run: Callable[..., str], tmp_path: Path) -> None:
    answers = json.loads(run(CHOSEN, str(tmp_path)).splitlines()[-1])
    assert answers["files_are_read_where_they_are"] == [3, "local", True]
    written, read, count, confidential = answers["confidential_data_stays_in_memory"]
    assert "Write: a file" in written
    assert "aws_s3" in read
    assert (count, confidential) == (100, True)
    words = [["BE", 2], ["IS", 1], ["NOT", 1], ["OR", 1], ["QUESTION", 1], ["THAT", 1], ["THE", 1], ["TO", 2]]
    assert answers["pairs"] == [words, 4, True]
    assert "it has a combiner and no reduce after that" in answers["a_pipeline_needs_its_reduce"]
