"""The files of kubeconfigs: which one is taken, how it is written, and what is in it all stays as it was."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap.adapters.kubeconfig.store import FileKubeconfigStore
from bootstrap.adapters.local.keeping_files import write_keeping
from bootstrap.errors import HomelabError
from bootstrap.k3s.kubeconfig.build import build_kubeconfig
from bootstrap.k3s.kubeconfig.entries import marks_of
from bootstrap.model.ids import ClusterName
from tests.fakes.certificates import k3s_yaml

DEMO = ClusterName("demo")
WORK = """\
current-context: work
clusters: [{name: work, cluster: {server: 'https://work'}}]
users: [{name: work, user: {token: abc}}]
contexts: [{name: work, context: {cluster: work, user: work}}]
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners are given by root alone")


def ours(address: str = "192.0.2.10") -> str:
    return build_kubeconfig(k3s_yaml(), name="demo", server_url=f"https://{address}:6443", source="demo-cp-1")


def merge(*files: Path, address: str = "192.0.2.10", switch: bool = False) -> Path:
    return _store(*files).merge(ours(address), name=DEMO, path=None, switch=switch).path


def remove(*files: Path) -> tuple[Path, ...]:
    return _store(*files).remove(name=DEMO, paths=(), known=marks_of(ours())).paths


def _store(*files: Path) -> FileKubeconfigStore:
    return FileKubeconfigStore({"KUBECONFIG": ":".join(map(str, files))}, Path("/nowhere"))


