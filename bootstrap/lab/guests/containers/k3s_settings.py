"""Settings that k3s needs only in container guests: files in its drop-in folders."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bootstrap.lab.template.layers import make_guest_dir

_DATA = Path(__file__).parent / "k3s"

_KUBELET = "var/lib/rancher/k3s/agent/etc/kubelet.conf.d/10-lab.conf"
"""k3s passes this folder to the kubelet (`--config-dir`) since 1.32; older ones ignore it."""

_CONTAINERD = "var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/10-lab.toml"
"""k3s has this folder imported by its containerd 2 (k3s: pkg/agent/templates)."""


def k3s_settings(*, cgroups: str, capabilities: Collection[str]) -> dict[str, str | None]:
    """The files below a guest's root; None for files to remove, since a disk may come from another machine.

    Args:
        cgroups: `v1` or `v2`, where the controllers are.
        capabilities: What the guest's root may do, as `CAP_...`.
    """
    restricted = "CAP_SYS_RESOURCE" not in capabilities
    return {
        _KUBELET: _text("kubelet-on-cgroup-v1.conf") if cgroups == "v1" else None,
        _CONTAINERD: _text("containerd-without-sys-resource.toml") if restricted else None,
    }


def write_k3s_settings(root: Path, settings: dict[str, str | None]) -> None:
    """Write these files into a guest's own layer."""
    for name, text in settings.items():
        if text is None:
            (root / name).unlink(missing_ok=True)
        else:
            make_guest_dir((root / name).parent)
            (root / name).write_text(text, encoding="utf-8")


def _text(name: str) -> str:
    return (_DATA / name).read_text(encoding="utf-8")
