"""Which k3s the lab's clusters run: a real one, from an artifact directory or from releases, or the stand-in. Pure.

Decided once, when the lab starts, and reported with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

ARTIFACTS = "artifacts"
RELEASES = "releases"
STAND_IN = "stand-in"
NO_K3S = "none"


@dataclass(frozen=True, kw_only=True)
class K3sRequest:
    """The client's request.

    Attributes:
        artifacts: The requested artifact directory (HOMELAB_K3S_ARTIFACTS), as text; empty: none.
        channel: URL that tests whether k3s releases can be reached; empty: no test.
    """

    artifacts: str = ""
    channel: str = ""

    def to_dict(self) -> dict[str, str]:
        """The request as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class K3sChoice:
    """The k3s of a lab's clusters.

    Attributes:
        source: `artifacts`, `releases`, `stand-in` or `none`.
        reason: Why, in one line.
        artifacts: Artifact directory for clusters; empty: they decide.
        asked: The artifact directory requested when the lab started; empty: none.
    """

    source: str = NO_K3S
    reason: str = "not looked for"
    artifacts: str = ""
    asked: str = ""

    def __str__(self) -> str:
        """For the user, in one line."""
        names = {ARTIFACTS: "the real one", RELEASES: "the real one", STAND_IN: "the STAND-IN", NO_K3S: "none"}
        return f"{names[self.source]}, {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Possible sources of k3s.

    Attributes:
        asked: The requested artifact directory; empty: none.
        asked_is_stand_in: Whether the stand-in is in it.
        unreachable: Why releases cannot be reached; empty if they can.
        stand_in: Directory for the stand-in.
    """

    asked: str = ""
    asked_is_stand_in: bool = False
    unreachable: str = ""
    stand_in: str = ""


def choose_k3s(kind: str, *, lacks: Sequence[str], sources: Sources) -> K3sChoice:
    """Decide which k3s the lab's clusters run.

    Args:
        kind: Kind of guests.
        lacks: What keeps a real k3s from running in them.
        sources: The possible sources.
    """
    if kind == "none":
        return K3sChoice(reason="since VMs have no guests", asked=sources.asked)
    if sources.asked_is_stand_in:
        return K3sChoice(
            source=STAND_IN, reason=f"which is in {sources.asked}", artifacts=sources.asked, asked=sources.asked
        )
    if kind == "simulated":
        return _stand_in(sources, "since simulated guests run nothing else")
    if lacks:
        return _stand_in(sources, f"since a real k3s does not run in this machine's containers: {'; '.join(lacks)}")
    if sources.asked:
        return K3sChoice(source=ARTIFACTS, reason=f"from {sources.asked}", artifacts=sources.asked, asked=sources.asked)
    if not sources.unreachable:
        return K3sChoice(source=RELEASES, reason="from its releases on the internet")
    return _stand_in(
        sources, f"since k3s releases cannot be reached ({sources.unreachable}) and HOMELAB_K3S_ARTIFACTS is not set"
    )


def _stand_in(sources: Sources, reason: str) -> K3sChoice:
    return K3sChoice(source=STAND_IN, reason=reason, artifacts=sources.stand_in, asked=sources.asked)
