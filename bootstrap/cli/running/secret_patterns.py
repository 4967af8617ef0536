"""What a secret looks like in text: well-known formats, and values after a name such as `password`. Pure.

Every repetition that can be tried from many places is bounded, so that a guest's output of some megabytes costs time
in proportion to its length.
"""

from __future__ import annotations

import re
from typing import Final

from bootstrap.cli.running.masking import MASK

Patterns = tuple[tuple[re.Pattern[str], str], ...]

_NAME: Final = (
    r"(?:passw(?:or)?d|passwort|passphrase|credentials?(?![\w.-]*[/])|token(?![-_]?id\b)|secrets?[\w.-]{0,20}key|secret(?!s)"
    r"|access[-_]?key|(?<![A-Za-z])client-key-data|authcookie)"
)
# `token_file`, `secret_key_env` and `secretName` say where a secret is, which a reader of the log wants to know.
_REST: Final = r"[\w.-]{0,40}(?<!file)(?<!path)(?<!_env)(?<!-env)(?<!Env)(?<!name)(?<!Name)(?![\w.-])"
_QUOTE: Final = r"(?:\\{0,8}[\"'])?"
_KEY: Final = _NAME + _REST + _QUOTE
_PLAIN: Final = (
    r"(?![\"']?(?:true|false|null|none|yes|no|~|\*{3,}|K10\*{3}|[\w.-]{1,99}@[\w.-]{1,99}![\w.-]{1,99}[=:]\*{3})"
    r"[\"']?(?:[\s,;)}\]]|\Z))"
)
"""A value that is not secret, or is masked already."""

_END: Final = r"(?=[\s,;:)}\]&\\]|\Z)"
_DOUBLE: Final = rf"""(?s:"(?:[^"\\]|\\.){{0,16384}}"){_END}"""
_SINGLE_LINE: Final = rf"""'(?:'"'"'|''|[^'\\\n]|\\.){{0,16384}}'{_END}"""
"""Python's repr, the shell's and YAML's ways to have a quote in a quoted text."""
_SINGLE: Final = rf"'(?:''|[^']){{0,4096}}'(?:[^\s'](?:''|[^']){{0,256}}'){{0,16}}?{_END}"
_ESCAPED: Final = r"(?P<quote>\\{1,8}[\"']).*?(?<!\\)(?P=quote)"
"""JSON within JSON, and reprs of it."""
_OPEN: Final = r"\\{0,8}[\"'][^\n]*"
"""Quoted, and cut off."""
_VALUE: Final = rf"b?(?:{_DOUBLE}|{_SINGLE_LINE}|{_SINGLE}|{_ESCAPED}|{_OPEN}|[^\s\"'][^\s]*)"

_RANDOM: Final = (
    r"(?=[^\s]{0,60}\d)(?=[^\s]{0,60}[A-Za-z])(?![\"']?[/~.$])(?![^\s]{0,60}!)"
    r"[\"']?[\w+/=.~-]{12,}[\"']?(?=[\s,;)}\]&\\]|\Z)"
)
"""Twelve or more letters and digits, mixed, as in no sentence; no path, no name of a token."""

