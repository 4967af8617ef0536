"""How addresses, networks and ranges of both IP families are written, and k3s's networks of one family or both."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Generic, TypeVar

from bootstrap.inventory.document import Broken, Mapping, Node, Scalar
from bootstrap.inventory.problems import Problems, Where, shown
from bootstrap.inventory.values.scalars import Json, RefusedError, Text

_IP4: Final = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_IP6: Final = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
ALONE: Final = "IPv6 alone is not supported"
_MOST_LENGTH: Final = 2**31

A = TypeVar("A", IPv4Address, IPv6Address)
N = TypeVar("N", IPv4Network, IPv6Network)


@dataclass(frozen=True, kw_only=True)
class AddressRange(Generic[A]):
    """Addresses from `first` to `last`, both included."""

    first: A
    last: A

    def __len__(self) -> int:
        """How many there are, as far as a length goes."""
        return min(int(self.last) - int(self.first) + 1, _MOST_LENGTH)

    def __contains__(self, address: object) -> bool:
        return isinstance(address, type(self.first)) and self.first <= address <= self.last


@dataclass(frozen=True, kw_only=True)
class Cidrs:
    """One of k3s's networks: its IPv4 side, and its IPv6 side in a cluster with both families."""

    v4: IPv4Network
    v6: IPv6Network | None = None


@dataclass(frozen=True, kw_only=True)
class _Family(Generic[A, N]):
    """How texts of one IP family are read. Its methods raise RefusedError."""

    name: str
    addresses: type[A]
    networks: type[N]
    address_hint: str
    network_hint: str

    def address(self, text: str) -> A:
        try:
            return self.addresses(text)
        except AddressValueError:
            raise RefusedError(f"{shown(text)} is not an {self.name} address", self.address_hint) from None

    def network(self, text: str) -> N:
        try:
            loose = self.networks(text, strict=False)
        except ValueError:
            raise RefusedError(f"{shown(text)} is not an {self.name} network", self.network_hint) from None
        if loose.network_address != self.addresses(text.partition("/")[0]):
            raise RefusedError(f"{shown(text)} has host bits set", f"write {loose}")
        return loose

    def range(self, text: str) -> AddressRange[A]:
        first, last = (self.address(part.strip()) for part in text.split("-"))
        if first > last:
            raise RefusedError(f"{shown(text)} ends before it begins", f"write {last}-{first}")
        return AddressRange(first=first, last=last)


_V4: Final = _Family(
    name="IPv4",
    addresses=IPv4Address,
    networks=IPv4Network,
    address_hint="four numbers from 0 to 255",
    network_hint="such as 192.168.1.0/24",
)
_V6: Final = _Family(
    name="IPv6",
    addresses=IPv6Address,
    networks=IPv6Network,
    address_hint="such as fd12:3456:789a::50",
    network_hint="such as fd12:3456:789a::/64",
)


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


ADDRESS: Final = Text(label="an IPv4 address", pattern=_IP4, parse=_V4.address, loose=True)
ADDRESS6: Final = Text(label="an IPv6 address", pattern=_IP6, parse=_V6.address)
ANY_ADDRESS: Final[Text[IPv4Address | IPv6Address]] = Text(
    label="an IPv4 or IPv6 address", pattern=rf"[0-9.]+|{_IP6}", parse=_any_address, loose=True
)
NETWORK: Final = Text(
    label="an IPv4 network with its prefix length, such as 192.168.1.0/24",
    pattern=rf"{_IP4}/[0-9]{{1,2}}",
    parse=_V4.network,
)
NETWORK6: Final = Text(
    label="an IPv6 network with its prefix length, such as fd12:3456:789a::/64",
    pattern=rf"{_IP6}/[0-9]{{1,3}}",
    parse=_V6.network,
)
ADDRESS_RANGE: Final = Text(
    label="two IPv4 addresses, such as 192.168.1.50-192.168.1.80", pattern=rf"{_IP4} ?- ?{_IP4}", parse=_V4.range
)
ADDRESS_RANGE6: Final = Text(
    label="a range of IPv6 addresses, such as fd12:3456:789a::50-fd12:3456:789a::80",
    pattern=rf"{_IP6} *- *{_IP6}",
    parse=_V6.range,
)


def _split(node: Scalar) -> tuple[Node, ...]:
    return tuple(Scalar(text=part.strip(), line=node.line, origin=node.origin) for part in node.text.split(","))


def _read_pair(items: tuple[Node, ...], where: Where, problems: Problems) -> Cidrs | None:
    """An IPv4 network, or one and an IPv6 network."""
    v4 = NETWORK.read(items[0], where, problems)
    v6 = NETWORK6.read(items[1], where, problems) if len(items) > 1 else None
    return Cidrs(v4=v4, v6=v6) if v4 is not None and (v6 is not None or len(items) == 1) else None


class CidrsKind:
    """An IPv4 network, or a list of an IPv4 and an IPv6 network; k3s's own form `a,b` works, too."""

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
