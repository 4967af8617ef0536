"""What is wrong with manifests themselves."""

from __future__ import annotations

from collections.abc import Sequence

from bootstrap.errors import HomelabError, Problem


class ManifestsError(HomelabError):
    """Files of the inventory's `manifests:` are wrong; all problems at once, and nothing was applied."""

    exit_code = 3
    again_helps = False

    def __init__(self, problems: Sequence[Problem]) -> None:
        ordered = sorted(problems, key=lambda each: (each.path, each.line or 0))
        super().__init__(
            f"manifests: {len(ordered)} problem{'' if len(ordered) == 1 else 's'}",
            details="\n".join(map(shown, ordered)),
            resolution="fix the files and run the command again; nothing of the manifests was applied",
        )
        self.problems = tuple(ordered)


def shown(problem: Problem) -> str:
    """`media.yaml:5: has no kind (such as kind: Deployment)`."""
    where = f"{problem.path}:{problem.line}" if problem.line else problem.path
    return f"{where}: {problem.message}{f' ({problem.hint})' if problem.hint else ''}"
