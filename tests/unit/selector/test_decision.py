"""Decisions: hard constraints, policies, what more or less of something changes, and how they are shown."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lithops_shm.config import SelectorSettings
from lithops_shm.errors import ConfigError, NoPlaceError
from lithops_shm.selector import Candidate, Decision, HostProfile, JobProfile, Knowledge, Remote, decide
from lithops_shm.selector.policy import POLICIES
from lithops_shm.selector.rates import LAMBDA, Limits, LocalRates

GB = 10**9
HOST = HostProfile(cpus=4, memory_bytes=16 * GB, segment_bytes=12 * GB, spill_bytes=50 * GB, pool_bytes=256 << 20)
LAMBDA_AND_S3 = Remote("aws_lambda", "aws_s3")


def known(host: HostProfile = HOST, remote: Remote | None = LAMBDA_AND_S3, **more: Any) -> Knowledge:
    return Knowledge(host, LocalRates(), remote, SelectorSettings(**more))


def rejections(error: pytest.ExceptionInfo[NoPlaceError]) -> str:
    return "\n".join(error.value.args[0])


def test_a_small_job_stays_and_one_that_is_too_large_goes() -> None:
    assert decide(JobProfile(200_000_000), known()).place == "local"
    assert decide(JobProfile(500 * GB), known()).place == "remote"


def test_much_work_on_little_data_goes_where_there_are_more_cpus() -> None:
    assert decide(JobProfile(GB, compute_s_per_gb=1), known()).place == "local"
    assert decide(JobProfile(GB, compute_s_per_gb=5_000), known()).place == "remote"


def test_data_that_is_far_away_is_worked_on_there() -> None:
    far = JobProfile(20 * GB, input_place="remote", intermediate_ratio=0.01, output_ratio=0.01)
    assert decide(far, known()).place == "remote"
    assert decide(replace(far, input_place="local"), known()).place == "local"


@pytest.mark.parametrize("policy", POLICIES)
def test_confidential_data_stays_under_every_policy(policy: str) -> None:
    job = JobProfile(GB, compute_s_per_gb=100_000, confidential=True)
    if policy == "always-remote":
        with pytest.raises(NoPlaceError, match="confidential"):
            decide(job, known(policy=policy))
    else:
        assert decide(job, known(policy=policy)).place == "local"
    with pytest.raises(NoPlaceError, match="confidential"):
        decide(replace(job, input_bytes=500 * GB), known(policy=policy))


def test_confidential_data_may_go_where_its_owner_trusts() -> None:
    trusted = replace(LAMBDA_AND_S3, trusted=True)
    assert decide(JobProfile(500 * GB, confidential=True), known(remote=trusted)).place == "remote"


def test_confidential_data_does_not_spill() -> None:
    with pytest.raises(NoPlaceError, match="confidential data does not go to disk"):
        decide(JobProfile(10 * GB, confidential=True), known(replace(HOST, spill_bytes=0)))


@pytest.mark.parametrize(
    ("job", "host", "remote", "says"),
    [
        (JobProfile(10 * GB), replace(HOST, spill_bytes=0), None, "do not fit in memory"),
        (JobProfile(40 * GB, functions=1), HOST, None, "of memory"),
        (JobProfile(1_000_000), replace(HOST, memory_bytes=0, segment_bytes=0, spill_bytes=0), None, "0 B are free"),
        (JobProfile(GB, deadline_s=0.01), HOST, LAMBDA_AND_S3, "the deadline is 0.0 s"),
        (JobProfile(500 * GB, budget_usd=0.001), HOST, LAMBDA_AND_S3, "the budget is \\$0.0010"),
        (JobProfile(500 * GB, functions=4), HOST, LAMBDA_AND_S3, "a function needs"),
        (JobProfile(500 * GB, functions=400, compute_s_per_gb=9_000), HOST, LAMBDA_AND_S3, "may take 900"),
        (JobProfile(500 * GB), HOST, Remote("x", "y", limits=Limits(payload_bytes=999)), "an invocation carries"),
        (JobProfile(500 * GB), HOST, Remote("aws_lambda", "aws_s3", memory_mb=20_000), "at most 10240 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_breaks_a_hard_constraint_is_rejected(
    job: JobProfile, host: HostProfile, remote: Remote | None, says: str
) -> None:
    found = known(host, remote)
    with pytest.raises(NoPlaceError, match=says):
        decide(job, replace(found, settings=SelectorSettings(policy="fastest")))


def test_without_a_remote_choice_the_error_says_how_to_name_one() -> None:
    with pytest.raises(NoPlaceError, match="name a remote choice"):
        decide(JobProfile(500 * GB), known(remote=None))


def test_policies_choose_what_their_names_say() -> None:
    job = JobProfile(2 * GB, compute_s_per_gb=200)
    chosen = {policy: decide(job, known(policy=policy, machine_hour_usd=0.1)).chosen for policy in POLICIES}
    everything = decide(job, known(machine_hour_usd=0.1)).considered
    allowed = [each.prediction for each in everything if not each.rejected]
    assert chosen["fastest"].prediction.seconds == min(each.seconds for each in allowed)
    assert chosen["cheapest"].prediction.usd == min(each.usd for each in allowed)
    assert chosen["always-local"].place == "local"
    assert chosen["always-remote"].place == "remote"


def test_an_hour_of_waiting_has_a_price() -> None:
    job = JobProfile(2 * GB, compute_s_per_gb=500)
    assert decide(job, known(hour_usd=1_000.0)).place == "remote"
    assert decide(job, known(hour_usd=0.0)).place == "local", "this machine costs nothing more"


@pytest.mark.parametrize(("nbytes", "functions", "place"), [(GB, 8, "local"), (GB + 1, 8, "remote"), (GB, 9, "remote")])
def test_a_threshold_is_what_its_user_wrote(nbytes: int, functions: int, place: str) -> None:
    asked = known(policy="threshold", threshold_bytes=GB, threshold_functions=8)
    assert decide(JobProfile(nbytes, functions=functions), asked).place == place


def test_beyond_a_threshold_with_nowhere_to_go_is_here() -> None:
    assert decide(JobProfile(2 * GB), known(remote=None, policy="threshold")).place == "local"


def dearest(allowed: Sequence[Candidate], job: JobProfile, settings: SelectorSettings) -> Candidate | None:
    return max(allowed, key=lambda each: each.prediction.usd)


def test_a_policy_is_a_function_or_names_one() -> None:
    by_function = decide(JobProfile(GB), known(policy=dearest))
    by_name = decide(JobProfile(GB), known(policy=f"{__name__}:dearest"))
    assert by_function.chosen == by_name.chosen
    assert by_function.policy == "dearest"


def test_an_installed_package_offers_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "dearest"

        @staticmethod
        def load() -> Any:
            return dearest

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Point] if "policies" in group else [])
    assert decide(JobProfile(GB), known(policy="dearest")).place == "remote"


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("modle", "did you mean 'model'"),
        ("nothing of the kind", "known policies: always-local"),
        ("nowhere:at_all", "cannot be imported"),
        ("os:nothing", "cannot be imported"),
    ],
)
def test_a_policy_that_does_not_exist_is_named(policy: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        decide(JobProfile(GB), known(policy=policy))


def test_a_policy_cannot_choose_what_was_rejected() -> None:
    def smuggles(allowed: Sequence[Candidate], job: JobProfile, settings: SelectorSettings) -> Candidate:
        return replace(allowed[0], place="remote", backend="aws_lambda")

    with pytest.raises(ConfigError, match="was not offered"):
        decide(JobProfile(GB, confidential=True), known(policy=smuggles))


def test_a_pin_holds_and_breaks_no_constraint() -> None:
    assert decide(JobProfile(1_000_000), known(pin="remote")).place == "remote"
    assert decide(JobProfile(GB, compute_s_per_gb=50_000), known(pin="local")).place == "local"
    with pytest.raises(NoPlaceError, match="pinned to local") as caught:
        decide(JobProfile(500 * GB), known(pin="local"))
    assert "do not fit" in rejections(caught)


def test_an_unknown_size_is_judged_by_its_worst_case() -> None:
    found = decide(JobProfile(), known())
    assert "not known" in found.notes[-1]
    assert found.place == "remote", "a terabyte would not run here"
    assert decide(JobProfile(confidential=True), known()).place == "local"
    assert decide(JobProfile(), known(remote=None)).place == "local"


def test_what_is_known_of_an_unknown_size_counts() -> None:
    found = decide(JobProfile(at_least_bytes=900 * GB), known())
    assert found.place == "remote"
    assert "at least" in found.explain()
    with pytest.raises(NoPlaceError):
        decide(JobProfile(at_least_bytes=900 * GB), known(remote=None))


def test_the_configuration_is_the_users_with_the_choice_in_it() -> None:
    config = {"lithops": {"backend": "auto", "log_level": "INFO"}, "aws_lambda": {"region": "r"}, "selector": {}}
    here = decide(JobProfile(200_000_000), known(), config).config
    assert here["lithops"] == {"log_level": "INFO", "backend": "shm", "storage": "shm"}
    assert here["shm"] == {"worker_processes": 4}
    there = decide(JobProfile(500 * GB), known(), config).config
    assert there["lithops"] == {"log_level": "INFO", "backend": "aws_lambda", "storage": "aws_s3"}
    assert there["aws_lambda"] == {"region": "r", "runtime_memory": 1769}
    assert config["lithops"]["backend"] == "auto", "the user's own is not touched"
    assert "selector" not in here


def test_a_confidential_configuration_says_so() -> None:
    assert decide(JobProfile(GB, confidential=True), known()).config["shm"]["confidential"] is True


def test_a_decision_is_shown_to_people_and_to_programs() -> None:
    found = decide(JobProfile(500 * GB), known())
    text = found.explain()
    assert "do not fit in memory" in text
    assert "->  aws_lambda with aws_s3" in text
    assert f"{found.chosen.prediction.seconds:,.1f} s" in text
    read = json.loads(found.to_json())
    assert read["candidates"][read["chosen"]]["backend"] == "aws_lambda"
    assert read["id"] == found.id
    assert {"seconds", "usd", "peak_bytes", "rejected"} <= read["candidates"][0].keys()
    assert sum(read["candidates"][0]["terms"].values()) == pytest.approx(read["candidates"][0]["seconds"])


def test_keys_of_accounts_are_not_shown() -> None:
    config = {"aws": {"secret_access_key": "hush"}}
    assert "hush" not in decide(JobProfile(GB), known(), config).to_json()


JOBS = st.builds(
    JobProfile,
    input_bytes=st.integers(100_000, 10**12),
    functions=st.none() | st.integers(1, 500),
    intermediate_ratio=st.sampled_from([0, 0.1, 1, 3]),
    output_ratio=st.sampled_from([0, 0.1, 1]),
    compute_s_per_gb=st.none() | st.floats(0, 1_000),
    input_place=st.sampled_from([None, "local", "remote"]),
    confidential=st.booleans(),
)


def tried(job: JobProfile, known: Knowledge) -> Decision | None:
    try:
        return decide(job, known)
    except NoPlaceError:
        return None


@given(job=JOBS, factor=st.floats(1, 100), cpus=st.integers(1, 64))
def test_more_data_never_takes_less(job: JobProfile, factor: float, cpus: int) -> None:
    """In memory, and on disk: a larger input never fits where a smaller one does not."""
    job = replace(job, functions=job.functions or cpus)
    host = replace(HOST, cpus=cpus)
    small = decide_all(job, host)
    large = decide_all(replace(job, input_bytes=int((job.input_bytes or 0) * factor)), host)
    for less, more in zip(small, large, strict=True):
        assert more.prediction.peak_bytes + more.prediction.spilled_bytes >= (
            less.prediction.peak_bytes + less.prediction.spilled_bytes
        )
        assert not (less.rejected and not more.rejected)


def decide_all(job: JobProfile, host: HostProfile) -> list[Candidate]:
    from lithops_shm.selector.candidates import candidates

    assert job.input_bytes is not None
    return [each for each in candidates(job.input_bytes, job, host, LocalRates(), None) if each.place == "local"]


@given(job=JOBS, budgets=st.tuples(st.floats(0, 1), st.floats(0, 1)), policy=st.sampled_from(sorted(POLICIES)))
def test_a_tighter_budget_never_costs_more(job: JobProfile, budgets: tuple[float, float], policy: str) -> None:
    tight, loose = sorted(budgets)
    less = tried(replace(job, budget_usd=tight), known(policy=policy))
    more = tried(replace(job, budget_usd=loose), known(policy=policy))
    if less is not None:
        assert less.chosen.prediction.usd <= tight
        assert more is not None, "what a tight budget allows, a loose one does"
        if policy in ("model", "cheapest"):
            assert less.chosen.prediction.usd <= max(more.chosen.prediction.usd, tight)


@given(
    job=JOBS, cpus=st.integers(1, 128), memory=st.integers(1 << 25, 1 << 40), policy=st.sampled_from(sorted(POLICIES))
)
def test_predictions_are_numbers_and_confidential_jobs_are_here(
    job: JobProfile, cpus: int, memory: int, policy: str
) -> None:
    found = tried(job, known(HostProfile(cpus, memory, memory // 2, memory), policy=policy))
    if found is None:
        return
    assert not (job.confidential and found.place == "remote")
    for each in found.considered:
        values = (each.prediction.seconds, each.prediction.usd, each.prediction.spread)
        assert all(math.isfinite(value) and value >= 0 for value in values)
        assert each.prediction.peak_bytes >= 0
        assert each.plan.workers <= (cpus if each.place == "local" else LAMBDA.concurrency)


@settings(max_examples=20)
@given(job=JOBS)
def test_a_decision_is_the_same_each_time(job: JobProfile) -> None:
    first, second = tried(job, known()), tried(job, known())
    assert (first is None) == (second is None)
    if first and second:
        assert first.chosen == second.chosen
        assert first.id != second.id


def test_deciding_runs_nothing_and_is_quick() -> None:
    before = time.process_time()
    for _ in range(50):
        decide(JobProfile(GB), known())
    assert time.process_time() - before < 5, "a hundredth of a second each, on whatever this runs"
