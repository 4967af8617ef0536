"""What of a deploy key is for the Git host. Pure."""

from __future__ import annotations

from bootstrap.model.settings.gitops import GitopsSpec

_PAGES = {
    "github.com": "https://github.com/{}/settings/keys",
    "gitlab.com": "https://gitlab.com/{}/-/settings/repository",
    "codeberg.org": "https://codeberg.org/{}/settings/keys",
}
"""Where deploy keys of a repository are, by host. Others have them in the repository's settings, too."""


def public_half(key: str) -> str:
    """`ssh-ed25519 AAAA...` of a private key.

    Raises:
        ValueError: It is none, or has a passphrase; the message never repeats any part of it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
        load_ssh_private_key,
    )

    load = load_ssh_private_key if "BEGIN OPENSSH PRIVATE KEY" in key else load_pem_private_key
    try:
        public = load(key.encode(), password=None).public_key()
        return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    except TypeError:
        raise ValueError("has a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is no private key that SSH can use") from None


def deploy_key_page(spec: GitopsSpec) -> str:
    """Where the public half goes: a page, or in words."""
    host, _, name = spec.repository.partition("/")
    page = _PAGES.get(host)
    return page.format(name) if page is not None else f"{spec.repository}, Settings, Deploy keys"
