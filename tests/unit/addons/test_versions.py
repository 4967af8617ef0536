"""The script that looks for newer charts: against a repository's index on this machine."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.scripts import load_script

ROOT = Path(__file__).parents[3]
INDEX = """
apiVersion: v1
entries:
  one:
    - {version: 1.9.0, appVersion: v9}
    - {version: 1.10.0, appVersion: v10}
    - {version: 2.0.0-rc.1, appVersion: v20}
    - {version: latest}
  two:
    - {version: v0.3.0, appVersion: 0.3.0}
"""
TABLE = """\
# A comment.
charts:
  first:
    repo: {repo}
    chart: one
    version: 1.9.0
    app: v9
  registry:
    repo: ""
    chart: oci://example.org/three
    version: 1.0.0
    app: v1
  second:
    repo: {repo}
    chart: two
    version: v0.3.0
    app: 0.3.0
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("addons")


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Path]:
    """A table whose charts are in a repository on loopback."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "index.yaml").write_text(INDEX)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(repository))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        table = tmp_path / "versions.yaml"
        table.write_text(TABLE.format(repo=f"http://127.0.0.1:{server.server_port}"))
        yield table
        server.shutdown()
        thread.join()


def test_newer_releases_are_listed_and_nothing_is_written(
    script: ModuleType, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = table.read_text()
    assert script.main([], table=table) == 0
    assert capsys.readouterr().out.splitlines() == [
        "first: 1.9.0 (v9) -> 1.10.0 (v10)",
        "registry: 1.0.0 (v1); not looked at: oci://example.org/three has no index",
        "second: v0.3.0 (0.3.0) is the newest",
    ]
    assert table.read_text() == before


def test_they_are_written_and_all_else_stays(script: ModuleType, table: Path) -> None:
    before = table.read_text()
    assert script.main(["--write"], table=table) == 0
    assert table.read_text() == before.replace("1.9.0", "1.10.0").replace("v9", "v10")
    assert script.main(["--write", "second"], table=table) == 0


def test_a_repository_that_does_not_answer_stops_no_other(
    script: ModuleType, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_text(table.read_text().replace("chart: two", "chart: gone"))
    assert script.main([], table=table) == 1
    said = capsys.readouterr().out
    assert "second: http://127.0.0.1" in said
    assert "it has no releases of gone" in said
    assert "first: 1.9.0 (v9) -> 1.10.0 (v10)" in said


@pytest.mark.parametrize("text", ["[]", "entries: 1", "entries: {one: {}}", "entries: {one: [1, {version: x}]}"])
def test_an_odd_index_has_no_releases(script: ModuleType, text: str) -> None:
    found = script.entries(yaml.safe_load(text), "one")
    assert [each for each in found if script.parsed(str(each.get("version"))) is not None] == []


def test_a_version_that_would_be_another_line_is_refused(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="odd versions"):
        script.pinned(TABLE, "first", "1.0\n    x: y", "v1")


def test_the_real_table_is_of_the_form_that_the_script_changes(script: ModuleType) -> None:
    text = (ROOT / "manifests" / "versions.yaml").read_text()
    for name in yaml.safe_load(text)["charts"]:
        charts = yaml.safe_load(script.pinned(text, name, "9.9.9", "v9.9.9"))["charts"]
        assert (charts[name]["version"], charts[name]["app"]) == ("9.9.9", "v9.9.9")
