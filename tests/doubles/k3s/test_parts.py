"""The stand-in's own reader of configuration, held against PyYAML, and the release directory."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from bootstrap.lab.standin.kubelet.node_object import shown_arguments
from bootstrap.lab.standin.logs import Fatal
from bootstrap.lab.standin.settings.flags import flag_table
from bootstrap.lab.standin.settings.options import Options, read_config
from bootstrap.lab.standin.settings.registries_file import take_registries
from bootstrap.lab.standin.settings.yaml_reader import parse_config
from bootstrap.lab.standin_release import make_artifacts, render_program

SAMPLES = [
    "token: abc\nserver: https://10.0.0.1:6443\n",
    "tls-san:\n  - a.example\n  - 10.0.0.9\ndisable: [traefik, servicelb]\n",
    "tls-san:\n- a\n- 'b c'\n# a comment\n\nnode-name: x # trailing\n",
    "write-kubeconfig-mode: 0644\n",
    'write-kubeconfig-mode: "0644"\n',
    "cluster-init: yes\ndocker: no\ndebug: true\n",
    "node-label:\n  - \"a=b\"\n  - 'it''s=#1'\n",
    'node-taint: ["k=v:NoSchedule", k2:NoExecute]\n',
    "---\nnode-name: n1\n",
    "node-ip: 10.0.0.1\nhttps-listen-port: 7443\n",
    '\'token\': "a\\"b\\u00e9"\n',
]


def as_flags(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(v).lower() if isinstance(v, bool) else str(v) for v in values]


@pytest.mark.parametrize("text", SAMPLES)
def test_config_is_read_as_yaml_reads_it(text: str) -> None:
    expected = {key: as_flags(value) for key, value in yaml.safe_load(text).items()}
    assert parse_config(text, "config.yaml") == expected


@pytest.mark.parametrize(
    "text",
    [
        "token: |\n  abc\n",
        "a: &x 1\nb: *x\n",
        "kubelet:\n  nested: 1\n",
        "token: a: b\n",
        "token: {a: b}\n",
        'token: "abc\n',
        "token: a\ntoken: b\n",
        "- list\n",
        "tls-san: [a, [b]]\n",
        "tls-san: [a\n",
        "\ttoken: a\n",
        "token: `x`\n",
    ],
)
def test_yaml_beyond_the_reader_is_an_error(text: str) -> None:
    with pytest.raises(Fatal):
        parse_config(text, "config.yaml")


def test_later_files_replace_and_plus_appends(tmp_path: Path) -> None:
    main = tmp_path / "config.yaml"
    main.write_text("tls-san: [a]\nnode-name: one\nnode-label: [x=1]\n")
    (tmp_path / "config.yaml.d").mkdir()
    (tmp_path / "config.yaml.d/10.yaml").write_text("tls-san+: [b]\nnode-name: two\n")
    (tmp_path / "config.yaml.d/20.yaml").write_text("node-label: [y=2]\nunknown-thing: 1\n")
    merged = read_config(main, flag_table("server"))
    assert merged == {"tls-san": ["a", "b"], "node-name": ["two"], "node-label": ["y=2"]}


def test_an_unknown_key_ends_an_agent_where_a_server_skips_it(tmp_path: Path) -> None:
    """k3s v1.36: pkg/configfilearg/defaultparser.go has the flags of `server` alone to skip others by."""
    main = tmp_path / "config.yaml"
    for text in ("unknown-thing: 1\n", "kube-apiserver-arg: [a=b]\n"):
        main.write_text(f"node-name: one\n{text}")
        with pytest.raises(Fatal, match="flag provided but not defined: -"):
            read_config(main, flag_table("agent"), command="agent")
    main.write_text("node-name: one\ndisable-apiserver-lb: true\n")
    assert read_config(main, flag_table("server")) == {"node-name": ["one"]}
    agents = read_config(main, flag_table("agent"), command="agent")
    assert agents == {"node-name": ["one"], "disable-apiserver-lb": ["true"]}


def test_release_directory_is_laid_out_as_k3s_releases_are(tmp_path: Path) -> None:
    folder = make_artifacts(tmp_path / "release", version="v1.34.1+k3s1", images=True)
    assert sorted(path.name for path in folder.iterdir()) == [
        "k3s", "k3s-airgap-images-amd64.tar", "k3s-airgap-images-arm64.tar", "k3s-arm64",
        "sha256sum-amd64.txt", "sha256sum-arm64.txt",
    ]  # fmt: skip
    for name in ("sha256sum-amd64.txt", "sha256sum-arm64.txt"):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", name], cwd=folder, check=True)
    binaries = {"x86_64": ("k3s", "k3s-arm64"), "aarch64": ("k3s-arm64", "k3s")}
    right, wrong = binaries[os.uname().machine]
    shown = subprocess.run([folder / right, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("k3s version v1.34.1+k3s1 (")
    refused = subprocess.run([folder / wrong, "--version"], capture_output=True, text=True, check=False)
    assert refused.returncode == 126
    assert "Exec format error" in refused.stderr


def test_two_builds_of_one_version_have_the_same_checksum(tmp_path: Path) -> None:
    program = render_program(version="v1.34.1+k3s1", arch="amd64")
    assert program == render_program(version="v1.34.1+k3s1", arch="amd64")
    assert program.startswith(b"#!/usr/bin/python3 -I\n")
    assert program != render_program(version="v1.34.1+k3s1", arch="arm64")


def test_links_name_the_subcommand(tmp_path: Path) -> None:
    folder = make_artifacts(tmp_path)
    binary = folder / ("k3s" if os.uname().machine == "x86_64" else "k3s-arm64")
    for name in ("kubectl", "crictl"):
        (tmp_path / name).symlink_to(binary)
    environment = {**os.environ, "K3S_STANDIN_ROOT": str(tmp_path), "KUBECONFIG": ""}
    shown = subprocess.run([tmp_path / "kubectl", "get", "nodes"], capture_output=True, text=True, env=environment,
                           check=False)  # fmt: skip
    assert shown.returncode == 1
    assert "error loading config file" in shown.stderr
    refused = subprocess.run([tmp_path / "crictl", "ps"], capture_output=True, text=True, env=environment, check=False)
    assert refused.returncode == 1
    assert "k3s stand-in" in refused.stderr


def test_secrets_are_masked_in_a_nodes_settings() -> None:
    """k3s: pkg/nodeconfig/nodeconfig.go."""
    given = {"disable": ["traefik"], "etcd-s3-access-key": ["AK"], "etcd-s3-secret-key": ["SK"], "token": ["T"]}
    assert shown_arguments(given) == [
        *("--disable", "traefik"),
        *("--etcd-s3-access-key", "********"),
        *("--etcd-s3-secret-key", "********"),
        *("--token", "********"),
    ]


REGISTRIES = {
    "mirrors": {
        "*": {},
        "docker.io": {"endpoint": ["https://r.home:5000", "https://b.home"], "rewrite": {"^a/(.*)": "b: $1"}},
    },
    "configs": {"r.home:5000": {"auth": {"username": "it's #1", "password": "0644"}, "tls": {"ca_file": "/etc/ca"}}},
    "auths": {"empty": []},
}


def node_options(root: Path, text: str) -> Options:
    path = root / "etc/rancher/k3s/registries.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Options("agent", [], root=str(root), environ={})


def test_registries_become_containerds_hosts_and_old_ones_go(tmp_path: Path) -> None:
    certs = tmp_path / "var/lib/rancher/k3s/agent/etc/containerd/certs.d"
    take_registries(node_options(tmp_path, f"# a comment\n{yaml.safe_dump(REGISTRIES)}"))
    assert sorted(path.name for path in certs.iterdir()) == ["_default", "docker.io"]
    told = (certs / "docker.io/hosts.toml").read_text()
    assert told.index('[host."https://r.home:5000"]') < told.index('[host."https://b.home"]')
    take_registries(node_options(tmp_path, "{}\n"))
    assert list(certs.iterdir()) == []


@pytest.mark.parametrize("text", ["mirrors: docker.io\n", "- docker.io\n", "mirrors:\n  docker.io\n", "mirrors: {a\n"])
def test_registries_of_another_form_keep_a_node_waiting(tmp_path: Path, text: str) -> None:
    """As k3s: "Waiting to retrieve agent configuration; server is not ready: yaml: ..." without end."""
    with pytest.raises(ValueError, match="yaml: "):
        take_registries(node_options(tmp_path, text))
