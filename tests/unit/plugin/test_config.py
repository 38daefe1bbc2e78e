"""The section `shm`, and what Lithops makes of it."""

import json
import sys
from typing import Any

import pytest
from lithops.config import default_config, default_storage_config

from lithops_shm.config import StoreSettings, parse_bytes
from lithops_shm.errors import ConfigError, UnsupportedError
from lithops_shm.plugin.storage.config import load_config, require_local_compute
from lithops_shm.plugin.versions import check_lithops


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("2 GiB", 2 << 30),
        ("1.5GB", 1_500_000_000),
        ("64 mib", 64 << 20),
        ("7 kB", 7000),
        (0, 0),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["8 parsecs", "GB", "-1", -1, True, 1.5, None, "1e9", "2 Gib s"])
def test_what_is_not_a_size(text: object) -> None:
    with pytest.raises(ValueError, match=r"size|negative"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"budget_byte": 1}, "did you mean 'budget_bytes'"),
        ({"zzz": 1}, "known keys: budget_bytes, directory"),
        ({"budget_bytes": "8 parsecs"}, "'parsecs' is not a unit"),
        ({"pool_bytes": None}, "not a size"),
        ({"spill": "yes"}, "true or false"),
        ({"directory": "relative/path"}, "absolute"),
        ({"directory": 3}, "a text"),
        ({"lifetime": "for ever"}, "session, kept"),
        ({"storage_bucket": ""}, "not empty"),
        ([1], "must be a mapping"),
    ],
)
def test_wrong_settings_say_what_is_wrong(section: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StoreSettings.from_mapping(section)


def test_settings_survive_json() -> None:
    settings = StoreSettings.from_mapping({"budget_bytes": "1 GiB", "spill": False})
    assert StoreSettings.from_mapping(json.loads(json.dumps(settings.to_mapping()))) == settings


def configuration(backend: str, **shm: Any) -> dict[str, Any]:
    """As Lithops hands it over once it has prepared the compute backend."""
    return {"lithops": {"backend": backend, "mode": "any", "storage": "shm", "chunksize": 2}, "shm": shm, backend: {}}


def test_the_section_is_completed_and_stays_json() -> None:
    config = configuration("localhost", user_agent="lithops/3.8.0", budget_bytes="1 GiB")
    load_config(config)
    assert config["shm"]["storage_bucket"] == "lithops"
    assert config["lithops"]["monitoring"] == "shm"
    json.dumps(config)


@pytest.mark.parametrize(
    ("backend", "instead"),
    [("aws_lambda", "aws_s3"), ("aws_ec2", "aws_s3"), ("gcp_cloudrun", "gcp_storage"), ("k8s", "minio")],
)
def test_compute_on_another_machine_is_refused(backend: str, instead: str) -> None:
    with pytest.raises(
        UnsupportedError, match=rf"'{backend}' run on another.*backend='localhost'.*storage='{instead}'"
    ):
        require_local_compute(configuration(backend))


LAMBDA = {"execution_role": "arn:aws:iam::123456789012:role/lithops", "region": "us-east-1"}


def test_an_executor_elsewhere_is_refused_by_lithops_own_way_in() -> None:
    config = {"lithops": {"backend": "aws_lambda", "storage": "shm"}, "aws": {}, "aws_lambda": dict(LAMBDA)}
    with pytest.raises(UnsupportedError, match="aws_lambda"):
        default_config(config_data=config)


def test_a_storage_on_its_own_is_not() -> None:
    """Not even with all that an executor's configuration has in it."""
    config = {"lithops": {"backend": "aws_lambda", "mode": "serverless", "storage": "aws_s3", "chunksize": 1}}
    config["aws_lambda"] = {**LAMBDA, "worker_processes": 1}
    assert default_storage_config(config_data=config, backend="shm")["shm"]["storage_bucket"] == "lithops"


def test_a_container_runtime_is_refused() -> None:
    config = {"lithops": {"backend": "localhost", "storage": "shm"}, "localhost": {"runtime": "python:3.12"}}
    with pytest.raises(UnsupportedError, match="container"):
        default_config(config_data=config)


def test_workers_run_this_python_unless_told_otherwise() -> None:
    config = default_config(config_data={"lithops": {"backend": "localhost", "storage": "shm"}})
    assert config["localhost"]["runtime"] == sys.executable
    config["localhost"]["runtime"] = "/usr/bin/python3"
    assert default_config(config_data=config)["localhost"]["runtime"] == "/usr/bin/python3"


def test_what_the_user_set_stays() -> None:
    lithops = {"backend": "localhost", "storage": "shm", "monitoring": "storage", "monitoring_interval": 3}
    config = default_config(config_data={"lithops": lithops})
    assert (config["lithops"]["monitoring"], config["lithops"]["monitoring_interval"]) == ("storage", 3)


@pytest.mark.parametrize("version", ["3.7.2", "4.0.0", "4.1", "2.9"])
def test_other_lithops_versions_are_refused(version: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"this is {version}"):
        check_lithops(version)


@pytest.mark.parametrize("version", ["3.8.0", "3.8.1.dev0", "3.12.0"])
def test_supported_lithops_versions(version: str) -> None:
    check_lithops(version)
