"""What all steps of plans have: a phase and a title."""

from __future__ import annotations

from typing import ClassVar


class BaseStep:
    """A step names both in its class line: `class Send(BaseStep, phase="install", title="send k3s {version}")`.

    Attributes:
        phase: A word for what it is about; views show it.
        title_template: The title, with the step's fields in braces.
    """

    phase: ClassVar[str]
    title_template: ClassVar[str]

    def __init_subclass__(cls, *, phase: str, title: str = "") -> None:
        """Keep the phase and the title; a step whose title needs more has a property of its own."""
        cls.phase, cls.title_template = phase, title

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        return self.title_template.format_map(vars(self))
