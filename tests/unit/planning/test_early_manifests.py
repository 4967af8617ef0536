"""What lies on a cluster's first server before k3s starts: names and content."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.k3s.early.manifests import PREFIX, early_manifests, file_name
from bootstrap.model.settings.early import EarlyManifest
from tests.fakes.specs import cluster


@given(st.text(max_size=60))
def test_a_name_never_leads_out_of_the_folder_nor_to_another_file(name: str) -> None:
    try:
        file = file_name(name)
    except ValueError:
        return
    assert file == f"{PREFIX}{name}.yaml"
    assert file.count(".") == 1
    assert not set(file) & set("/\\ \n\0*?$'\"")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a.b", "A", "-a", "a-", "a\n", "a b", "x" * 60])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        file_name(name)


def test_files_by_name_and_never_two_of_one() -> None:
    one = EarlyManifest(name="cni", text="kind: HelmChart\n")
    assert early_manifests(replace(cluster(), early_manifests=(one,))) == {"homelab-k8s-cni.yaml": "kind: HelmChart\n"}
    with pytest.raises(ValueError, match="two early manifests are called cni"):
        early_manifests(replace(cluster(), early_manifests=(one, one)))


def test_their_text_may_be_secret() -> None:
    assert "hunter2" not in repr(EarlyManifest(name="ccm", text="password: hunter2"))
