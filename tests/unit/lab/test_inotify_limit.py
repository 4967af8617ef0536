"""The lab raises the number of inotify instances while it runs; the last lab puts back what was there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bootstrap.lab.guests.host.inotify import ENOUGH, InotifyLimit
from bootstrap.lab.processes import process_start

A, B = Path("/a"), Path("/b")


@pytest.fixture
def setting(tmp_path: Path) -> Path:
    file = tmp_path / "max_user_instances"
    file.write_text("128\n")
    return file


@pytest.fixture
def limit(setting: Path, tmp_path: Path) -> InotifyLimit:
    return InotifyLimit(setting=setting, register=tmp_path / "register")


def test_it_is_raised_with_a_word_and_put_back(limit: InotifyLimit, setting: Path, tmp_path: Path) -> None:
    assert "raised from 128 to 8192" in limit.hold(A)
    assert int(setting.read_text()) == ENOUGH
    assert limit.release(A) == "fs.inotify.max_user_instances is 128 again"
    assert setting.read_text() == "128\n"
    assert not (tmp_path / "register").exists()
    assert limit.release(A) == ""


def test_one_that_is_high_enough_is_nobodys_business(limit: InotifyLimit, setting: Path) -> None:
    setting.write_text("65536\n")
    assert limit.hold(A) == ""
    assert limit.release(A) == ""
    assert setting.read_text() == "65536\n"


def test_the_last_of_several_labs_puts_it_back(limit: InotifyLimit, setting: Path) -> None:
    limit.hold(A)
    assert limit.hold(B) == ""
    assert limit.release(A) == ""
    assert int(setting.read_text()) == ENOUGH
    limit.release(B)
    assert setting.read_text() == "128\n"


def _as_if_killed(tmp_path: Path) -> None:
    """Make the notes those of a process that is gone: the same pid, started at another time."""
    note = tmp_path / "register" / "inotify.json"
    own = f"[{os.getpid()}, {process_start(os.getpid())}]"
    assert own in note.read_text()
    note.write_text(note.read_text().replace(own, f"[{os.getpid()}, 1]"))


def test_a_killed_labs_own_stop_puts_it_back(limit: InotifyLimit, setting: Path, tmp_path: Path) -> None:
    limit.hold(A)
    _as_if_killed(tmp_path)
    limit.release(A)
    assert setting.read_text() == "128\n"


def test_a_killed_lab_does_not_make_the_raised_number_the_old_one(
    limit: InotifyLimit, setting: Path, tmp_path: Path
) -> None:
    limit.hold(A)
    _as_if_killed(tmp_path)
    limit.hold(B)  # another lab, or the next start of this one
    limit.release(B)
    assert setting.read_text() == "128\n"


def test_what_somebody_else_set_meanwhile_stays(limit: InotifyLimit, setting: Path) -> None:
    limit.hold(A)
    setting.write_text("1024\n")
    assert limit.release(A) == ""
    assert setting.read_text() == "1024\n"
