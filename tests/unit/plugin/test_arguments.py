"""S3's arguments: what is ignored, what is refused, what is a mistake."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from lithops_shm.errors import ConfigError, UnsupportedError
from lithops_shm.plugin.storage.arguments import require_harmless
from lithops_shm.plugin.storage.errors import as_client_error


@pytest.mark.parametrize("arguments", [{}, {"ContentType": "a/b"}, {"IfMatch": None, "Metadata": {}}, {"Mine": 1}])
def test_harmless_arguments(arguments: dict[str, Any]) -> None:
    require_harmless(arguments, ("Mine",))


@pytest.mark.parametrize("name", ["IfMatch", "VersionId", "SSECustomerKey", "ServerSideEncryption", "Metadata"])
def test_arguments_that_must_not_be_ignored(name: str) -> None:
    with pytest.raises(UnsupportedError, match=name) as raised:
        require_harmless({name: "s3cret"})
    assert "s3cret" not in str(raised.value)


def test_misspelt_arguments() -> None:
    with pytest.raises(ConfigError, match=r"'Rang'.*takes Range"):
        require_harmless({"Rang": "bytes=0-1"}, ("Range",))


def test_both_come_out_as_botocores() -> None:
    with pytest.raises(ParamValidationError, match="'Rang'"), as_client_error("GetObject"):
        require_harmless({"Rang": "bytes=0-1"})
    with pytest.raises(ClientError, match="NotImplemented"), as_client_error("GetObject"):
        require_harmless({"VersionId": "1"})
