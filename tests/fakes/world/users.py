"""Users of the cluster: Kubernetes signs what was approved, and keeps bindings."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from bootstrap.errors import KubernetesError
from bootstrap.model.access.users import UserBinding
from tests.fakes.certificates import issue


@dataclass
class FakeUsers:
    """Kubernetes, as far as users are concerned.

    Attributes:
        bound: The bindings.
        requests: Requests by name, each with the seconds asked for; a pair is approved once it is in `approved`.
        most_s: The longest for which it signs.
        signs: Whether anything is ever signed.
        namespaces: Which there are.
        lie: Signs another name than the one asked for.
    """

    bound: list[UserBinding] = field(default_factory=list)
    requests: dict[str, tuple[str, int]] = field(default_factory=dict)
    approved: set[str] = field(default_factory=set)
    most_s: int = 365 * 86400
    signs: bool = True
    namespaces: tuple[str, ...] = ("default", "kube-system")
    lie: str = ""

    def request(self, name: str, request: str, *, expires_s: int) -> None:
        assert name not in self.requests
        self.requests[name] = (request, expires_s)

    def approve(self, name: str, request: str) -> None:
        assert self.requests[name][0] == request
        self.approved.add(name)

    def certificate(self, name: str) -> str | None:
        request, expires_s = self.requests[name]
        if name not in self.approved or not self.signs:
            return None
        return signed(request, min(expires_s, self.most_s), lie=self.lie)

    def forget(self, name: str) -> None:
        self.requests.pop(name, None)

    def bind(self, binding: UserBinding) -> None:
        if binding.namespace not in (None, *self.namespaces):
            raise KubernetesError("refused (HTTP 404)", details=f'namespaces "{binding.namespace}" not found')
        self.bound.append(binding)

    def bindings(self) -> tuple[UserBinding, ...]:
        return tuple(sorted(self.bound, key=lambda each: (each.user, each.name)))

    def unbind(self, binding: UserBinding) -> None:
        self.bound.remove(binding)


def signed(request: str, for_s: int, *, lie: str = "") -> str:
    """What the controller manager makes of a request: its name and key, by the client CA."""
    asked = x509.load_pem_x509_csr(request.encode())
    authority = issue("k3s-client-ca", authority=True)
    now = datetime.now(UTC)
    early = timedelta(minutes=5) if for_s >= 8 * 3600 else timedelta()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, lie)]) if lie else asked.subject
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(authority.certificate.subject)
        .public_key(asked.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(seconds=for_s) - early)
        .sign(authority.key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM).decode()
