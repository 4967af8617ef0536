"""The CAs that a server hands out for another one, which unpacks them as root."""

from __future__ import annotations

import base64

import pytest

from bootstrap.errors import GuestError
from bootstrap.k3s.ca_archive import FILES, check_identity
from tests.fakes.world.datastore import packed

NAMES = sorted(FILES)

ODD = {
    "no base64": "!!",
    "no tar": base64.b64encode(b"x" * 2000).decode(),
    "nothing": "",
    "another place": packed([*NAMES, "../../../etc/cron.d/x"]),
    "an absolute place": packed([*NAMES, "/etc/cron.d/x"]),
    "one of them elsewhere": packed([*NAMES[1:], f"../{NAMES[0]}"]),
    "a link in a folder's place": packed(NAMES, link="etcd"),
    "one twice": packed([*NAMES, NAMES[0]]),
    "one too few": packed(NAMES[1:]),
    "one too large": packed([*NAMES[1:], "a" * 70_000]),
    "too much": "A" * 1_100_000,
}


def test_an_identity_passes_with_the_white_space_around_it_gone() -> None:
    assert check_identity(f"{packed()}\n", source="demo-cp-1") == packed()


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_an_archive_with_anything_else_is_refused(text: str) -> None:
    with pytest.raises(GuestError, match="demo-cp-1: the cluster's CAs and keys are not as expected"):
        check_identity(text, source="demo-cp-1")
