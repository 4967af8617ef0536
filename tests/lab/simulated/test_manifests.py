"""The inventory's Kubernetes objects: applied by `up`, changed, refused, pruned, against the stand-in's whole API."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.homes import Home

INVENTORY = """
cluster: lab
manifests:
  - objects/
  - addon: cert-manager
  - addon: proxmox-ccm
    values: {token: {file: ccm-token}, insecure: true}
control_plane: {cores: 1, memory: 1GiB, disk: 8GiB}
workers: 0
"""
TOKEN = "c0ffee00-1111-2222-3333-444444444444"
MEDIA = """
apiVersion: v1
kind: Namespace
metadata: {name: media}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: media}
spec:
  replicas: 1
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec:
      containers: [{name: server, image: "nginx:1.27"}]
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: media}
stringData: {password: open-sesame}
"""
FILMS = """
apiVersion: example.org/v1
kind: Film
metadata: {name: alien, namespace: media}
spec: {year: 1979}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: films.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Film, plural: films, singular: film}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {year: {type: integer}}}}}
"""
TARGET = ("--lab", "--inventory", "cluster.yaml")


def test_objects_live_with_their_files(home: Home) -> None:
    folder = home.directory / "objects"
    folder.mkdir()
    (home.directory / "cluster.yaml").write_text(INVENTORY)
    (home.directory / "ccm-token").write_text(TOKEN)
    put(folder, media=MEDIA, films=FILMS)
    built = home.run("up", *TARGET, "--progress", "plain")
    assert "apply 9 objects … done" in built.err
    assert "nothing to do" in home.run("up", *TARGET).out
    logs = [path.read_text(errors="replace") for path in home.directory.rglob("*.log")]
    assert logs
    assert not any(TOKEN in text for text in logs)

    put(folder, media=MEDIA.replace("replicas: 1", "replicas: 2").replace("open-sesame", "closed"))
    found = home.run("manifests", "diff", *TARGET, expect=5).out
    assert "spec.replicas: 1 -> 2" in found
    assert "data.password: *** -> ***" in found
    assert "prune     Film media/alien\n" in found

    put(folder, media=MEDIA.replace("replicas: 1", "copies: 2"))
    refused = home.run("manifests", "apply", *TARGET, expect=4).err
    assert "objects/media.yaml:6: Deployment media/server: " in refused
    assert ".spec.copies: field not declared in schema" in refused

    put(folder, media=MEDIA.partition("---")[0])
    done = home.run("manifests", "apply", "--yes", *TARGET, "-o", "json").json
    pruned = "Film media/alien, Deployment media/server, Secret media/login, CustomResourceDefinition films.example.org"
    assert done["pruned"] == pruned.split(", ")
    home.run("status", *TARGET, expect=0)

    (home.directory / "cluster.yaml").write_text(INVENTORY.replace("proxmox-ccm", "argocd").partition("    values")[0])
    kept = home.run("manifests", "apply", "--yes", *TARGET, expect=4).err
    assert "lab cannot lose the add-on proxmox-ccm; nothing was changed" in kept


def put(folder: Path, **files: str) -> None:
    """Have these files in a folder, and no others."""
    for old in folder.iterdir():
        old.unlink()
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
