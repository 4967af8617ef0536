"""k3s's CIS guide: its settings beside the user's own, its files, and how changes of it are told."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.inventory.values.system_formats import BY_KUBERNETES
from bootstrap.k3s.config import machine_config
from bootstrap.k3s.hardening.cis import ADMISSION, ARGUMENTS, AUDIT_POLICY, KERNEL, PROTECT, guide_arguments, overridden
from bootstrap.k3s.hardening.files import hardening_checksum, hardening_files
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import K3sSettings, MachineKind, Role
from bootstrap.model.settings.hardening import Hardening
from bootstrap.model.settings.system import SystemSpec
from bootstrap.planning.settings.change import HARDENING, Change
from bootstrap.planning.settings.hardening import told_together
from bootstrap.planning.settings.system import system_of
from tests.unit.planning.test_pass_through import ADDRESS, machine, spec

SERVER, AGENT = machine(Role.CONTROL_PLANE), machine(Role.WORKER)
CONTAINER = machine(Role.WORKER, kind=MachineKind.LXC)
API = "kube-apiserver-arg"


def cis(*, servers: K3sSettings = (), everywhere: K3sSettings = ()) -> ClusterSpec:
    return replace(spec(servers=servers, everywhere=everywhere), hardening=Hardening.CIS)


def config(of: ClusterSpec, machine_spec: object = SERVER) -> dict[str, object]:
    return machine_config(of, machine_spec, address=ADDRESS, etcd=False, join=None)  # type: ignore[arg-type]


def test_servers_and_agents_have_the_guides_settings_and_containers_none_of_the_kernel() -> None:
    server, agent, container = (config(cis(), each) for each in (SERVER, AGENT, CONTAINER))
    assert server["secrets-encryption"] is True
    assert {key: server[key] for key in ARGUMENTS} == {key: [*values] for key, values in ARGUMENTS.items()}
    assert [each.get(PROTECT) for each in (server, agent, container)] == [True, True, None]
    assert agent["kubelet-arg"] == list(ARGUMENTS["kubelet-arg"])
    assert container["kubelet-arg"] == ["feature-gates=KubeletInUserNamespace=true", *ARGUMENTS["kubelet-arg"]]
    assert not {API, "kube-controller-manager-arg"} & (agent.keys() | container.keys())


def test_without_hardening_nothing_of_it_is_there() -> None:
    assert not {*ARGUMENTS, PROTECT} & config(spec()).keys()
    assert hardening_files(spec(), SERVER) == {}
    assert hardening_checksum(spec(), SERVER) == ""


@given(
    st.lists(
        st.sampled_from(["event-ttl=2h", "v=4", "audit-log-maxage=7", "enable-admission-plugins=AlwaysPullImages"]),
        unique=True,
    )
)
def test_no_argument_of_the_users_is_lost_and_none_is_given_in_two_ways(users: list[str]) -> None:
    of = cis(servers=((API, tuple(users)),) if users else ())
    found = list(config(of)[API])  # type: ignore[call-overload]
    assert [each for each in found if each in users] == users
    names = [each.partition("=")[0] for each in found]
    assert {name for name in names if names.count(name) > 1} <= {"enable-admission-plugins"}
    assert {each.partition("=")[0] for each in ARGUMENTS[API]} <= set(names)
    assert set(found) - set(users) == set(guide_arguments(of, SERVER)[API])


def test_what_takes_the_guides_place_is_told_and_what_says_the_same_is_not() -> None:
    users = (API, ("audit-log-maxage=7", "audit-log-maxsize=100", "event-ttl=2h", "tls-cipher-suites+=X"))
    of = cis(servers=(users, (PROTECT, ("false",))))
    assert list(overridden(of, SERVER)) == [
        (API, "audit-log-maxage=30", "audit-log-maxage=7"),
        (PROTECT, "true", "false"),
    ]
    assert list(overridden(of, AGENT)) == []
    assert config(of)[PROTECT] is False


def test_the_kernel_is_set_to_what_the_kubelet_asks_for_and_the_users_sysctls_stay() -> None:
    of = replace(cis(), system=SystemSpec(sysctls=(("vm.max_map_count", "262144"),)))
    assert dict(system_of(of, SERVER).sysctls) == {**KERNEL, "vm.max_map_count": "262144"}
    assert system_of(of, CONTAINER).sysctls == ()
    assert KERNEL.items() <= BY_KUBERNETES.items(), "a user's other value is refused"


def test_the_files_are_for_servers_and_what_the_api_server_reads() -> None:
    files = hardening_files(cis(), SERVER)
    assert hardening_files(cis(), AGENT) == {}
    assert {ADMISSION.rpartition("/")[2], AUDIT_POLICY.rpartition("/")[2]} == files.keys()
    admission, audit = (yaml.safe_load(text) for text in files.values())
    plugins = {each["name"]: each["configuration"] for each in admission["plugins"]}
    assert plugins["PodSecurity"]["defaults"]["enforce"] == "restricted"
    assert plugins["PodSecurity"]["exemptions"]["namespaces"] == ["kube-system"]
    assert plugins["EventRateLimit"]["limits"], "without any the API server does not start"
    assert audit == {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}
    assert hardening_checksum(cis(), SERVER) == hashlib.sha256("".join(files.values()).encode()).hexdigest()


GUIDES = ARGUMENTS[API]
COMES = Change(key=HARDENING, have=(), want=("cis",))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([Change(key=API, have=(), want=GUIDES)], ["hardening: none -> cis"]),
        ([Change(key=API, have=GUIDES, want=()), Change(key=PROTECT, have=("true",), want=())],
         ["hardening: cis -> none"]),
        ([Change(key=API, have=("v=4",), want=(*GUIDES, "v=5"))],
         ["hardening: none -> cis", "kube-apiserver-arg: v=4 -> v=5"]),
        ([Change(key=API, have=GUIDES, want=(*GUIDES[:-1], "v=5"))], [f"kube-apiserver-arg: {GUIDES[-1]} -> v=5"]),
        ([Change(key=API, have=("a=1", "b=1"), want=("b=1", "a=1"))], ["kube-apiserver-arg: a=1, b=1 -> b=1, a=1"]),
        ([Change(key=HARDENING, have=("other files",), want=("cis",))], ["hardening: other files -> cis"]),
        ([COMES, Change(key=API, have=(), want=GUIDES)], ["hardening: none -> cis"]),
        ([Change(key="disable", have=(), want=("traefik",))], ["k3s.disable: none -> traefik"]),
    ],
    ids=["comes", "goes", "with the user's", "one argument", "order", "files", "both", "nothing of it"],
)  # fmt: skip
def test_what_hardening_changes_is_told_as_one(changes: list[Change], told: list[str]) -> None:
    assert [str(each) for each in told_together(changes)] == told


def test_a_pool_that_replaces_a_list_of_all_machines_keeps_the_guides() -> None:
    of = cis(everywhere=(("kubelet-arg", ("max-pods=200",)),))
    found = config(of, machine(Role.WORKER, (("kubelet-arg", ("max-pods=50",)),)))
    assert found["kubelet-arg"] == [*ARGUMENTS["kubelet-arg"], "max-pods=50"]
