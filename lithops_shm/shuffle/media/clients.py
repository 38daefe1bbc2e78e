"""What both S3 engines know of botocore: how a client is set up, and what its errors mean."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any

import botocore.exceptions
import botocore.loaders
import botocore.parsers
import urllib3.exceptions

from lithops_shm.shuffle.media.failures import Failure, Kind, ShortReadError, WrongRangeError, of_answer
from lithops_shm.shuffle.media.requests import CONNECTIONS
from lithops_shm.shuffle.media.settings import S3Settings

__all__ = ["ERRORS", "LOADER", "configuration", "credentials", "failure_of"]

_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 20  # between two pieces of an answer, not for all of it

# Reads the description of S3's interface once a process, and not once a client: 370 ms and 25 ms.
LOADER = botocore.loaders.create_loader()

ERRORS: tuple[type[Exception], ...] = (
    botocore.exceptions.BotoCoreError,
    botocore.exceptions.ClientError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ShortReadError,
    WrongRangeError,
)
"""All that a request can raise."""

_DENIED = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.TokenRetrievalError,
)
_TRANSIENT = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ResponseStreamingError,
    botocore.exceptions.ReadTimeoutError,
    botocore.exceptions.ChecksumError,
    botocore.parsers.ResponseParserError,  # half an answer does not parse, nor does a proxy's page about an error
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ShortReadError,
)


def configuration(settings: S3Settings) -> dict[str, Any]:
    """The arguments of a client's ``Config``."""
    arguments = {
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "read_timeout": _READ_TIMEOUT_S,
        "max_pool_connections": CONNECTIONS,
        "retries": {"total_max_attempts": 1, "mode": "standard"},  # we try again, by one rule for all engines
        "response_checksum_validation": "when_required",  # there is none for a byte range
    }
    if settings.endpoint_url is not None:
        # Not all servers but AWS's know the checksums that AWS's verify. Without those botocore would sign the SHA-256
        # of every body, which halves the speed of a put; TLS, where there is any, covers body and signature alike.
        arguments["request_checksum_calculation"] = "when_required"
        arguments["s3"] = {"payload_signing_enabled": False}
    return arguments


def credentials(settings: S3Settings) -> dict[str, Any]:
    """The arguments of a client that say who and where; what is not set is left for botocore to find."""
    arguments = {
        "endpoint_url": settings.endpoint_url,
        "region_name": settings.region or ("us-east-1" if settings.endpoint_url else None),
        "aws_access_key_id": settings.access_key_id,
        "aws_secret_access_key": settings.secret_access_key,
        "aws_session_token": settings.session_token,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def failure_of(error: BaseException) -> Failure:
    """What one of `ERRORS` means."""
    if isinstance(error, botocore.exceptions.ClientError):
        said: Mapping[str, Any] = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return of_answer(int(status), str(said.get("Code", "")), str(said.get("Message", "")))
    words = str(error) or type(error).__name__
    if isinstance(error, _DENIED):
        return Failure(Kind.DENIED, words)
    if isinstance(error, _TRANSIENT):
        return Failure(Kind.TRANSIENT, words)
    return Failure(Kind.REFUSED, words)
