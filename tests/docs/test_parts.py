"""How pages are read, compared with what is printed, and written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tests.docs.matching import abridged, difference, printed_lines, renewed, same, seconds_by_page
from tests.docs.pages import Edit, Event, Run, rewritten, steps_of
from tests.docs.playing import PageError, Player
from tests.doubles.s3 import Buckets
from tests.e2e.homes import Home

PAGE = """# A page

```console
$ one \\
    --two
out
$ three
```

In `a.yaml`, set:

```yaml
key: 1
```

```yaml
shown: only
```

<!-- lab: it rains -->

<!-- exits 3 -->
```console
$ four
```
"""
LINES = st.lists(st.text(st.characters(codec="ascii", exclude_characters=".\n\r", categories=["L", "N", "P", "Zs"])))


def test_a_page_is_a_list_of_steps() -> None:
    assert steps_of(PAGE) == [
        Run(4, "one --two", 6, ("out",)),
        Run(7, "three", 8, ()),
        Edit(12, "a.yaml", "key: 1"),
        Event(20, "it rains"),
        Run(24, "four", 25, (), 3),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [("```console\n$ a\n", "line 1: this block has no end"), ("a\n```console\nout\n```\n", "line 3: a console block")],
)
def test_a_page_that_cannot_be_meant_is_refused_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        steps_of(text)


def test_other_output_is_written_below_its_command_and_nothing_else_changes() -> None:
    one, three = (step for step in steps_of(PAGE) if isinstance(step, Run) and step.text != "four")
    written = rewritten(PAGE, [(one, ["new", "lines"]), (three, ["more"])])
    assert written == PAGE.replace("out\n", "new\nlines\n").replace("$ three\n", "$ three\nmore\n")


@given(LINES)
def test_what_is_printed_is_equal_to_itself(lines: list[str]) -> None:
    assert difference(lines, lines) is None


@given(LINES, LINES, LINES)
def test_dots_stand_for_any_lines(before: list[str], left_out: list[str], after: list[str]) -> None:
    assert difference([*before, "..."], [*before, *left_out]) is None
    assert difference(["...", "the end"], [*left_out, "the end"]) is None
    assert difference([*before, "...", "an end", *after], [*before, *left_out, "an end", *after]) is None or (
        any(same("an end", line) for line in left_out)
    )


def test_the_first_line_that_differs_is_named() -> None:
    found = difference(["a", "b"], ["a", "c", "d"])
    assert found is not None
    assert (found.at, found.shown, found.printed) == (1, "b", ("c", "d"))
    found = difference(["a"], ["a", "more"])
    assert found is not None
    assert (found.at, found.shown, found.printed) == (1, "", ("more",))
    found = difference(["...", "never"], ["a"])
    assert found is not None
    assert (found.at, found.shown) == (1, "never")


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("home: all Ready, in 9.1 s", "home: all Ready, in 14 s"),
        ("a  yes", "a        yes"),
        ("home-cp-1 Ready 13s v1.34.1+k3s1", "home-cp-1 Ready 2m42s v1.34.1+k3s1"),
        ("disk-1795000060 2026-11-30 00:58 0 min 77 KiB", "disk-1796000999 2027-01-02 10:00 3 min 96 KiB"),
        ("restart (settings: ...)", "restart (settings: backup.s3: none -> true)"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... me", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDkYN1/AJcvcF0P975H me"),
    ],
)
def test_what_varies_is_equal(shown: str, printed: str) -> None:
    assert same(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("2 machines, all Ready", "3 machines, all Ready"),
        ("k3s v1.34.1+k3s1", "k3s v1.34.2+k3s1"),
        ("home-cp-1 4 GiB", "home-cp-1 8 GiB"),
        ("192.168.1.89", "192.168.1.90"),
    ],
)
def test_what_counts_is_not(shown: str, printed: str) -> None:
    assert not same(shown, printed)


def test_a_terminal_keeps_no_progress() -> None:
    text = "reading https://pve:8006 …\n\n[   0.2s] home-cp-1  boot …\nhome: done\n\nnext: x\n\n"
    assert printed_lines(text) == ["home: done", "", "next: x"]


def test_what_took_how_long_is_not_written_into_pages() -> None:
    assert abridged(["home: done", "phases: a 1 s", "slowest: b", "next: x"]) == ["home: done", "...", "next: x"]


@pytest.mark.parametrize(
    ("shown", "written"),
    [
        (["...", "home: 17 ok, 0 failed"], ["...", "home: 18 ok, 0 failed"]),
        (["ok endpoint answers", "..."], ["ok endpoint answers", "..."]),
        (["something else altogether", "..."], ["ok endpoint answers", "ok token is known", "home: 18 ok, 0 failed"]),
        ([], ["ok endpoint answers", "ok token is known", "home: 18 ok, 0 failed"]),
    ],
)
def test_a_page_is_renewed_line_by_line(shown: list[str], written: list[str]) -> None:
    assert renewed(shown, ["ok endpoint answers", "ok token is known", "home: 18 ok, 0 failed"]) == written


@given(LINES, LINES)
def test_a_page_that_was_renewed_shows_what_is_printed(shown: list[str], printed: list[str]) -> None:
    assert difference(renewed(shown, printed), printed) is None


def test_seconds_of_a_page_are_known_by_the_lines_they_are_in() -> None:
    shown, printed = ["...", "snapshot disk-1795000060"], ["table", "snapshot disk-1796000999"]
    assert seconds_by_page(shown, printed) == {"1795000060": "1796000999"}


@pytest.fixture
def player(tmp_path: Path) -> Player:
    """In a home whose lab is only described."""
    lab = {"endpoint": "https://127.0.0.1:8007", "network": "127.70.0.0/16", "ssh_port": 2222, "token_id": "a@pve!b"}
    (tmp_path / "state/homelab-k8s/lab").mkdir(parents=True)
    (tmp_path / "state/homelab-k8s/lab/lab.json").write_text(json.dumps({**lab, "token_secret": "geheim"}))
    return Player(home=Home(tmp_path), bucket=Buckets("127.0.0.1:9"))


def page(player: Player, text: str) -> Path:
    file = player.home.directory / "page.md"
    file.write_text(text)
    return file


def test_a_line_that_differs_is_named_with_file_and_line(player: Player) -> None:
    file = page(player, "# A\n\n```console\n$ printf 'one\\ntwo\\n'\none\nthree\n$ false\n```\n")
    with pytest.raises(PageError) as raised:
        player.play(file)
    assert str(raised.value) == f"{file}:7: `false` exited with 1, not 0:\n"
    file = page(player, file.read_text().replace("$ false\n", "$ echo four\n"))
    with pytest.raises(PageError) as raised:
        player.play(file)
    assert str(raised.value).splitlines() == [
        "", f"{file}:6: `printf 'one\\ntwo\\n'` printed something else", "  the page: three", "  printed:", "    two",
        f"{file}:8: `echo four` printed something else", "  the page: nothing more", "  printed:", "    four",
    ]  # fmt: skip


def test_addresses_paths_and_secrets_of_a_page_are_those_of_the_lab(player: Player) -> None:
    player.play(
        page(
            player,
            """```console
$ export PROXMOX_VE_API_TOKEN='homelab@pve!k8s=0000'
$ test "$PROXMOX_VE_API_TOKEN" = 'a@pve!b=geheim' && echo so
so
$ echo https://192.168.1.10:8006 192.168.1.40 /home/me/x; pwd
https://192.168.1.10:8006 192.168.1.40 /home/me/x
/home/me
$ echo disk-1799999999 && touch disk-1799999999
disk-1795000060
$ ls disk-1795000060
disk-1795000060
```

In `homelab-k8s.yaml`, set:

```yaml
control_plane: {vip: 192.168.1.40}
```

In `homelab-k8s.yaml`, set:

```yaml
control_plane: {count: 3}
```
""",
        )
    )
    assert YAML(typ="safe").load(player.home.directory / "homelab-k8s.yaml") == {
        "control_plane": {"vip": "127.70.1.40", "count": 3},
        "ssh": {"port": 2222},
        "network": {"subnet": "127.70.0.0/16"},
    }
