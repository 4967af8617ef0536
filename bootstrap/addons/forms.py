"""The forms that values of add-ons have: what is accepted, and how it is said. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Any, Final

from bootstrap.model.settings.secrets import SECRET_PLACES

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9][-A-Za-z0-9]{0,62})*")
_QUANTITY: Final = re.compile(r"[1-9][0-9]*(Ki|Mi|Gi|Ti)")
_DURATION: Final = re.compile(r"[1-9][0-9]*[hdwy]")
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+")
_TOKEN_ID: Final = re.compile(r"[^@!:/\s]{1,60}@[A-Za-z][A-Za-z0-9.-]{1,31}![A-Za-z][A-Za-z0-9._-]{1,126}")
_URL: Final = re.compile(r"https?://[^\s/@]+(/\S*)?")
_PATH: Final = re.compile(r"/[^\x00-\x1f\x7f]*")


@dataclass(frozen=True, kw_only=True)
class AddressRange:
    """IPv4 addresses from `first` to `last`, both included."""

    first: IPv4Address
    last: IPv4Address

    def __str__(self) -> str:
        """As it is written: `FIRST-LAST`."""
        return f"{self.first}-{self.last}"

    def overlaps(self, first: IPv4Address, last: IPv4Address) -> bool:
        """Whether it has an address in common with another one."""
        return self.first <= last and first <= self.last


def parse_range(text: str) -> AddressRange | None:
    """`FIRST-LAST`, a network or a single address, or None for anything else."""
    try:
        if "-" in text:
            first, last = (IPv4Address(part.strip()) for part in text.split("-", 1))
            return AddressRange(first=first, last=last) if first <= last else None
        network = IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError):
        return None
    return AddressRange(first=network[0], last=network[-1])


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form: how it is said after "must be", and whether a value is of it."""

    words: str
    fits: Callable[[Any], bool]


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= 1000


def _each(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple) and bool(value) and all(map(fits, value))


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000


def _is_range(value: object) -> bool:
    return isinstance(value, str) and parse_range(value) is not None


def _is_secret(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) == 1
        and next(iter(value)) in SECRET_PLACES
        and all(_each(_is_text)(each) if name == "command" else _is_text(each) for name, each in value.items())
    )


FORMS: Final[Mapping[str, Form]] = {
    "switch": Form(words="true or false", fits=lambda value: isinstance(value, bool)),
    "number": Form(words="a whole number from 1", fits=_is_number),
    "text": Form(words="a text on one line", fits=_is_text),
    "texts": Form(words="a list of texts", fits=_each(_is_text)),
    "name": Form(words="a name of small letters, digits and dashes", fits=_matches(_NAME)),
    "names": Form(words="a list of names of small letters, digits and dashes", fits=_each(_matches(_NAME))),
    "host": Form(words="a host's name or address", fits=_matches(_HOST)),
    "size": Form(words="a size such as 10Gi", fits=_matches(_QUANTITY)),
    "duration": Form(words="a time such as 12h, 10d, 4w or 1y", fits=_matches(_DURATION)),
    "token-id": Form(words="a token's id, user@realm!name", fits=_matches(_TOKEN_ID)),
    "email": Form(words="an e-mail address", fits=_matches(_EMAIL)),
    "url": Form(words="an http or https URL", fits=_matches(_URL)),
    "path": Form(words="an absolute path", fits=_matches(_PATH)),
    "address-ranges": Form(
        words="a list of IPv4 ranges, such as [192.168.1.240-192.168.1.250]",
        fits=_each(_is_range),
    ),
    "secret": Form(
        words="one of {env: NAME}, {file: PATH}, {keyring: SERVICE/USER} and {command: [PROGRAM, ...]}", fits=_is_secret
    ),
    "mapping": Form(words="a mapping", fits=lambda value: isinstance(value, Mapping)),
    "mappings": Form(words="a list of mappings", fits=_each(lambda value: isinstance(value, Mapping))),
}


def form_of(name: str) -> Form:
    """The form of that name; `a | b` is one of several words."""
    if "|" in name:
        words = tuple(word.strip() for word in name.split("|"))
        return Form(words=f"{', '.join(words[:-1])} or {words[-1]}", fits=lambda value: value in words)
    return FORMS[name]
