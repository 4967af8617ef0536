"""The inventory's `k3s:` section: which k3s, from where, and how it is set up."""

from __future__ import annotations

from typing import Final

from bootstrap.inventory.files import Places
from bootstrap.inventory.keys.environment import ENVIRONMENT, PROXY_OR_STORED, make_environment
from bootstrap.inventory.keys.registries import RegistriesKeys
from bootstrap.inventory.values import address_formats as ip_forms
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import ListOf
from bootstrap.inventory.values.k3s_settings import K3sConfig
from bootstrap.inventory.values.scalars import Boolean, Choice
from bootstrap.inventory.values.section import Key, Section, Short, fill
from bootstrap.k3s.pass_through.flags import COMPONENTS, PACKAGED
from bootstrap.model.cluster import K3sSpec

_K3S: Final = K3sSpec()


class K3sKeys(Section, exclusive=("version", "channel")):
    """The k3s version, and where it is downloaded from."""

    version = Key(
        kind=forms.K3S_VERSION, default_doc="the channel's version", example="v1.33.3+k3s1", doc="The k3s version."
    )
    channel = Key(kind=forms.K3S_CHANNEL, default=_K3S.channel, example="v1.33", doc="A k3s release channel.")
    artifacts = Key(
        kind=forms.FILE,
        default_doc="HOMELAB_K3S_ARTIFACTS, else releases",
        example="/srv/k3s",
        doc="Directory with k3s, sha256sum-<arch>.txt and optionally air-gap images, instead of releases.",
    )
    releases_url = Key(kind=forms.URL, default=_K3S.releases_url, doc="Base URL of release downloads, or of a mirror.")
    channels_url = Key(
        kind=forms.URL, default=_K3S.channels_url, doc="Base URL of the channel redirects, or of a mirror."
    )
    tls_san = Key(
        kind=ListOf(item=forms.SAN),
        default_doc="none",
        example=["k8s.home.arpa"],
        doc="Additional names and addresses for the API's certificate.",
    )
    disable = Key(
        kind=ListOf(item=Choice(options=PACKAGED, parse=str)),
        default_doc="none",
        example=["traefik"],
        doc="k3s components to disable.",
    )
    disable_components = Key(
        kind=ListOf(item=Choice(options=COMPONENTS, parse=str)),
        default_doc="none",
        example=["network-policy"],
        doc="Parts of k3s's own process to disable (its disable-NAME settings).",
    )
    server_config = Key(
        kind=K3sConfig(for_servers=True),
        default_doc="none",
        example={"kube-apiserver-arg": ["event-ttl=2h"]},
        doc="Further settings of all servers, in k3s's own keys.",
    )
    agent_config = Key(
        kind=K3sConfig(for_servers=False),
        default_doc="none",
        example={"kubelet-arg": ["max-pods=200"]},
        doc="Further settings of all machines, in k3s's own keys; servers have a kubelet, too.",
    )
    registries = Key(
        kind=Short(section=RegistriesKeys, keys=(("str", RegistriesKeys.file),)),
        default_doc="none",
        example={"mirrors": {"docker.io": {"endpoint": ["https://registry.home.arpa:5000"]}}},
        optional=True,
    )
    proxy = Key(
        kind=PROXY_OR_STORED,
        default_doc="none",
        example="http://proxy.home.arpa:3128",
        doc="Proxy of k3s, containerd and package managers on all machines, short for HTTP_PROXY and HTTPS_PROXY in "
        "`environment`; NO_PROXY is filled.",
        fills="environment",
    )
    environment = Key(
        kind=ENVIRONMENT,
        default_doc="none",
        example={"CONTAINERD_HTTPS_PROXY": "http://proxy.home.arpa:3128", "GOMEMLIMIT": "2GiB"},
        doc="Environment variables of k3s on all machines.",
    )
    embedded_registry = Key(
        kind=Boolean(),
        default=False,
        doc="Machines get images from each other (Spegel, in k3s): of the registries in `registries.mirrors`, else of "
        "all. TCP port 5001 must be open between them.",
    )
    cluster_cidr = Key(
        kind=ip_forms.CIDRS,
        default_doc="k3s's 10.42.0.0/16; with network.ipv6 also one of fd00::/8, derived from the cluster's name",
        example="10.52.0.0/16",
        doc="Network of the pods; with IPv6 two, the IPv4 one first.",
    )
    service_cidr = Key(
        kind=ip_forms.CIDRS,
        default_doc="k3s's 10.43.0.0/16; with network.ipv6 also one of fd00::/8, derived from the cluster's name",
        example="10.53.0.0/16",
        doc="Network of the services; with IPv6 two, the IPv4 one first.",
    )

    def make(self, places: Places) -> K3sSpec:
        """The k3s; each network fills a field for either family, and the proxy is a part of the environment."""
        pods, services = self.cluster_cidr, self.service_cidr
        return fill(
            K3sSpec,
            self,
            places=places,
            environment=make_environment(self.environment or (), self.proxy, places),
            cluster_cidr=pods.v4 if pods is not None else None,
            service_cidr=services.v4 if services is not None else None,
            cluster_cidr6=pods.v6 if pods is not None else None,
            service_cidr6=services.v6 if services is not None else None,
        )
