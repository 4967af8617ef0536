"""A server's own node."""

from __future__ import annotations

import hashlib

from .. import process
from ..api.admission import ETCD_LABEL
from ..api.api import Api
from ..api.node_passwords import check_node_password
from ..datastore.annotations import ETCD_NOTE, SNAPSHOTS_NOTE
from ..datastore.etcd import Etcd
from ..failures import ApiError
from ..kubelet.kubelet import Kubelet
from ..kubelet.starting import check_flags, die_if_told, take_port
from ..logs import Fatal, end, log, stamp
from ..process import spawn
from ..settings.registries_file import take_registries
from ..shapes import Obj
from .membership import Membership
from .settings import ServerSettings, flannel_backend


def run_kubelet(settings: ServerSettings, api: Api, membership: Membership, after_reset: bool) -> None:
    """Register a server's own node and keep it Ready."""
    kubelet = Kubelet(options=settings.options, machine=settings.machine, call=api.call)
    kubelet.backend = flannel_backend(settings.options)
    try:
        check_flags(settings.options)
        take_port(settings.machine)
    except Fatal as error:
        end(error)
    spawn(die_if_told, settings.options)
    if after_reset:  # as k3s: the snapshot may hold another password than this machine's
        secret = f"/api/v1/namespaces/kube-system/secrets/{settings.machine.name}.node-password.k3s"
        api.call("DELETE", secret)
    while True:
        refusal = check_node_password(api, settings.machine.name, settings.machine.password)
        try:
            take_registries(settings.options)
            if not refusal:
                kubelet.start()
                break
            log("info", f"Waiting to retrieve agent configuration; server is not ready: {refusal[1]}")
        except ApiError as error:
            log("error", f"Unable to register node {settings.machine.name}: {error.message}")
        except ValueError as error:
            log("info", f"Waiting to retrieve agent configuration; server is not ready: {error}")
        process.LIFE.pause(5)
    spawn(set_role, settings, api, membership, kubelet.path)
    try:
        kubelet.run()
    except Fatal as error:
        end(error)


def set_role(settings: ServerSettings, api: Api, membership: Membership, path: str) -> None:
    """Set the role labels through the API, shortly after registration, since a kubelet may not set them."""
    process.LIFE.pause(process.LIFE.ready_delay_s / 2)
    meta: Obj = {"labels": {"node-role.kubernetes.io/control-plane": "true"}, "annotations": {}}
    if settings.options.on("secrets-encryption"):
        meta["annotations"]["k3s.io/encryption-config-hash"] = encryption_hash(settings)
    if isinstance(api.cluster, Etcd):
        name = membership.name_file.read_text().strip()
        meta["labels"][ETCD_LABEL] = "true"
        meta["annotations"] |= {ETCD_NOTE + "node-name": name, ETCD_NOTE + SNAPSHOTS_NOTE: stamp(),
                                ETCD_NOTE + "node-address": settings.machine.addresses[0]}  # fmt: skip
    while api.call("PATCH", path, {"metadata": meta}, "application/merge-patch+json")[0] >= 500:
        process.LIFE.pause(1)


def encryption_hash(settings: ServerSettings) -> str:
    """Stage of the key rotation, and a hash of the keys."""
    kept = settings.data / "cred/encryption-config.json"
    keys = (kept if kept.exists() else settings.pki.path("service.key")).read_bytes()
    return f"start-{hashlib.sha256(keys).hexdigest()}"
