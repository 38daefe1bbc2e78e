"""Where a job runs: its Lithops configuration, the selector's decision, its executors, what they may touch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lithops_shm import host
from lithops_shm.errors import ConfidentialityError, ConfigError
from lithops_shm.executor import FunctionExecutor
from lithops_shm.executor.choice import AUTO, configured
from lithops_shm.executor.shuffling import medium_of
from lithops_shm.placement.choose import as_profile, decided, outcome_of
from lithops_shm.placement.outcome import Outcome
from lithops_shm.placement.storages import storages_of
from lithops_shm.plugin.section import confidential_settings, shuffle_settings
from lithops_shm.selector import Decision, JobProfile
from lithops_shm.selector.confidential import require_local
from lithops_shm.shuffle.frames import Encoding
from seer_integration.datasets.places import Places

__all__ = ["Environment"]

_SECTION = "shm"
_IN_MEMORY = "shm"
_HERE = (None, _IN_MEMORY, "localhost")
_LOCAL = (*_HERE, AUTO)


class Environment:
    """Of one job; what it opens is closed with it.

    Parameters
    ----------
    lithops_config:
        As Lithops takes it; ``None``: where Lithops looks for its own, else shared memory.
    confidential:
        Whether data must not leave the memory of this machine.
    profile, policy:
        For the selector, which they ask for.
    executor:
        One to run on as it is configured, in place of all these; it stays the caller's.

    Raises
    ------
    ConfigError
        For a wrong configuration, and for an executor beside what would choose another.
    ConfidentialityError
    """

    def __init__(
        self,
        lithops_config: Mapping[str, Any] | None,
        *,
        confidential: bool = False,
        profile: JobProfile | Mapping[str, Any] | None = None,
        policy: str | Callable[..., Any] | None = None,
        executor: Any = None,
    ) -> None:
        self._given = executor
        self._executor: Any = executor
        self._profile, self._policy = profile, policy
        if executor is not None:
            if lithops_config or profile or policy or confidential:
                raise ConfigError("a job on an executor runs as that is configured: leave out the other settings")
            self._config: dict[str, Any] = executor.config
        else:
            config = None if lithops_config is None else dict(lithops_config)
            backend = AUTO if profile is not None or policy is not None else None
            if config is not None and backend == AUTO:  # what the configuration names becomes the other choice
                named = (config.get("lithops") or {}).items()
                choice = {key: name for key, name in named if key in ("backend", "storage") and name not in _LOCAL}
                config["selector"] = {**choice, **(config.get("selector") or {})}
            self._config = configured(config, None, backend=backend, confidential=confidential)
        settings = confidential_settings(self._config.get(_SECTION))
        self.confidential, self._trusted = settings.confidential, tuple(settings.trusted)
        self.decision: Decision | None = None

    @property
    def storage(self) -> str:
        """The storage backend that buckets are in, when nothing says otherwise."""
        section = self._config.get("lithops") or {}
        chosen = self.decision.config["lithops"]["storage"] if self.decision is not None else None
        remote = (self._config.get("selector") or {}).get("storage")
        name: str = section.get("storage") or remote or chosen or _IN_MEMORY
        return name

    @contextmanager
    def places(self) -> Iterator[Places]:
        """Where datasets are, for the client."""
        with storages_of(self._config) as storage_of:
            places = Places(storage_of)
            try:
                yield places
            finally:
                places.close()

    def require_allowed(self, storage: str | None, *, writes: bool) -> None:
        """Refuse a place that confidential data may not be read from or written to, before it is touched.

        Raises
        ------
        ConfidentialityError
        """
        if not self.confidential or storage in self._trusted or storage == _IN_MEMORY:
            return
        if storage not in _HERE:
            require_local({**self._config, "lithops": {"backend": _IN_MEMORY, "storage": storage}}, self._trusted)
        if writes:
            todo = "write to storage 'shm', or name one you trust in `shm: {trusted: [...]}`"
            raise ConfidentialityError("Write", storage or "a file", todo)

    def decide(self, nbytes: int, storages: Collection[str | None]) -> Decision | None:
        """The selector's decision about a job, made once; ``None`` when it was not asked.

        Parameters
        ----------
        nbytes:
            That the job reads.
        storages:
            That it reads from and writes to. With one of this machine, functions elsewhere are no choice.

        Raises
        ------
        NoPlaceError
        """
        asked = (self._config.get("lithops") or {}).get("backend") == AUTO
        if asked and self.decision is None:
            known = self._profile.to_mapping() if isinstance(self._profile, JobProfile) else dict(self._profile or {})
            known = {"input_bytes": nbytes, **known}
            if self.confidential:
                known["confidential"] = True
            overrides: dict[str, Any] = {} if self._policy is None else {"policy": self._policy}
            bound = any(each in _HERE for each in storages)
            known.setdefault("input_place", "local" if bound else "remote")
            if bound:
                overrides["pin"] = "local"
            self.decision = decided(as_profile(known), self._config, overrides)
        return self.decision

    @property
    def executor(self) -> Any:
        """The executor of the job, which is made on first use; after :meth:`decide`, where that has to come first."""
        if self._executor is None:
            self._executor = FunctionExecutor(config=self._config, decision=self.decision, log_level=None)
        return self._executor

    @property
    def slots(self) -> int:
        """How many tasks can run at once; asks for no executor when there is none yet."""
        if self.decision is not None and self.decision.chosen.plan.workers:
            return self.decision.chosen.plan.workers
        if self._executor is None:
            return host.usable_cpus()
        workers = self._executor.compute_handler.get_runtime_info().get("max_workers")
        return int(workers or host.usable_cpus())

    @property
    def medium(self) -> Any:
        """Where exchanged and kept rows go."""
        return medium_of(self.executor)

    @property
    def encoding(self) -> Encoding:
        """As what they go to storages that do not map."""
        settings = shuffle_settings(self._config.get(_SECTION))
        return Encoding(settings.shuffle_format, settings.shuffle_compression)

    def outcome(self) -> Outcome | None:
        """What is told of a decision that is followed: its log and history."""
        return None if self.decision is None else outcome_of(self.decision, self._config)

    def close(self) -> None:
        """End what this has opened; closing twice is closing once."""
        executor, self._executor = self._executor, self._given
        if executor is not None and executor is not self._given:
            executor.__exit__(None, None, None)
