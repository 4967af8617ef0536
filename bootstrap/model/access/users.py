"""People who have a kubeconfig of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class UserGroup(StrEnum):
    """What users may do: Kubernetes' ClusterRoles for people."""

    VIEW = "view"
    EDIT = "edit"
    ADMIN = "admin"
    CLUSTER_ADMIN = "cluster-admin"


@dataclass(frozen=True, kw_only=True)
class UserBinding:
    """What one kubeconfig gives to one user.

    Attributes:
        user: Who has it.
        subject: What Kubernetes calls the user of this one kubeconfig; no other has it.
        group: What it may do; another word where somebody has changed the binding.
        namespace: In which namespace, or None for all.
        expires: When its certificate ends; None where the binding no longer says so.
    """

    user: str
    subject: str
    group: str
    namespace: str | None = None
    expires: datetime | None = None

    @property
    def name(self) -> str:
        """The binding's own name in Kubernetes, without colons, which would be encoded in URLs."""
        return self.subject.replace("homelab:", "homelab-k8s-", 1).replace(":", "-")
