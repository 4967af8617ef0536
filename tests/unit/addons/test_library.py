"""The add-ons that come with the program: their folders are complete, and what they render is well-formed."""

from __future__ import annotations

import base64
import io
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator

from bootstrap.addons import Addon, Facts, library, problems_of, render, secret_keys
from bootstrap.addons.charts import objects_chart
from bootstrap.addons.forms import form_of
from bootstrap.addons.library import read_library
from bootstrap.k3s.pass_through.flags import COMPONENTS, SERVER_FLAGS

ROOT: Final = Path(__file__).parents[3]
ADDONS: Final = tuple(library().values())
FACTS: Final = Facts(
    cluster="home",
    pve_api="https://192.168.1.10:8006/api2/json",
    storages=("local-lvm",),
    subnets=(IPv4Network("192.168.1.0/24"),),
)
TEXT: Final = {"type": "string", "minLength": 1}
HELM_CHART: Final = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["targetNamespace"],
            "additionalProperties": False,
            "properties": {
                **{name: TEXT for name in ("targetNamespace", "chart", "version", "repo", "chartContent")},
                **{name: {"type": "boolean"} for name in ("createNamespace", "bootstrap", "takeOwnership")},
                "valuesContent": TEXT,
                "failurePolicy": {"enum": ["abort", "reinstall", "retry"]},
                "timeout": TEXT,
                "valuesSecrets": {"type": "array"},
            },
            "oneOf": [{"required": ["chart", "version"]}, {"required": ["chartContent"]}],
        }
    },
}
"""As helm-controller v0.17 has it: pkg/apis/helm.cattle.io/v1/types.go."""
OBJECT: Final = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata"],
    "properties": {
        "apiVersion": {"type": "string", "pattern": r"^([a-z0-9.-]+/)?v[0-9]+((alpha|beta)[0-9]+)?$"},
        "kind": {"type": "string", "pattern": "^[A-Z][A-Za-z0-9]+$"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"},
                "namespace": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
    },
}


def examples(addon: Addon) -> dict[str, Any]:
    return {key.name: key.example for key in addon.values if key.example is not None}


def rendered(addon: Addon, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    secrets = {name: "11111111-2222-3333-4444-555555555555" for name, _ in secret_keys(addon.name, values)}
    return render(addon.name, values, FACTS, secrets=secrets)


def cases() -> Iterator[Any]:
    for addon in ADDONS:
        needed = {key.name: key.example for key in addon.values if key.required}
        yield pytest.param(addon, needed, id=f"{addon.name}-least")
        yield pytest.param(addon, examples(addon), id=f"{addon.name}-all")


@pytest.mark.parametrize(("addon", "values"), list(cases()))
def test_what_is_rendered_is_well_formed(addon: Addon, values: dict[str, Any]) -> None:
    assert problems_of(addon.name, values, FACTS) == ()
    objects = rendered(addon, values)
    assert objects
    for each in objects:
        check_object(each)
    named = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(set(named)) == len(named)
    namespaces = {each["metadata"]["name"] for each in objects if each["kind"] == "Namespace"}
    for each in objects:
        if each["kind"] == "HelmChart":
            target = each["spec"]["targetNamespace"]
            assert target == "kube-system" or target in namespaces or each["spec"].get("createNamespace"), target


def check_object(each: dict[str, Any]) -> None:
    Draft202012Validator(OBJECT).validate(each)
    assert "$" not in yaml.safe_dump({**each, "stringData": None}).replace("$(", "")
    if each["kind"] not in ("HelmChart", "HelmChartConfig"):
        return
    assert each["apiVersion"] == "helm.cattle.io/v1"
    assert each["metadata"]["namespace"] == "kube-system"
    if each["kind"] == "HelmChart":
        Draft202012Validator(HELM_CHART).validate(each)
    content = yaml.safe_load(each["spec"].get("valuesContent", "{}"))
    assert isinstance(content, dict)
    for inner in content["objects"] if "chartContent" in each["spec"] else ():
        Draft202012Validator(OBJECT).validate(inner)


@pytest.mark.parametrize("addon", ADDONS, ids=lambda addon: addon.name)
def test_an_add_on_says_what_a_user_must_know(addon: Addon) -> None:
    readme = (ROOT / "manifests" / addon.name / "README.md").read_text()
    for heading in ("**Why this one.**", "**Versions.**", "**How to leave.**"):
        assert heading in readme
    assert f"- addon: {addon.name}" in readme
    assert len(addon.summary) <= 100
    for key in addon.values:
        fits = form_of(key.form).fits
        assert key.doc, key.name
        assert key.example is None or fits(key.example), key.name
        assert key.default is None or fits(key.default), key.name
        assert not (key.required and key.example is None), key.name
        assert f"{key.name}:" in readme or f"`{key.name}`" in readme, key.name


@pytest.mark.parametrize("addon", ADDONS, ids=lambda addon: addon.name)
def test_what_an_add_on_needs_is_known_to_k3s(addon: Addon) -> None:
    needs = addon.needs
    assert set(needs.disable_components) <= set(COMPONENTS)
    assert {key for key, _ in (*needs.agent_config, *needs.server_config)} <= SERVER_FLAGS.keys()
    assert set(addon.excludes) <= set(library())


def test_the_readme_names_each_add_on_with_its_line() -> None:
    readme = (ROOT / "manifests" / "README.md").read_text()
    missing = [each.name for each in ADDONS if f"[{each.name}]({each.name}/README.md)" not in readme]
    assert missing == []


def test_each_pinned_chart_is_used_and_has_a_place() -> None:
    used = {
        each["spec"]["chart"]: each["spec"]["version"]
        for addon in ADDONS
        for each in rendered(addon, examples(addon))
        if each["kind"] == "HelmChart" and "chart" in each["spec"]
    }
    for name, chart in ADDONS[0].charts.items():
        assert used.get(chart.chart) == chart.version, name
        assert chart.chart.startswith("oci://") == (not chart.repo), name
        assert chart.app, name


def test_the_chart_of_objects_is_the_one_that_the_code_shows() -> None:
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(objects_chart())), mode="r:gz") as tar:
        files = {each.name: tar.extractfile(each).read().decode() for each in tar}  # type: ignore[union-attr]
    assert yaml.safe_load(files["objects/Chart.yaml"]) == {"apiVersion": "v2", "name": "objects", "version": "1.0.0"}
    template = "{{- range .Values.objects }}\n---\n{{ toYaml . }}\n{{- end }}\n"
    assert files == {"objects/Chart.yaml": files["objects/Chart.yaml"], "objects/templates/objects.yaml": template}


def test_a_wheel_has_the_add_ons(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "unpacked")
    packaged = tmp_path / "unpacked" / "bootstrap" / "data" / "manifests"
    assert read_library(packaged) == library()
