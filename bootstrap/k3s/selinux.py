"""What k3s needs under SELinux. Pure.

Rocky, Alma, RHEL, CentOS Stream, Fedora and openSUSE MicroOS enforce it. k3s's own installer refuses to go on there
without the package k3s-selinux, which needs container-selinux (k3s: install.sh, docs.k3s.io/advanced).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ENFORCING = "enforcing"


def selinux_problem(name: str, facts: Mapping[str, Sequence[str]]) -> str:
    """What is missing on a machine, in one line; empty where nothing is, or SELinux enforces nothing.

    Args:
        name: The machine, or the template that is built.
        facts: What facts.sh printed there.
    """
    lacks = " ".join(facts.get("selinux_lacks", ())).split()
    if list(facts.get("selinux", ())) != [ENFORCING] or not lacks:
        return ""
    missing = f"{' and '.join(lacks)} {'is' if len(lacks) == 1 else 'are'} not installed"
    return (
        f"SELinux is enforcing on {name}, and {missing}: k3s or its pods may be denied files. Install it in the "
        "template (docs/templates.md), or set SELinux to permissive there"
    )
