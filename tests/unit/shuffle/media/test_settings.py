"""Where an S3 is: what a Lithops configuration says, and what is shown of it."""

import os
import pickle

import pytest

from lithops_shm.errors import ConfigError, ShuffleStorageError
from lithops_shm.shuffle.media import Medium, S3Settings, open_objects

SECRETS = {"access_key_id": "AK", "secret_access_key": "SECRET", "session_token": "TOKEN"}


@pytest.fixture(autouse=True)
def no_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        monkeypatch.delenv(name, raising=False)


def test_aws_s3_takes_what_aws_says_and_its_own_before_it() -> None:
    config = {
        "lithops": {"storage": "aws_s3"},
        "aws": {"region": "us-east-1", **SECRETS, "access_key_id": "other"},
        "aws_s3": {"storage_bucket": "b", "access_key_id": "AK"},
    }
    assert S3Settings.from_lithops(config) == S3Settings("b", None, "us-east-1", "AK", "SECRET", "TOKEN")
    assert S3Settings.from_lithops(config, bucket="c").bucket == "c"


def test_minio_has_an_endpoint() -> None:
    config = {"minio": {"endpoint": "http://host:9000", "storage_bucket": "b", **SECRETS}}
    assert S3Settings.from_lithops(config) == S3Settings("b", "http://host:9000", None, "AK", "SECRET", "TOKEN")


def test_what_a_storage_keeps_of_it_will_do() -> None:
    """Lithops gives workers the section of the storage, merged, and its name."""
    kept = {"backend": "aws_s3", "aws_s3": {"region_name": "eu-1", "storage_bucket": "b", "user_agent": "lithops"}}
    assert S3Settings.from_lithops(kept) == S3Settings("b", None, "eu-1")


def test_the_endpoint_comes_from_the_environment_as_boto3_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"aws": {"region": "us-east-1"}, "aws_s3": {"storage_bucket": "b"}}
    assert S3Settings.from_lithops(config).endpoint_url is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all")
    assert S3Settings.from_lithops(config).endpoint_url == "http://all"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3")
    assert S3Settings.from_lithops(config).endpoint_url == "http://s3"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert S3Settings.from_lithops(config).endpoint_url is None


def test_secrets_travel_and_are_not_shown() -> None:
    settings = S3Settings("b", **SECRETS)
    medium = Medium.of_s3("boto3", settings)
    assert pickle.loads(pickle.dumps(medium)) == medium
    for shown in (repr(settings), repr(medium), settings.where):
        assert "SECRET" not in shown
        assert "TOKEN" not in shown


def test_an_endpoint_is_a_url() -> None:
    with pytest.raises(ConfigError, match="http://"):
        S3Settings("b", "host:9000")


@pytest.mark.parametrize("engine", ["boto3", "s3fs"])
def test_what_no_client_can_be_made_of_is_told_on_first_use(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    objects = open_objects(Medium.of_s3(engine, S3Settings("b", access_key_id="a", secret_access_key="b")))
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(ShuffleStorageError, match="no-such-profile"):
        objects.get("key")
    objects.close()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"lithops": {"storage": "gcp_storage"}}, "gcp_storage.*aws_s3, minio"),
        ({}, "not an S3"),
        ({"minio": {"endpoint": "http://x"}}, "storage_bucket"),
    ],
)
def test_what_cannot_be_reached_is_refused(config: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        S3Settings.from_lithops(config)


def test_an_unknown_engine_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'boto3'"):
        Medium("boto", "b")
    with pytest.raises(ConfigError, match="shared, boto3, s3fs, lithops"):
        Medium("zzzzzz", "b")


def test_a_place_without_its_settings_is_refused() -> None:
    for kind in ("shared", "boto3", "s3fs"):
        with pytest.raises(ConfigError, match="settings"):
            Medium(kind, "b")
    with pytest.raises(ConfigError, match="hand it over"):
        open_objects(Medium.of_lithops("b"))
