"""Where an S3 is, and who we are to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lithops_shm.errors import ConfigError

__all__ = ["S3Settings"]

_BACKENDS = ("aws_s3", "minio")


@dataclass(frozen=True, slots=True)
class S3Settings:
    """An S3 bucket and the way to it. Travels to other processes with its secrets, which it shows nobody.

    Parameters
    ----------
    bucket:
        Its name; it has to exist.
    endpoint_url:
        Of a server other than AWS's, as ``http://host:port``; ``None`` for AWS.
    region:
        ``None`` for what boto3 finds.
    access_key_id, secret_access_key, session_token:
        ``None`` for what boto3 finds: environment, files, or the role of the machine or function.

    Raises
    ------
    ConfigError
        When the endpoint is not a URL.
    """

    bucket: str
    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.endpoint_url is not None and not self.endpoint_url.startswith(("http://", "https://")):
            raise ConfigError(f"the endpoint {self.endpoint_url!r} of S3 has to begin with http:// or https://")

    @property
    def where(self) -> str:
        """The bucket in words, for messages."""
        return f"bucket {self.bucket!r} of {self.endpoint_url or 'AWS S3'}"

    @classmethod
    def from_lithops(cls, config: Mapping[str, Any], bucket: str | None = None) -> S3Settings:
        """What a Lithops configuration says of its storage: of ``aws_s3`` with ``aws``, or of ``minio``.

        Takes a whole configuration, and the part of it that a ``Storage`` keeps.

        Parameters
        ----------
        bucket:
            ``None`` for the section's ``storage_bucket``.

        Raises
        ------
        ConfigError
            When the storage is another, or no bucket is named.
        """
        backend = _backend_of(config)
        section = _section(config, backend)
        if backend == "aws_s3":
            section = {**_section(config, "aws"), **section}
        bucket = bucket or section.get("storage_bucket")
        if not bucket:
            raise ConfigError(f"section `{backend}:` names no bucket; set `{backend}: {{storage_bucket: ...}}`")
        return cls(
            bucket=bucket,
            endpoint_url=section.get("endpoint") or section.get("endpoint_url") or _endpoint_of_environment(),
            region=section.get("region_name") or section.get("region"),
            access_key_id=section.get("access_key_id"),
            secret_access_key=section.get("secret_access_key"),
            session_token=section.get("session_token"),
        )


def _backend_of(config: Mapping[str, Any]) -> str:
    named = _section(config, "lithops").get("storage") or config.get("backend")
    if named is None:
        named = "minio" if "minio" in config else "aws_s3" if {"aws", "aws_s3"} & set(config) else None
    if named not in _BACKENDS:
        raise ConfigError(f"the storage {named!r} is not an S3 we know how to reach; use one of {', '.join(_BACKENDS)}")
    return str(named)


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    return dict(config.get(name) or {})


def _endpoint_of_environment() -> str | None:
    """What boto3 takes from the environment, which another process need not have.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
