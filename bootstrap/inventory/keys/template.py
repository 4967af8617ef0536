"""The inventory's `template:` section: what machines are cloned from."""

from __future__ import annotations

from typing import Final

from bootstrap.inventory.files import Places
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.scalars import Integer, choice_of
from bootstrap.inventory.values.section import Key, Section, fill
from bootstrap.model.cluster import DEFAULT_IMAGE, IMAGES, BuildPolicy, TemplateRef

DEFAULT_TEMPLATE_TAG: Final = "homelab-k8s-template"


class TemplateKeys(Section, exclusive=("name", "tag", "vmid", "image")):
    """The cloud-init template: an existing one by name, tag or vmid, or one that is built from an image."""

    name = Key(kind=forms.VM_NAME, example="debian-12-k3s", doc="The template's name.")
    tag = Key(kind=forms.TAG, example="k3s-template", doc="A tag of the template.")
    vmid = Key(kind=Integer(minimum=100, maximum=forms.MAX_VMID), example=9000, doc="The template's vmid.")
    image = Key(
        kind=forms.IMAGE,
        default_doc=f"{DEFAULT_IMAGE}, if no template has the tag {DEFAULT_TEMPLATE_TAG}",
        example="debian-13",
        doc=f"Cloud image to build a template from: {', '.join(IMAGES)}, an "
        "https address, or a volume on the Proxmox storage.",
    )
    checksum = Key(
        kind=forms.CHECKSUM,
        default_doc="the publisher's",
        example="sha256:" + "0123456789abcdef" * 4,
        doc="The image's checksum.",
    )
    build = Key(
        kind=choice_of(BuildPolicy),
        default=BuildPolicy.AUTO.value,
        example="never",
        doc="Let `up` build the template of `image` if it is missing; it asks first.",
    )

    @property
    def is_named(self) -> bool:
        """Whether it names an existing template."""
        return any(map(self.given, (TemplateKeys.name, TemplateKeys.tag, TemplateKeys.vmid)))

    def make(self, places: Places) -> TemplateRef:
        """The template; by default the tool's own."""
        own = not self.is_named and not self.given(TemplateKeys.image)
        ours = {"tag": DEFAULT_TEMPLATE_TAG, "image": DEFAULT_IMAGE} if own else {}
        return fill(TemplateRef, self, places=places, **ours)
