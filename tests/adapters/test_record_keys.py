"""The keys that records are sealed with: anyone who has a cluster's SSH key has them, in whatever file it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from bootstrap.adapters.local.record_keys import FileRecordKeys
from bootstrap.adapters.local.state import DirectoryStateStore
from bootstrap.errors import PreflightError
from bootstrap.model.ids import ClusterName

DEMO, OTHER = ClusterName("demo"), ClusterName("other")
KEYS = {
    "ed25519": Ed25519PrivateKey.generate(),
    "rsa": generate_rsa(public_exponent=65537, key_size=2048),
    "ecdsa": generate_ec(SECP256R1()),
}


def keys(home: Path, private_key: Path | None, *, cluster: ClusterName = DEMO) -> FileRecordKeys:
    return FileRecordKeys(DirectoryStateStore(home), cluster=cluster, private_key=private_key)


def key_file(
    path: Path, key: object, form: PrivateFormat = PrivateFormat.OpenSSH, *, passphrase: bytes | None = None
) -> Path:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, form, encryption))  # type: ignore[attr-defined]
    return path


@pytest.mark.parametrize("kind", KEYS)
def test_computers_with_the_same_ssh_key_have_the_same_key_in_whatever_form_its_file_is(
    kind: str, tmp_path: Path
) -> None:
    mine = keys(tmp_path / "a", key_file(tmp_path / "id", KEYS[kind]))
    theirs = keys(tmp_path / "b", key_file(tmp_path / "id.pem", KEYS[kind], PrivateFormat.PKCS8))
    assert mine.find(DEMO) == theirs.find(DEMO) == mine.need(DEMO)
    assert mine.templates() == theirs.templates() == (mine.for_templates(),)
    assert not (tmp_path / "a").exists(), "nothing is kept where the SSH key is there"


def test_each_cluster_has_its_own_and_none_is_the_templates(tmp_path: Path) -> None:
    path = key_file(tmp_path / "id", KEYS["ed25519"])
    found = keys(tmp_path / "a", path)
    there = keys(tmp_path / "a", path, cluster=OTHER)
    assert len({key for key in (found.find(DEMO), there.find(OTHER), *found.templates()) if key}) == 3
    assert found.find(OTHER) == there.find(OTHER)


def test_a_cluster_without_an_ssh_key_has_none_until_it_is_needed(tmp_path: Path) -> None:
    here = keys(tmp_path, None)
    assert here.find(DEMO) is None
    assert here.templates() == ()
    assert list(tmp_path.iterdir()) == []
    made = here.need(DEMO)
    assert (tmp_path / "clusters/demo/id_ed25519").exists(), "the cluster's own SSH key is what it follows from"
    assert keys(tmp_path, None).find(DEMO) == made


def test_it_is_kept_while_down_removes_the_state_and_still_holds_the_lock(tmp_path: Path) -> None:
    here = keys(tmp_path, None)
    made = here.need(DEMO)
    DirectoryStateStore(tmp_path).forget(DEMO)
    assert here.need(DEMO) == made
    assert not (tmp_path / "clusters/demo").exists()


def test_where_the_ssh_keys_bytes_cannot_be_read_it_is_a_random_one_in_the_state_directory(tmp_path: Path) -> None:
    path = key_file(tmp_path / "id", KEYS["ed25519"], passphrase=b"open sesame")
    here = keys(tmp_path / "home", path)
    assert here.find(DEMO) is None
    made = here.need(DEMO)
    file = tmp_path / "home/clusters/demo/record-key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert keys(tmp_path / "home", path).find(DEMO) == made
    assert keys(tmp_path / "elsewhere", path).find(DEMO) is None


def test_templates_outlive_clusters_whose_ssh_key_is_their_own(tmp_path: Path) -> None:
    here = keys(tmp_path, None)
    made = here.for_templates()
    here.need(DEMO)
    DirectoryStateStore(tmp_path).forget(DEMO)
    assert keys(tmp_path, None, cluster=OTHER).templates() == (made,)
    assert (tmp_path / "record-key").stat().st_mode & 0o777 == 0o600


def test_an_ssh_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    here = keys(tmp_path, tmp_path / "missing")
    assert here.find(DEMO) is None
    with pytest.raises(PreflightError, match="cannot use the SSH key"):
        here.need(DEMO)


@pytest.mark.parametrize("text", ["", "no hex", "abcd"])
def test_a_damaged_random_key_counts_as_none(text: str, tmp_path: Path) -> None:
    path = key_file(tmp_path / "id", KEYS["ed25519"], passphrase=b"open sesame")
    DirectoryStateStore(tmp_path / "home").write(DEMO, "record-key", text)
    assert keys(tmp_path / "home", path).find(DEMO) is None
