"""How IPv6 addresses and networks are written, and k3s's networks of one family or both."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from bootstrap.inventory.document import Broken, Mapping, Node, Scalar
from bootstrap.inventory.problems import Problems, Where, shown
from bootstrap.inventory.values.scalars import Json, RefusedError, Text
from bootstrap.inventory.values.string_formats import NETWORK

_IP6: Final = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
ALONE: Final = "IPv6 alone is not supported"


@dataclass(frozen=True, kw_only=True)
class AddressRange6:
    """IPv6 addresses, both ends included."""

    first: IPv6Address
    last: IPv6Address

    def __len__(self) -> int:
        """How many there are, as far as a length goes."""
        return min(int(self.last) - int(self.first) + 1, 2**31)


@dataclass(frozen=True, kw_only=True)
class Cidrs:
    """One of k3s's networks: its IPv4 side, and its IPv6 side in a cluster with both families."""

    v4: IPv4Network
    v6: IPv6Network | None = None


def _address6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise RefusedError(f"{shown(text)} is not an IPv6 address", "such as fd12:3456:789a::50") from None


def _any_address(text: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise RefusedError(f"{shown(text)} is no IP address", "such as 192.168.1.1 or fd12:3456:789a::1") from None
    if isinstance(address, IPv6Address) and address.is_link_local:
        raise RefusedError(
            f"{text} is a link-local address: which network device it is behind cannot be said here",
            "write the server's global or unique local address (fd...)",
        )
    return address


def _network6(text: str) -> IPv6Network:
    try:
        loose = IPv6Network(text, strict=False)
    except ValueError:
        raise RefusedError(f"{shown(text)} is not an IPv6 network", "such as fd12:3456:789a::/64") from None
    if loose.network_address != IPv6Address(text.partition("/")[0]):
        raise RefusedError(f"{shown(text)} has host bits set", f"write {loose}")
    return loose


def _address_range6(text: str) -> AddressRange6:
    first, last = (_address6(part.strip()) for part in text.split("-"))
    if first > last:
        raise RefusedError(f"{shown(text)} ends before it begins", f"write {last}-{first}")
    return AddressRange6(first=first, last=last)


ANY_ADDRESS: Final[Text[IPv4Address | IPv6Address]] = Text(
    label="an IPv4 or IPv6 address", pattern=rf"[0-9.]+|{_IP6}", parse=_any_address, loose=True
)
ADDRESS6: Final = Text(label="an IPv6 address", pattern=_IP6, parse=_address6)
NETWORK6: Final = Text(
    label="an IPv6 network with its prefix length, such as fd12:3456:789a::/64",
    pattern=rf"{_IP6}/[0-9]{{1,3}}",
    parse=_network6,
)
ADDRESS_RANGE6: Final = Text(
    label="a range of IPv6 addresses, such as fd12:3456:789a::50-fd12:3456:789a::80",
    pattern=rf"{_IP6} *- *{_IP6}",
    parse=_address_range6,
)


def _split(node: Scalar) -> tuple[Node, ...]:
    return tuple(Scalar(text=part.strip(), line=node.line, origin=node.origin) for part in node.text.split(","))


def _read_pair(items: tuple[Node, ...], where: Where, problems: Problems) -> Cidrs | None:
    """An IPv4 network, or one and an IPv6 network."""
    v4 = NETWORK.read(items[0], where, problems)
    v6 = NETWORK6.read(items[1], where, problems) if len(items) > 1 else None
    return Cidrs(v4=v4, v6=v6) if v4 is not None and (v6 is not None or len(items) == 1) else None


class CidrsKind:
    """An IPv4 network, or a list of one and its IPv6 side; k3s's own `a,b` will do as well."""

    def words(self) -> str:
        """See `Kind`."""
        return f"{NETWORK.words()}; with IPv6 a list of two, such as [10.42.0.0/16, 'fd42::/56']"

    def read(self, node: Node, where: Where, problems: Problems) -> Cidrs | None:
        """See `Kind`."""
        if isinstance(node, Broken):
            return None
        if isinstance(node, Mapping):
            problems.add(where, "must be a network or a list of two, not a mapping")
            return None
        items = _split(node) if isinstance(node, Scalar) else node.items
        texts = [item.text for item in items if isinstance(item, Scalar)]
        if texts and all(":" in text for text in texts):
            problems.add(where, ALONE, "write the IPv4 network first, then the IPv6 one")
            return None
        if not 1 <= len(items) <= 2:
            problems.add(where, f"has {len(items)} networks", "write an IPv4 network, or one and an IPv6 network")
            return None
        return _read_pair(items, where, problems)

    def schema(self) -> Json:
        """See `Kind`."""
        pair: Json = {
            "type": "array",
            "prefixItems": [NETWORK.schema(), NETWORK6.schema()],
            "minItems": 1,
            "maxItems": 2,
        }
        return {"anyOf": [{"type": "string"}, pair]}


CIDRS: Final = CidrsKind()
