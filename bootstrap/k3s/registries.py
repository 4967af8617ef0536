"""k3s's registries.yaml for our machines: mirrors, credentials and TLS of image registries, on all machines the same.

k3s reads the file once at each start, on servers and agents (pkg/agent/config/config.go, `GetPrivateRegistries`), and
makes containerd's `hosts.toml` files of it (pkg/agent/containerd/config.go, `writeContainerdHosts`): a changed file
needs a restart of k3s, and no more. Where the file has another structure than `FORM`, an agent never gets past
"Waiting to retrieve agent configuration".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

import yaml

from bootstrap.model.cluster import K3sSpec

REGISTRIES: Final = "/etc/rancher/k3s/registries.yaml"
"""k3s's own default for `private-registry` (pkg/cli/cmds/agent.go)."""

TLS_FILES: Final = "/etc/rancher/k3s/registries.tls"
"""Where certificates and keys for registries are on machines; it is all ours."""

SETTING: Final = "private-registry"
"""Is set on machines that have our file, so that k3s reports it with its arguments: without a login it is known which
machines have started with one."""

EMBEDDED: Final = "embedded-registry"
"""k3s's setting of servers for Spegel; its agents are told by them."""

FOREIGN: Final = "foreign"
"""In place of a checksum: there is a file which is not ours."""

EXPOSED: Final = "exposed"
"""In place of a checksum: our file has another owner or mode than 0600."""

_HEADER: Final = "# Written by homelab-k8s: k3s.registries of the inventory. It may hold secrets.\n"
_EMBEDDED_HEADER: Final = "# The embedded registry is on.\n"

FORM: Final[Mapping[str, object]] = {
    "mirrors": {"*": {"endpoint": [str], "rewrite": {"*": str}}},
    "configs": {
        "*": {
            "auth": {"username": str, "password": str, "auth": str, "identity_token": str},
            "tls": {"ca_file": str, "cert_file": str, "key_file": str, "insecure_skip_verify": bool},
        }
    },
}
"""What k3s reads (rancher/wharfie: pkg/registries/types.go); `*` is any key. `auths` is deprecated there."""

_WIDTH: Final = 2**16
"""Texts stay on one line."""

SECRET_KEYS: Final = ("password", "auth", "identity_token")


def wrong_parts(content: object) -> tuple[str, ...]:
    """What k3s would not read in the content of a registries.yaml, as `PATH: REASON`. Never a value."""
    return tuple(_wrong(content, FORM, "the file"))


def _wrong(found: object, form: object, at: str) -> Iterator[str]:
    if found is None:
        return
    if isinstance(form, dict):
        yield from _wrong_keys(found, form, at)
    elif isinstance(form, list):
        yield from _wrong_items(found, form[0], at)
    elif isinstance(form, type) and not isinstance(found, form):
        yield f"{at} must be {'true or false' if form is bool else 'a text: quote it'}"


def _wrong_keys(found: object, forms: Mapping[str, object], at: str) -> Iterator[str]:
    if not isinstance(found, dict):
        yield f"{at} must be a mapping"
        return
    for key, value in found.items():
        form = forms.get("*", forms.get(key)) if isinstance(key, str) else None
        path = f"{at}: {key}" if forms is FORM else f"{at}.{key}"
        if form is None:
            yield f"{path} is not a key that k3s reads"
        else:
            yield from _wrong(value, form, path)


def _wrong_items(found: object, form: object, at: str) -> Iterator[str]:
    if not isinstance(found, list):
        yield f"{at} must be a list"
        return
    for index, value in enumerate(found):
        yield from _wrong(value, form, f"{at}[{index}]")


def secrets_in(content: object) -> tuple[str, ...]:
    """The passwords and tokens in the content of a registries.yaml."""
    configs = content.get("configs") if isinstance(content, dict) else None
    auths = (config.get("auth") for config in (configs or {}).values() if isinstance(config, dict))
    found = (auth.get(key) for auth in auths if isinstance(auth, dict) for key in SECRET_KEYS)
    return tuple(each for each in found if each)


def render_registries(k3s: K3sSpec) -> str:
    """The text of a machine's registries.yaml, with secrets; empty where there is to be none of ours.

    With the embedded registry each registry that it serves needs an entry in `mirrors`: those that are named, else
    all, `*` (k3s: pkg/spegel/registry.go, `InjectMirror`). An agent learns at its start that it is on, so the file says
    it too: its change restarts agents.
    """
    if not has_registries(k3s):
        return ""
    content = dict(yaml.safe_load(k3s.registries.content) or {}) if k3s.registries is not None else {}
    if k3s.embedded_registry and not content.get("mirrors"):
        content["mirrors"] = {"*": {}}
    header = _HEADER + (_EMBEDDED_HEADER if k3s.embedded_registry else "")
    return header + yaml.safe_dump(content, default_flow_style=False, sort_keys=False, width=_WIDTH)


def has_registries(k3s: K3sSpec) -> bool:
    """Whether machines get a registries.yaml."""
    return k3s.registries is not None or k3s.embedded_registry


def registries_checksum(k3s: K3sSpec) -> str:
    """SHA-256 of a machine's registries.yaml with the certificates and keys that it names, in the order of their names.

    In lower-case hex; empty where there is to be none of ours.
    """
    text = "".join(registries_files(k3s).values())
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def registries_files(k3s: K3sSpec) -> dict[str, str]:
    """What is sent to a machine for it, beside config.yaml: secret."""
    text = render_registries(k3s)
    files = k3s.registries.files if k3s.registries is not None else ()
    return {"registries.yaml": text, **dict(sorted(files))} if text else {}


def tls_file(content: str) -> str:
    """The name of a certificate or a key on machines: of another content it is another name.

    So registries.yaml differs with it, and a k3s that starts in the middle of a change never reads a pair of halves.
    """
    return f"registry-{hashlib.sha256(content.encode()).hexdigest()[:32]}.pem"
