"""Where the statuses of calls are: with the client, and in the store for whoever else may ask for one."""

import json
from collections.abc import Callable
from typing import Any

from programs import ASK

PROGRAM = (
    ASK
    + """
import os, pickle, subprocess, sys, time
import lithops
from lithops.storage.utils import create_status_key
from lithops_shm.plugin import running

def double(x):
    return 2 * x

def when_it_is_there(path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return "it came"

def key_of(future):
    return create_status_key(future.executor_id, future.job_id, future.call_id)

def has_status(future):
    return key_of(future) in executor.internal_storage.storage.list_keys(executor.internal_storage.bucket)

def eventually(condition, *arguments):
    deadline = time.monotonic() + 60
    while not condition(*arguments) and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition(*arguments))

def go_on(name):
    open(name, "w").close()

def pickled_when_it_is_over():
    future = executor.call_async(double, 4)
    came, before = eventually(running.kept, key_of(future)), has_status(future)
    pickle.dumps(future)
    return came, before, has_status(future), future.result()

def pickled_before():
    future = executor.call_async(when_it_is_there, os.path.abspath("first"))
    pickle.dumps([future])
    go_on("first")
    return eventually(has_status, future), future.result()

OTHER = '''
import pickle, sys
with open(sys.argv[1], "rb") as file:
    print(pickle.load(file).result())
'''

def in_another_process():
    future = executor.call_async(when_it_is_there, os.path.abspath("second"))
    with open("future", "wb") as file:
        pickle.dump(future, file)
    other = subprocess.Popen([sys.executable, "-c", OTHER, "future"], stdout=subprocess.PIPE, text=True)
    go_on("second")
    return other.communicate()[0].strip()

def in_a_forked_child():
    future = executor.call_async(when_it_is_there, os.path.abspath("third"))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, future.result().encode())
        os._exit(0)
    go_on("third")
    os.waitpid(child, 0)
    return os.read(reader, 100).decode()

def kept_when_the_job_has_been_swept():
    executor.get_result(executor.map(double, range(20)))
    return len(running._kept)

if __name__ == "__main__":
    section = json.loads(sys.argv[1])
    config = {"lithops": {"backend": "shm", "storage": "shm"}, "shm": section}
    executor = lithops.FunctionExecutor(config=config, log_level=None)
    ask([pickled_when_it_is_over, pickled_before, in_another_process, in_a_forked_child,
         kept_when_the_job_has_been_swept])
"""
)


def test_a_status_is_stored_for_whom_the_client_does_not_tell(run: Callable[..., str], section: dict[str, Any]) -> None:
    answers = json.loads(run(PROGRAM, json.dumps(section)).splitlines()[-1])
    assert answers == {
        "pickled_when_it_is_over": [True, False, True, 8],
        "pickled_before": [True, "it came"],
        "in_another_process": "it came",
        "in_a_forked_child": "it came",
        "kept_when_the_job_has_been_swept": 0,
    }
