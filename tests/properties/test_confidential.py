"""No confidential job is sent anywhere remote: over 10,000 configurations and profiles, made to get one out.

What a configuration means is asked of Lithops itself: its own code resolves the backends of those that pass.
"""

import contextlib
import copy
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lithops import config as lithops_config
from lithops import constants
from lithops.monitoring.backends import resolve_backend as resolve_monitoring
from lithops.telemetry.backends import resolve_backend as resolve_telemetry

from lithops_shm.config import SelectorSettings
from lithops_shm.errors import ConfidentialityError, ConfigError, NoPlaceError
from lithops_shm.executor.choice import configured
from lithops_shm.selector import HostProfile, JobProfile, Knowledge, Remote, decide
from lithops_shm.selector.confidential import require_local
from lithops_shm.selector.policy import POLICIES
from lithops_shm.selector.rates import LocalRates

COMPUTE = [*constants.SERVERLESS_BACKENDS, *constants.STANDALONE_BACKENDS, "localhost"]
STORAGE = [
    "aliyun_oss",
    "aws_s3",
    "azure_storage",
    "ceph",
    "gcp_storage",
    "ibm_cos",
    "infinispan",
    "localhost",
    "minio",
]
STORAGE += ["oracle_oss", "redis", "swift"]
MONITORING = ["aws_sqs", "azure_queue", "gcp_pubsub", "rabbitmq", "redis"]
TELEMETRY = ["otlp", "prometheus"]
OURS = {"compute": ("shm",), "storage": ("shm",), "monitoring": ("shm", "shm_polling", "storage")}

ODD = [
    None,
    "",
    0,
    1,
    0.0,
    True,
    False,
    [],
    ["shm"],
    {"shm": 1},
    "SHM",
    " shm",
    "shm ",
    "shm\n",
    "none",
    "auto",
    "None",
]


