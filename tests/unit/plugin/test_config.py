"""The section `shm`, and what Lithops makes of it."""

import json
import sys
from typing import Any

import pytest
from lithops.config import default_config, default_storage_config

from lithops_shm.config import StoreSettings, WorkerSettings, parse_bytes
from lithops_shm.errors import ConfigError, UnsupportedError
from lithops_shm.host import usable_cpus
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
        ({"zzz": 1}, "known keys: budget_bytes, compute, confidential, directory"),
        ({"budget_bytes": "8 parsecs"}, "'parsecs' is not a unit"),
        ({"pool_bytes": None}, "not a size"),
        ({"spill": "yes"}, "true or false"),
        ({"directory": "relative/path"}, "absolute"),
        ({"directory": 3}, "a text"),
        ({"lifetime": "for ever"}, "session, kept"),
        ({"storage_bucket": ""}, "not empty"),
        ({"compute": "lambda"}, "one of shm, localhost"),
        ({"worker_processes": 0}, "whole number from 1 up"),
        ({"worker_processes": True}, "whole number from 1 up"),
        ({"max_workers": 1.5}, "whole number from 1 up"),
        ({"runtime_memory": "2 GB"}, "whole number from 0 up"),
        ({"retries": -1}, "whole number from 0 up"),
        ({"idle_seconds": "long"}, "number from 0 up"),
        ({"preload": "numpy"}, "a list of module names"),
        ({"preload": ["numpy", ""]}, "a list of module names"),
        ([1], "must be a mapping"),
    ],
)
@pytest.mark.parametrize("settings", [StoreSettings, WorkerSettings])
def test_wrong_settings_say_what_is_wrong(settings: Any, section: Any, message: str) -> None:
    """Whichever half of the section is read: the other half's mistakes would be found too late."""
    with pytest.raises(ConfigError, match=message):
        settings.from_mapping(section)


def test_each_half_takes_its_own_settings() -> None:
    section = {"budget_bytes": "1 GiB", "worker_processes": 3, "idle_seconds": 0.5, "preload": ["json"]}
    assert StoreSettings.from_mapping(section) == StoreSettings(budget_bytes=1 << 30)
    assert WorkerSettings.from_mapping(section) == WorkerSettings(
        worker_processes=3, idle_seconds=0.5, preload=("json",)
    )


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
    json.dumps(config)


@pytest.mark.parametrize(
    ("backend", "instead"),
    [("aws_lambda", "aws_s3"), ("aws_ec2", "aws_s3"), ("gcp_cloudrun", "gcp_storage"), ("k8s", "minio")],
)
def test_compute_on_another_machine_is_refused(backend: str, instead: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"'{backend}' run on another.*backend='shm'.*storage='{instead}'"):
        require_local_compute(configuration(backend))


MINIO = {"endpoint": "http://127.0.0.1:1", "access_key_id": "a", "secret_access_key": "b", "storage_bucket": "c"}
LAMBDA = {"execution_role": "arn:aws:iam::123456789012:role/lithops", "region": "us-east-1"}


ON_LOCALHOST: dict[str, Any] = {
    "lithops": {"backend": "localhost", "storage": "shm"},
    "shm": {"compute": "localhost"},
}


class TestComputeOfAnExecutor:
    def test_is_warm_workers(self) -> None:
        config = default_config(config_data={"lithops": {"backend": "localhost", "storage": "shm"}})
        assert config["lithops"]["backend"] == config["lithops"]["monitoring"] == "shm"
        assert config["lithops"]["mode"] == "serverless"
        assert config["shm"]["worker_processes"] == usable_cpus()

    def test_is_warm_workers_with_other_storage_when_named(self) -> None:
        config = default_config(config_data={"lithops": {"backend": "shm", "storage": "minio"}, "minio": MINIO})
        assert (config["lithops"]["backend"], config["lithops"]["monitoring"]) == ("shm", "shm")

    def test_takes_what_the_executor_was_given_for_its_backend(self) -> None:
        given = {"backend": "localhost"}  # as in Lithops' own configuration for those who have none
        overwrite = {"lithops": {"storage": "shm"}, "backend": {"worker_processes": 7, "runtime_memory": 100}}
        section = default_config(config_data={"lithops": given}, config_overwrite=overwrite)["shm"]
        assert (section["worker_processes"], section["runtime_memory"]) == (7, 100)

    def test_is_lithops_own_when_an_argument_says_so(self) -> None:
        overwrite = {"lithops": {"storage": "shm", "backend": "localhost"}, "backend": {}}
        config = default_config(config_data={"lithops": {}}, config_overwrite=overwrite)
        assert (config["lithops"]["backend"], config["lithops"]["monitoring"]) == ("localhost", "shm_polling")

    def test_is_lithops_own_when_the_section_says_so(self) -> None:
        config = default_config(config_data=ON_LOCALHOST)
        assert (config["lithops"]["backend"], config["lithops"]["monitoring"]) == ("localhost", "shm_polling")

    def test_of_lithops_own_cannot_push(self) -> None:
        """Also in a configuration that was completed for warm workers, as those of executors are."""
        completed = default_config(config_data={"lithops": {"backend": "shm", "storage": "shm"}})
        for storage, monitoring in (("shm", "shm_polling"), ("localhost", "storage")):
            overwrite = {"lithops": {"backend": "localhost", "storage": storage}}
            config = default_config(config_data=completed, config_overwrite=overwrite)
            assert config["lithops"]["monitoring"] == monitoring

    def test_cannot_be_two_at_once(self) -> None:
        config = {"lithops": {"backend": "shm", "storage": "shm"}, "shm": {"compute": "localhost"}}
        with pytest.raises(ConfigError, match="contradict"):
            default_config(config_data=config)


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
    config = {**ON_LOCALHOST, "localhost": {"runtime": "python:3.12"}}
    with pytest.raises(UnsupportedError, match="container"):
        default_config(config_data=config)


def test_workers_run_this_python_unless_told_otherwise() -> None:
    config = default_config(config_data=ON_LOCALHOST)
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
