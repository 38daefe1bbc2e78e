"""boto3's paginators for listings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lithops_shm.errors import ConfigError
from lithops_shm.plugin.storage.errors import as_client_error
from lithops_shm.plugin.storage.listing import PAGE_KEYS, V1, V2, Request, answer
from lithops_shm.store import SegmentInfo

__all__ = ["PageIterator", "Paginator"]

_CALLS = {"list_objects": V1, "list_objects_v2": V2}

Infos = Callable[[str, str], Sequence[SegmentInfo]]


class Paginator:
    """Makes iterators over the pages of a listing.

    Parameters
    ----------
    infos:
        Gives all objects of a bucket under a prefix, sorted by key.
    operation:
        ``list_objects`` or ``list_objects_v2``.

    Raises
    ------
    ValueError
        For another operation.
    """

    def __init__(self, infos: Infos, operation: str) -> None:
        if operation not in _CALLS:
            raise ValueError(f"there are pages of {' and '.join(_CALLS)}, not of {operation!r}")
        self._infos = infos
        self._call = _CALLS[operation]

    def paginate(
        self,
        *,
        PaginationConfig: Mapping[str, Any] | None = None,  # noqa: N803  (boto3's name)
        **arguments: Any,
    ) -> PageIterator:
        """The pages of a listing, by the arguments of the operation.

        ``PaginationConfig`` may give ``PageSize``, ``MaxItems`` and ``StartingToken``.
        """
        return PageIterator(self._infos, self._call, arguments, PaginationConfig or {})


class PageIterator:
    """The pages of one listing, which is taken when the iteration starts: all of them show that moment."""

    def __init__(self, infos: Infos, call: str, arguments: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._infos = infos
        self._call = call
        self._arguments = dict(arguments)
        self._config = config
        self.resume_token: str | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with as_client_error(self._call):
            request, left = self._first_request()
            infos = self._infos(request.bucket, request.prefix)
        key = "NextMarker" if self._call == V1 else "NextContinuationToken"
        size = request.limit
        while True:
            request = replace(request, limit=size if left is None else min(size, left))
            response = answer(request, infos)
            yield response
            self.resume_token = response.get(key)
            if left is not None:
                left -= len(response.get("Contents", ())) + len(response.get("CommonPrefixes", ()))
            if not response["IsTruncated"] or left == 0:
                return
            request = self._behind(request, response[key])

    def build_full_result(self) -> dict[str, Any]:
        """All pages as one."""
        whole: dict[str, Any] = {"Contents": []}
        for response in self:
            for name in ("Contents", "CommonPrefixes"):
                whole.setdefault(name, []).extend(response.get(name, ()))
        if not whole["CommonPrefixes"]:
            del whole["CommonPrefixes"]
        if self.resume_token is not None:
            whole["NextToken"] = self.resume_token
        return whole

    def search(self, expression: str) -> Iterator[Any]:
        """What a JMESPath expression finds in each page, one by one."""
        import jmespath  # type: ignore[import-untyped]  # botocore's own, without types

        compiled = jmespath.compile(expression)
        for response in self:
            found = compiled.search(response)
            yield from found if isinstance(found, list) else [found]

    def _first_request(self) -> tuple[Request, int | None]:
        unknown = sorted(set(self._config) - {"PageSize", "MaxItems", "StartingToken"})
        if unknown:
            raise ConfigError(f"PaginationConfig takes PageSize, MaxItems and StartingToken, not {unknown[0]!r}")
        arguments = dict(self._arguments)
        if self._config.get("PageSize") is not None:
            arguments["MaxKeys"] = max(1, int(self._config["PageSize"]))
        if self._config.get("StartingToken"):
            arguments["Marker" if self._call == V1 else "ContinuationToken"] = self._config["StartingToken"]
        most = self._config.get("MaxItems")
        return Request.of(self._call, {"MaxKeys": PAGE_KEYS, **arguments}), None if most is None else int(most)

    def _behind(self, request: Request, token: str) -> Request:
        again = {"Marker" if self._call == V1 else "ContinuationToken": token}
        resumed = Request.of(self._call, {"Bucket": request.bucket, **again})
        return replace(request, after=resumed.after, resumed=True)