class Adversary:
    """Makes configurations and profiles, each from a number; Hypothesis takes 50 times as long to draw as many."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def config(self) -> dict[str, Any]:
        lithops = {
            "backend": self._named(*["shm"] * len(COMPUTE), *COMPUTE),
            "storage": self._named(*["shm"] * len(STORAGE), *STORAGE),
            "mode": self._named("serverless", "standalone", "localhost", "shared_memory"),
            "monitoring": self._named("shm", "storage", "shm_polling", *MONITORING),
            "telemetry": self._named("off", "yes", "false", "true", *TELEMETRY),
            "log_filename": self._named("/tmp/lithops.log"),
            "log_stream": self._named("ext://sys.stderr", "ext://socket.socket"),
            "log_level": self._one([None, "DEBUG"]),
            "data_cleaner": self._one([True, False]),
            "remote_invoker": True,
        }
        shm = {
            "spill": self._one(ODD),
            "lifetime": self._named("session", "kept"),
            "compute": self._named("shm", "localhost"),
            "trusted": self._random.sample([*COMPUTE, *STORAGE, *MONITORING, *TELEMETRY], self._random.randrange(3)),
        }
        sections = {
            "serverless": self._some({"backend": self._named("shm", *COMPUTE)}),
            "standalone": self._some({"backend": self._named(*COMPUTE)}),
            "localhost": self._some({"backend": self._named("shm", *COMPUTE)}),
            "aws_s3": {"storage_bucket": "b"},
            "selector": {"pin": "remote"},
        }
        # Backend and storage are mostly there, and little else, or hardly any configuration would pass.
        kept = {key: lithops[key] for key in ("backend", "storage") if self._random.random() < 0.8}
        own = {"confidential": True, **self._some(shm, 0.2)}
        return {"lithops": {**kept, **self._some(lithops, 0.2)}, "shm": own, **self._some(sections)}

    def job(self) -> JobProfile:
        return JobProfile(
            input_bytes=self._one([1_000, 10**6, 10**9, 10**11, 10**13]),
            functions=self._one([None, 1, 7, 40]),
            intermediate_ratio=self._one([0, 0.1, 3]),
            compute_s_per_gb=self._one([None, 0.0, 1e5]),
            input_place=self._one([None, "local", "remote"]),
            deadline_s=self._one([None, None, 0.1, 1e5]),
            budget_usd=self._one([None, None, 0.0, 100.0]),
            confidential=True,
        )

    def known(self, *, trusted: bool) -> Knowledge:
        host = HostProfile(self._one([1, 8, 128]), self._one([1 << 26, 1 << 34, 1 << 40]), self._one([0, 1 << 33]))
        remote = Remote(*self._one([("aws_lambda", "aws_s3"), ("k8s", "minio"), ("shm", "shm")]), trusted=trusted)
        policy, pin = self._one(sorted(POLICIES)), self._one([None, None, "local", "remote"])
        return Knowledge(host, LocalRates(), remote, SelectorSettings(policy=policy, pin=pin))

    def _one(self, values: Sequence[Any]) -> Any:
        return self._random.choice(values)

    def _named(self, *names: str) -> Any:
        """Mostly a right name, now and then one in other letters, or no name at all."""
        name = self._one(names)
        return self._one([name] * 6 + [name.title(), self._one(ODD)])

    def _some(self, section: dict[str, Any], chance: float = 0.3) -> dict[str, Any]:
        return {key: value for key, value in section.items() if self._random.random() < chance}


def sent_to(config: dict[str, Any]) -> dict[str, Any] | None:
    """Where Lithops takes a job with that configuration; ``None`` where it takes none."""
    try:
        backend, _ = lithops_config._resolve_mode_and_backend(config)
    except Exception:
        return None  # it says that it does not know the name
    section = config["lithops"]
    return {
        "compute": backend,
        "storage": section.get("storage", "localhost" if backend == "localhost" else "aws_s3"),
        "monitoring": resolve_monitoring(config),
        "telemetry": resolve_telemetry(config),
        "log_filename": section.get("log_filename"),
        "log_stream": section.get("log_stream") or "ext://sys.stderr",
    }


def passes(config: dict[str, Any]) -> bool:
    try:
        require_local(config, config["shm"].get("trusted", ()))
    except ConfidentialityError:
        return False
    return True


def check(config: dict[str, Any]) -> bool:
    """That a configuration leads nowhere else if it passes, and whether it does."""
    before = copy.deepcopy(config)
    if not passes(config):
        return False
    assert config == before, "it is looked at, and left as it is"
    there = sent_to(config)
    if there is None:
        return False
    trusted = set(config["shm"].get("trusted", ()))
    for what, names in OURS.items():
        assert there[what] in {*names, *trusted}, (what, there[what], before)
    assert there["telemetry"] is None or there["telemetry"] in trusted
    assert there["log_filename"] is None
    assert there["log_stream"] in ("ext://sys.stderr", "ext://sys.stdout")
    own = config["shm"]
    assert own.get("spill") is not True
    assert own.get("lifetime", "session") == "session"
    assert own.get("compute", "shm") in {"shm", *trusted}
    return True


def test_no_configuration_takes_a_confidential_job_elsewhere() -> None:
    passed = 0

    @settings(max_examples=200)
    @given(seed=st.integers(0, 1 << 64))
    def fifty(seed: int) -> None:
        nonlocal passed
        adversary = Adversary(seed)
        for _ in range(50):
            config = adversary.config()
            # As our own executor reads it, and as plain Lithops does, which has resolved the backend when it asks us.
            with contextlib.suppress(ConfigError):  # it contradicts itself
                passed += check(configured(config, None))
            plain = copy.deepcopy(config)
            if sent_to(plain) is not None:
                passed += check(plain)

    fifty()
    assert passed > 500, "there are some that pass"


@settings(max_examples=200)
@given(seed=st.integers(0, 1 << 64))
def test_no_profile_takes_a_confidential_job_elsewhere(seed: int) -> None:
    adversary = Adversary(seed)
    for _ in range(25):
        job, known = adversary.job(), adversary.known(trusted=False)
        try:
            found = decide(job, known, {"lithops": {"backend": "auto"}})
        except NoPlaceError:
            continue
        assert found.place == "local"
        assert found.config["shm"]["confidential"] is True
        require_local(found.config)
        assert all(each.rejected for each in found.considered if each.place == "remote")


def test_profiles_that_are_trusted_elsewhere_do_go_there() -> None:
    """Or the test before would hold of a selector that never goes anywhere."""
    adversary = Adversary(7)
    places = set()
    for _ in range(200):
        with contextlib.suppress(NoPlaceError):
            places.add(decide(adversary.job(), adversary.known(trusted=True), {}).place)
    assert places == {"local", "remote"}
