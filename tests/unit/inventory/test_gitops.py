"""`gitops`: read with all problems at once, without repeating a secret, and handed on as objects."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.addons.gitops.hosts import PUBLISHED, get_keys, keys_for, published_keys
from bootstrap.addons.gitops.keys import public_half
from bootstrap.inventory import Inventory
from bootstrap.inventory.keys.applied.git_formats import folder, git_url
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.manifests.values import ManifestObjects, Object
from bootstrap.model.settings.gitops import GitopsController
from bootstrap.records.state.ssh_key import new_ssh_key
from tests.unit.inventory.kit import ENVIRON, Load, Told

SSH = "gitops: {controller: flux, url: git@github.com:me/home.git, path: ./clusters/home/}\n"
PAGES = {
    "github.com": ("+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU", "p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM"),
    "gitlab.com": ("eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8", "HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw"),
    "codeberg.org": ("mIlxA9k46MmM6qdJOdMnAQpzGxF4WIVVL+fj+wZbw0g", "T9FYDEHELhVkulEKKwge5aVhVTbqCW0MIRwAfpARs/E"),
}
"""SHA256 fingerprints, Ed25519 and ECDSA, as the hosts' own pages show them (`bootstrap/addons/gitops/hosts.py`)."""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIKLjzu0XYu2jGGJTWzJkBBQ5mxLZCHOgzbYzM6wKwzR"
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=8).filter(lambda name: ".." not in name)


def objects_of(inventory: Inventory) -> dict[str, Object]:
    """All that is applied, by kind."""
    sources = [each for each in inventory.spec.manifests or () if isinstance(each, ManifestObjects)]
    return {each["kind"]: each for source in sources for each in source.objects}


def test_a_short_section_is_enough_for_flux(load: Load) -> None:
    inventory = load(SSH)
    assert inventory.spec.addons == ("flux",)
    found = objects_of(inventory)
    assert list(found) == ["HelmChart", "Namespace", "Secret", "GitRepository", "Kustomization"]
    assert found["GitRepository"]["spec"] == {
        "interval": "1m0s",
        "url": "ssh://git@github.com/me/home.git",
        "ref": {"branch": "main"},
        "secretRef": {"name": "flux-system"},
    }
    applied = found["Kustomization"]["spec"]
    assert (applied["path"], applied["prune"], applied["deletionPolicy"]) == ("./clusters/home", True, "Orphan")
    assert found["Secret"]["stringData"]["known_hosts"] == published_keys("ssh://git@github.com/me/home.git")
    chart = yaml.safe_load(found["HelmChart"]["spec"]["valuesContent"])
    assert chart["crds"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_argo_cd_knows_the_repository_and_the_hosts_keys(load: Load) -> None:
    inventory = load(
        "gitops: {controller: argocd, url: ssh://git@codeberg.org/me/home, branch: stable}\n"
        "manifests: [{addon: argocd, values: {host: argo.home.arpa, helm: {server: {replicas: 2}}}}]\n"
    )
    found = objects_of(inventory)
    assert inventory.spec.addons == ("argocd",)
    chart = yaml.safe_load(found["HelmChart"]["spec"]["valuesContent"])
    assert chart["configs"]["ssh"]["extraHosts"].startswith("codeberg.org ssh-ed25519 AAAA")
    assert (chart["global"], chart["server"]["replicas"]) == ({"domain": "argo.home.arpa"}, 2)
    assert found["Secret"]["metadata"]["labels"] == {"argocd.argoproj.io/secret-type": "repository"}
    application = found["Application"]
    assert application["spec"]["source"] == {
        "repoURL": found["Secret"]["stringData"]["url"], "targetRevision": "stable", "path": ".",
    }  # fmt: skip
    assert "finalizers" not in application["metadata"]  # with one, all that it applied would go with it


@pytest.mark.parametrize("controller", list(GitopsController))
def test_https_has_a_token_or_is_public(load: Load, controller: GitopsController) -> None:
    text = f"gitops: {{controller: {controller}, url: https://git.home.arpa/me/home"
    assert "Secret" not in objects_of(load(text + "}"))
    inventory = load(text + ", token: {env: GIT}}", environ={**ENVIRON, "GIT": "ghp_secret\n"})
    login = objects_of(inventory)["Secret"]["stringData"]
    assert (login["username"], login["password"]) == ("git", "ghp_secret")
    assert "ghp_secret" not in repr(inventory)


def test_ones_own_key_is_used_as_it_is(load: Load) -> None:
    key = new_ssh_key()
    text = "gitops: {controller: flux, url: ssh://git@github.com/me/home, deploy_key: {env: KEY}}"
    inventory = load(text, environ={**ENVIRON, "KEY": key})
    assert objects_of(inventory)["Secret"]["stringData"]["identity"] == key
    assert inventory.spec.gitops is not None
    assert not inventory.spec.gitops.makes_key
    assert key.splitlines()[1] not in repr(inventory)


def test_all_mistakes_are_found_at_once(told: Told) -> None:
    problems = told(
        "manifests: [{addon: argocd}]\n"
        "gitops:\n"
        "  controller: flux\n"
        "  url: ssh://git@git.home.arpa:2222/me/home\n"
        "  branch: a..b\n"
        "  path: ../x\n"
        "  deploy_key: {env: KEY}\n"
        "  token: {env: GONE}\n"
        "  username: me\n",
        environ={**ENVIRON, "KEY": "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----"},
    )
    assert [(each.line, each.path, each.message) for each in problems] == [
        (1, "manifests[0].addon", "argocd and flux do the same"),
        (2, "gitops.known_hosts", "the host keys of [git.home.arpa]:2222 are needed"),
        (3, "gitops.controller", "flux and argocd do the same"),
        (5, "gitops.branch", "'a..b' is no name of a branch"),
        (6, "gitops.path", "'../x' leads out of the repository"),
        (7, "gitops.deploy_key.env", "the deploy key is no private key that SSH can use"),
        (8, "gitops.token.env", "the environment variable GONE is not set"),
        (8, "gitops.token", "is for https URLs"),
        (9, "gitops.username", "is for https URLs"),
    ]
    assert "`ssh-keyscan -p 2222 git.home.arpa >git-host.keys`" in problems[1].hint
    assert "c2VjcmV0" not in str(problems)


def test_without_the_helm_controller_there_is_no_controller(told: Told) -> None:
    (problem,) = told(SSH + "k3s: {disable_components: [helm-controller]}\n")
    assert problem.path == "gitops.controller"
    assert "Helm controller" in problem.message


@pytest.mark.parametrize("secret", ["plain", "[a]", "{env: A, file: b}"])
def test_a_secret_in_the_file_is_refused_and_not_repeated(told: Told, secret: str) -> None:
    for key, url in (("deploy_key", "git@github.com:me/home"), ("token", "https://github.com/me/home")):
        problems = told(f'gitops: {{controller: flux, url: "{url}", {key}: {secret}}}')
        assert {each.path.partition("gitops.")[2].partition(".")[0] for each in problems} == {key}
        assert "plain" not in str(problems)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://me:s3cret@github.com/me/home", "gitops.token"),
        ("https://s3cret@github.com/me/home", "gitops.token"),
        ("ssh://git:s3cret@github.com/me/home", "deploy key"),
        ("http://git.home.arpa/me/home", "without TLS"),
        ("ssh://github.com/me/home", "before the host: git@github.com/me/home"),
        ("/srv/git/home", "over the network"),
        ("https://github.com", "such as"),
        ("https://github.com/me/home?x=1", "such as"),
        ("https://github.com:99999/me/home", "such as"),
        ("git@github.com:../home", "such as"),
        ("-oProxyCommand=x", "such as"),
    ],
)
def test_an_url_is_refused_with_what_to_write(told: Told, url: str, hint: str) -> None:
    (problem,) = told(f'gitops: {{controller: flux, url: "{url}"}}')
    assert problem.path == "gitops.url"
    assert hint in problem.hint
    assert "s3cret" not in f"{problem}"


