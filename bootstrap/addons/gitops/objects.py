"""The objects that hand a cluster over. Pure.

Flux, kinds of v2.8 (fluxcd/source-controller docs/spec/v1/gitrepositories.md, fluxcd/kustomize-controller
docs/spec/v1/kustomizations.md): the Secret of an SSH repository has `identity` and `known_hosts`, that of HTTPS
`username` and `password`. `deletionPolicy: Orphan` leaves what was applied when the Kustomization itself is deleted;
with `prune` alone all of it would be deleted.

Argo CD v3.4 (argoproj/argo-cd docs/operator-manual/declarative-setup.md): a repository is a Secret with the label
`argocd.argoproj.io/secret-type: repository`; host keys are in a ConfigMap of its chart (`configs.ssh.extraHosts`,
argoproj/argo-helm charts/argo-cd/values.yaml). An Application without the finalizer
`resources-finalizer.argocd.argoproj.io` is deleted without what it applied (docs/user-guide/app_deletion.md).
"""

from __future__ import annotations

from typing import Any, Final

from bootstrap.manifests.order import ASK_FIRST
from bootstrap.manifests.values import ManifestObjects, Object
from bootstrap.model.settings.gitops import GitopsController, GitopsSpec

SHOWN: Final = "gitops"
"""How users know these objects."""
KEY_TO_COME: Final = "${deploy-key}"
"""Stands for a deploy key of ours, which only a run makes."""
_NAMESPACES: Final = {GitopsController.FLUX: "flux-system", GitopsController.ARGOCD: "argocd"}
"""Their charts' `targetNamespace`, in `manifests/`."""
_NAMES: Final = {GitopsController.FLUX: "flux-system", GitopsController.ARGOCD: "gitops"}
"""Flux's own bootstrap calls them so, and repositories refer to its GitRepository by that name."""
_KEY_FIELDS: Final = {GitopsController.FLUX: "identity", GitopsController.ARGOCD: "sshPrivateKey"}


def gitops_sources(spec: GitopsSpec) -> tuple[ManifestObjects, ...]:
    """What is applied besides the controller's chart. The namespace stays when all is taken back: more may be in it."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACES[spec.controller]}}
    make = _flux if spec.controller is GitopsController.FLUX else _argocd
    secrets = (spec.secret,) if spec.secret is not None else ()
    return (
        ManifestObjects(shown=SHOWN, objects=(namespace,), stays=True),
        ManifestObjects(shown=SHOWN, objects=make(spec), secrets=secrets),
    )


def chart_settings(spec: GitopsSpec) -> dict[str, Any]:
    """What the controller's chart has to know of the repository, in the chart's own keys."""
    if spec.controller is GitopsController.ARGOCD and spec.known_hosts:
        return {"configs": {"ssh": {"extraHosts": spec.known_hosts}}}
    return {}


def key_place(spec: GitopsSpec) -> tuple[str, str, str]:
    """Where a deploy key is: the Secret's namespace and name, and the key in its data."""
    return _NAMESPACES[spec.controller], _NAMES[spec.controller], _KEY_FIELDS[spec.controller]


def with_key(body: Object, key: str) -> Object:
    """An object with the deploy key; others as they are."""
    texts = body.get("stringData")
    if body.get("kind") != "Secret" or not isinstance(texts, dict) or KEY_TO_COME not in texts.values():
        return body
    return {**body, "stringData": {name: key if text == KEY_TO_COME else text for name, text in texts.items()}}


def _flux(spec: GitopsSpec) -> tuple[Object, ...]:
    secret = _secret(spec)
    source = _object(
        spec,
        "source.toolkit.fluxcd.io/v1",
        "GitRepository",
        {
            "interval": "1m0s",
            "url": spec.url,
            "ref": {"branch": spec.branch},
            **({"secretRef": {"name": _NAMES[spec.controller]}} if secret else {}),
        },
    )
    applied = _object(
        spec,
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        {
            "interval": "10m0s",
            "sourceRef": {"kind": "GitRepository", "name": _NAMES[spec.controller]},
            "path": "./" if spec.path == "." else f"./{spec.path}",
            "prune": True,
            "deletionPolicy": "Orphan",
        },
    )
    return (*secret, source, applied)


def _argocd(spec: GitopsSpec) -> tuple[Object, ...]:
    application = _object(
        spec,
        "argoproj.io/v1alpha1",
        "Application",
        {
            "project": "default",
            "source": {"repoURL": spec.url, "targetRevision": spec.branch, "path": spec.path},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "default"},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
        },
    )
    return (*_secret(spec), application)


def _secret(spec: GitopsSpec) -> tuple[Object, ...]:
    """The login; nothing for a public repository over HTTPS."""
    if not spec.over_ssh and spec.secret is None:
        return ()
    argocd = spec.controller is GitopsController.ARGOCD
    namespace, name, field = key_place(spec)
    if spec.over_ssh:
        login = {field: spec.secret or KEY_TO_COME, **({} if argocd else {"known_hosts": spec.known_hosts})}
    else:
        login = {"username": spec.username, "password": spec.secret or ""}
    labels = {"labels": {"argocd.argoproj.io/secret-type": "repository"}} if argocd else {}
    annotations = {"annotations": {ASK_FIRST: "true"}}  # the source cannot be read without it
    repository = {"type": "git", "url": spec.url} if argocd else {}
    return (
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace, **labels, **annotations},
            "type": "Opaque",
            "stringData": {**repository, **login},
        },
    )


def _object(spec: GitopsSpec, version: str, kind: str, content: Object) -> Object:
    namespace, name, _field = key_place(spec)
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": content}
