"""What is asked before something is done, and which answers count."""

from __future__ import annotations

import io

import pytest

from bootstrap.cli.asking.confirm import Question, confirm
from bootstrap.errors import HomelabError, InterruptedRunError, UsageError
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, Vmid
from bootstrap.planning.plan import Plan

PLAN = Plan(
    command="scale",
    cluster=ClusterName("demo"),
    machines=(),
    lanes=(),
    vmids=VmidRange(first=Vmid(7000), last=Vmid(7999)),
)
QUESTION = Question("This removes 2 machines for good.")


class Keyboard(io.StringIO):
    """A terminal on which this is typed."""

    def isatty(self) -> bool:
        return True


def typed(text: str, monkeypatch: pytest.MonkeyPatch, question: Question = QUESTION) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard(text))
    confirm(PLAN, question)


@pytest.mark.parametrize("answer", ["y\n", "Yes\n", " y \n"])
def test_yes_goes_on(answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    typed(answer, monkeypatch)
    assert capsys.readouterr().err == "This removes 2 machines for good. Continue? [y/N] "


@pytest.mark.parametrize("answer", ["\n", "n\n", "demo\n"])
def test_all_else_does_not(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HomelabError, match="nothing was changed"):
        typed(answer, monkeypatch)


def test_where_data_is_lost_yes_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question("This removes it all.", by_name=True)
    with pytest.raises(HomelabError, match="'yes' is not demo: nothing was changed"):
        typed("yes\n", monkeypatch, question)
    typed("demo\n", monkeypatch, question)


def test_nothing_typed_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InterruptedRunError):
        typed("", monkeypatch)


def test_a_pipe_is_not_asked_and_told_what_it_would_have_been(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match="scale of demo needs confirmation, but there is no terminal") as refused:
        confirm(PLAN, QUESTION)
    assert refused.value.details == "This removes 2 machines for good."
    assert "--yes" in refused.value.resolution
