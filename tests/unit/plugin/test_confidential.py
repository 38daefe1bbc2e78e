"""Where Lithops asks us, confidential data is not let out; and workers are kept apart by what they are kept from."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from lithops.config import default_config, default_storage_config

from lithops_shm.config import ConfidentialSettings, StoreSettings
from lithops_shm.errors import ConfidentialityError, ConfigError, UnsupportedError
from lithops_shm.plugin.compute.backend import seclusion_of
from lithops_shm.plugin.section import confidential_settings, require_asked, store_settings
from lithops_shm.store.process import CONFIDENTIAL_VARIABLE
from lithops_shm.workers import seclusion
from lithops_shm.workers.seclusion import HOST, IF_POSSIBLE, NONE, OPEN, Seclusion


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"confidential": "yes"}, "true or false"),
        ({"confidential": None}, "true or false"),
        ({"confidental": True}, "did you mean 'confidential'"),
        ({"trusted": "minio"}, "a list of names of backends"),
        ({"trusted": [3]}, "a list of names of backends"),
        ({"network": "off"}, "one of none, host"),
    ],
)
def test_wrong_settings_say_what_is_wrong(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ConfidentialSettings.from_mapping(section)
    with pytest.raises(ConfigError, match=message):
        StoreSettings.from_mapping(section)


def test_settings() -> None:
    section = {"confidential": True, "trusted": ["minio"], "network": "none", "budget_bytes": 7}
    assert ConfidentialSettings.from_mapping(section) == ConfidentialSettings(True, ("minio",), "none")
    assert ConfidentialSettings.from_mapping(None) == ConfidentialSettings(False, (), None)
    assert StoreSettings.from_mapping(section) == StoreSettings(budget_bytes=7, confidential=True)
    assert StoreSettings.from_mapping({}).confidential is None
    settings = StoreSettings.from_mapping(json.loads(json.dumps(StoreSettings(confidential=True).to_mapping())))
    assert settings.confidential


def test_what_a_confidential_job_starts_is_confidential(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not confidential_settings({"confidential": False}).confidential
    monkeypatch.setenv(CONFIDENTIAL_VARIABLE, "1")
    assert confidential_settings({"confidential": False, "network": "host"}).confidential
    assert not store_settings({"confidential": False}).confidential, "the store sees to itself"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (ConfidentialSettings(), OPEN),
        (ConfidentialSettings(network="host"), OPEN),
        (ConfidentialSettings(network="none"), Seclusion(False, NONE)),
        (ConfidentialSettings(True), Seclusion(True, IF_POSSIBLE)),
        (ConfidentialSettings(True, network="host"), Seclusion(True, HOST)),
        (ConfidentialSettings(True, network="none"), Seclusion(True, NONE)),
    ],
)
def test_what_workers_are_kept_from(settings: ConfidentialSettings, wanted: Seclusion) -> None:
    assert seclusion_of(settings) == wanted


# What a call of Lithops' executor makes of its arguments.
Configure = Callable[..., dict[str, Any]]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    def configure(config: dict[str, Any], lithops: dict[str, Any] | None = None, **backend: Any) -> dict[str, Any]:
        overwrite = {"lithops": lithops or {}, "backend": backend}
        return dict(default_config(config_data=config, config_overwrite=overwrite))

    return configure


LOCAL = {"backend": "shm", "storage": "shm"}
LOCALHOST = {"backend": "localhost", "storage": "shm"}


@pytest.mark.parametrize("lithops", [LOCAL, LOCALHOST, {"mode": "localhost", "storage": "shm"}])
def test_it_is_configured(configure: Configure, lithops: dict[str, Any]) -> None:
    found = configure({"lithops": lithops, "shm": {"confidential": True}})
    assert found["lithops"]["backend"] == "shm"
    assert found["lithops"]["monitoring"] == "shm"
    assert found["lithops"]["data_cleaner"] is False, "it is told what to do in files"
    assert found["shm"]["data_cleaner"] is True
    assert found["shm"]["confidential"] is True
    # As a function's own executor finds it.
    assert configure(json.loads(json.dumps(found)))["shm"]["confidential"] is True


@pytest.mark.parametrize("lithops", [LOCAL, LOCALHOST])
def test_an_argument_of_an_executor_counts(configure: Configure, lithops: dict[str, Any]) -> None:
    found = configure({"lithops": lithops}, confidential=True)
    assert confidential_settings(found["shm"]).confidential
    with pytest.raises(ConfidentialityError, match=r"lithops\.telemetry"):
        configure({"lithops": {**lithops, "telemetry": True}}, confidential=True)
    with pytest.raises(ConfidentialityError, match=r"lithops\.backend: localhost"):
        configure({"lithops": {"storage": "shm"}}, {"backend": "localhost"}, confidential=True)


@pytest.mark.parametrize("cleaner", [True, False])
def test_lithops_cleaner_is_not_used_whoever_wants_it(configure: Configure, cleaner: bool) -> None:
    found = configure({"lithops": {**LOCAL, "data_cleaner": cleaner}, "shm": {"confidential": True}})
    assert found["lithops"]["data_cleaner"] is False
    assert found["shm"]["data_cleaner"] is cleaner


@pytest.mark.parametrize(
    ("lithops", "shm", "key"),
    [
        ({"backend": "shm", "storage": "minio"}, {}, "lithops.storage: minio"),
        ({"backend": "shm", "storage": "localhost"}, {}, "lithops.storage: localhost"),
        ({"backend": "shm"}, {}, "lithops.storage: aws_s3"),
        ({"backend": "localhost", "storage": "shm"}, {"compute": "localhost"}, "localhost"),
        ({**LOCAL, "monitoring": "rabbitmq"}, {}, "lithops.monitoring: rabbitmq"),
        ({**LOCAL, "telemetry": "otlp"}, {}, "lithops.telemetry: otlp"),
        ({**LOCAL, "log_filename": "/tmp/lithops.log"}, {}, "lithops.log_filename: /tmp/lithops.log"),
        (LOCAL, {"spill": True}, "shm.spill: True"),
        (LOCAL, {"lifetime": "kept"}, "shm.lifetime: kept"),
        (LOCALHOST, {"spill": True}, "shm.spill: True"),
    ],
)
def test_what_leads_elsewhere_is_refused_when_lithops_asks(
    configure: Configure, lithops: dict[str, Any], shm: dict[str, Any], key: str
) -> None:
    with pytest.raises(ConfidentialityError, match=key):
        configure({"lithops": lithops, "shm": {"confidential": True, **shm}})


def test_compute_elsewhere_is_refused(configure: Configure) -> None:
    config = {"lithops": {"backend": "singularity", "storage": "shm"}, "shm": {"confidential": True}}
    config["singularity"] = {"worker_processes": 1, "runtime": "r", "amqp_url": "x"}
    config["rabbitmq"] = {"amqp_url": "amqp://127.0.0.1:1"}
    with pytest.raises((ConfidentialityError, UnsupportedError)):
        configure(config)


def test_a_storage_is_here_whatever_the_compute() -> None:
    found = default_storage_config(config_data={"lithops": {"storage": "shm"}, "shm": {"confidential": True}})
    assert found["shm"]["confidential"] is True
    with pytest.raises(ConfidentialityError, match="log_filename"):
        default_storage_config(
            config_data={"lithops": {"storage": "shm", "log_filename": "x"}, "shm": {"confidential": True}}
        )


def test_a_trusted_storage_passes(configure: Configure) -> None:
    minio = {"endpoint": "http://127.0.0.1:1", "access_key_id": "a", "secret_access_key": "b", "storage_bucket": "c"}
    config = {"lithops": {"backend": "shm", "storage": "minio"}, "minio": minio, "shm": {"confidential": True}}
    with pytest.raises(ConfidentialityError, match=r"list it in `shm: \{trusted"):
        configure(config)
    config["shm"]["trusted"] = ["minio"]
    assert configure(config)["lithops"]["storage"] == "minio"


@pytest.mark.parametrize(
    ("lithops", "arguments", "key"),
    [
        ({"backend": "aws_lambda", "storage": "aws_s3"}, {}, "lithops.backend: aws_lambda"),
        ({"backend": "localhost", "storage": "localhost"}, {}, "lithops.backend: localhost"),
        (LOCAL, {"backend": "k8s", "storage": "minio"}, "lithops.backend: k8s"),
        ({"mode": "standalone"}, {}, "lithops.mode: standalone"),
        ({}, {"mode": "localhost"}, "lithops.mode: localhost"),
        (LOCAL, {"storage": "minio"}, "lithops.storage: minio"),
        (LOCALHOST, {"backend": None}, ""),
        (LOCAL, {}, ""),
    ],
)
def test_an_executor_of_ours_asks_for_what_lithops_would_not(
    lithops: dict[str, Any], arguments: dict[str, Any], key: str
) -> None:
    require_asked({"lithops": lithops}, **arguments)
    config = {"lithops": lithops, "shm": {"confidential": True, "trusted": ["ceph"]}}
    if not key:  # Lithops asks
        require_asked(config, **arguments)
        return
    with pytest.raises(ConfidentialityError, match=key):
        require_asked(config, **arguments)
    config["shm"] = {"confidential": True, "trusted": ["aws_lambda", "aws_s3", "localhost", "k8s", "minio", "aws_ec2"]}
    require_asked(config, **arguments)


@pytest.mark.skipif(os.name != "posix", reason="namespaces")
@pytest.mark.parametrize("confidential", [True, False])
def test_no_network_at_any_price_is_an_error_where_it_cannot_be(
    configure: Configure, confidential: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = {"confidential": confidential, "network": "none"}
    monkeypatch.setattr(seclusion, "network_refusal", lambda: "the kernel says no")
    with pytest.raises(UnsupportedError, match=r"network: none.*the kernel says no"):
        configure({"lithops": LOCAL, "shm": section})
    configure({"lithops": LOCAL, "shm": {"confidential": confidential}})
