"""Images and templates, against the lab's front over TLS."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import HypervisorError, PermissionDeniedError, TaskFailedError, VmidTakenError
from bootstrap.model.ids import ClusterName, StorageName, Vmid
from bootstrap.ports import BuilderRequest, SeedRequest
from bootstrap.records.vms.template import BuildState, CloudImage, TemplateRecord
from tests.adapters.proxmox.pve_lab import PVE1, VMIDS, Lab, clone_request, token
from tests.fakes.keys import sealed_template

LOCAL = StorageName("local")
BUILDER = Vmid(7900)
CONTENT = b"an image"
UUID = "8d1f3d0e-2c55-4c4c-9d0e-0a1b2c3d4e5f"
RECORD = TemplateRecord(
    recipe="0123abcd", image="x", k3s="v1", state=BuildState.BUILDING, vmid=BUILDER, key="k", made=1
)
SEED = SeedRequest(
    file_name="seed.iso",
    instance="i",
    hostname="h",
    user="debian",
    public_key="ssh-ed25519 AAAA",
    mac="BC:24:11:00:00:01",
)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def image(tmp_path: Path) -> Iterator[CloudImage]:
    (tmp_path / "x.qcow2").write_bytes(CONTENT)
    with HTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/x.qcow2"
        yield CloudImage(name="x", url=url, checksum=hashlib.sha256(CONTENT).hexdigest(), algorithm="sha256")
        server.shutdown()
        thread.join()


def ignore(_message: str) -> None:
    """No warning is expected."""


def described(record: TemplateRecord) -> str:
    return sealed_template(record, "hk8s-x-0123abcd", UUID)


def request(of: CloudImage, **changes: object) -> BuilderRequest:
    made = BuilderRequest(
        vmid=BUILDER,
        pve_node=PVE1,
        name="hk8s-x-0123abcd",
        description=described(RECORD),
        smbios_uuid=UUID,
        tags=("hk8s-0123abcd", "homelab-k8s-template"),
        image=f"local:import/{of.file_name}",
        storage=LOCAL,
        seed="local:iso/seed.iso",
        cd_drive="ide2",
        settings={
            "agent": "enabled=1",
            "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
            "scsihw": "virtio-scsi-single",
        },
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def made(hypervisor: ProxmoxHypervisor, image: CloudImage) -> None:
    maker = hypervisor.templates
    maker.download(image, pve_node=PVE1, storage=LOCAL, warn=ignore)
    maker.upload_seed(SEED, pve_node=PVE1, storage=LOCAL, warn=ignore)
    maker.create(request(image), warn=ignore)


def test_an_image_and_an_iso_come_and_go(lab: Lab, hypervisor: ProxmoxHypervisor, image: CloudImage) -> None:
    maker = hypervisor.templates
    made(hypervisor, image)
    assert maker.volumes(PVE1, LOCAL, content="import") == {f"local:import/{image.file_name}"}
    assert maker.volumes(PVE1, LOCAL, content="iso") == {"local:iso/seed.iso"}
    seed = lab.server.supervisor.isos["local:iso/seed.iso"]
    assert "ssh-ed25519 AAAA" in seed.user_data
    maker.remove_volume("local:iso/seed.iso", pve_node=PVE1, warn=ignore)
    assert maker.volumes(PVE1, LOCAL, content="iso") == frozenset()


def test_a_changed_image_is_refused(hypervisor: ProxmoxHypervisor, image: CloudImage) -> None:
    with pytest.raises(TaskFailedError, match=r"cannot fetch http.*x\.qcow2 into local on pve1") as caught:
        hypervisor.templates.download(replace(image, checksum="0" * 64), pve_node=PVE1, storage=LOCAL, warn=ignore)
    assert "checksum mismatch" in caught.value.details


def test_a_proxmox_that_takes_no_such_file_to_import_is_met_with_what_to_do(
    hypervisor: ProxmoxHypervisor, image: CloudImage
) -> None:
    """Versions before 8.4 refuse the file's name, or `import` itself: both are errors of these parameters."""
    with pytest.raises(HypervisorError) as caught:
        hypervisor.templates.download(replace(image, name="x!"), pve_node=PVE1, storage=LOCAL, warn=ignore)
    assert "--image STORAGE:import/NAME.qcow2" in caught.value.resolution


