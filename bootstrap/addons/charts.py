"""HelmChart resources, as k3s's helm-controller takes them. Pure.

In a template's spec, `$chart: NAME` is the chart of that name in `versions.yaml`, and `$values` its values; those in
the chart's own keys that the user gave are merged over them. `$objects` is a list of objects in a chart of their own:
kinds that another chart brings cannot be applied before it, and a chart's job is tried again until it can.

Fields are those of helm-controller v0.17, which k3s v1.36 has (k3s-io/helm-controller:
pkg/apis/helm.cattle.io/v1/types.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from bootstrap.addons.format import Chart
from bootstrap.addons.templating import dump

API: Final = "helm.cattle.io/v1"
_OBJECTS: Final = {
    "objects/Chart.yaml": "apiVersion: v2\nname: objects\nversion: 1.0.0\n",
    "objects/templates/objects.yaml": "{{- range .Values.objects }}\n---\n{{ toYaml . }}\n{{- end }}\n",
}
"""A chart that has the objects of its values."""


@cache
def objects_chart() -> str:
    """That chart as `chartContent` takes it, base64 of a .tgz. The same bytes on every computer: not compressed."""
    import base64  # with these, the inventory would take longer to import, which every command does
    import gzip
    import io
    import tarfile

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in _OBJECTS.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    blocks = -(-len(packed.getvalue().rstrip(b"\0")) // tarfile.BLOCKSIZE)
    ended = packed.getvalue()[: (blocks + 2) * tarfile.BLOCKSIZE]  # two empty blocks end it; the rest is padding
    return base64.b64encode(gzip.compress(ended, compresslevel=0, mtime=0)).decode()


def with_chart(filled: dict[str, Any], charts: Mapping[str, Chart], helm: Mapping[str, Any]) -> dict[str, Any]:
    """An object with what `$chart`, `$values` and `$objects` of its spec stand for; others as they are."""
    spec = filled.get("spec")
    if not isinstance(spec, dict) or not spec.keys() & {"$chart", "$objects", "$values"}:
        return filled
    spec = dict(spec)
    head: dict[str, Any] = {}
    values = spec.pop("$values", {})
    if "$chart" in spec:
        chart = charts[spec.pop("$chart")]
        head = {"repo": chart.repo or None, "chart": chart.chart, "version": chart.version}
    if "$objects" in spec:
        values = {"objects": spec.pop("$objects")}
        head = {"chartContent": objects_chart()}
    else:
        values = merged(values, helm)
    content = {"valuesContent": dump(values)} if values else {}
    return {**filled, "spec": {key: value for key, value in {**head, **spec, **content}.items() if value is not None}}


def merged(own: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both, as Helm merges values: mappings key by key, anything else replaced."""
    found = dict(own)
    for key, value in over.items():
        both = found.get(key)
        found[key] = merged(both, value) if isinstance(both, Mapping) and isinstance(value, Mapping) else value
    return found
