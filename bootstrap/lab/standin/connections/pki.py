"""Certificates, by the openssl command, and TLS contexts made of them."""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ..logs import Fatal


class Pki:
    """Certificates by the openssl command, with P-256 keys, the cheapest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, name: str) -> Path:
        return self.folder / name

    def _openssl(self, extensions: list[str], arguments: list[str], data: bytes = b"") -> bytes:
        config = "\n".join(["[req]", "distinguished_name=dn", "x509_extensions=ext", "[dn]", "[ext]", *extensions])
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".cnf") as file:
            file.write(config + "\n")
            file.flush()
            command = ["openssl", "req", "-config", file.name, *arguments]
            done = subprocess.run(command, input=data, capture_output=True, check=False)
        if done.returncode:
            raise Fatal(f"openssl failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def make_ca(self, name: str, common_name: str) -> None:
        """Make a CA for ten years, unless it exists."""
        if self.path(f"{name}.crt").exists():
            return
        extensions = [
            "basicConstraints=critical,CA:TRUE",
            "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign",
            "subjectKeyIdentifier=hash",
        ]
        self._new(name, extensions, f"/CN={common_name}", 3650, [])

    def make_key(self, name: str) -> None:
        """Make a key without a certificate, unless it exists."""
        if not self.path(f"{name}.key").exists():
            partial = self.path(f"{name}.key.new")
            command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(partial)]
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode:
                raise Fatal(f"openssl failed: {done.stderr.decode(errors='replace').strip()}")
            partial.chmod(0o600)
            partial.replace(self.path(f"{name}.key"))

    def make_leaf(self, name: str, ca: str, subject: str, usage: str, sans: Iterable[str] = ()) -> None:
        """Make a certificate for a year, unless it exists and has all these names.

        Names are added and none is removed, as k3s does it when it starts (`Accept` in rancher/dynamiclistener).
        """
        there, noted = self.path(f"{name}.crt").exists(), self.path(f"{name}.names")
        known = noted.read_text().split() if there and noted.exists() else []
        names = list(dict.fromkeys([*known, *sans]))
        if not there or names != known:
            self._new(name, self._leaf(usage, names), subject, 365, self._signed_by(ca))
            if names:
                noted.write_text("\n".join(names))

    def sign(self, request_der: bytes, ca: str, subject: str, usage: str) -> bytes:
        """Sign the key of a request, for this subject instead of the request's; PEM."""
        arguments = ["-x509", "-inform", "DER", "-in", "/dev/stdin", "-subj", subject, "-days", "365"]
        return self._openssl(self._leaf(usage, ()), [*arguments, *self._signed_by(ca)], request_der)

    def request(self, key: Path, subject: str) -> bytes:
        """A new key, and the request for its certificate; DER."""
        arguments = ["-new", *self._new_key(key), "-subj", subject, "-outform", "DER"]
        return self._openssl([], arguments)

    def _new(self, name: str, extensions: list[str], subject: str, days: int, signer: list[str]) -> None:
        key, partial = self.path(f"{name}.key"), self.path(f"{name}.crt.new")
        key.parent.mkdir(exist_ok=True, mode=0o700)
        arguments = ["-x509", *self._new_key(key), "-subj", subject, "-days", str(days), "-out", str(partial)]
        self._openssl(extensions, [*arguments, *signer])
        key.chmod(0o600)
        partial.replace(self.path(f"{name}.crt"))

    @staticmethod
    def _new_key(path: Path) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path)]

    def _signed_by(self, ca: str) -> list[str]:
        return ["-CA", str(self.path(f"{ca}.crt")), "-CAkey", str(self.path(f"{ca}.key"))]

    @staticmethod
    def _leaf(usage: str, sans: Iterable[str]) -> list[str]:
        lines = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature,keyEncipherment",
            f"extendedKeyUsage={usage}",
            "subjectKeyIdentifier=hash",
            "authorityKeyIdentifier=keyid",
        ]
        names = ",".join(f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in dict.fromkeys(sans))
        return [*lines, f"subjectAltName={names}"] if names else lines


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def server_context(pki: Pki, certificates: ssl.VerifyMode, ca: str = "client-ca") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.path("serving-kube-apiserver.crt"), pki.path("serving-kube-apiserver.key"))
    context.load_verify_locations(pki.path(f"{ca}.crt"))
    context.verify_mode = certificates
    context.num_tickets = 0  # a resumed session would carry no client certificate
    return context


def client_context(ca_pem: str, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """Trust only this CA; "" trusts any server, for fetching `/cacerts`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_pem:
        context.load_verify_locations(cadata=ca_pem)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if pair:
        context.load_cert_chain(*pair)
    return context
