"""Sets of fields and merges of the stand-in's server-side apply."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.lab.standin.api.apply.merging import merged, removed
from bootstrap.lab.standin.api.apply.paths import from_fields, shown, to_fields, with_named
from bootstrap.lab.standin.api.apply.walking import Difference, owned
from bootstrap.lab.standin.api.types.filling import filled, zero
from bootstrap.lab.standin.api.types.types import ANY, of_kind, parse

ENV = st.fixed_dictionaries({"name": st.sampled_from("ABC")}, optional={"value": st.sampled_from(["1", "2"])})
PORT = st.fixed_dictionaries(
    {"containerPort": st.integers(1, 3)}, optional={"protocol": st.sampled_from(["TCP", "UDP"]), "name": st.just("web")}
)


def keyed(items: st.SearchStrategy[Any], *keys: str) -> st.SearchStrategy[list[Any]]:
    """Lists without two items of the same keys; a port's protocol is TCP by default."""
    return st.lists(items, max_size=3, unique_by=lambda item: tuple(item.get(key, "TCP") for key in keys))


CONTAINER = st.fixed_dictionaries(
    {"name": st.sampled_from(["web", "side", "proxy"])},
    optional={"image": st.sampled_from(["a", "b"]), "env": keyed(ENV, "name"),
              "args": st.lists(st.just("x"), max_size=2), "ports": keyed(PORT, "containerPort", "protocol")},
)  # fmt: skip
LABELS = st.dictionaries(st.sampled_from(["app", "tier", "a.b/c"]), st.sampled_from(["x", "y"]), max_size=3)
DEPLOYMENTS = st.builds(
    lambda labels, replicas, finalizers, containers: {
        "metadata": {"name": "web", "labels": labels, "finalizers": finalizers},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    },
    LABELS, st.integers(0, 3), st.lists(st.sampled_from(["e/a", "e/b"]), unique=True, max_size=2),
    keyed(CONTAINER, "name"),
)  # fmt: skip
KIND = of_kind("apps/v1", "Deployment") or ANY


@given(DEPLOYMENTS)
def test_a_set_survives_its_written_form(config: dict[str, Any]) -> None:
    paths = owned(KIND, config)
    assert from_fields(to_fields(paths)) == paths


@given(DEPLOYMENTS, DEPLOYMENTS)
@settings(max_examples=60)
def test_a_merged_configuration_has_its_values_and_merging_again_changes_nothing(
    live: dict[str, Any], config: dict[str, Any]
) -> None:
    once = merged(KIND, live, config)
    assert merged(KIND, once, config) == once
    assert owned(KIND, config) <= owned(KIND, once) | with_named(KIND, owned(KIND, once))
    changed = Difference(KIND, live, once)
    assert not changed.removed, "a merge takes nothing away"


@given(DEPLOYMENTS)
def test_nothing_differs_from_itself_and_all_of_it_from_nothing(config: dict[str, Any]) -> None:
    same = Difference(KIND, config, config)
    assert not same.added | same.modified | same.removed
    whole = Difference(KIND, zero(KIND), filled(KIND, config))
    assert not whole.removed


@given(DEPLOYMENTS, DEPLOYMENTS)
@settings(max_examples=60)
def test_what_is_taken_out_is_gone(live: dict[str, Any], config: dict[str, Any]) -> None:
    once = merged(KIND, live, config)
    left = removed(KIND, once, owned(KIND, config)) or {}
    leaves = {path for path in owned(KIND, config) if path[-1:] == ("f:image",)}
    assert not leaves & owned(KIND, left)


def test_paths_are_shown_as_kubernetes_shows_them() -> None:
    path = ("f:spec", "f:containers", 'k:{"containerPort":80,"protocol":"TCP"}', "f:args")
    assert shown(path) == '.spec.containers[containerPort=80,protocol="TCP"].args'
    assert shown(("f:metadata", "f:finalizers", 'v:"a"')) == '.metadata.finalizers[="a"]'


def test_words_of_the_tables_are_types() -> None:
    service = parse("@core.v1.ServiceSpec")
    ports = service.field("ports")
    assert ports is not None
    assert (ports.keys, ports.patch_key, ports.element().defaults) == (
        ("port", "protocol"),
        "port",
        {"protocol": "TCP"},
    )
    selector = service.field("selector")
    assert selector is not None
    assert selector.atomic
    assert service.field("clusterip") is None
