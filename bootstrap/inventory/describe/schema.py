"""The inventory as JSON Schema (draft 2020-12), for editors; made from the parser's table.

`python -m bootstrap.inventory.describe.schema > inventories/schema.json` renews the copy in the repository.
"""

from __future__ import annotations

import json
import sys

from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.values.scalars import Json


def schema() -> Json:
    """The JSON Schema of an inventory file.

    It has keys, forms and ranges; only the loader checks that values fit together (a range in its subnet).
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "homelab-k8s inventory",
        **Root.schema(),
    }


def render_schema() -> str:
    """The schema as text, as `inventories/schema.json` holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render_schema())
