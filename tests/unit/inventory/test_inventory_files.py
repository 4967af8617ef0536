"""`files` and `hooks`: what they name is read, what is ours is refused, and no secret is repeated."""

from __future__ import annotations

import posixpath
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.inventory.document import Scalar
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.guest_paths import GUEST_PATH
from bootstrap.model.settings.system import FileSpec, HookSpec, HookTime, SystemSpec
from tests.unit.inventory.kit import ENVIRON, Load, Told

SECRET = "tr0ub4dor-and-3"
WITH_SECRET = {**ENVIRON, "CHAP": SECRET, "LINES": f"{SECRET}\n{SECRET}\n"}
SCRIPT = "#!/bin/sh\necho hello\n"


def test_files_come_from_the_inventory_a_file_or_where_secrets_are(load: Load, tmp_path: Path) -> None:
    (tmp_path / "ca.der").write_bytes(b"\x00\xff")
    (tmp_path / "chap").write_text(f"{SECRET}\n")
    spec = load(
        "files:\n"
        '  - {path: /etc/motd, content: "hi\\n", mode: 0640}\n'
        f"  - {{path: /etc/ssl/ca.der, source: {tmp_path}/ca.der}}\n"
        "  - {path: /etc/iscsi/chap, content: {env: LINES}}\n"
        f"  - {{path: /etc/iscsi/other, content: {{file: {tmp_path}/chap}}, mode: 0400}}\n"
        "pools: {gpu: {files: [{path: /etc/motd, content: 5}]}}\n",
        environ=WITH_SECRET,
    ).spec
    assert spec.system.files == (
        FileSpec(path="/etc/motd", mode="0640", content=b"hi\n"),
        FileSpec(path="/etc/ssl/ca.der", mode="0644", content=b"\x00\xff"),
        FileSpec(path="/etc/iscsi/chap", mode="0600", content=f"{SECRET}\n{SECRET}\n".encode(), secret=True),
        FileSpec(path="/etc/iscsi/other", mode="0400", content=f"{SECRET}\n".encode(), secret=True),
    )
    assert SECRET in spec.system.secrets
    assert SECRET not in repr(spec)
    both = spec.system.with_more(spec.workers[0].system)
    assert (both.files[0].path, both.files[0].content) == ("/etc/motd", b"5")
    assert len(both.files) == 4


def test_hooks_come_from_a_file_or_the_inventory(load: Load, tmp_path: Path) -> None:
    (tmp_path / "tune nic.sh").write_text(SCRIPT)
    spec = load(
        "hooks:\n"
        "  before_k3s:\n"
        f"    - {tmp_path}/tune nic.sh\n"
        "    - {name: b, content: '#! /bin/sh', env: {N: 1, P: {env: CHAP}}}\n"
        f"  after_ready: [{{source: '{tmp_path}/tune nic.sh', name: c}}]\n"
        "pools: {gpu: {hooks: {before_k3s: [{name: b, content: '#!/usr/bin/python3'}]}}}\n",
        environ=WITH_SECRET,
    ).spec
    before, after = HookTime.BEFORE_K3S, HookTime.AFTER_READY
    assert spec.system.hooks == (
        HookSpec(name="tune-nic.sh", time=before, content=SCRIPT.encode()),
        HookSpec(name="b", time=before, content=b"#! /bin/sh", env=(("N", "1"), ("P", SECRET)), secrets=(SECRET,)),
        HookSpec(name="c", time=after, content=SCRIPT.encode()),
    )
    assert SECRET in spec.system.secrets
    assert SECRET not in repr(spec)
    both = spec.system.with_more(spec.workers[0].system)
    assert [each.content for each in both.at(before)] == [SCRIPT.encode(), b"#!/usr/bin/python3"]


def test_all_problems_are_told_together(told: Told, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (1024 * 1024 + 1))
    problems = told(
        "files:\n"
        "  - {path: /etc/a, source: nope}\n"
        f"  - {{path: /etc/b, source: {tmp_path}}}\n"
        f"  - {{path: /etc/c, source: {tmp_path}/large}}\n"
        "  - {path: /etc/c, content: '', mode: 644}\n"
        "  - {path: /etc/c/d, content: {env: NOPE}, mode: 0644}\n"
        "  - {content: ''}\n"
        "  - {path: /etc/e, content: '', source: x}\n"
        "hooks:\n"
        "  before_k3s:\n"
        "    - nope.sh\n"
        "    - {content: '#!/bin/sh'}\n"
        "    - {name: x, content: echo}\n"
        '    - {name: y, content: "#!/bin/sh\\r\\n"}\n'
        "workers:\n"
        "  hooks: {after_ready: [{name: z, content: '#!/bin/sh', env: {P: {env: LINES}, HOMELAB_K8S_X: 1}}]}\n",
        environ=WITH_SECRET,
    )
    found = {problem.path: f"{problem.message} {problem.hint}" for problem in problems}
    expected = {
        "files[0].source": "nope does not exist paths are relative to the inventory's directory",
        "files[1].source": "is a directory",
        "files[2].source": "has more than 1 MiB",
        "files[3]": "the path is there already",
        "files[3].mode": "write 0644",
        "files[4].path": "/etc/c is itself one of the files",
        "files[4].mode": "use 0600",
        "files[4].content.env": "NOPE is not set",
        "files[5]": "needs path",
        "files[6].source": "exclude each other",
        "hooks.before_k3s[0].source": "nope.sh does not exist",
        "hooks.before_k3s[1].name": "needs a name",
        "hooks.before_k3s[2].content": "does not begin with an interpreter",
        "hooks.before_k3s[3].content": "line ends of Windows",
        "workers.hooks.after_ready[0].env.HOMELAB_K8S_X": "is set by the shell or by this program",
    }
    assert {path: words for path, words in expected.items() if words not in found.get(path, "")} == {}, found
    assert SECRET not in repr(problems)


