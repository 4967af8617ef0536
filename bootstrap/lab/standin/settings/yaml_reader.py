"""The YAML that a k3s config file is made of."""

from __future__ import annotations

import json
import re

from ..logs import Fatal

ENTRY = re.compile(r"""(?:'([^']+)'|"([^"\\]+)"|([A-Za-z][\w-]*\+?))\s*:(?:\s+(.*))?$""")


def yaml_plain(text: str, where: str) -> str:
    """A plain scalar as YAML 1.1 reads it, since k3s does: `no` is false and 0644 is 420."""
    if re.search(r":(\s|$)", text) or text[:1] in "{}[],&*!|>%@`\"'#?" or text == "-":
        raise Fatal(f"{where}: the stand-in does not read this YAML: {text!r}")
    if text.lower() in ("~", "null"):
        return ""
    if text.lower() in ("true", "yes", "on", "y"):
        return "true"
    if text.lower() in ("false", "no", "off", "n"):
        return "false"
    if re.fullmatch(r"[-+]?0[0-7]+", text):
        return str(int(text, 8))
    if re.fullmatch(r"[-+]?(0x[0-9a-fA-F_]+|0b[01_]+|0o[0-7_]+|[0-9][0-9_]*)", text):
        return str(int(text.replace("_", ""), 0 if text.lstrip("+-")[:2] in ("0x", "0b", "0o") else 10))
    return text


def yaml_scalar(text: str, where: str) -> str:
    """One scalar without its trailing comment."""
    text = text.strip()
    if text[:1] == "'":
        found = re.match(r"'((?:[^']|'')*)'\s*(#.*)?$", text)
        if found:
            return found[1].replace("''", "'")
    elif text[:1] == '"':
        found = re.match(r'("(?:[^"\\]|\\.)*")\s*(#.*)?$', text)
        if found:
            try:
                return str(json.loads(found[1]))
            except ValueError as error:
                raise Fatal(f"{where}: the stand-in does not read this escape: {text!r}") from error
    else:
        return yaml_plain(re.sub(r"(^|\s+)#.*$", "", text).strip(), where)
    raise Fatal(f"{where}: an unfinished quoted string: {text!r}")


def yaml_flow(text: str, where: str) -> list[str]:
    """A list in brackets on one line."""
    found = re.match(r"\[(.*)\]\s*(#.*)?$", text)
    if not found:
        raise Fatal(f"{where}: an unfinished list: {text!r}")
    items = re.findall(r"""\s*('(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[^,'"\[\]{}]+)\s*(?:,|$)""", found[1])
    if len(items) != len(
        [part for part in re.split(r",(?=(?:[^'\"]|'[^']*'|\"[^\"]*\")*$)", found[1]) if part.strip()]
    ):
        raise Fatal(f"{where}: the stand-in does not read this list: {text!r}")
    return [yaml_scalar(item, where) for item in items]


def parse_entry(line: str, spot: str) -> tuple[str, str]:
    """The key of a line and the text of its value."""
    entry = ENTRY.match(line)
    if not entry or "\t" in line:
        raise Fatal(f"failed to parse {spot}: the stand-in reads `key: value` and lists only, not {line!r}")
    return entry[1] or entry[2] or entry[3], re.sub(r"^#.*", "", (entry[4] or "").strip())


def yaml_values(text: str, where: str) -> list[str]:
    """The values of a key whose value is on its line; none where a list follows."""
    if text.startswith("["):
        return yaml_flow(text, where)
    return [yaml_scalar(text, where)] if text else []


def parse_config(text: str, where: str) -> dict[str, list[str]]:
    """Parse the YAML of a k3s config file: one mapping of scalars and lists. Anything else is an error."""
    result: dict[str, list[str]] = {}
    key = ""  # the key whose list may follow
    for number, line in enumerate(text.splitlines(), 1):
        spot = f"{where}:{number}"
        if not line.strip() or line.lstrip().startswith("#") or (line.rstrip() == "---" and not result):
            continue
        item = re.match(r"\s*-\s+(.*)$", line)
        if item and key:
            result[key].append(yaml_scalar(item[1], spot))
            continue
        name, value = parse_entry(line, spot)
        if name in result:
            raise Fatal(f'failed to parse {spot}: key "{name}" already set in map')
        result[name] = yaml_values(value, spot)
        key = "" if value else name
    return result