def load(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return config


def servers(path: Path) -> list[str]:
    return [entry["cluster"]["server"] for entry in load(path)["clusters"]]


def kubectl(*arguments: str, files: tuple[Path, ...]) -> str:
    command = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if command is None:
        pytest.skip("no kubectl")
    environ = {**os.environ, "KUBECONFIG": ":".join(map(str, files)), "HOME": str(files[0].parent)}
    return subprocess.run([command, *arguments], env=environ, capture_output=True, text=True, check=True).stdout.strip()


class TestAListOfFiles:
    @pytest.fixture
    def files(self, tmp_path: Path) -> tuple[Path, Path, Path]:
        return tmp_path / "a", tmp_path / "b", tmp_path / "c"

    def test_the_first_that_is_there_gets_new_entries(self, files: tuple[Path, Path, Path]) -> None:
        """We took the first of the list, and made it."""
        a, b, c = files
        b.write_text(WORK)
        c.write_text(WORK)
        assert merge(*files) == b
        assert not a.exists()
        assert servers(c) == ["https://work"]

    def test_the_last_of_the_list_is_made_where_none_is_there(self, files: tuple[Path, Path, Path]) -> None:
        assert merge(*files) == files[2]
        assert [file.exists() for file in files] == [False, False, True]

    def test_what_we_choose_is_what_kubectl_chooses(self, files: tuple[Path, Path, Path]) -> None:
        for present in ((), (1,), (1, 2), (0, 2)):
            for file in files:
                file.unlink(missing_ok=True)
            for index in present:
                files[index].write_text(WORK)
            kubectl("config", "set-cluster", "x", "--server=https://x", files=files)
            theirs = next(file for file in files if file.exists() and "name: x" in file.read_text())
            theirs.unlink()
            if present:
                theirs.write_text(WORK)
            assert merge(*files) == theirs

    def test_an_entry_is_renewed_in_the_file_that_has_it(self, files: tuple[Path, Path, Path]) -> None:
        a, b, _ = files
        merge(b)
        a.write_text(WORK)
        assert merge(*files, address="192.0.2.50") == b
        assert servers(a) == ["https://work"]
        assert servers(b) == ["https://192.0.2.50:6443"]

    def test_parts_of_ours_are_renewed_where_each_is(self, files: tuple[Path, Path, Path]) -> None:
        a, b, _ = files
        merge(b)
        parts = load(b)
        a.write_text(yaml.safe_dump({"users": parts.pop("users")}))
        b.write_text(yaml.safe_dump(parts))
        merge(*files, address="192.0.2.50")
        assert "users" not in load(b)
        assert servers(b) == ["https://192.0.2.50:6443"]
        assert "clusters" not in load(a)

    def test_the_current_context_goes_where_kubectl_reads_it(self, files: tuple[Path, Path, Path]) -> None:
        a, b, _ = files
        merge(b)
        a.write_text(WORK)
        merge(*files, switch=True)
        assert load(a)["current-context"] == "demo"
        assert kubectl("config", "current-context", files=files) == "demo"

    def test_down_clears_them_all(self, files: tuple[Path, Path, Path]) -> None:
        """The first file alone was cleared: then kubectl saw the second one's entry."""
        a, b, c = files
        merge(a)
        merge(b)
        c.write_text("current-context: demo\n")
        assert remove(*files) == files
        assert all("demo" not in file.read_text() for file in files)

    def test_a_file_of_two_names_is_one(self, files: tuple[Path, Path, Path]) -> None:
        a, b, _ = files
        a.write_text(WORK)
        b.symlink_to(a)
        assert merge(b, a, a) == b
        assert servers(a) == ["https://work", "https://192.0.2.10:6443"]


def test_where_ours_were_merged_is_known_down_is_not_stopped_by_another_file(tmp_path: Path) -> None:
    mine, broken = tmp_path / "mine", tmp_path / "broken"
    merge(mine)
    broken.write_text("a: [")
    removed = _store(broken).remove(name=DEMO, paths=[mine], known=marks_of(ours()))
    assert removed.paths == (mine,)
    assert removed.notes == (f"not read: {broken} is not a kubeconfig",)
    with pytest.raises(HomelabError, match="is not a kubeconfig"):
        remove(broken)


class TestHowAFileIsWritten:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "config"
        path.write_text(WORK)
        return path

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o660])
    def test_the_mode_stays(self, path: Path, mode: int) -> None:
        path.chmod(mode)
        merge(path)
        assert path.stat().st_mode & 0o7777 == mode

    def test_a_mode_that_lets_others_read_the_key_is_told(self, path: Path) -> None:
        path.chmod(0o640)
        notes = _store(path).merge(ours(), name=DEMO, path=None).notes
        assert f"others may read {path} (mode 0640): chmod 600 {path}" in notes

    @needs_root
    def test_the_owner_stays_whoever_runs_us(self, path: Path) -> None:
        """With `sudo` the file was root's afterwards, and its user's kubectl was locked out."""
        os.chown(path, 1234, 2345)
        merge(path)
        remove(path)
        assert {(file.stat().st_uid, file.stat().st_gid) for file in (path,)} == {(1234, 2345)}

    @needs_root
    def test_what_root_makes_is_its_directorys_owners(self, tmp_path: Path) -> None:
        os.chown(tmp_path, 1234, 2345)
        new = merge(tmp_path / ".kube" / "config")
        assert {(made.stat().st_uid, made.stat().st_gid) for made in (new, new.parent)} == {(1234, 2345)}
        new.write_text(WORK)
        merge(new)
        assert {file.stat().st_uid for file in new.parent.iterdir()} == {1234}
        assert len(list(new.parent.iterdir())) == 2

    def test_hard_links_stay_one_file(self, path: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.hardlink_to(path)
        merge(path)
        assert other.samefile(path)
        assert servers(other) == ["https://work", "https://192.0.2.10:6443"]
        remove(path)
        assert load(other) == yaml.safe_load(WORK)

    def test_a_bind_mounted_file_is_written_in_place(self, path: Path, tmp_path: Path) -> None:
        """A rename over it ends with EBUSY, as in containers that get one file."""
        outside, mounted = tmp_path / "outside", tmp_path / "inside" / "config"
        outside.write_text(WORK)
        mounted.parent.mkdir()
        mounted.touch()
        code = (
            "import sys, pathlib; from bootstrap.adapters.local.keeping_files import write_keeping; "
            "write_keeping(pathlib.Path(sys.argv[1]), 'new')"
        )
        script = 'mount --bind "$1" "$2" || exit 77; exec "$3" -c "$4" "$2"'
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", outside, mounted, sys.executable, code],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 77 or "unshare:" in done.stderr:
            pytest.skip("no mounts here")
        assert (done.returncode, done.stderr) == (0, "")
        assert outside.read_text() == "new"
        assert list(mounted.parent.iterdir()) == [mounted]

    def test_a_file_that_was_longer_has_no_rest(self, tmp_path: Path) -> None:
        path, link = tmp_path / "a", tmp_path / "b"
        path.write_text("x" * 100_000)
        link.hardlink_to(path)
        write_keeping(path, "short")
        assert link.read_text() == "short"

    @pytest.mark.parametrize("platform", ["linux", "darwin"])
    def test_a_full_disk_leaves_the_old_content(self, tmp_path: Path, platform: str) -> None:
        """In place, too: a limit of the size of files stands for the disk. macOS has no posix_fallocate."""
        path, link = tmp_path / "a", tmp_path / "b"
        path.write_text("old")
        link.hardlink_to(path)
        code = (
            "import resource, signal, sys, pathlib; from bootstrap.adapters.local.keeping_files import write_keeping\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            f"sys.platform = {platform!r}\n"
            "try: write_keeping(pathlib.Path(sys.argv[1]), 'n' * 5000)\n"
            "except OSError as error: print(error.errno)\n"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert done.stdout == f"{errno.EFBIG}\n"
        assert path.read_text() == "old"
        code = code.replace("1000, 1000", "9000, 9000")
        subprocess.run([sys.executable, "-c", code, path], check=True)
        assert link.read_text() == "n" * 5000

    def test_links_that_go_round_are_told(self, tmp_path: Path) -> None:
        """Python's RuntimeError came out, with a traceback."""
        one, other = tmp_path / "one", tmp_path / "other"
        one.symlink_to(other)
        other.symlink_to(one)
        for path in (None, one):
            with pytest.raises(HomelabError, match="cannot read the kubeconfig") as caught:
                _store(one).merge(ours(), name=DEMO, path=path)
            assert "Too many levels of symbolic links" in caught.value.details
        assert one.is_symlink()

    def test_a_link_to_a_file_that_is_not_there_makes_that_one(self, tmp_path: Path) -> None:
        link, target = tmp_path / "config", tmp_path / "dotfiles" / "config"
        link.symlink_to(target)
        assert merge(link) == link
        assert link.is_symlink()
        assert servers(target) == ["https://192.0.2.10:6443"]


STYLES = {
    "flow": WORK,
    "json": '{"current-context":"work","clusters":[{"name":"work","cluster":{"server":"https://work"}}]}',
    "json with tabs": '{\n\t"current-context": "work",\n\t"clusters": [\n\t\t{"name":\t"work", "cluster": {}}]\n}\n',
    "tabs after colons": "current-context:\twork\nclusters:\t[]\t\n",
    "a bare =": "current-context: work\nusers:\n- name: work\n  user: {password: =, username: a=b}\n",
    "anchors": "x: &it {server: 'https://w'}\nclusters:\n- {name: work, cluster: *it}\n- {name: b, cluster: *it}\n",
    "merge keys": "x: &it {server: 'https://w'}\nclusters:\n- {name: work, cluster: {<<: *it, proxy-url: 'http://p'}}\n",
    "an anchored list": "x: &none []\nclusters: *none\nusers: *none\ncontexts: *none\nextensions: *none\n",
    "blocks of text": "users:\n- name: w\n  user:\n    token: |-\n      a\n      b\n    as: >\n      c\n      d\n",
    "values of other types": "x: [2001-99-99, 0o17, 1_000, ~, yes, 12:30:45, .inf, '', \"\\u00fc\", ü]\n",
    "tags": "x: !!str 12\ny: !mine {a: 1}\nz: !!binary aGk=\n",
    "end marks": "---\ncurrent-context: work\n...\n",
    "CRLF": "current-context: work\r\nclusters: []\r\n",
    "a BOM": "\ufeffcurrent-context: work\n",
    "indented lists": "clusters:\n    - name: work\n      cluster:\n          server: https://work\n",
    "long lines": f"users: [{{name: work, user: {{token: '{'a b ' * 200}'}}}}]\n",
}


@pytest.mark.parametrize("style", STYLES)
def test_whatever_a_file_is_written_in_comes_back_meaning_the_same(tmp_path: Path, style: str) -> None:
    """As words: YAML 1.1 as we read it and as kubectl does differ in what some of them mean."""
    path = tmp_path / "config"
    path.write_text(STYLES[style], newline="")
    before = meaning(STYLES[style])
    merge(path)
    merged = meaning(path.read_text())
    assert merged["clusters"][-1]["cluster"]["server"] == "https://192.0.2.10:6443"
    for section in ("clusters", "users", "contexts"):
        assert merged[section][:-1] == before.get(section, [])
    remove(path)
    after = meaning(path.read_text())
    assert _without_current(after) == {"clusters": [], "users": [], "contexts": [], **_without_current(before)}


def _without_current(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "current-context"}


def meaning(text: str) -> dict[str, Any]:
    """The text as mappings, lists and words, each with the tag that it resolves to."""

    def plain(node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {key.value: plain(value) for key, value in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [plain(each) for each in node.value]
        return node.value if node.tag.endswith(":str") else (node.tag, node.value)

    root: dict[str, Any] = plain(yaml.compose(text, Loader=yaml.CLoader))
    return root


def test_a_user_of_ours_that_is_an_alias_of_anothers_changes_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "config"
    merge(path)
    config = load(path)
    data = config["clusters"][0]["cluster"]["certificate-authority-data"]
    path.write_text(
        f"x: &it {{server: 'https://old', certificate-authority-data: {data}}}\n"
        "clusters:\n- {name: demo, cluster: *it}\n- {name: other, cluster: *it}\n"
    )
    merge(path)
    assert servers(path) == ["https://192.0.2.10:6443", "https://old"]


def test_our_entry_is_known_through_merge_keys(tmp_path: Path) -> None:
    path = tmp_path / "config"
    merge(path)
    config = load(path)
    base = yaml.safe_dump(config["clusters"][0]["cluster"], default_flow_style=True, width=1 << 30).strip()
    path.write_text(f"x: &it {base}\nclusters:\n- {{name: demo, cluster: {{<<: *it}}}}\n")
    merge(path, address="192.0.2.11")
    assert servers(path) == ["https://192.0.2.11:6443"]


@pytest.mark.parametrize(
    "bomb",
    ["[" * 400_000, "a: &a [*a]", "clusters:\n" + "".join(f"{' ' * depth}- \n" for depth in range(1, 800))],
)
def test_a_file_that_is_built_to_hurt_is_refused(tmp_path: Path, bomb: str) -> None:
    path = tmp_path / "config"
    path.write_text(bomb)
    with pytest.raises(HomelabError, match="is not a kubeconfig"):
        merge(path)
    assert path.read_text() == bomb


def test_merge_keys_that_multiply_are_looked_through_once(tmp_path: Path) -> None:
    lines = [f"b{n}: &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 9)}]}}\n" for n in range(12)]
    path = tmp_path / "config"
    path.write_text(f"a: &a0 {{k: v}}\n{''.join(lines)}<<: *a12\n")
    merge(path)
    assert "https://192.0.2.10:6443" in path.read_text()
