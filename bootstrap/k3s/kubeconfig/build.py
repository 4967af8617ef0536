"""The administrator's kubeconfig, built from what we know and three PEM blocks of the server's.

Whatever else a kubeconfig may hold is refused: `exec` and `auth-provider` run programs on the administrator's computer
at the next `kubectl`, `proxy-url`, `tls-server-name` and `insecure-skip-tls-verify` send its requests elsewhere
(client-go, tools/clientcmd/api/v1/types.go).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, cast
from urllib.parse import urlsplit

import yaml

from bootstrap.advice import Advice
from bootstrap.errors import KubernetesError
from bootstrap.k3s.kubeconfig.pem import AdminPems, read_pems
from bootstrap.model.reading_yaml import read_words

K3S_YAML = "/etc/rancher/k3s/k3s.yaml"
API_PORT: Final = 6443
"""Where a server's API listens."""

_ANY: Final = "*"
"""In place of a name: the server is passed over."""
_MOST_CHARS = 1 << 18
_SERVER = re.compile(r"https://(?P<host>[a-z0-9.-]{1,253}):[0-9]{1,5}")
_ADDRESS = re.compile(r"[0-9.]{7,15}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62})")
_TOP = ("apiVersion", "kind", "preferences", "clusters", "users", "contexts", "current-context")


@dataclass(frozen=True, kw_only=True)
class _Read:
    name: str
    server: str
    pems: AdminPems


def build_kubeconfig(k3s_yaml: str, *, name: str, server_url: str, source: str) -> str:
    """A kubeconfig with cluster, user and context called `name`; only CA, certificate and key are the server's.

    Args:
        k3s_yaml: /etc/rancher/k3s/k3s.yaml as a server has it: one cluster, one user.
        name: The cluster's name.
        server_url: `https://address:6443`, or with a name.
        source: The machine that it was read from.

    Raises:
        KubernetesError: It is not such a kubeconfig, or holds more.
    """
    try:
        return _render(_read(k3s_yaml).pems, name=name, server_url=server_url)
    except ValueError as error:
        raise KubernetesError(
            f"{source}: k3s's kubeconfig is not as expected",
            details=f"{K3S_YAML}: {error}",
            resolution="if you did not change that file, check the machine for intruders first; k3s writes the file "
            "again at each start: `sudo systemctl restart k3s` there",
        ) from None


def check_own(kubeconfig: str, *, api_name: str | None = None) -> str:
    """A kubeconfig of the state directory, built again: an earlier release kept the server's answer as it was.

    Args:
        kubeconfig: Its text.
        api_name: What the inventory called the API when it was written: the only name that may stand in it.

    Raises:
        KubernetesError: It is not one of ours, or holds more.
    """
    read = _own(kubeconfig, api_name=api_name)
    return _render(read.pems, name=read.name, server_url=read.server)


def with_server(kubeconfig: str, address: IPv4Address) -> str:
    """One of our kubeconfigs that talks to this server instead, whatever it names.

    Raises:
        KubernetesError: As of `check_own`.
    """
    read = _own(kubeconfig)
    return _render(read.pems, name=read.name, server_url=f"https://{address}:{API_PORT}")


def through_tunnel(kubeconfig: str, port: int) -> str:
    """One of our kubeconfigs that goes through a port of loopback; TLS still verifies the server that it names.

    Raises:
        KubernetesError: As of `check_own`.
    """
    read = _own(kubeconfig)
    host = urlsplit(read.server).hostname or ""
    return _render(read.pems, name=read.name, server_url=f"https://127.0.0.1:{port}", verified_as=host)


def server_of(kubeconfig: str) -> str:
    """The server that one of our kubeconfigs names, for texts. Raises KubernetesError as `check_own` does."""
    return _own(kubeconfig).server


def own_authority(kubeconfig: str) -> tuple[str, str, str]:
    """Cluster, server and CA (PEM) of one of our kubeconfigs. Raises KubernetesError as `check_own` does."""
    read = _own(kubeconfig)
    return read.name, read.server, read.pems.authority


def _own(kubeconfig: str, *, api_name: str | None = _ANY) -> _Read:
    try:
        read = _read(kubeconfig)
        server = _SERVER.fullmatch(read.server)
        if server is None:
            raise ValueError("its server is not of the form https://address:port")
        if api_name != _ANY and server["host"] != api_name and not _ADDRESS.fullmatch(server["host"]):
            raise ValueError("its server name is not the API's")
        if not _NAME.fullmatch(read.name):
            raise ValueError("its cluster name is invalid")
    except ValueError as error:
        raise KubernetesError(
            "the kubeconfig in the state directory cannot be used",
            details=str(error),
            resolution=Advice("`homelab-k8s up` fetches it again"),
        ) from None
    return read


def _render(pems: AdminPems, *, name: str, server_url: str, verified_as: str = "") -> str:
    cluster = {"server": server_url, "certificate-authority-data": _base64(pems.authority)}
    if verified_as:
        cluster["tls-server-name"] = verified_as
    user = {"client-certificate-data": _base64(pems.certificate), "client-key-data": _base64(pems.key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return yaml.safe_dump(config, default_flow_style=False, sort_keys=False)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("ascii")).decode("ascii")


def _read(text: str) -> _Read:
    """Raises ValueError with words that hold nothing of the values: one of them is a private key."""
    if len(text) > _MOST_CHARS:
        raise ValueError(f"it has {len(text)} characters, more than {_MOST_CHARS}")
    try:
        loaded = read_words(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"it is not valid YAML ({type(error).__name__})") from None
    config = _mapping(loaded, "it", _TOP)
    if config.get("preferences"):
        raise ValueError("it has preferences")
    name, cluster = _only(config, "clusters", "cluster", ("server", "certificate-authority-data"))
    _, user = _only(config, "users", "user", ("client-certificate-data", "client-key-data"))
    pems = read_pems(
        authority=cluster.get("certificate-authority-data"),
        certificate=user.get("client-certificate-data"),
        key=user.get("client-key-data"),
    )
    return _Read(name=name, server=str(cluster.get("server")), pems=pems)


def _only(
    config: Mapping[str, object], section: str, kind: str, keys: Collection[str]
) -> tuple[str, dict[str, object]]:
    """The one entry of a section: its name, and what it holds."""
    entries = config.get(section)
    if not isinstance(entries, list) or len(entries) != 1:
        raise ValueError(f"it does not have exactly one of {section}")
    entry = _mapping(entries[0], section, ("name", kind))
    return str(entry.get("name")), _mapping(entry.get(kind), section, keys)


def _mapping(value: object, what: str, known: Collection[str]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{what}: not a mapping")
    odd = [ascii(key) for key in value if key not in known]
    if odd:
        raise ValueError(f"{what}: unexpected key {odd[0][:40]}")
    return cast(dict[str, object], value)
