"""Lithops 3.8 forks workers with the connections of their storage open; what they read has to be right all the same."""

from collections.abc import Callable

from effort import times
from s3servers import ACCESS_KEY, SECRET_KEY, Server, new_bucket

READERS = """
import json, sys
import lithops

def read(number, storage):
    # Right at the start, as the first thing: then Lithops' parent process is at the same connection.
    data = storage.get_object(storage.bucket, f"object-{number % 4}")
    return data == bytes([number % 4]) * 50_000

if __name__ == "__main__":
    calls, endpoint, bucket, key, secret = sys.argv[1:]
    config = {
        "lithops": {"backend": "localhost", "storage": "minio", "monitoring_interval": 0.1, "data_cleaner": False},
        "minio": {"endpoint": endpoint, "storage_bucket": bucket, "access_key_id": key, "secret_access_key": secret},
        "localhost": {"runtime": sys.executable},
    }
    with lithops.FunctionExecutor(config=config, log_level=None) as executor:
        for number in range(4):
            executor.storage.put_object(bucket, f"object-{number}", bytes([number]) * 50_000)
        found = executor.get_result(executor.map(read, range(int(calls))))
    print(json.dumps([len(found), sum(found)]))
"""


def test_a_connection_shared_across_a_fork_never_returns_wrong_data(
    run: Callable[..., str],
    environment: dict[str, str],
    rclone_server: Server,
) -> None:
    """The defect as Lithops has it: 7 to 14 of 60 such calls got ``b''``, and no error."""
    for name in ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"):
        environment[name] = "when_required"  # rclone does not understand the others
    calls = times(8, 60)  # an interpreter each
    answer = run(READERS, str(calls), rclone_server.url, new_bucket(rclone_server.url), ACCESS_KEY, SECRET_KEY)
    assert answer.splitlines()[-1] == f"[{calls}, {calls}]"
