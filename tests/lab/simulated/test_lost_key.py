"""The cluster's SSH key is lost: what is printed, followed word for word, leads back."""

from __future__ import annotations

import re
import shlex

from tests.e2e.homes import Home


def advised(text: str, verb: str) -> list[str]:
    """The arguments of the first command of a verb in what was printed, lines that were wrapped taken together."""
    found = re.search(rf"`homelab-k8s ({verb} [^`]*)`", " ".join(text.split()))
    assert found is not None, text
    return shlex.split(found[1])


def test_the_way_back_from_a_lost_key_is_the_one_that_is_printed(home: Home) -> None:
    cluster = home.directory / "state" / "homelab-k8s" / "clusters" / "lab"
    home.run("up", "--lab", "--workers", "1")
    (cluster / "id_ed25519").unlink()
    refused = home.run("up", "--lab", "--workers", "1", expect=4)
    adopt = home.run(*advised(refused.err, "adopt"), "--yes")
    assert adopt.err.count("added to /home/debian/.ssh/authorized_keys by its guest agent") == 2
    assert home.run("status", "--lab", "-o", "json").json["problems"] == []
    assert "nothing to do" in home.run("up", "--lab", "--workers", "1").out
    home.run("down", "--lab", "--yes")
