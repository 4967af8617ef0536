"""Names and values of environment variables of k3s's units, which systemd reads from a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bootstrap.inventory.values.scalars import RefusedError, Text
from bootstrap.k3s.environment import CONTAINERD, NO_PROXY, PROXIES
from bootstrap.k3s.pass_through.flags import FLAGS, RESERVED

_PROXY_NAMES: Final = (*PROXIES, NO_PROXY)
_REFUSED: Final[Mapping[str, str]] = {
    r"LD_.*|GCONV_PATH|GLIBC_TUNABLES": "the dynamic linker and the C library obey it, in every program that k3s runs",
    r"PATH|HOME|USER|LOGNAME|SHELL|PWD|IFS|ENV|BASH_ENV": "systemd and k3s set it for their own programs",
    r"NOTIFY_SOCKET|LISTEN_.*|MAINPID|MANAGERPID|WATCHDOG_.*|INVOCATION_ID|JOURNAL_STREAM": "systemd sets it",
    r"SYSTEMD_.*": "it is systemd's",
    r"NODE_NAME|KUBECONFIG|CRI_CONFIG_FILE|_.*": "k3s sets it itself",
    r"AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN": "use backup.s3",
    r"ALL_PROXY": "k3s and containerd do not read it: use HTTP_PROXY and HTTPS_PROXY",
}
"""Patterns of names that are refused, with the reason."""


def _name(text: str) -> str:
    bare = text.removeprefix(CONTAINERD)
    if bare.upper() in (*_PROXY_NAMES, "ALL_PROXY") and not bare.isupper():
        prefix = text[: len(text) - len(bare)]
        raise RefusedError("is a proxy in lower case", f"write {prefix}{bare.upper()}: k3s and containerd read both")
    if bare.startswith("K3S_"):
        raise RefusedError("is one of k3s's own settings", _key_for(bare))
    for pattern, reason in _REFUSED.items():
        if re.fullmatch(pattern, bare):
            raise RefusedError("is refused", reason)
    return text


def _key_for(name: str) -> str:
    """The inventory's key for a variable of k3s's; most are called like its settings."""
    key = "server" if _flag(name) == "url" else _flag(name)
    key = key.replace("kubeconfig-output", "write-kubeconfig").replace("kubeconfig-", "write-kubeconfig-")
    if key in RESERVED:
        return str(RESERVED[key])
    return f"use {key} in k3s.server_config or k3s.agent_config" if key in FLAGS else "homelab-k8s uses them"


def _flag(name: str) -> str:
    return name.removeprefix("K3S_").lower().replace("_", "-").replace("config-file", "config")


def _value(text: str) -> str:
    if re.search(r"://[^/]*@", text):
        raise RefusedError(
            "secrets do not belong in this file", "say where it is stored: {env: NAME}, {file: PATH} or {keyring: ...}"
        )
    return check_value(text)


def check_value(text: str) -> str:
    """The value. Raises RefusedError where it could be read as more than itself; never repeats it."""
    if not text.isprintable() or re.search(r"['\\]", text) or len(text) > _MOST:
        raise RefusedError(f"must be {VALUE_WORDS}")
    return text


def _proxy(text: str) -> str:
    return check_proxy(_value(text))


def check_proxy(text: str) -> str:
    """The URL. Raises RefusedError where k3s could not use it; never repeats it, since it may have a password."""
    if not re.fullmatch(_PROXY_URL, check_value(text), re.IGNORECASE):
        hint = f"write http://{text}" if re.fullmatch(rf"{_HOST}:[0-9]{{1,5}}", text) else ""
        raise RefusedError(f"must be {PROXY_WORDS}", hint or "user and password percent-encoded")
    return text


def is_proxy(name: str) -> bool:
    """Whether a variable holds a proxy's URL."""
    return name.removeprefix(CONTAINERD) in PROXIES


_MOST: Final = 4096
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_PROXY_URL: Final = rf"(?:https?|socks5h?)://(?:[^\s/@:]+(?::[^\s/@:]*)?@)?{_HOST}(?::[0-9]{{1,5}})?/?"
PROXY_WORDS: Final = "a proxy's URL, such as http://proxy.home.arpa:3128"
VALUE_WORDS: Final = f"one line of at most {_MOST} characters, without ' and \\"

VARIABLE: Final = Text(
    label="the name of an environment variable, such as GOMEMLIMIT",
    pattern=r"[A-Za-z_][A-Za-z0-9_]{0,127}",
    parse=_name,
)
VALUE: Final = Text(label=VALUE_WORDS, pattern=r"[^\x00-\x1f\x7f'\\]+", parse=_value, loose=True, secret=True)
PROXY: Final = Text(label=PROXY_WORDS, pattern=r"[^\x00-\x1f\x7f'\\]+", parse=_proxy, loose=True, secret=True)