@given(
    user=NAMES,
    host=st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z]{2,4})?", fullmatch=True),
    path=st.lists(NAMES, min_size=1, max_size=3),
)
def test_the_short_form_is_the_ssh_url(user: str, host: str, path: list[str]) -> None:
    assert git_url(f"{user}@{host}:{'/'.join(path)}") == git_url(f"ssh://{user}@{host}/{'/'.join(path)}/")


@given(st.text("ab./", max_size=12))
def test_a_folder_stays_in_the_repository(text: str) -> None:
    try:
        found = folder(text)
    except RefusedError:
        assert text.startswith("/") or ".." in text.split("/")
        return
    assert found == "." or not {"", ".", ".."} & set(found.split("/"))
    assert folder(found) == found


def test_the_keys_of_public_hosts_are_the_published_ones() -> None:
    def fingerprint(key: str) -> str:
        return base64.b64encode(hashlib.sha256(base64.b64decode(key.split()[1])).digest()).decode().rstrip("=")

    assert {host: tuple(map(fingerprint, keys)) for host, keys in PUBLISHED.items()} == PAGES


def test_of_a_known_hosts_file_only_the_hosts_own_lines_count(load: Load, tmp_path: Path) -> None:
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, b"[git.home.arpa]:2222", hashlib.sha1).digest()
    hashed = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    url = "ssh://git@git.home.arpa:2222/me/home"
    mine = f"[git.home.arpa]:2222 ssh-rsa AAAA\n@revoked * {KEY}\ngit.home.arpa {KEY}\n"
    text = f"# mine\nother.example {KEY}\n{hashed} {KEY}\n{mine}"
    assert keys_for(url, text) == f"[git.home.arpa]:2222 {KEY}\n"
    assert keys_for("ssh://git@other.example/me/home", text) == f"other.example {KEY}\n"
    assert get_keys("ssh://git@other.example/me/home") == "ssh-keyscan other.example >git-host.keys"
    (tmp_path / "keys").write_text(text)
    inventory = load(f'gitops: {{controller: flux, url: "{url}", known_hosts: {{file: {tmp_path}/keys}}}}')
    assert objects_of(inventory)["Secret"]["stringData"]["known_hosts"] == f"[git.home.arpa]:2222 {KEY}\n"


@given(st.binary(max_size=80), st.text(max_size=20))
def test_no_line_is_too_odd_to_be_read(blob: bytes, name: str) -> None:
    line = f"|1|{name}|{base64.b64encode(blob).decode()} ssh-ed25519 {base64.b64encode(blob).decode()}\n"
    assert keys_for("ssh://git@h/p", line) == ""


def test_the_public_half_of_a_new_key_is_ed25519() -> None:
    key = new_ssh_key()
    assert public_half(key).startswith("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI")
    for text in ("", "plain", key[:60], KEY):
        with pytest.raises(ValueError, match="is no private key that SSH can use"):
            public_half(text)


def test_the_examples_of_the_page_load(load: Load, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/gitops.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "deploy").write_text(new_ssh_key())
    (tmp_path / "hosts").write_text(f"[git.home.arpa]:2222 {KEY}\n")
    for example in examples:
        text = example.replace("~/.ssh/home-deploy", f"{tmp_path}/deploy").replace("git-host.keys", f"{tmp_path}/hosts")
        assert load(text, environ={**ENVIRON, "GIT_TOKEN": "secret"}).spec.gitops is not None
    assert len(examples) == 5
