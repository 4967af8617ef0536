"""Named add-ons: what `manifests/NAME/` of this project says, checked and rendered to Kubernetes objects. Pure.

    found = problems_of("metallb", values, facts)      # all at once, for the inventory
    objects = render("metallb", values, facts)         # in the order in which they are applied
    needs = needs_of(names)                            # what machines and k3s must have for them

The format of the folders is in `manifests/README.md`.
"""

from bootstrap.addons.facts import Facts, Taken, facts_of
from bootstrap.addons.finding import Finding
from bootstrap.addons.format import Addon, Needs, ValueKey
from bootstrap.addons.library import addon_names, get_addon, library
from bootstrap.addons.needs import needs_of, with_needs
from bootstrap.addons.rendering import AddonError, problems_of, render, secret_keys

__all__ = [
    "Addon",
    "AddonError",
    "Facts",
    "Finding",
    "Needs",
    "Taken",
    "ValueKey",
    "addon_names",
    "facts_of",
    "get_addon",
    "library",
    "needs_of",
    "problems_of",
    "render",
    "secret_keys",
    "with_needs",
]