def test_a_builder_becomes_a_template_and_is_told_with_who_stands_on_it(
    hypervisor: ProxmoxHypervisor, image: CloudImage
) -> None:
    made(hypervisor, image)
    maker = hypervisor.templates
    (seen,) = maker.templates()
    assert (seen.vmid, seen.template, seen.record, seen.users) == (BUILDER, False, RECORD, ())
    sealed = replace(RECORD, state=BuildState.SEALED)
    maker.describe(BUILDER, pve_node=PVE1, description=described(replace(RECORD, state=BuildState.CLEANED)))
    maker.seal(BUILDER, pve_node=PVE1, drive="ide2", storage=LOCAL, description=described(sealed))
    maker.convert(BUILDER, pve_node=PVE1, warn=ignore)
    maker.convert(BUILDER, pve_node=PVE1, warn=ignore)
    hypervisor.clone(replace(clone_request(), template=BUILDER), warn=ignore)
    (seen,) = maker.templates()
    assert (seen.template, seen.record, seen.users) == (True, sealed, ("7001 (demo-cp-1)",))
    with pytest.raises(HypervisorError, match="cannot destroy"):
        hypervisor.destroy(BUILDER, pve_node=PVE1, warn=ignore)


def test_what_is_made_is_a_template_that_machines_can_be_made_of(
    hypervisor: ProxmoxHypervisor, image: CloudImage
) -> None:
    made(hypervisor, image)
    hypervisor.templates.seal(BUILDER, pve_node=PVE1, drive="ide2", storage=LOCAL, description=described(RECORD))
    hypervisor.templates.convert(BUILDER, pve_node=PVE1, warn=ignore)
    facts = hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS)
    template = next(one for one in facts.templates if one.vmid == BUILDER)
    assert (template.agent_enabled, template.cloud_init_drive, template.disk, template.linkable) == (
        *(True, "ide2", "scsi0", True),
    )
    assert template.tags == {"homelab-k8s-template", "hk8s-0123abcd"}


def test_a_taken_vmid_is_told_from_other_failures(hypervisor: ProxmoxHypervisor, image: CloudImage) -> None:
    made(hypervisor, image)
    with pytest.raises(VmidTakenError):
        hypervisor.templates.create(request(image), warn=ignore)
    with pytest.raises(TaskFailedError, match="cannot make VM 7901"):
        hypervisor.templates.create(request(image, vmid=Vmid(7901), image="local:import/no.qcow2"), warn=ignore)


def test_a_token_without_the_right_is_told_which(lab: Lab, image: CloudImage) -> None:
    poor = lab.connect(token=token(lab.info.no_rights_token))
    with pytest.raises(PermissionDeniedError, match=r"lacks Datastore\.AllocateTemplate on /storage/local"):
        poor.templates.upload_seed(SEED, pve_node=PVE1, storage=LOCAL, warn=ignore)
    with pytest.raises(PermissionDeniedError):
        poor.templates.download(image, pve_node=PVE1, storage=LOCAL, warn=ignore)


def test_a_builder_in_a_resource_pool_is_tagged_when_it_is_in_it(
    lab: Lab, hypervisor: ProxmoxHypervisor, image: CloudImage
) -> None:
    lab.pve.pools["kpool"] = set()
    maker = hypervisor.templates
    maker.download(image, pve_node=PVE1, storage=LOCAL, warn=ignore)
    maker.upload_seed(SEED, pve_node=PVE1, storage=LOCAL, warn=ignore)
    guests = "VM.Allocate VM.Audit VM.Config.CDROM VM.Config.Disk VM.Config.HWType VM.Config.Network VM.Config.Options"
    lab.grant_only(
        ("/pool/kpool", guests),
        ("/storage/local", "Datastore.AllocateSpace"),
        ("/sdn/zones/localnetwork/vmbr0", "SDN.Use"),
    )
    maker.create(request(image, resource_pool="kpool"), warn=ignore)
    assert lab.pve.vm(BUILDER).config["tags"] == "hk8s-0123abcd;homelab-k8s-template"
    assert [one.vmid for one in maker.templates()] == [BUILDER]
    lab.pve.vm(BUILDER).config["tags"] = " "
    assert [one.vmid for one in maker.templates()] == [BUILDER], "a run may end between the two"
    lab.pve.vm(BUILDER).status = "running"
    assert maker.templates() == (), "one that was started has had its tag taken off, which keeps us from it"
