"""Which k3s a lab's clusters run: a real one wherever it can, else the stand-in, and never without a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.lab.releases.choice import K3sRequest, Sources, choose_k3s
from bootstrap.lab.releases.sources import find_sources, is_stand_in, make_stand_in

OFFLINE = Sources(unreachable="timed out", stand_in="/lab/k3s")


@pytest.mark.parametrize(
    ("kind", "lacks", "sources", "source", "artifacts", "words"),
    [
        ("container", (), Sources(stand_in="/lab/k3s"), "releases", "", "releases on the internet"),
        ("qemu", (), Sources(asked="/real", stand_in="/lab/k3s"), "artifacts", "/real", "from /real"),
        ("container", (), OFFLINE, "stand-in", "/lab/k3s", "cannot be reached (timed out)"),
        ("container", ("no vxlan",), Sources(asked="/real", stand_in="/lab/k3s"), "stand-in", "/lab/k3s", "no vxlan"),
        ("container", ("no vxlan",), Sources(stand_in="/lab/k3s"), "stand-in", "/lab/k3s", "does not run"),
        ("container", (), Sources(asked="/double", asked_is_stand_in=True), "stand-in", "/double", "/double"),
        ("simulated", (), Sources(asked="/real", stand_in="/lab/k3s"), "stand-in", "/lab/k3s", "nothing else"),
        ("none", (), OFFLINE, "none", "", "no guests"),
    ],
)
def test_the_choice_and_its_reason(
    kind: str, lacks: tuple[str, ...], sources: Sources, source: str, artifacts: str, words: str
) -> None:
    chosen = choose_k3s(kind, lacks=lacks, sources=sources)
    assert (chosen.source, chosen.artifacts) == (source, artifacts)
    assert words in str(chosen)
    assert ("STAND-IN" in str(chosen)) == (source == "stand-in")
    assert "\n" not in str(chosen)


def test_a_script_in_an_artifact_directory_is_the_stand_in_and_a_program_is_k3s(tmp_path: Path) -> None:
    make_stand_in(tmp_path / "double")
    (tmp_path / "several/v1.36.3+k3s1").mkdir(parents=True)
    (tmp_path / "several/v1.36.3+k3s1/k3s").write_bytes(b"\x7fELF\x02")
    assert is_stand_in(tmp_path / "double")
    assert not is_stand_in(tmp_path / "several")
    assert not is_stand_in(tmp_path / "empty")


def test_releases_are_asked_for_only_where_they_could_be_taken(tmp_path: Path) -> None:
    nobody = K3sRequest(channel="http://127.0.0.1:9/channels/stable")
    asked = find_sources(nobody, kind="container", lacks=(), stand_in=tmp_path)
    assert asked.unreachable == "Connection refused"
    for kind, lacks in (("simulated", ()), ("container", ("no vxlan",))):
        assert find_sources(nobody, kind=kind, lacks=lacks, stand_in=tmp_path).unreachable == "not looked for"
    with_files = K3sRequest(artifacts=str(tmp_path), channel=nobody.channel)
    assert find_sources(with_files, kind="qemu", lacks=(), stand_in=tmp_path).unreachable == "not looked for"