SHAPES: Final[Patterns] = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        MASK,
    ),
    # The same in base64, as in kubeconfigs and Kubernetes Secrets; not certificates and public keys.
    (re.compile(r"LS0tLS1CRUdJTiB(?!DRVJU|QVUJM)[A-Za-z0-9+/=]{16,}"), MASK),
    # k3s: K10<sha256 of the CA>::<user>:<password>
    (re.compile(r"K10[0-9a-fA-F]{6,}::[^\s\"'\\]+"), "K10" + MASK),
    # kubeadm-style bootstrap tokens, id.secret (k3s: `k3s token create`)
    (re.compile(r"(?<![\w.-])([a-z0-9]{6})\.(?=[a-z]*\d)[a-z0-9]{16}(?![\w.-])"), r"\g<1>." + MASK),
    # JSON Web Tokens: service accounts' (the header is an object, `{"` in base64)
    (re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), MASK),
    (re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"), MASK),
    (re.compile(r"(PVEAPIToken=[^\s=]+=)[^\s\"',]+"), r"\g<1>" + MASK),
    # Proxmox VE: user@realm!name=UUID, and log-in tickets
    (re.compile(r"(![A-Za-z][\w.-]{0,127}[=:])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"), r"\g<1>" + MASK),
    (re.compile(r"(PVE:[^\s:]{1,128}:)[0-9A-Fa-f]{8}::[^\s\"',;]+"), r"\g<1>" + MASK),
    (re.compile(r"(://[^/@\s:]{1,256}:)[^/\s]+@"), r"\g<1>" + MASK + "@"),
    (
        re.compile(
            r"(?i)(\bauthorization[\"']?[ \t]*[:=][ \t]*[\"']?(?:(?:bearer|basic|token)[ \t]+)?)"
            r"(?!PVEAPIToken=|bearer\b|basic\b|\*)[^\s\"',]+"
        ),
        r"\g<1>" + MASK,
    ),
    (
        re.compile(r"(\b[Bb](?:earer|EARER)[ \t]+)(?=[A-Za-z._~+/=-]{20}|[a-z._-]{0,20}[A-Z0-9+/=~])[\w.~+/=-]{8,}"),
        r"\g<1>" + MASK,
    ),
)
"""Secrets by their format. Each keeps the part that is not secret."""

NAMED: Final[Patterns] = (
    # A line of YAML or of an environment file: its value goes on to its end, and on lines that are further in.
    (
        re.compile(
            rf"""(?im)^(?P<indent>[ \t]*)(?P<dash>-[ ])?"""
            rf"""(?P<key>(?:export )?["']?[\w.-]{{0,60}}?{_KEY}(?:[ \t]*:[ \t]+|=))"""
            rf"""{_PLAIN}(?![\"'\\{{\[])\S.*"""
            rf"""(?:\n(?:[ \t]{{0,99}}\n){{0,99}}(?P=indent)(?(dash)[ ]{{2}})[ \t]+\S.*)*"""
        ),
        r"\g<indent>\g<dash>\g<key>" + MASK,
    ),
    # A block of YAML behind what a log has in front of its lines.
    (re.compile(rf"(?i)({_KEY}:[ \t]+)[|>][-+\d]{{0,2}}(?:\n(?:[ \t]{{0,99}}\n){{0,99}}[ \t]+\S.*)+"), r"\g<1>" + MASK),
    (re.compile(rf"(?i)({_KEY}[ \t]*[:=][ \t]*){_PLAIN}{_VALUE}"), r"\g<1>" + MASK),
    # --token X, and the same as a list: '--token', 'X'
    (re.compile(rf"(?i)((?<![\w-])--?[\w.-]{{0,60}}?{_KEY}(?:[ \t]+|,[ \t]*)){_PLAIN}(?!-){_VALUE}"), r"\g<1>" + MASK),
)
"""A value after the name of a secret."""

NAMED_RANDOM: Final[Patterns] = (
    (re.compile(rf"(?i)({_KEY}[ \t]*[:=][ \t]*){_RANDOM}"), r"\g<1>" + MASK),
    (re.compile(rf"(?i)((?<![\w-])--?[\w.-]{{0,60}}?{_KEY}(?:[ \t]+|,[ \t]*)){_RANDOM}"), r"\g<1>" + MASK),
)
"""The same for sentences: `token: refused` is one."""

HEX: Final[Patterns] = ((re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])"), MASK),)
"""Our own k3s tokens are 64 hex digits. So are SHA-256 sums, which a log can do without."""

IN_FILES: Final[Patterns] = (*SHAPES, *NAMED, *HEX)
ON_TERMINAL: Final[Patterns] = (*SHAPES, *NAMED_RANDOM)

SECRET_NAME: Final = re.compile(rf"(?i){_NAME}{_REST}")
"""In the name of an environment variable."""
