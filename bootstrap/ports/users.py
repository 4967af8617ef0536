"""What the library needs of Kubernetes for users with kubeconfigs of their own."""

from __future__ import annotations

from typing import Protocol

from bootstrap.model.access.users import UserBinding


class KubeUsers(Protocol):
    """Users with kubeconfigs of their own. Each method may raise KubernetesError or KubeUnreachableError."""

    def request(self, name: str, request: str, *, expires_s: int) -> None:
        """Ask for a certificate of an API client, by a request in PEM, under a name that nothing has."""
        ...

    def approve(self, name: str, request: str) -> None:
        """Approve that request, if it is still the same."""
        ...

    def certificate(self, name: str) -> str | None:
        """What was signed, as PEM; None as long as nothing is. Raises KubernetesError where it was refused."""
        ...

    def forget(self, name: str) -> None:
        """Delete a request; what is gone already is fine."""
        ...

    def bind(self, binding: UserBinding) -> None:
        """Give a user the rights of a group."""
        ...

    def bindings(self) -> tuple[UserBinding, ...]:
        """All that were given so, sorted by user; others' are passed over."""
        ...

    def unbind(self, binding: UserBinding) -> None:
        """Take them away; what is gone already is fine."""
        ...
