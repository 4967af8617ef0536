"""The record in a VM's description, and the ownership it proves."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from bootstrap.model.ids import ClusterName, MachineName, PoolName, PveNodeName, Vmid
from bootstrap.model.machine import MachineRecord, RecordState, Role
from bootstrap.model.observed import OWNER_TAG, VmRecord
from bootstrap.records.vms.machine import is_ours, lacks_only_a_signature, read_record, record_or_problem
from tests.fakes.keys import sealed

DEMO = ClusterName("demo")
RECORD = MachineRecord(
    cluster=DEMO,
    machine=MachineName("demo-workers-1"),
    role=Role.WORKER,
    pool=PoolName("workers"),
    vmid=Vmid(7001),
    state=RecordState.MADE,
)
OURS = VmRecord(
    vmid=Vmid(7001),
    name="demo-workers-1",
    pve_node=PveNodeName("pve1"),
    running=True,
    tags=frozenset({OWNER_TAG}),
    record=RECORD,
    doubt="",
)


def written(record: MachineRecord, *, into: str = "") -> str:
    return sealed(record, "uuid-1", into=into)


records = st.builds(
    MachineRecord,
    cluster=st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True).map(ClusterName),
    machine=st.from_regex(r"[a-z]([a-z0-9-]{0,50}[a-z0-9])?", fullmatch=True).map(MachineName),
    role=st.sampled_from(Role),
    pool=st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).map(PoolName),
    vmid=st.integers(100, 999_999_999).map(Vmid),
    state=st.sampled_from(RecordState),
    address=st.none() | st.ip_addresses(v=4),
)


@given(records, st.text(st.characters(exclude_categories=["Cs"])), st.text())
def test_a_record_survives_what_users_write_around_it(record: MachineRecord, before: str, after: str) -> None:
    before = "\n".join(line for line in before.splitlines() if not line.startswith("homelab-k8s-record:"))
    assert read_record(f"{before}\n{written(record)}\n{after}".rstrip("\n")) == record


@given(st.text())
def test_any_other_description_holds_no_record(text: str) -> None:
    assert record_or_problem(text.replace("homelab-k8s-record:", ""))[0] is None


def test_a_damaged_record_counts_as_none() -> None:
    whole = written(RECORD)
    assert record_or_problem(whole[:-5])[0] is None
    assert record_or_problem(whole.replace('"format":1', '"format":99'))[0] is None
    assert record_or_problem("homelab-k8s-record: []")[0] is None
    assert record_or_problem("homelab-k8s-record: {}")[0] is None


def test_the_record_makes_a_vm_ours_whatever_its_name_and_tags_are() -> None:
    assert is_ours(OURS, DEMO)
    assert is_ours(replace(OURS, name="nas", tags=frozenset()), DEMO)


def test_a_copy_with_our_description_and_tags_is_not_ours() -> None:
    assert not is_ours(replace(OURS, vmid=Vmid(7002)), DEMO)


def test_a_vm_without_record_of_another_cluster_or_in_doubt_is_not_ours() -> None:
    assert not is_ours(replace(OURS, record=None), DEMO)
    assert not is_ours(OURS, ClusterName("other"))
    assert not is_ours(replace(OURS, doubt="its record has no signature"), DEMO)


def test_what_is_not_signed_claims_nothing_under_another_name_or_without_the_tag() -> None:
    unsigned = replace(OURS, doubt="its record has no signature")
    assert lacks_only_a_signature(unsigned, DEMO)
    assert not lacks_only_a_signature(replace(unsigned, name="nas"), DEMO)
    assert not lacks_only_a_signature(replace(unsigned, tags=frozenset()), DEMO)
    assert not lacks_only_a_signature(unsigned, ClusterName("other"))


def test_a_fresh_clone_is_ours_before_it_has_its_tag_but_not_once_it_runs() -> None:
    fresh = replace(OURS, tags=frozenset(), running=False, record=replace(RECORD, state=RecordState.CLONING))
    assert is_ours(fresh, DEMO)
    assert not is_ours(replace(fresh, running=True), DEMO)


def test_addresses_are_kept_as_addresses() -> None:
    record = replace(RECORD, address=IPv4Address("192.0.2.7"))
    assert read_record(written(record)) == record


notes = st.text(st.characters(exclude_categories=["Cs"])).map(
    lambda text: "".join(line for line in text.splitlines(keepends=True) if not line.startswith("homelab-k8s-record:"))
)


@given(records, records, notes, st.sampled_from(["\n", "\r\n"]), st.text())
def test_a_record_that_is_replaced_leaves_all_else_byte_for_byte(
    old: MachineRecord, new: MachineRecord, before: str, newline: str, after: str
) -> None:
    line = written(old).splitlines()[1]
    found = written(new, into=f"{before}\n{line}{newline}{after}")
    assert found == f"{before}\n{written(new).splitlines()[1]}{newline}{after}"
    assert read_record(found) == new


def test_where_there_is_no_record_the_whole_text_is_written() -> None:
    assert written(RECORD, into="somebody's notes") == written(RECORD)


def test_the_owner_tag_counts_in_any_case() -> None:
    """With `tag-style: case-sensitive=1` Proxmox keeps the case in which somebody has typed it."""
    running = replace(OURS, record=replace(RECORD, state=RecordState.CLONING))
    assert is_ours(replace(running, tags=frozenset({"Homelab-K8s"})), DEMO)
