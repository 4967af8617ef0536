"""Services, Ingresses and network policies (pkg/apis/core and networking of Kubernetes)."""

from __future__ import annotations

import ipaddress

from ...shapes import Obj
from .errors import duplicate, forbidden, invalid, required, unsupported
from .metadata import label_errors, label_problems, subdomain_problems
from .pods import IMMUTABLE, PROTOCOLS, Errors, name_errors, port_errors, selector_errors

SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
CHANGED = "may not change once set"
ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
ONLY_BALANCER = "may only be used when `type` is 'LoadBalancer'"
NOT_SEQUENCES, NOT_ENDS = ("//", "/./", "/../", "%2f", "%2F"), ("/..", "/.")


def service_errors(new: Obj, old: Obj | None) -> Errors:
    spec = new["spec"]
    kind, ports = spec.get("type"), spec.get("ports") or []
    headless = spec.get("clusterIP") == "None"
    if old is not None:
        yield from cluster_ip_errors(spec, old["spec"])
    if not ports and not headless and kind != "ExternalName":
        yield required("spec.ports")
    if headless and kind in ("LoadBalancer", "NodePort"):
        yield invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        yield from external_errors(spec)
    yield from ports_errors(ports)
    yield from label_errors(spec.get("selector") or {}, "spec.selector")
    if spec.get("sessionAffinity") not in ("ClientIP", "None"):
        yield unsupported("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    yield from address_errors(spec)
    if kind not in SERVICE_TYPES:
        yield unsupported("spec.type", kind, SERVICE_TYPES)
    yield from port_uses_errors(ports, kind)
    yield from traffic_errors(spec, kind)


def address_errors(spec: Obj) -> Errors:
    if spec.get("clusterIP") not in (None, "", "None") and not is_address(spec["clusterIP"]):
        yield invalid("spec.clusterIPs[0]", spec["clusterIP"], ADDRESS)
    for at, address in enumerate(spec.get("externalIPs") or []):
        if not is_address(address):
            yield invalid(f"spec.externalIPs[{at}]", address, ADDRESS)


def traffic_errors(spec: Obj, kind: str | None) -> Errors:
    if spec.get("loadBalancerSourceRanges") and kind != "LoadBalancer":
        yield forbidden("spec.LoadBalancerSourceRanges", ONLY_BALANCER)
    if spec.get("loadBalancerClass") is not None and kind != "LoadBalancer":
        yield forbidden("spec.loadBalancerClass", ONLY_BALANCER)
    policy = spec.get("externalTrafficPolicy")
    if policy and kind not in ("LoadBalancer", "NodePort"):
        yield invalid("spec.externalTrafficPolicy", policy, "may only be set for externally-accessible services")
    elif policy and policy not in ("Cluster", "Local"):
        yield unsupported("spec.externalTrafficPolicy", policy, ("Cluster", "Local"))


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def cluster_ip_errors(new: Obj, old: Obj) -> Errors:
    if "ExternalName" in (new.get("type"), old.get("type")):
        return
    before, after = (spec.get("clusterIPs") or [] for spec in (old, new))
    if before == after == ["None"]:
        return
    if before and not after:
        yield invalid("spec.clusterIPs[0]", after or None, "primary clusterIP can not be unset")
    for at, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            yield invalid(f"spec.clusterIPs[{at}]", after, CHANGED)


def external_errors(spec: Obj) -> Errors:
    if spec.get("clusterIPs"):
        yield forbidden("spec.clusterIPs", "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        yield required("spec.externalName")
    else:
        for text in subdomain_problems(name):
            yield invalid("spec.externalName", name, text)


def ports_errors(ports: list[Obj]) -> Errors:
    names: set[str] = set()
    for at, port in enumerate(ports):
        path, name = f"spec.ports[{at}]", port.get("name") or ""
        if name or len(ports) > 1:
            yield from name_errors(name, f"{path}.name")
        if name and name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        yield from port_errors(port.get("port") or 0, f"{path}.port")
        if port.get("protocol") not in PROTOCOLS:
            yield unsupported(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
        yield from port_errors(port.get("targetPort"), f"{path}.targetPort")


def port_uses_errors(ports: list[Obj], kind: str | None) -> Errors:
    """Of ports that several entries use."""
    uses: set[tuple[object, object]] = set()
    for at, port in enumerate(ports):
        if port.get("nodePort") and kind == "ClusterIP":
            yield forbidden(f"spec.ports[{at}].nodePort", "may not be used when `type` is 'ClusterIP'")
        if port.get("nodePort") and not 30000 <= port["nodePort"] <= 32767:
            text = "provided port is not in the valid range. The range of valid ports is 30000-32767"
            yield invalid(f"spec.ports[{at}].nodePort", port["nodePort"], text)
        use = (port.get("protocol"), port.get("port"))
        if use in uses:
            names = {
                "Name": "",
                "Protocol": use[0],
                "AppProtocol": None,
                "Port": use[1],
                "TargetPort": 0,
                "NodePort": 0,
            }
            yield duplicate(f"spec.ports[{at}]", names)
        uses.add(use)


def ingress_errors(new: Obj, old: Obj | None) -> Errors:
    del old
    spec = new.get("spec") or {}
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        yield invalid("spec", spec, "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend") is not None:
        yield from backend_errors(spec["defaultBackend"], "spec.defaultBackend")
    for at, rule in enumerate(spec.get("rules") or []):
        path, host = f"spec.rules[{at}]", rule.get("host") or ""
        if is_address(host):
            yield invalid(f"{path}.host", host, "must be a DNS name, not an IP address")
        elif host:
            for text in subdomain_problems(host.removeprefix("*.")):
                yield invalid(f"{path}.host", host, text)
        http = rule.get("http")
        if http is None:
            continue
        if not http.get("paths"):
            yield required(f"{path}.http.paths")
        for place, each in enumerate(http.get("paths") or []):
            yield from path_errors(each, f"{path}.http.paths[{place}]")


def path_errors(each: Obj, field: str) -> Errors:
    kind, path = each.get("pathType"), each.get("path") or ""
    if kind is None:
        yield required(f"{field}.pathType", "pathType must be specified")
        return
    if kind not in PATH_TYPES:
        yield unsupported(f"{field}.pathType", kind, PATH_TYPES)
    elif not path.startswith("/") and (path or kind != "ImplementationSpecific"):
        yield invalid(f"{field}.path", path, "must be an absolute path")
    elif kind != "ImplementationSpecific":
        for text in NOT_SEQUENCES:
            if text in path:
                yield invalid(f"{field}.path", path, f"must not contain '{text}'")
        for text in NOT_ENDS:
            if path.endswith(text):
                yield invalid(f"{field}.path", path, f"cannot end with '{text}'")
    yield from backend_errors(each.get("backend") or {}, f"{field}.backend")


def backend_errors(backend: Obj, field: str) -> Errors:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield invalid(field, "", "cannot set both resource and service backends")
    elif service is None and resource is None:
        yield invalid(field, "", "resource or service backend is required")
    elif service is not None:
        if not service.get("name"):
            yield required(f"{field}.service.name")
        else:
            for text in label_problems(service["name"]):
                yield invalid(f"{field}.service.name", service["name"], text)
        port = service.get("port") or {}
        if port.get("name") and port.get("number"):
            yield invalid(field, "", "cannot set both port name & port number")
        elif port.get("name"):
            yield from port_errors(port["name"], f"{field}.service.port.name")
        elif port.get("number"):
            yield from port_errors(port["number"], f"{field}.service.port.number")
        else:
            yield required(field, "port name or number is required")


def ingress_class_errors(new: Obj, old: Obj | None) -> Errors:
    spec = new.get("spec") or {}
    if old is not None and spec.get("controller") != (old.get("spec") or {}).get("controller"):
        yield invalid("spec.controller", spec.get("controller"), IMMUTABLE)
    if not spec.get("controller"):
        yield required("spec.controller")
    elif "/" not in spec["controller"]:
        yield invalid("spec.controller", spec["controller"], 'must be a domain-prefixed path (such as "acme.io/foo")')


def network_policy_errors(new: Obj, old: Obj | None) -> Errors:
    del old
    spec = new.get("spec") or {}
    yield from selector_errors(spec.get("podSelector"), "spec.podSelector")
    for at, each in enumerate(spec.get("policyTypes") or []):
        if each not in ("Egress", "Ingress"):
            yield unsupported(f"spec.policyTypes[{at}]", each, ("Egress", "Ingress"))
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for at, rule in enumerate(spec.get(way) or []):
            for place, port in enumerate(rule.get("ports") or []):
                yield from port_errors(port.get("port"), f"spec.{way}[{at}].ports[{place}].port")
            for place, peer in enumerate(rule.get(peers) or []):
                yield from peer_errors(peer, f"spec.{way}[{at}].{peers}[{place}]")


def peer_errors(peer: Obj, field: str) -> Errors:
    block, others = (
        peer.get("ipBlock"),
        [name for name in ("podSelector", "namespaceSelector") if peer.get(name) is not None],
    )
    if block is None and not others:
        yield required(field, "must specify a peer")
    elif block is not None and others:
        yield forbidden(field, "may not specify both ipBlock and another peer")
    elif block is not None:
        if not block.get("cidr"):
            yield required(f"{field}.ipBlock.cidr")
        elif not is_network(block["cidr"]):
            text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            yield invalid(f"{field}.ipBlock.cidr", block["cidr"], text)


def is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text
