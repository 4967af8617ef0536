"""Kubeconfigs for others: issued, listed, and their rights taken back.

What Kubernetes does not do is revoke a certificate. So a certificate has no rights but those of a binding of its own
name, which is a new one each time (docs/adr/0044).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from bootstrap.advice import Advice
from bootstrap.commands.access.kubeconfig import needed_kubeconfig
from bootstrap.commands.observing.guests import server_guests
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.errors import DeadlineError, HomelabError, KubernetesError, KubeUnreachableError
from bootstrap.k3s.kubeconfig.build import with_server
from bootstrap.k3s.kubeconfig.users import (
    UserCertificate,
    UserKey,
    make_user_key,
    read_certificate,
    subject_of,
    user_kubeconfig,
)
from bootstrap.model.access.users import UserBinding, UserGroup
from bootstrap.model.cluster import ClusterSpec
from bootstrap.ports import KubeUsers, Ports
from bootstrap.waiting import Condition, NotYet, patience_to_look, wait_for

T = TypeVar("T")

SIGNED_WITHIN_S = 60.0
"""The controller manager signs as soon as it sees the approval; after a start it may take its turn first."""
TOLERATED: timedelta = timedelta(minutes=6)
"""Certificates of 8 h and more begin, and end, 5 minutes early (Kubernetes: pkg/controller/certificates/signer)."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked for; checked by the command line.

    Attributes:
        user: Who it is for.
        expires_s: For how long.
    """

    user: str
    group: UserGroup
    expires_s: int
    namespace: str | None = None


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A kubeconfig for a user, a secret, and what Kubernetes gave.

    Attributes:
        shorter: Whether the certificate ends earlier than asked: the cluster's limit.
        others: Further kubeconfigs of that user that are still valid.
    """

    kubeconfig: str = field(repr=False)
    binding: UserBinding
    shorter: bool
    others: int


def issue(asked: Asked, spec: ClusterSpec, ports: Ports) -> Issued:
    """Make a key here, have its certificate signed, and bind its name to the group.

    The binding comes last: whatever fails before, there is no one with rights.

    Raises:
        HomelabError: Kubernetes refuses, or does not sign in time.
    """
    admins = needed_kubeconfig(spec.name, ports)
    issue_name = secrets.token_hex(4)
    subject = subject_of(asked.user, issue_name)
    key = make_user_key(subject)

    def at(users: KubeUsers) -> Issued:
        before = [each for each in users.bindings() if each.user == asked.user and not has_expired(each)]
        certificate = _signed(f"homelab-k8s-{asked.user}-{issue_name}", asked, key, subject, users, ports)
        binding = UserBinding(
            user=asked.user,
            subject=subject,
            group=asked.group.value,
            namespace=asked.namespace,
            expires=certificate.expires,
        )
        users.bind(binding)
        text = user_kubeconfig(admins, user=asked.user, certificate=certificate, key=key, namespace=asked.namespace)
        wanted = datetime.now(UTC) + timedelta(seconds=asked.expires_s)
        shorter = certificate.expires < wanted - TOLERATED
        return Issued(kubeconfig=text, binding=binding, shorter=shorter, others=len(before))

    return _with_users(spec, ports, admins, at)


def _signed(name: str, asked: Asked, key: UserKey, subject: str, users: KubeUsers, ports: Ports) -> UserCertificate:
    users.request(name, key.request, expires_s=asked.expires_s)
    try:
        users.approve(name, key.request)
        pem = wait_for(
            Condition(
                what=f"Kubernetes to sign the certificate of {asked.user}",
                poll=lambda: users.certificate(name) or NotYet("it is approved, but not signed"),
                resolution="is kube-controller-manager switched off, or its signer (k3s.server_config)?",
            ),
            patience_to_look(ports.clock, SIGNED_WITHIN_S),
        )
    finally:
        with suppress(KubernetesError, KubeUnreachableError, DeadlineError):
            users.forget(name)  # Kubernetes itself deletes it within the hour
    try:
        return read_certificate(pem, key=key, subject=subject)
    except ValueError as error:
        raise KubernetesError(
            "the certificate that Kubernetes signed was not the one asked for", details=str(error)
        ) from None


def list_users(spec: ClusterSpec, ports: Ports) -> tuple[UserBinding, ...]:
    """All kubeconfigs for others whose rights were not taken back. Reads only. Raises HomelabError."""
    return _with_users(spec, ports, needed_kubeconfig(spec.name, ports), lambda users: users.bindings())


def revoke(user: str, spec: ClusterSpec, ports: Ports) -> tuple[UserBinding, ...]:
    """Take the rights of all kubeconfigs of a user; which those were. Raises HomelabError where there is none."""

    def at(users: KubeUsers) -> tuple[UserBinding, ...]:
        found = tuple(each for each in users.bindings() if each.user == user)
        for each in found:
            users.unbind(each)
        return found

    found = _with_users(spec, ports, needed_kubeconfig(spec.name, ports), at)
    if not found:
        raise HomelabError(
            f"no kubeconfig of {spec.name} was issued to {user}, or its rights were taken already",
            resolution=Advice("`homelab-k8s kubeconfig --list-users` lists them"),
        )
    return found


def has_expired(binding: UserBinding) -> bool:
    """Whether its certificate has ended."""
    return binding.expires is not None and binding.expires <= datetime.now(UTC)


def _with_users(spec: ClusterSpec, ports: Ports, admins: str, ask: Callable[[KubeUsers], T]) -> T:
    """Ask the API where the kubeconfig says, or at the first server that answers, where that does not.

    Raises:
        KubeUnreachableError: None does.
        KubernetesError: It refuses.
    """
    with closing(ports.kube.connect(admins)) as kube:
        if kube.ready():
            return ask(kube.users)
    for server in server_guests(observe_cluster(spec, ports, patient=False)):
        with closing(ports.kube.connect(with_server(admins, server.address))) as kube:
            if kube.ready():
                return ask(kube.users)
    raise KubeUnreachableError(
        f"the Kubernetes API of {spec.name} does not answer", resolution=Advice("`homelab-k8s status` shows more")
    )
