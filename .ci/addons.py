#!/usr/bin/env python3
"""Looks for newer releases of the add-ons' charts, and pins them in manifests/versions.yaml.

    .ci/addons.py             lists what is newer
    .ci/addons.py --write     writes it; then read the charts' notes, and change the versions in the READMEs
    .ci/addons.py NAME ...    only these

The index.yaml of each repository is read. Charts in OCI registries have none: they are listed as not looked at.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import requests
import yaml
from packaging.version import InvalidVersion, Version

TABLE = Path(__file__).resolve().parents[1] / "manifests" / "versions.yaml"
MOST_BYTES = 64 * 1024 * 1024
"""Of an index; that of large collections has some megabytes."""


def main(arguments: list[str] | None = None, *, table: Path = TABLE) -> int:
    """Run; returns the exit code: 1 where a repository could not be read."""
    parser = argparse.ArgumentParser(description="Looks for newer releases of the add-ons' charts.")
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these charts of the table")
    parser.add_argument("--write", action="store_true", help="write them into manifests/versions.yaml")
    options = parser.parse_args(arguments)
    text = table.read_text(encoding="utf-8")
    charts = yaml.safe_load(text)["charts"]
    unknown = sorted(set(options.names) - charts.keys())
    if unknown:
        parser.error(f"not in the table: {', '.join(unknown)}")
    failed = False
    for name in options.names or charts:
        row = charts[name]
        try:
            newest = newest_of(row)
        except (OSError, ValueError, yaml.YAMLError) as error:
            say(f"{name}: {row['repo']} cannot be read: {error}")
            failed = True
            continue
        say(f"{name}: {told(row, newest)}")
        if newest is not None and newest != (row["version"], row["app"]):
            text = pinned(text, name, *newest)
    if options.write:
        table.write_text(text, encoding="utf-8")
    return int(failed)


def newest_of(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """The newest release that is no pre-release, as version and app version; None for an OCI reference.

    Raises:
        OSError: The repository does not answer, or not well.
        ValueError: Its index does not have the chart.
    """
    if not row["repo"]:
        return None
    releases = entries(read_index(row["repo"]), row["chart"])
    found = [(version, each) for each in releases if (version := parsed(str(each.get("version")))) is not None]
    if not found:
        raise ValueError(f"it has no releases of {row['chart']}")
    best = max(found, key=lambda pair: pair[0])[1]
    return str(best["version"]), str(best.get("appVersion", ""))


def read_index(repo: str) -> Any:  # noqa: ANN401 - what others wrote
    """A repository's index, parsed."""
    answer = requests.get(f"{repo.rstrip('/')}/index.yaml", timeout=60)
    answer.raise_for_status()
    if len(answer.content) > MOST_BYTES:
        raise ValueError(f"the index has {len(answer.content)} bytes")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(answer.content, Loader=loader)  # noqa: S506 - a safe loader, in C where there is one


def entries(index: object, chart: str) -> Iterable[Mapping[str, Any]]:
    """A chart's releases in an index."""
    charts = index.get("entries") if isinstance(index, Mapping) else None
    releases = charts.get(chart) if isinstance(charts, Mapping) else None
    return [each for each in releases if isinstance(each, Mapping)] if isinstance(releases, list) else []


def parsed(text: str) -> Version | None:
    """A release's version; None for pre-releases, and for what is no version."""
    try:
        version = Version(text.removeprefix("v").partition("+")[0])
    except InvalidVersion:
        return None
    return None if version.is_prerelease else version


def told(row: Mapping[str, Any], newest: tuple[str, str] | None) -> str:
    """A line for the user."""
    now = f"{row['version']} ({row['app']})"
    if newest is None:
        return f"{now}; not looked at: {row['chart']} has no index"
    return f"{now} is the newest" if newest[0] == row["version"] else f"{now} -> {newest[0]} ({newest[1]})"


def pinned(text: str, name: str, version: str, app: str) -> str:
    """The table with another release of a chart; comments and order stay."""
    if not re.fullmatch(r"[\w.+-]+", version) or not re.fullmatch(r"[\w.+-]*", app):
        raise ValueError(f"odd versions: {version!r}, {app!r}")
    block = re.compile(rf"(^  {re.escape(name)}:\n(?:    .*\n)*?    version: ).*(\n    app: ).*$", re.MULTILINE)
    return block.sub(lambda found: f"{found[1]}{version}{found[2]}{app}", text, count=1)


def say(line: str) -> None:
    """Print a line."""
    print(line)  # noqa: T201 - a script


if __name__ == "__main__":
    sys.exit(main())
