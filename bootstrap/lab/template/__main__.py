"""`python -m bootstrap.lab.template [container|qemu]...`: build the parts that the cache lacks, with progress."""

from __future__ import annotations

import sys

from bootstrap.lab.guests.base import GuestError
from bootstrap.lab.guests.choose import why_not
from bootstrap.lab.template.image import ensure_image
from bootstrap.lab.template.root import ensure_root


def main(kinds: list[str]) -> int:
    """Build the template for these kinds, or for all that this machine can run."""
    try:
        for kind in kinds or ["container", "qemu"]:
            reason = why_not(kind)
            if reason is not None:
                _say(f"{kind}: not here: {reason}")
                if kinds:
                    return 1
                continue
            made = ensure_root(_say) if kind == "container" else ensure_image(_say).disk
            _say(f"{kind}: {made}")
    except GuestError as error:
        _say(str(error))
        return 1
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
