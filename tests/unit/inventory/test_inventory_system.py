"""Packages, sysctls and kernel modules: their values reach files that other programs parse, so their form is strict."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.inventory.values.scalars import Text
from bootstrap.inventory.values.system_formats import KERNEL_MODULE, PACKAGE, SYSCTL, SYSCTL_VALUE
from bootstrap.model.settings.system import SystemSpec
from tests.unit.inventory.kit import Load, Told


def test_what_a_file_says_is_of_all_machines_and_of_a_pool(load: Load) -> None:
    spec = load(
        "packages: [nfs-common, open-iscsi]\n"
        "sysctls: {vm.max_map_count: 262144, net.ipv4.tcp_rmem: 4096  87380 6291456}\n"
        "kernel_modules: [iscsi-tcp]\npools: {gpu: {packages: [g++], sysctls: {vm.swappiness: 10}}}\n"
    ).spec
    assert spec.system == SystemSpec(
        packages=("nfs-common", "open-iscsi"),
        sysctls=(("vm.max_map_count", "262144"), ("net.ipv4.tcp_rmem", "4096 87380 6291456")),
        kernel_modules=("iscsi_tcp",),
    )
    assert spec.workers[0].system == SystemSpec(packages=("g++",), sysctls=(("vm.swappiness", "10"),))
    assert not spec.control_plane.system


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("packages: [nfs-common=1.2]", "packages[0]", "without version"),
        ("packages: [curl-]", "packages[0]", "for a removal"),
        ("packages: ['--allow-downgrades']", "packages[0]", "a package's name"),
        ("packages: ['a b']", "packages[0]", "a package's name"),
        ("packages: nfs-common", "packages", "write [nfs-common]"),
        ("packages: [curl, curl]", "packages[1]", "there already"),
        ("sysctls: {vm/max_map_count: 1}", "sysctls.vm/max_map_count", "write vm.max_map_count"),
        ("sysctls: {net...x: 1}", "sysctls.net...x", "a sysctl's name"),
        ("sysctls: {net.//.x: 1}", "sysctls.net.//.x", "a sysctl's name"),
        ('sysctls: {vm.x: "1\\nkernel.y = 2"}', "sysctls.vm.x", "a sysctl's value"),
        ("sysctls: {vm.x: ''}", "sysctls.vm.x", "a sysctl's value"),
        ("sysctls: {kernel.panic: 0}", "sysctls", "k3s sets it to 10"),
        ("workers: {sysctls: {net.ipv4.ip_forward: 0}}", "workers.sysctls", "k3s sets it to 1"),
        ("kernel_modules: ['nbd nbds_max=4']", "kernel_modules[0]", "no parameters"),
        ("kernel_modules: ['#nbd']", "kernel_modules[0]", "a kernel module's name"),
    ],
)
def test_other_values_are_refused_where_they_stand(told: Told, text: str, path: str, message: str) -> None:
    (problem,) = told(f"{text}\n")
    assert problem.path == path
    assert message in f"{problem.message} {problem.hint}"


@given(st.sampled_from([PACKAGE, SYSCTL, SYSCTL_VALUE, KERNEL_MODULE]), st.text(max_size=12))
def test_no_value_ends_a_line_or_begins_an_option_or_a_comment(kind: Text[str], text: str) -> None:
    if re.fullmatch(kind.pattern, text):
        assert not set(text) & set("\n\r\t\0#;'\"`$\\&|<>=")
        assert kind is SYSCTL_VALUE or not text.startswith("-")


@given(st.from_regex(SYSCTL.pattern, fullmatch=True))
def test_no_sysctl_leads_out_of_proc_sys(name: str) -> None:
    path = name.translate(str.maketrans("./", "/."))
    assert not {"", ".", ".."} & set(path.split("/"))
