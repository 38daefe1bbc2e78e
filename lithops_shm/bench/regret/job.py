"""One job of the regret table, in a program of its own, where its configuration says.

Reads what is asked as JSON from standard input, and prints seconds and a checksum.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from lithops_shm.executor import FunctionExecutor
from lithops_shm.shuffle.spec import Shuffle


def client(section: dict[str, Any]) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=section["endpoint"],
        aws_access_key_id=section["access_key_id"],
        aws_secret_access_key=section["secret_access_key"],
        region_name="us-east-1",
    )


def read(part: str, section: dict[str, Any], bucket: str, work_s: float) -> Any:
    """The rows of a part, from a file of this machine or an object; and the work of a processor for so long."""
    import pyarrow as pa

    if part.startswith("/"):
        with pa.OSFile(part) as file:
            data = file.read_buffer()
    else:
        data = client(section).get_object(Bucket=bucket, Key=part)["Body"].read()
    time.sleep(work_s)
    return pa.ipc.open_stream(data).read_all()


def tally(table: Any) -> list[int]:
    import pyarrow.compute as pc

    return [table.num_rows, int(pc.sum(table["k"]).as_py() or 0)]


def read_and_tally(part: str, section: dict[str, Any], bucket: str, work_s: float) -> list[int]:
    return tally(read(part, section, bucket, work_s))


def main() -> None:
    asked = json.load(sys.stdin)
    section, bucket, parts = asked["section"], asked["bucket"], asked["parts"]
    started = time.perf_counter()
    executor = FunctionExecutor(config=asked["config"], log_level=None)
    if asked["upload"]:
        storage = client(section)
        for name in parts:
            with open(name, "rb") as file:
                storage.put_object(Bucket=bucket, Key=name.lstrip("/"), Body=file)
        parts = [name.lstrip("/") for name in parts]
    extra = (section, bucket, asked["work_s"])
    if asked["shuffled"]:
        shuffle = Shuffle(by="k", partitions=len(parts))
        job = executor.map_reduce(read, parts, tally, extra_args=extra, shuffle=shuffle, show_progress=False)
        found = executor.get_result(job)
    else:
        found = executor.get_result(executor.map(read_and_tally, parts, extra_args=extra))
    seconds = time.perf_counter() - started
    print(json.dumps([seconds, [sum(column) for column in zip(*found, strict=True)]]))


if __name__ == "__main__":
    main()
