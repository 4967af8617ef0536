"""Whether the token may set the tags that we need, by the datacenter's options, and the command that lets it. Pure.

Follows PVE::GuestHelpers (assert_tag_permissions, get_allowed_tags): without Sys.Modify on `/` a tag may be set where
`user-tag-access` allows it and it is not one of the `registered-tags`. `GET /cluster/options` shows these to a token
with Sys.Audit on `/`; to others it only lists `allowed-tags`, the tags of VMs that the token sees among them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from bootstrap.model.access.rights import MissingPrivileges
from bootstrap.model.reading import Reading

PRIVILEGE = "Sys.Modify"
_SET = "pvesh set /cluster/options"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_REFUSED = re.compile(r"Permission check failed \(/, Sys\.Modify for modifying tag '([^']+)'\)")


def forbidden_tags(
    options: Reading, *, wanted: Collection[str], seen: Collection[str], audits: bool
) -> MissingPrivileges | None:
    """What keeps a token without Sys.Modify on `/` from setting tags; None where nothing does, as far as is shown.

    Args:
        options: `GET /cluster/options`.
        wanted: The tags.
        seen: Tags of VMs that the token sees.
        audits: Whether the token has Sys.Audit on `/`, so that all options are shown.
    """
    allowed = _listed(options.at("allowed-tags"))
    if audits:
        registered = _listed(options.at("registered-tags"))
        access = _access(options.at("user-tag-access"))
        mode = access.at("user-allow").text("") or "free"
        refused = {tag for tag in wanted if tag in registered or (mode != "free" and tag not in allowed)}
        return _lack(refused, mode=mode, listed=_listed(access.at("user-allow-list")), registered=registered)
    # A tag that the token sees is allowed in the modes `free` and `existing`, unless it is registered. Of a tag that no
    # VM has yet nothing can be told: in the mode `free` it is not listed either.
    refused = {tag for tag in wanted if tag in seen and tag not in allowed}
    return _lack(refused, mode="list", listed=allowed, registered=None)


def tag_refusal(text: str) -> str | None:
    """The tag that a 403 is about, or None where it is about none."""
    found = _REFUSED.search(text)
    return found[1] if found else None


def tag_remedy(tag: str) -> str:
    """What to do where a tag was refused and the datacenter's options are not known."""
    return (
        "as root on a Proxmox node, `pvesh get /cluster/options` shows user-tag-access and registered-tags: add "
        f"{tag} to the former's list ({_SET} --user-tag-access 'user-allow=list,user-allow-list=...;{tag}'), and take "
        f"it off the latter ({_SET} --registered-tags '...', or --delete registered-tags)"
    )


def _lack(
    refused: set[str], *, mode: str, listed: frozenset[str], registered: frozenset[str] | None
) -> MissingPrivileges | None:
    """The report on refused tags; `registered` is None where it is not shown."""
    if not refused:
        return None
    if registered is None:
        whys = ["user-tag-access or registered-tags"]
        first_see = "# first see with `pvesh get /cluster/options` what both options have, and keep that"
        commands = [_allow(refused, mode=mode, listed=listed), first_see]
    else:
        whys, commands = [], []
        if refused & registered:
            kept = registered - refused
            whys.append("registered-tags")
            commands.append(f"{_SET} --registered-tags '{_list(kept)}'" if kept else f"{_SET} --delete registered-tags")
        if mode != "free":
            whys.append("user-tag-access")
            commands.append(_allow(refused, mode=mode, listed=listed))
    tags = ", ".join(sorted(refused))
    return MissingPrivileges(
        path="/",
        privileges=(PRIVILEGE,),
        why=f"to set the tag{'s' * (len(refused) > 1)} {tags} (the datacenter's {' and '.join(whys)})",
        remedy="\n".join(commands),
    )


def _allow(refused: set[str], *, mode: str, listed: frozenset[str]) -> str:
    """The command that allows tags. With `none` nothing was allowed, whatever the list says."""
    among = listed if mode != "none" else frozenset[str]()
    allow = "existing" if mode == "existing" else "list"
    return f"{_SET} --user-tag-access 'user-allow={allow},user-allow-list={_list(among | refused)}'"


def _access(told: Reading) -> Reading:
    """The option `user-tag-access` as a mapping, which it may be already, or a property string."""
    if not isinstance(told.value, str):
        return told
    return replace(told, value=dict(part.split("=", 1) for part in told.text().split(",") if "=" in part))


def _listed(told: Reading) -> frozenset[str]:
    """A list of tags, as an array or as a text; without what is no tag, since commands are made of them."""
    if isinstance(told.value, str):
        tags = re.split(r"[;,\s]+", told.text())
    else:
        tags = [tag.text() for tag in told.items(optional=True)]
    return frozenset(tag for tag in tags if _TAG.fullmatch(tag))


def _list(tags: Collection[str]) -> str:
    return ";".join(sorted(tags))