def test_a_variable_has_one_line(told: Told) -> None:
    (problem,) = told(
        "hooks: {after_ready: [{name: z, content: '#!/bin/sh', env: {P: {env: LINES}}}]}", environ=WITH_SECRET
    )
    assert (problem.path, "must be on one line" in problem.message) == ("hooks.after_ready[0].env.P.env", True)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/rancher/k3s/config.yaml",
        "/etc/rancher/k3s/config.yaml.d/50-homelab-k8s.yaml",
        "/etc/rancher/k3s/registries.yaml",
        "/etc/rancher/k3s/k3s.yaml",
        "/etc/rancher/k3s/.homelab-k8s-restart",
        "/etc/rancher/node/password",
        "/var/lib/rancher/k3s/server/token",
        "/etc/systemd/system/k3s.service",
        "/etc/systemd/system/k3s-agent.service.env",
        "/etc/systemd/system/k3s.service.d/x.conf",
        "/usr/local/bin/k3s",
        "/usr/local/bin/kubectl",
        "/etc/keepalived/keepalived.conf",
        "/root/.ssh/authorized_keys",
        "/home/debian/.ssh/authorized_keys2",
        "/home/debian/.homelab-k8s/facts.sh",
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/sysctl.d/91-homelab-k8s.conf",
        "/etc/modules-load.d/homelab-k8s.conf",
        "/etc/cloud/cloud.cfg.d/99-homelab-k8s.cfg",
        "/var/lib/homelab-k8s/files",
        "/proc/sys/vm/swappiness",
        "/run/x",
        "/tmp/x",
        "/etc/machine-id",
        "/etc/../root/.ssh/authorized_keys",
        "/etc/./rancher/k3s/config.yaml",
        "/etc//rancher/k3s/config.yaml",
        "/etc/motd/",
        "/motd",
        "~/x",
        "etc/motd",
        "/etc/a b",
    ],
)
def test_what_is_ours_or_is_no_place_for_a_file_is_refused(told: Told, path: str) -> None:
    (problem,) = told(f"files: [{{path: '{path}', content: x}}]")
    assert problem.path == "files[0].path"
    assert problem.hint


@pytest.mark.parametrize(
    "path",
    [
        "/etc/rancher/k3s/audit.yaml",
        "/etc/rancher/k3s/config.yaml.d/90-mine.yaml",
        "/opt/homelab-k8s/x",
        "/root/.vimrc",
    ],
)
def test_what_is_next_to_it_is_the_users(load: Load, path: str) -> None:
    assert load(f"files: [{{path: '{path}', content: x}}]").spec.system.files[0].path == path


@given(
    st.from_regex(
        r"(/(etc|\.|\.\.|var|lib|rancher|ssh|\.ssh|k3s|x y|a\n)){0,6}(/config\.yaml|/authorized_keys|/token)?",
        fullmatch=True,
    )
)
def test_no_path_means_another_than_it_says(text: str) -> None:
    problems = Problems()
    path = GUEST_PATH.read(Scalar(text=text), Where(path="x"), problems)
    if path is not None:
        assert posixpath.normpath(path) == path
        assert not set(path) & set(" \t\n'\"$`\\{}*?[]")
        assert not path.startswith(("/etc/rancher/k3s/config.yaml", "/var/lib/rancher")) or ".d/" in path
        assert not path.endswith("/.ssh/authorized_keys")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=3)), max_size=4))
def test_a_hook_is_another_one_with_any_other_parameter(pairs: list[tuple[str, bytes]]) -> None:
    """No two hooks that differ in time, script or parameters have a key in common; the name does not count."""
    made: dict[str, set[object]] = {}
    for name, content in pairs:
        for time in HookTime:
            for env in ((), (("A", "b=c"),), (("A=b", "c"),)):
                hook = HookSpec(name=name, time=time, content=content, env=env)
                made.setdefault(hook.key, set()).add((time, content, tuple(f"{key}={value}" for key, value in env)))
    assert all(len(found) == 1 for found in made.values())


def test_the_later_of_two_decides_and_the_order_stays() -> None:
    first = SystemSpec(files=tuple(FileSpec(path=f"/etc/{name}", mode="0644", content=b"1") for name in "abc"))
    more = SystemSpec(files=(FileSpec(path="/etc/b", mode="0600", content=b"2"),))
    both = first.with_more(more)
    assert [(each.path, each.content) for each in both.files] == [("/etc/a", b"1"), ("/etc/b", b"2"), ("/etc/c", b"1")]
    assert more.without_kernel == more
