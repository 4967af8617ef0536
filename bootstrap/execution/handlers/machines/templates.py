"""Handlers of the steps that make and remove templates. Each looks, acts if needed, reads back.

What says how far a build has come is the record in its VM's description, read again by each step.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from ipaddress import IPv4Interface

from bootstrap.advice import Advice
from bootstrap.errors import (
    GuestSetupError,
    HomelabError,
    NotOursError,
    PermissionDeniedError,
    ScriptError,
    VmidTakenError,
)
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests import host_keys
from bootstrap.execution.guests.template_guest import meet_builder
from bootstrap.execution.handlers.k3s.binary import fetched, send_k3s
from bootstrap.k3s.environment import proxy_files
from bootstrap.model.ids import StorageName
from bootstrap.model.words import count
from bootstrap.planning.templates.steps import (
    AwaitBuilder,
    BakeGuest,
    CleanGuest,
    FetchImage,
    MakeBuilder,
    RemoveIsos,
    RemoveTemplate,
    SealTemplate,
    StartBuilder,
    TemplateBuild,
    UploadSeed,
)
from bootstrap.ports.templates import BuilderRequest, SeedRequest
from bootstrap.records.vms.seal import Bearer
from bootstrap.records.vms.template import (
    BuildState,
    TemplateRecord,
    TemplateVm,
    doubt_about_template,
    key_fingerprint,
    parse_template,
    render_template,
)

_LOCK_S = "300"
_BAKE_S = 900.0
_SHUTDOWN_S = 120


def fetch_image(step: FetchImage, context: RunContext) -> Done:
    """Fetch the image, unless the VM exists already: it was made of it."""
    build, image = step.build, step.build.recipe.image
    if _state(build, context) is not None:
        return Done(changed=False)
    storage, _, name = build.image.partition(":")
    content = "import" if name.startswith("import/") else "images"
    maker = context.ports.templates
    there = build.image in maker.volumes(build.pve_node, StorageName(storage), content=content)
    if build.image_storage is None:
        if there:  # the user has named this very volume
            return Done(changed=False, note=build.image)
        raise HomelabError(
            f"there is no {build.image} on {build.pve_node}",
            resolution=f"copy it there, or name an existing image; on {build.pve_node}: pvesm list {storage}",
        )
    if there and not image.checksum:
        raise HomelabError(
            f"{build.image} exists on {build.pve_node} already, and its checksum is unknown: it may contain anything",
            resolution="pass its checksum (--checksum sha256:...), or, if you add it there, use it as it is: "
            f"--image {build.image}; or remove it, on {build.pve_node}: pvesm free {build.image}",
        )
    # One that is there by its name is compared with the checksum by Proxmox VE, and fetched only where it differs.
    maker.download(image, pve_node=build.pve_node, storage=build.image_storage, warn=context.warn)
    if not image.checksum:
        context.warn(f"{image.url}: no checksum is known, so it was not verified (--checksum)")
    return Done(note=build.image)


def upload_seed(step: UploadSeed, context: RunContext) -> Done:
    """Upload the ISO; the same is written again, unless the VM no longer needs it."""
    build, spec = step.build, context.spec
    if _is_clean(_state(build, context)):
        return Done(changed=False)
    addresses = spec.network.addresses
    fixed = addresses if build.address is not None else None
    seed = SeedRequest(
        file_name=build.iso_name,
        instance=f"{build.name}-{build.vmid}",
        hostname=build.name,
        user=spec.ssh.user,
        public_key=context.ports.shells.public_key,
        mac=build.mac,
        address=IPv4Interface((build.address, fixed.subnet.prefixlen)) if build.address and fixed else None,
        gateway=fixed.gateway if fixed else None,
        dns=spec.network.dns,
    )
    context.ports.templates.upload_seed(seed, pve_node=build.pve_node, storage=build.iso_storage, warn=context.warn)
    return Done(note=build.iso)


def make_builder(step: MakeBuilder, context: RunContext) -> Done:
    """Make the VM, or continue with the one that an earlier run left."""
    build = step.build
    if _state(build, context) is not None:
        if not context.ports.hypervisor.read_vm(build.vmid, pve_node=build.pve_node).tags:
            # That run ended before the VM was in its resource pool, where tags come second.
            context.ports.templates.tag(build.vmid, pve_node=build.pve_node, tags=build.recipe.tags)
        return Done(changed=False, note=f"vmid {build.vmid}, created by an earlier run")
    record = TemplateRecord(
        recipe=build.recipe.hash,
        image=build.recipe.image.name,
        k3s=build.recipe.k3s,
        state=BuildState.BUILDING,
        vmid=build.vmid,
        key=key_fingerprint(context.ports.shells.public_key),
        made=int(context.ports.processes.unix_s()),
        packages=build.recipe.packages,
    )
    smbios_uuid = str(uuid.uuid4())
    request = BuilderRequest(
        vmid=build.vmid,
        pve_node=build.pve_node,
        name=build.name,
        description=render_template(
            record, key=context.ports.keys.for_templates(), name=build.name, identity=smbios_uuid
        ),
        smbios_uuid=smbios_uuid,
        tags=build.recipe.tags,
        image=build.image,
        storage=build.disk_storage,
        seed=build.iso,
        cd_drive=build.cd_drive,
        settings=build.settings,
        resource_pool=context.spec.placement.resource_pool,
    )
    try:
        context.ports.templates.create(request, warn=context.warn)
    except VmidTakenError:
        # A request whose answer was lost and that was sent again meets its own VM.
        if _state(build, context) is None:
            raise
    return Done(note=f"vmid {build.vmid} on {build.pve_node}")


def start_builder(step: StartBuilder, context: RunContext) -> Done:
    """Start it, unless it has been cleaned."""
    build = step.build
    if _is_clean(_need(build, context).state):
        return Done(changed=False)
    hypervisor = context.ports.hypervisor
    if hypervisor.read_vm(build.vmid, pve_node=build.pve_node).running:
        return Done(changed=False)
    hypervisor.start(build.vmid, pve_node=build.pve_node, warn=context.warn)
    return Done()


def await_builder(step: AwaitBuilder, context: RunContext) -> Done:
    """Be logged in on it."""
    build = step.build
    if _is_clean(_need(build, context).state):
        return Done(changed=False)
    vm = context.ports.hypervisor.read_vm(build.vmid, pve_node=build.pve_node)
    facts = meet_builder(build, vm, context)
    return Done(changed=False, note=str(facts.address))


def bake_guest(step: BakeGuest, context: RunContext) -> Done:
    """Install what machines need; k3s is sent only where it is not there yet."""
    build = step.build
    if _is_clean(_need(build, context).state):
        return Done(changed=False)
    facts = context.guest(build.key)
    artifact = fetched(build.recipe.k3s, facts.arch, context)
    sent = "" if facts.k3s_sha256 == artifact.sha256 else send_k3s(artifact, context.shell(build.key))
    env = {"SHA256": artifact.sha256, "LOCK_S": _LOCK_S}
    lines = context.run(build.key, "bake.sh", timeout_s=_BAKE_S, files=proxy_files(context.spec), **env).lines
    for warning in lines.get("warning", []):
        context.warn(f"{build.name} is built without: {warning}")
    changed = _install_packages(build, context) or lines.get("changed") != ["0"]
    return Done(changed=changed, note=sent)


def _install_packages(build: TemplateBuild, context: RunContext) -> bool:
    """Install the inventory's packages, as on a machine; what that notes of them is cleaned away.

    Raises:
        GuestSetupError: The package manager refuses one: machines would end with the same.
    """
    packages = build.recipe.packages
    if not packages:
        return False
    names = " ".join(packages)
    try:
        done = context.run(
            build.key,
            "prepare-system.sh",
            timeout_s=_BAKE_S,
            files=proxy_files(context.spec),
            PACKAGES=names,
            LOOK="0",
            LOCK_S=_LOCK_S,
        )
    except ScriptError as error:
        raise GuestSetupError(
            f"{build.name}: packages of the inventory could not be installed in the template",
            details=error.details,
            resolution=Advice("correct packages in the inventory, and run `homelab-k8s template build` again"),
        ) from error
    return done.lines.flag("changed")


def clean_guest(step: CleanGuest, context: RunContext) -> Done:
    """Clean it and power it off. A VM whose cleaning was cut off is thrown away by the next run."""
    build, hypervisor = step.build, context.ports.hypervisor
    record = _need(build, context)
    changed = not _is_clean(record.state)
    if changed:
        _describe(build, replace(record, state=BuildState.CLEANING), context)
        context.run(build.key, "clean.sh")
        _describe(build, replace(record, state=BuildState.CLEANED), context)
    vm = hypervisor.read_vm(build.vmid, pve_node=build.pve_node)
    if vm.running:
        hypervisor.shutdown(build.vmid, pve_node=build.pve_node, timeout_s=_SHUTDOWN_S, warn=context.warn)
        changed = True
    host_keys.forget(vm, context.spec, context.ports)
    return Done(changed=changed)


def seal_template(step: SealTemplate, context: RunContext) -> Done:
    """Seal and convert it."""
    build, maker = step.build, context.ports.templates
    record = _need(build, context)
    if not _is_clean(record.state):
        raise HomelabError(f"{build.name} is {record.state.value}, not clean")
    if record.state is not BuildState.SEALED:
        sealed = _rendered(build, replace(record, state=BuildState.SEALED), context)
        maker.seal(
            build.vmid,
            pve_node=build.pve_node,
            drive=build.cd_drive,
            storage=build.disk_storage,
            description=sealed,
        )
    maker.convert(build.vmid, pve_node=build.pve_node, warn=context.warn)
    return Done(note=f"{build.name}, vmid {build.vmid} on {build.pve_node}")


def remove_isos(step: RemoveIsos, context: RunContext) -> Done:
    """Remove the ISOs. A token that may not remove them leaves them: they hold no secret."""
    maker = context.ports.templates
    removed, refused, why = 0, list[str](), ""
    for pve_node, volume in step.isos:
        if volume not in maker.volumes(pve_node, StorageName(volume.partition(":")[0]), content="iso"):
            continue
        try:
            maker.remove_volume(volume, pve_node=pve_node, warn=context.warn)
            removed += 1
        except PermissionDeniedError as error:
            refused.append(f"{volume} on {pve_node}")
            why = Advice("{}. {}", error.brief, error.resolution)
    if refused and step.reports:
        context.warn(
            Advice(
                "{} of template builds remain: {}. They contain a public key and no secret. {}",
                count(len(refused), "ISO"),
                ", ".join(refused),
                why,
            )
        )
    stay = f"{count(len(refused), 'ISO')} not removed: the token lacks the right" if refused else ""
    return Done(changed=removed > 0, note=stay)


def remove_template(step: RemoveTemplate, context: RunContext) -> Done:
    """Remove it, after checking once more that it is the one that was seen and has no linked clones."""
    hypervisor = context.ports.hypervisor
    there = next((one for one in context.ports.templates.templates() if one.vmid == step.vmid), None)
    if there is None:
        return Done(changed=False, note="already removed, or no longer a template of this tool")
    if there.doubt:
        return Done(changed=False, note=f"it is not a template of this tool and was not changed: {there.doubt}")
    _check_removable(there, step)
    if there.running:
        hypervisor.stop(step.vmid, pve_node=step.pve_node, warn=context.warn)
    hypervisor.destroy(step.vmid, pve_node=step.pve_node, warn=context.warn)
    return Done(note=f"vmid {step.vmid} on {step.pve_node}")


def _check_removable(there: TemplateVm, step: RemoveTemplate) -> None:
    if (there.name, there.pve_node, there.record.recipe) != (step.name, step.pve_node, step.recipe):
        raise NotOursError(
            f"vmid {step.vmid} is {there.name} on {there.pve_node} now and was not changed",
            resolution="run the command again",
        )
    if there.users:
        raise HomelabError(
            f"{there.name} ({there.vmid}) is kept: {', '.join(there.users)} are linked clones of it",
            resolution=Advice("`homelab-k8s replace` replaces machines with clones of the newest template"),
        )


def _is_clean(state: BuildState | None) -> bool:
    """Whether nothing is left to be done inside it."""
    return state in (BuildState.CLEANED, BuildState.SEALED)


def _state(build: TemplateBuild, context: RunContext) -> BuildState | None:
    """How far the VM has come; None where there is none.

    Raises:
        NotOursError: Something else has the vmid.
    """
    record = _record(build, context)
    return record.state if record else None


def _need(build: TemplateBuild, context: RunContext) -> TemplateRecord:
    record = _record(build, context)
    if record is None:
        raise HomelabError(f"VM {build.vmid} ({build.name}) no longer exists", resolution="run the command again")
    return record


def _record(build: TemplateBuild, context: RunContext) -> TemplateRecord | None:
    marker = context.ports.markers.find(build.vmid)
    if marker is None:
        return None
    record = parse_template(marker.description, vmid=build.vmid)
    bearer = Bearer(vmid=marker.vmid, name=marker.name, identity=marker.smbios_uuid)
    doubt = doubt_about_template(marker.description, bearer=bearer, keys=context.ports.keys.templates())
    if record is None or doubt or record.recipe != build.recipe.hash:
        raise NotOursError(
            f"vmid {build.vmid} is {marker.name or 'something else'} on {marker.pve_node} now and was not changed",
            resolution="run the command again: it uses another VMID",
        )
    return record


def _describe(build: TemplateBuild, record: TemplateRecord, context: RunContext) -> None:
    description = _rendered(build, record, context)
    context.ports.templates.describe(build.vmid, pve_node=build.pve_node, description=description)


def _rendered(build: TemplateBuild, record: TemplateRecord, context: RunContext) -> str:
    """The VM's description with a record in it, signed for it; what users wrote stays."""
    marker = context.ports.markers.find(build.vmid)
    if marker is None:
        raise HomelabError(f"VM {build.vmid} ({build.name}) no longer exists", resolution="run the command again")
    key = context.ports.keys.for_templates()
    return render_template(record, key=key, name=marker.name, identity=marker.smbios_uuid, into=marker.description)
