"""Objects of any kind over HTTP: paths, queries, and what an answer means."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from bootstrap.adapters.kube import KubernetesApis
from bootstrap.errors import KubernetesError, KubeUnreachableError, UnreadableObjectError
from bootstrap.manifests.values import FieldOwner, GroupKind, ObjectId
from bootstrap.ports import KubeObjects
from bootstrap.ports.manifests import Applied, Conflicting, KindFacts, NotTaken

DEPLOYMENTS = KindFacts(kind=GroupKind("apps", "Deployment"), version="v1", plural="deployments", namespaced=True)
ROLES = KindFacts(kind=GroupKind("rbac.authorization.k8s.io", "ClusterRole"), version="v1", plural="clusterroles",
                  namespaced=False)  # fmt: skip
SERVER = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "server", "namespace": "media"}}
APPS: dict[str, list[dict[str, object]]] = {
    "resources": [
        {"name": "deployments/status", "kind": "Deployment", "namespaced": True, "verbs": ["get", "patch"]},
        {"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": ["get", "patch"]},
        {"name": "reviews", "kind": "Review", "namespaced": True, "verbs": ["create"]},
        {"kind": "Odd"},
    ]
}


class Script:
    """An API that answers as a test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, object]]] = {}
        self.asked: list[tuple[str, dict[str, str], str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                said = f"{self.command} {url.path}"
                outer.asked.append((said, dict(parse_qsl(url.query)), self.headers.get("Content-Type", ""), body))
                answers = outer.answers.get(said) or [(404, {"kind": "Status", "message": "not found"})]
                status, content = answers.pop(0) if len(answers) > 1 else answers[0]
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_PATCH(self) -> None:
                self.do_GET()

            def do_DELETE(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def on(self, said: str, *answers: tuple[int, object]) -> None:
        self.answers[said] = list(answers)

    @property
    def kubeconfig(self) -> str:
        cluster = {"server": f"http://127.0.0.1:{self.server.server_port}"}
        return yaml.safe_dump(
            {
                "clusters": [{"name": "demo", "cluster": cluster}],
                "users": [{"name": "demo", "user": {"token": "open-sesame"}}],
                "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}],
                "current-context": "demo",
            }
        )


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    yield script
    script.server.shutdown()
    script.server.server_close()
    script.thread.join()


@pytest.fixture
def objects(script: Script) -> Iterator[KubeObjects]:
    api = KubernetesApis().connect(script.kubeconfig)
    yield api.objects
    api.close()


PATCH = "PATCH /apis/apps/v1/namespaces/media/deployments/server"


def test_a_kind_is_found_in_its_version_or_the_preferred_one(script: Script, objects: KubeObjects) -> None:
    script.on("GET /apis/apps/v1", (200, APPS))
    script.on("GET /apis/apps", (200, {"preferredVersion": {"version": "v2"}, "versions": [{"version": "v1"}]}))
    script.on("GET /apis/apps/v2", (200, {"resources": None}))
    assert objects.kind(GroupKind("apps", "Deployment"), "v1") == DEPLOYMENTS
    assert objects.kind(GroupKind("apps", "Deployment")) == DEPLOYMENTS
    assert objects.kind(GroupKind("apps", "Review"), "v1") is None
    assert objects.kind(GroupKind("example.org", "Film")) is None
    asked = len(script.asked)
    assert objects.kind(GroupKind("apps", "Deployment"), "v1") == DEPLOYMENTS
    assert len(script.asked) == asked, "known ones are not asked for again"
    script.on("GET /apis/example.org/v1", (200, {"resources": [{**APPS["resources"][1], "kind": "Film"}]}))
    assert objects.kind(GroupKind("example.org", "Film"), "v1"), "a CRD may have come"


def test_an_object_is_applied_with_our_field_manager(script: Script, objects: KubeObjects) -> None:
    script.on(PATCH, (200, SERVER))
    assert objects.apply(DEPLOYMENTS, SERVER, namespace="media") == Applied(body=SERVER)
    assert objects.apply(DEPLOYMENTS, SERVER, namespace="media", dry_run=True, force=True) == Applied(body=SERVER)
    (_, first, form, body), (_, second, _, _) = script.asked
    assert form == "application/apply-patch+yaml"
    assert body == SERVER
    assert first == {"fieldManager": "homelab-k8s", "fieldValidation": "Strict", "force": "false"}
    assert second == {**first, "force": "true", "dryRun": "All"}


def test_names_of_roles_have_colons(script: Script, objects: KubeObjects) -> None:
    role = {"metadata": {"name": "system:films/x"}}
    script.on("PATCH /apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Afilms%2Fx", (200, role))
    assert isinstance(objects.apply(ROLES, role, namespace=""), Applied)


def test_conflicts_name_the_fields_and_who_has_them(script: Script, objects: KubeObjects) -> None:
    causes = [
        {"reason": "FieldManagerConflict", "field": ".spec.replicas",
         "message": 'conflict with "kubectl-client-side-apply" using apps/v1'},
        {"reason": "FieldManagerConflict", "field": ".data.x", "message": "odd"},
    ]  # fmt: skip
    script.on(PATCH, (409, {"message": "Apply failed with 2 conflicts", "details": {"causes": causes}}))
    assert objects.apply(DEPLOYMENTS, SERVER, namespace="media") == Conflicting(
        owners=(
            FieldOwner(path="spec.replicas", manager="kubectl-client-side-apply"),
            FieldOwner(path="data.x", manager="odd"),
        ),
        said="Apply failed with 2 conflicts",
    )
    script.on(PATCH, (409, {"message": "the object has been modified"}))
    assert objects.apply(DEPLOYMENTS, SERVER, namespace="media") == NotTaken(
        said="the object has been modified", passing=True
    )


@pytest.mark.parametrize(
    ("status", "absent", "passing"),
    [
        (400, False, False),
        (403, False, False),
        (404, True, False),
        (422, False, False),
        (500, False, False),
        (503, False, True),
    ],
)
def test_refusals_keep_the_words_of_the_api(
    script: Script, objects: KubeObjects, status: int, absent: bool, passing: bool
) -> None:
    said = 'Deployment.apps "server" is invalid: ' + "spec.selector: Required value, " * 30
    script.on(PATCH, (status, {"message": said}))
    assert objects.apply(DEPLOYMENTS, SERVER, namespace="media") == NotTaken(
        said=said.strip(), absent=absent, passing=passing
    )
    script.on(PATCH, (status, "<html>"))
    assert objects.apply(DEPLOYMENTS, SERVER, namespace="media") == NotTaken(
        said="<html>", absent=absent, passing=passing
    )


def test_a_webhook_or_etcd_without_an_answer_may_pass(script: Script, objects: KubeObjects) -> None:
    for said in ('failed calling webhook "x": EOF', "etcdserver: request timed out"):
        script.on(PATCH, (500, {"message": said}))
        assert objects.apply(DEPLOYMENTS, SERVER, namespace="media") == NotTaken(said=said, passing=True)


def test_a_wrong_login_is_no_fault_of_the_object(script: Script, objects: KubeObjects) -> None:
    script.on(PATCH, (401, {"message": "Unauthorized"}))
    with pytest.raises(KubernetesError, match="refused"):
        objects.apply(DEPLOYMENTS, SERVER, namespace="media")
    script.on("GET /apis/apps/v1/namespaces/media/deployments/server", (503, {}))
    with pytest.raises(KubeUnreachableError):
        objects.get(DEPLOYMENTS, "media", "server")


def test_members_are_listed_page_by_page(script: Script, objects: KubeObjects) -> None:
    pages = [
        (200, {"metadata": {"continue": "next"}, "items": [{"metadata": {"name": "a"}}]}),
        (200, {"metadata": {}, "items": [{"metadata": {"name": "b"}}]}),
    ]
    script.on("GET /apis/apps/v1/deployments", *pages)
    found = objects.labelled(DEPLOYMENTS, {"applyset.kubernetes.io/part-of": "x"})
    assert found == tuple({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}} for name in "ab")
    assert [query.get("continue") for _, query, _, _ in script.asked] == [None, "next"]
    assert script.asked[0][1]["labelSelector"] == "applyset.kubernetes.io/part-of=x"
    assert objects.labelled(ROLES, {"a": "b"}) == ()
    script.on("GET /apis/apps/v1/namespaces/media/deployments", (200, {"items": "odd"}))
    with pytest.raises(UnreadableObjectError):
        objects.labelled(DEPLOYMENTS, {"a": "b"}, namespace="media")


def test_a_deletion_is_of_this_object_and_no_other(script: Script, objects: KubeObjects) -> None:
    identity = ObjectId(group="apps", kind="Deployment", namespace="media", name="server")
    delete = "DELETE /apis/apps/v1/namespaces/media/deployments/server"
    assert objects.delete(DEPLOYMENTS, identity, uid="1") is False
    script.on(delete, (409, {"message": "the UID in the precondition does not match"}))
    assert objects.delete(DEPLOYMENTS, identity, uid="1") is False
    script.on(delete, (200, {}))
    assert objects.delete(DEPLOYMENTS, identity, uid="1") is True
    assert script.asked[-1][3]["preconditions"] == {"uid": "1"}
    assert script.asked[-1][3]["propagationPolicy"] == "Background"
    script.on(delete, (403, {"message": "no"}))
    with pytest.raises(KubernetesError):
        objects.delete(DEPLOYMENTS, identity, uid="1")
