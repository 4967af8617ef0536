"""Paths of the user's files on machines: what is ours there, or not for files, is refused."""

from __future__ import annotations

import re
from typing import Final

from bootstrap.inventory.values.scalars import RefusedError, Text

_PART: Final = r"[A-Za-z0-9._+@:=-]{1,100}"

_NOT_THERE: Final[tuple[tuple[str, str, str], ...]] = (
    (r"/etc/rancher/k3s/registries\.yaml", "is written by this program", "use k3s.registries"),
    (
        r"/etc/rancher/k3s/config\.yaml|/etc/rancher/k3s/config\.yaml\.d/50-homelab-k8s\.yaml",
        "is written by this program",
        "use k3s.server_config or k3s.agent_config",
    ),
    (r"/etc/rancher/k3s/(k3s\.yaml|\.).*|/etc/rancher/node/.*|/etc/rancher/[^/]*", "is k3s's own", "remove it"),
    (r"/var/lib/(rancher|kubelet|cni)(/.*)?", "is k3s's own", "put it elsewhere, such as /etc/rancher/k3s/audit.yaml"),
    (r"/run(/.*)?|/tmp(/.*)?|/var/(run|tmp|lock)(/.*)?", "is for temporary files", "use another directory"),
    (r"/(proc|sys)(/.*)?", "is the kernel's", "use sysctls or kernel_modules"),
    (r"/dev(/.*)?", "is for devices", "use another directory"),
    (r".*/\.ssh/authorized_keys2?", "decides who can log in", "use ssh.private_key"),
    (r"/etc/ssh/ssh_host_.*", "is a host key, by which the machine is known", "remove it"),
    (
        r"/etc/systemd/system/k3s(-agent)?\.service(\.d|\.env)?(/.*)?|/etc/(default|sysconfig)/k3s(-agent)?",
        "belongs to k3s's unit",
        "use k3s.server_config or k3s.agent_config",
    ),
    (r"/usr/local/bin/(\.?k3s.*|kubectl|crictl|ctr)", "is installed with k3s", "use another name"),
    (r"/etc/keepalived(/.*)?", "is written for control_plane.vip", "remove it"),
    (r"/var/lib/homelab-k8s(/.*)?|.*/\.homelab-k8s(/.*)?", "is this program's own directory", "use another one"),
    (r"/etc/.*/([0-9]+-)?homelab-k8s[^/]*\.(conf|cfg)", "has the name of this program's own files", "use another name"),
    (r"/etc/(machine-id|hostname)", "is what makes the machine another than the others", "remove it"),
)
"""Expressions for whole paths, why none may be there, and what to do instead."""


def _own(text: str) -> str:
    if {".", ".."} & set(text.split("/")):
        raise RefusedError(f"{text}: . and .. cannot be part of it", "write the path without them")
    if len(text) > 200:
        raise RefusedError("is longer than 200 characters")
    for pattern, why, instead in _NOT_THERE:
        if re.fullmatch(pattern, text):
            raise RefusedError(f"{text} {why}", instead)
    return text


def _hint(text: str) -> str:
    if text.startswith("~"):
        return "such as /root/.vimrc: there is no ~ on machines"
    if text.endswith("/"):
        return "with the file's name at its end"
    return "such as /etc/iscsi/initiatorname.iscsi; letters, digits and . _ + @ : = - alone"


GUEST_PATH: Final = Text(
    label="an absolute path on the machines", pattern=rf"(?:/{_PART}){{2,20}}", parse=_own, explain=_hint
)
MODE: Final = Text(
    label="a mode from 0000 to 0777, in octal",
    pattern=r"0[0-7]{3}",
    parse=str,
    loose=True,
    explain=lambda text: f"write 0{text}" if re.fullmatch(r"[0-7]{3}", text) else "such as 0644",
)
