"""The inventory's tags and notes through the lab's whole API, which keeps tags and descriptions as Proxmox VE does."""

from __future__ import annotations

from tests.e2e.homes import Home

INVENTORY = """
cluster: lab
tags: {tags}
notes: {notes}
control_plane: {{cores: 1, memory: 1GiB, disk: 8GiB}}
workers: 0
"""


def up(home: Home, *more: str, tags: str, notes: str) -> str:
    (home.directory / "cluster.yaml").write_text(INVENTORY.format(tags=tags, notes=notes))
    result = home.run("up", "--lab", "--inventory", "cluster.yaml", *more)
    return result.out + result.err


def test_tags_and_notes_are_kept_in_step_by_up(home: Home) -> None:
    first = {"tags": "[production, rack-2]", "notes": '"# 100% é\\n\\n  - a <b>"'}
    other = {"tags": "[rack-2]", "notes": "Ask Alex."}
    up(home, **first)
    assert "nothing to do" in up(home, **first)
    planned = up(home, "--dry-run", **other)
    assert "still has the tag production and has other notes than the inventory in Proxmox" in " ".join(planned.split())
    up(home, **other)
    assert "nothing to do" in up(home, **other)
    home.run("status", "--lab", "--inventory", "cluster.yaml", expect=0)
