"""Which addresses calls may go to.

The guard judges addresses, never the text of a URL: the caller resolves a name, hands in
every answer, and connects to one of the addresses it gets back, to nothing else.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from jobs.http_rules import RuleError, encode_name

from .errors import EgressDenied

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# The IANA special-purpose registries, written out: the tables of the standard library change
# with the Python version. The last entry is Azure's host agent, public only by its number.
_NOT_PUBLIC_IPV4 = tuple(
    (ipaddress.IPv4Network(cidr), label)
    for cidr, label in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared address space"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("168.63.129.16/32", "cloud platform"),
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC_IPV6 = tuple(
    (ipaddress.IPv6Network(cidr), label)
    for cidr, label in (
        ("2001::/32", "Teredo"),
        ("2001::/23", "protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "embedded IPv4"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)


def is_own_address(address: str) -> bool:
    """Whether a public address is one of this host's own interfaces.

    The kernel's routing table answers (the source it would choose is the address itself);
    connecting a datagram socket sends nothing.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return bool(probe.getsockname()[0] == address)
    except OSError:
        return False  # no way there at all, so certainly not here


@dataclass(frozen=True, kw_only=True)
class EgressGuard:
    """Only global unicast addresses, or what HTTP_ALLOWED_HOSTS and HTTP_ALLOWED_CIDRS open.

    `hosts` are lower-case names without a trailing dot, `*.example.org` for all below one
    (the settings write it `.example.org`, as Django's ALLOWED_HOSTS does).
    Use `EgressGuard.of` to build one from settings.
    """

    hosts: frozenset[str] = field(default_factory=frozenset)
    networks: tuple[Network, ...] = ()
    is_own: Callable[[str], bool] = is_own_address

    @classmethod
    def of(cls, *, allowed_hosts: Iterable[str] = (), allowed_cidrs: Iterable[str] = ()) -> Self:
        """Read the two settings. Raises ValueError that names the entry it cannot read."""
        return cls(
            hosts=frozenset(_read_name(name) for name in allowed_hosts),
            networks=tuple(_read_network(cidr) for cidr in allowed_cidrs),
        )

    def judge(self, host: str, addresses: Sequence[str]) -> list[str]:
        """The addresses to connect to, in the order given, in their plain form.

        Every answer is judged, and one that is refused refuses them all: a name that answers
        with a public and a private address is an attack or a mistake, never a service.
        Raises EgressDenied.
        """
        if self.opens_host(host):
            return list(dict.fromkeys(addresses))
        judged = []
        for text in addresses:
            address = _read_address(text)
            flaw = "unreadable" if address is None else self.find_flaw(address)
            if flaw is not None:
                raise _refuse(host, flaw)
            judged.append(str(address))
        return list(dict.fromkeys(judged))

    def opens_host(self, host: str) -> bool:
        """Whether the name itself is allowed, so that any address it has may be used."""
        name = host.rstrip(".").lower()
        if not self.hosts:
            return False
        return name in self.hosts or any(f"*.{parent}" in self.hosts for parent in _name_parents(name))

    def opens_address(self, address: Address) -> bool:
        """Whether HTTP_ALLOWED_CIDRS names the address (an IPv4-mapped one counts as IPv4)."""
        plain = _unmap(address)
        return any(plain in network for network in self.networks)

    def find_flaw(self, address: Address) -> str | None:
        """Why the address may not be connected to, in a word or two; None when it may."""
        if self.opens_address(address):
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
            return "scoped"
        plain = _unmap(address)
        if isinstance(plain, ipaddress.IPv6Address) and plain in _NAT64:
            # The translator of an IPv6-only network: the packet goes to the IPv4 inside.
            plain = ipaddress.IPv4Address(int(plain) & 0xFFFFFFFF)
            if self.opens_address(plain):
                return None
        flaw = find_special_use(plain)
        return flaw or ("this host's own" if self.is_own(str(plain)) else None)


def find_special_use(address: Address) -> str | None:
    """What an address that is not global unicast is for; None for a public one."""
    if isinstance(address, ipaddress.IPv4Address):
        return next((label for net, label in _NOT_PUBLIC_IPV4 if address in net), None)
    flaw = next((label for net, label in _NOT_PUBLIC_IPV6 if address in net), None)
    if flaw is None and address not in _GLOBAL_UNICAST:
        return "not global unicast"
    return flaw


def _refuse(host: str, flaw: str) -> EgressDenied:
    """It tells the kind of address and not the address itself, so that a job cannot be used
    to read the names of an inner network."""
    return EgressDenied(
        f"egress denied: the address of {host} is not public ({flaw}); "
        "HTTP_ALLOWED_HOSTS or HTTP_ALLOWED_CIDRS can open it"
    )


def _unmap(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _read_address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _name_parents(name: str) -> Iterable[str]:
    labels = name.split(".")
    return (".".join(labels[start:]) for start in range(1, len(labels)))


def _read_name(text: str) -> str:
    name = text.strip().lower().strip("[]").rstrip(".")
    name = f"*{name}" if name.startswith(".") else name
    bare = name.removeprefix("*.")
    if not bare or any(sign in bare for sign in "*/@ \\"):
        raise ValueError(f"HTTP_ALLOWED_HOSTS: {text!r} is not a host name")
    if ":" in bare and _read_address(bare) is None:
        raise ValueError(f"HTTP_ALLOWED_HOSTS: {text!r} must be a name without a port")
    if bare.isascii():
        return name
    try:
        return name.removesuffix(bare) + encode_name(bare)
    except RuleError:
        raise ValueError(f"HTTP_ALLOWED_HOSTS: {text!r} is not a host name") from None


def _read_network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise ValueError(f"HTTP_ALLOWED_CIDRS: {error}") from None
