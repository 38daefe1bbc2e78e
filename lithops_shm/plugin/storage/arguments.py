"""The arguments of S3's calls: which mean something in memory, which may be ignored, and which may not.

Ignored is what only a server could honour and nobody misses: a cache header, a canned ACL, a storage class. What would
change the answer, or what protects or describes the data, is refused instead: a condition, a version, a customer's key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lithops_shm.errors import ConfigError, UnsupportedError

__all__ = ["require_harmless"]

# By the names of S3's API (version 2006-03-01), which are boto3's.
_NOT_MISSED = """
    ACL BucketKeyEnabled CacheControl ChecksumAlgorithm ChecksumMode ContentDisposition ContentEncoding ContentLanguage
    ContentLength ContentMD5 ContentType CreateBucketConfiguration ExpectedBucketOwner ExpectedSourceBucketOwner Expires
    FetchOwner GrantFullControl GrantRead GrantReadACP GrantWrite GrantWriteACP ObjectOwnership
    OptionalObjectAttributes RequestPayer ResponseCacheControl ResponseContentDisposition ResponseContentEncoding
    ResponseContentLanguage ResponseContentType ResponseExpires StorageClass"""
_REASONS = {
    "reads and writes take no conditions": """
        CopySourceIfMatch CopySourceIfModifiedSince CopySourceIfNoneMatch CopySourceIfUnmodifiedSince IfMatch
        IfMatchLastModifiedTime IfMatchSize IfModifiedSince IfNoneMatch IfUnmodifiedSince""",
    "objects have no versions, parts or locks": """
        BypassGovernanceRetention MFA ObjectLockEnabledForBucket ObjectLockLegalHoldStatus ObjectLockMode
        ObjectLockRetainUntilDate PartNumber VersionId WriteOffsetBytes""",
    "nothing is encrypted": """
        CopySourceSSECustomerAlgorithm CopySourceSSECustomerKey CopySourceSSECustomerKeyMD5 SSECustomerAlgorithm
        SSECustomerKey SSECustomerKeyMD5 SSEKMSEncryptionContext SSEKMSKeyId ServerSideEncryption""",
    "objects carry their bytes and no more": """
        Metadata MetadataDirective Tagging TaggingDirective WebsiteRedirectLocation""",
    "keys are never encoded": "EncodingType",
}
_IGNORED = frozenset(_NOT_MISSED.split())
_REFUSED = {name: reason for reason, names in _REASONS.items() for name in names.split()}


def require_harmless(arguments: Mapping[str, Any], meant: Collection[str] = ()) -> None:
    """Let pass what is `meant` and what may be ignored; what is not set (``None``, empty) always passes.

    Raises
    ------
    UnsupportedError
        For an argument of S3's that cannot be honoured here and must not be ignored.
    ConfigError
        For a name S3 does not know either, a misspelt one for instance.
    """
    for name, value in arguments.items():
        if name in meant or name in _IGNORED:
            continue
        if name not in _REFUSED:
            known = ", ".join(sorted(meant)) or "none of its own"
            raise ConfigError(f"unknown argument {name!r}; this call on shared memory takes {known}")
        if value not in (None, "", {}):
            # Without its value, which may be a secret key.
            raise UnsupportedError(f"{name} cannot be honoured in shared memory, where {_REFUSED[name]}; leave it out")
