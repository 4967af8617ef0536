"""What a failed run advises: "again continues" only where running again can help."""

from __future__ import annotations

import pytest

from bootstrap.advice import Advice
from bootstrap.errors import (
    ArtifactError,
    ArtifactUnreachableError,
    AuthenticationError,
    DeadlineError,
    DrainError,
    GuestSetupError,
    HomelabError,
    HostKeyError,
    HypervisorError,
    PermissionDeniedError,
    PreflightError,
    RunFailedError,
    TransientError,
)
from bootstrap.events import LaneStatus
from bootstrap.execution.report import LaneOutcome, Report
from bootstrap.model.ids import ClusterName

AGAIN = "`homelab-k8s up` again continues from here"


def failed(*errors: HomelabError) -> HomelabError:
    """How a run ends whose lanes `a`, `b`, ... failed with these."""
    outcomes = tuple(
        LaneOutcome(lane=lane, status=LaneStatus.FAILED, step="clone", error=error)
        for lane, error in zip("abcdefghij", errors, strict=False)
    )
    report = Report(
        command="up", cluster=ClusterName("demo"), outcomes=outcomes, steps=(), took_s=1.0, interrupted=False
    )
    with pytest.raises(HomelabError) as caught:
        report.raise_failures()
    return caught.value


@pytest.mark.parametrize("kind", [HypervisorError, TransientError, DeadlineError, DrainError, ArtifactUnreachableError])
def test_what_may_pass_or_has_got_further_is_continued_by_running_again(kind: type[HomelabError]) -> None:
    assert failed(kind("it failed")).resolution == AGAIN
    assert failed(kind("it failed", resolution="look there")).resolution == f"look there; then {AGAIN}"


@pytest.mark.parametrize(
    "kind",
    [
        ArtifactError,
        AuthenticationError,
        PermissionDeniedError,
        PreflightError,
        HostKeyError,
        GuestSetupError,
    ],
)
def test_what_stays_as_it_is_is_to_be_changed_first(kind: type[HomelabError]) -> None:
    told = failed(kind("it failed", resolution="grant VM.Clone"))
    assert told.resolution == "grant VM.Clone; then `homelab-k8s up` again"
    bare = failed(kind("it failed"))
    assert "continues" not in bare.resolution
    assert bare.resolution.endswith("; then `homelab-k8s up` again")


@pytest.mark.parametrize(
    "resolution",
    [
        "delete its node; then `homelab-k8s up` again",
        "bring another server back first: `homelab-k8s up --workers 3`",
        "see who changes that VM; then run the command again",
    ],
)
def test_what_to_type_is_said_once(resolution: str) -> None:
    assert failed(HypervisorError("it failed", resolution=resolution)).resolution == resolution
    other = failed(HypervisorError("it failed", resolution=Advice("first `homelab-k8s upgrade`")))
    assert other.resolution == f"first `homelab-k8s upgrade`; then {AGAIN}"


def test_an_adapter_may_know_better_than_the_type() -> None:
    error = HypervisorError("cannot start VM 7001", details="KVM virtualisation configured, but not available")
    error.again_helps = False
    assert "continues" not in failed(error).resolution


def test_of_several_lanes_each_counts() -> None:
    passing, lasting = TransientError("lost"), PermissionDeniedError("no right", resolution="grant it")
    assert failed(passing, TransientError("lost too")).resolution == AGAIN
    both = failed(lasting, ArtifactError("there is no k3s", resolution="look at the version"))
    assert isinstance(both, RunFailedError)
    assert both.resolution.splitlines() == [
        "grant it",
        "look at the version",
        "after fixing that: `homelab-k8s up` again",
    ]
    assert not both.again_helps
    mixed = failed(passing, lasting)
    assert mixed.resolution.splitlines() == ["grant it", f"{AGAIN}, but b fails again until its cause is fixed"]
