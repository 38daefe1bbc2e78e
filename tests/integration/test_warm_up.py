"""The call that workers run before they have a job: it goes all the way, and leaves nothing."""

import json
from collections.abc import Callable
from typing import Any

from programs import ASK

PROGRAM = (
    ASK
    + """
import os, pickle, sys
import lithops
from lithops_shm.plugin.compute import warm
from lithops_shm.workers import pool, worker

def descriptors():
    places = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sorted(os.readlink(place) for place in places if os.path.lexists(place))

def double(x):
    return 2 * x

def warm_it_up(payload, storage):
    reported = []
    before, files, environ = storage.list_keys(storage.bucket), descriptors(), dict(os.environ)
    heard, worker.report = worker.report, reported.append
    os.environ["PRE_RUN"] = "builtins.exit"
    warm.warm_up(payload)
    worker.report = heard
    os.environ.clear()
    os.environ.update(environ)
    status = json.loads(worker._last)
    same = before == storage.list_keys(storage.bucket), files == descriptors()
    return status["type"], status["exception"], reported, *same

def what_a_warm_up_does():
    jobs, submit = [], pool.Pool.submit
    pool.Pool.submit = lambda self, job: (jobs.append(job), submit(self, job))[1]
    config = {"lithops": {"backend": "shm", "storage": "shm"}, "shm": section}
    executor = lithops.FunctionExecutor(config=config, log_level=None)
    executor.call_async(double, 2).result()
    (job,) = jobs
    return executor.call_async(warm_it_up, {"payload": job.payload}).result()

def with_a_session_that_is_over():
    place = {"directory": section["directory"] + "-of-nobody", "session": "0123456789ab"}
    warm.warm_up(pickle.dumps({"config": {"lithops": {}, "shm": place}}))
    return os.path.exists(place["directory"])

if __name__ == "__main__":
    section = json.loads(sys.argv[1])
    ask([with_a_session_that_is_over, what_a_warm_up_does])
"""
)


def test_a_warm_up_is_a_whole_call_that_stores_nothing(run: Callable[..., str], section: dict[str, Any]) -> None:
    answers = json.loads(run(PROGRAM, json.dumps(section)).splitlines()[-1])
    kind, failed, reported, same_keys, same_files = answers["what_a_warm_up_does"]
    assert (kind, failed) == ("__end__", False)
    assert reported == []
    assert same_keys
    assert same_files
    assert answers["with_a_session_that_is_over"] is False, "it opened one of its own"
