"""The guard: what may be in the configuration of a confidential job, and how the rest is refused."""

from typing import Any

import pytest

from lithops_shm.errors import ConfidentialityError
from lithops_shm.selector.confidential import require_local, shown_to_functions

LOCAL = {"lithops": {"backend": "shm", "storage": "shm"}, "shm": {"confidential": True}}


def config(section: str = "lithops", **more: Any) -> dict[str, Any]:
    return {**LOCAL, section: {**LOCAL.get(section, {}), **more}}


@pytest.mark.parametrize(
    "found",
    [
        LOCAL,
        config(mode="serverless", monitoring="shm", telemetry=False, log_level="DEBUG", backend_type="batch"),
        config(monitoring=None, telemetry="off", log_filename=None, log_stream="ext://sys.stdout"),
        config(monitoring="STORAGE", monitoring_interval=1, chunksize=2, execution_timeout=9, data_cleaner=False),
        config("shm", spill=False, lifetime="session", compute="shm", network="none", budget_bytes="1 GiB"),
        {"lithops": {"mode": "shared_memory"}},
        {**LOCAL, "aws_s3": {"storage_bucket": "b"}, "selector": {"backend": "aws_lambda", "storage": "aws_s3"}},
    ],
)
def test_what_stays_here_passes(found: dict[str, Any]) -> None:
    require_local(found, ())


@pytest.mark.parametrize(
    ("found", "key"),
    [
        (config(backend="aws_lambda"), "lithops.backend"),
        (config(backend="localhost"), "lithops.backend"),
        (config(backend="SHM"), "lithops.backend"),
        (config(backend=["shm"]), "lithops.backend"),
        ({"lithops": {"storage": "shm"}}, "lithops.backend"),
        ({}, "lithops.backend"),
        ({"lithops": None}, "lithops.backend"),
        ({"lithops": []}, "lithops"),
        ({"lithops": {"backend": "auto", "storage": "shm"}}, "lithops.backend"),
        ({"lithops": {"mode": "standalone", "storage": "shm"}}, "lithops.mode"),
        ({"lithops": {"mode": "localhost", "storage": "shm"}}, "lithops.mode"),
        ({"lithops": {"mode": "serverless", "storage": "shm"}, "serverless": {"backend": "k8s"}}, "serverless.backend"),
        (config(mode="localhost"), "lithops.mode"),
        (config(mode="standalone"), "lithops.mode"),
        (config(mode=7), "lithops.mode"),
        (config(storage="aws_s3"), "lithops.storage"),
        (config(storage="localhost"), "lithops.storage"),
        (config(storage=None), "lithops.storage"),
        ({"lithops": {"backend": "shm"}}, "lithops.storage"),
        (config(monitoring="rabbitmq"), "lithops.monitoring"),
        (config(monitoring="Redis"), "lithops.monitoring"),
        (config(monitoring={"a": 1}), "lithops.monitoring"),
        (config(telemetry=True), "lithops.telemetry"),
        (config(telemetry="yes"), "lithops.telemetry"),
        (config(telemetry=" OTLP "), "lithops.telemetry"),
        (config(telemetry=0.0), "lithops.telemetry"),
        (config(log_filename="/tmp/log"), "lithops.log_filename"),
        (config(log_filename=""), "lithops.log_filename"),
        (config(log_stream="ext://my.socket"), "lithops.log_stream"),
        (config(log_stream=object()), "lithops.log_stream"),
        (config(trace_to="https://example.org"), "lithops.trace_to"),
        (config("shm", spill=True), "shm.spill"),
        (config("shm", spill=None), "shm.spill"),
        (config("shm", lifetime="kept"), "shm.lifetime"),
        (config("shm", compute="localhost"), "shm.compute"),
        ({**LOCAL, "shm": ["confidential"]}, "shm"),
    ],
)
def test_what_leads_elsewhere_is_refused_by_its_key(found: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfidentialityError) as caught:
        require_local(found, ())
    assert caught.value.args[0] == key
    assert caught.value.args[2], "it says what to do"


def test_values_of_unknown_keys_are_not_shown() -> None:
    with pytest.raises(ConfidentialityError) as caught:
        require_local(config(token="hush"), ())
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("found", "trusted"),
    [
        (config(storage="minio"), ["minio"]),
        (config(backend="k8s", storage="minio", mode="serverless"), ("k8s", "minio")),
        (config(backend="vm", storage="minio", mode="standalone"), ("vm", "minio")),
        (config(monitoring="Redis", telemetry="yes"), ("redis", "prometheus")),
        ({"lithops": {"mode": "localhost"}}, ("localhost",)),
        (config("shm", compute="localhost"), ("localhost",)),
    ],
)
def test_the_owner_may_trust_a_backend_by_name(found: dict[str, Any], trusted: list[str]) -> None:
    require_local(found, trusted)
    with pytest.raises(ConfidentialityError, match=r"trusted: \[...\]"):
        require_local(found, trusted[1:])


@pytest.mark.parametrize("found", [config("shm", spill=True), config("shm", lifetime="kept"), config(log_filename="x")])
def test_trust_in_a_backend_is_not_trust_in_a_disk(found: dict[str, Any]) -> None:
    with pytest.raises(ConfidentialityError):
        require_local(found, ["shm", "true", "True", "kept", "x", "minio"])


def test_functions_are_shown_what_they_need() -> None:
    found = {**LOCAL, "ibm_cos": {"secret": 1}, "rabbitmq": {}, "aws": {}, "aws_s3": {}, "minio": {}, "redis": {}}
    assert set(shown_to_functions(found)) == {"lithops", "shm"}
    assert set(shown_to_functions(found, ("aws_s3", "minio"))) == {"lithops", "shm", "aws", "aws_s3", "minio"}
