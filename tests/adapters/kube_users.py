"""The part of the small Kubernetes API that has certificate requests and bindings of roles."""

from __future__ import annotations

import base64
import copy
from dataclasses import dataclass, field

from tests.adapters.kube_workloads import Object, Reply, failure
from tests.fakes.world.users import signed

CSRS = ["apis", "certificates.k8s.io", "v1", "certificatesigningrequests"]
RBAC = ["apis", "rbac.authorization.k8s.io", "v1"]


@dataclass
class KubeUsersApi:
    """Signs approved requests of API clients at the second look.

    Attributes:
        requests: CertificateSigningRequests by name.
        bindings: (Cluster)RoleBindings by their path below the API group.
        conflicts: How many approvals are still refused, since somebody else has changed the request.
        denies: Whether somebody denies what was approved.
        namespaces: Which there are.
    """

    requests: dict[str, Object] = field(default_factory=dict)
    bindings: dict[str, Object] = field(default_factory=dict)
    conflicts: int = 0
    denies: bool = False
    namespaces: tuple[str, ...] = ("default", "web")

    def handle(self, method: str, path: str, query: dict[str, list[str]], body: Object) -> Reply | None:
        """Answer a request; None for what is about something else."""
        match [method, *path.strip("/").split("/")]:
            case ["POST", *kind] if kind == CSRS:
                return self._request(body)
            case [*_, name] if path.strip("/").split("/")[:-1] == CSRS:
                return self._one_request(method, name)
            case ["PUT", *_, name, "approval"] if path.strip("/").split("/")[:-2] == CSRS:
                return self._approval(name, body)
            case [_, *parts] if parts[:3] == RBAC:
                return self._binding(method, parts[3:], query, body)
        return None

    def _request(self, body: Object) -> Reply:
        name, spec = body["metadata"]["name"], body["spec"]
        if name in self.requests:
            return failure(409, f'certificatesigningrequests "{name}" already exists')
        assert spec["signerName"] == "kubernetes.io/kube-apiserver-client"
        assert "client auth" in spec["usages"]
        assert not set(spec["usages"]) - {"client auth", "digital signature", "key encipherment"}
        if spec["expirationSeconds"] < 600:
            return failure(422, "spec.expirationSeconds: may not specify a duration less than 600 seconds (10 minutes)")
        self.requests[name] = {**copy.deepcopy(body), "status": {}}
        self.requests[name]["metadata"]["resourceVersion"] = "1"
        return 201, self.requests[name]

    def _one_request(self, method: str, name: str) -> Reply:
        if name not in self.requests:
            return failure(404, f'certificatesigningrequests "{name}" not found')
        if method == "DELETE":
            return 200, self.requests.pop(name)
        found = copy.deepcopy(self.requests[name])
        self._sign(self.requests[name])
        return 200, found

    def _sign(self, request: Object) -> None:
        kinds = {each["type"] for each in request["status"].get("conditions", ())}
        if kinds == {"Approved"}:
            pem = signed(base64.b64decode(request["spec"]["request"]).decode(), request["spec"]["expirationSeconds"])
            request["status"]["certificate"] = base64.b64encode(pem.encode()).decode()

    def _approval(self, name: str, body: Object) -> Reply:
        current = self.requests[name]
        if self.conflicts:
            self.conflicts -= 1
            current["metadata"]["resourceVersion"] = str(int(current["metadata"]["resourceVersion"]) + 1)
        if body["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"]:
            return failure(409, "the object has been modified")
        current["status"]["conditions"] = body["status"]["conditions"]
        if self.denies:
            denied = {"type": "Denied", "status": "True", "reason": "Policy", "message": "not here"}
            current["status"]["conditions"].append(denied)
        return 200, current

    def _binding(self, method: str, parts: list[str], query: dict[str, list[str]], body: Object) -> Reply:
        path = "/".join(parts)
        if method == "POST":
            if parts[0] == "namespaces" and parts[1] not in self.namespaces:
                return failure(404, f'namespaces "{parts[1]}" not found')
            if parts[0] == "namespaces":
                body["metadata"]["namespace"] = parts[1]
            self.bindings[f"{path}/{body['metadata']['name']}"] = body
            return 201, body
        if method == "DELETE":
            found = self.bindings.pop(path, None)
            return (200, found) if found else failure(404, "not found")
        (label,) = query["labelSelector"]
        items = [each for at, each in self.bindings.items() if f"/{parts[-1]}/" in f"/{at}"]
        return 200, {"items": [each for each in items if label in each["metadata"].get("labels", {})]}
