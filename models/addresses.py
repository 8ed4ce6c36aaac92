"""Where webhooks may go: to public addresses by https, and to the hosts that DESCENT_WEBHOOK_HOSTS names.

A URL is read here alone: who checks it and who calls it cannot understand it differently.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

FORM = re.compile(
    r"(?P<scheme>https?)://(?:(?P<name>[A-Za-z0-9._-]{1,253})|\[(?P<literal>[0-9A-Fa-f:.]{2,45})\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>[/?][!\"$-~]*)?"
)
SHOULD = (
    "It should be an absolute URL such as https://example.com/hooks: ASCII, no user, no fragment, "
    "an address of IPv4 as four numbers."
)
LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
PORTS = {"http": 80, "https": 443}
NAT64 = ip_network("64:ff9b::/96")
UNICAST = ip_network("2000::/3")
"""Where all public addresses of IPv6 are, so far; nothing else is by mistake."""
NOT_GLOBAL = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
"""Kept by IANA for other ends, which not every version of Python knows: `is_global` is true of them on 3.11.7."""


class Refused(Exception):
    """No webhook may go there."""


@dataclass(frozen=True)
class Target:
    """A URL in its parts."""

    scheme: str
    host: str
    """In lower case; of an IPv6 address without its brackets."""
    port: int
    path: str
    """With its query."""

    @property
    def authority(self) -> str:
        """For the header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def target_of(url: str) -> Target:
    """
    Raises:
        ValueError: it is no absolute URL of http or https, has a password or a fragment in it, or is not ASCII; or
            nothing can have its host for a name.
    """
    found = FORM.fullmatch(url)
    port = int(found["port"] or PORTS[found["scheme"]]) if found else 0
    if found is None or not 0 < port < 2**16 or not _is_host(found["name"], found["literal"]):
        raise ValueError(SHOULD)
    path = found["path"] or "/"
    host = (found["name"] or found["literal"]).lower()
    return Target(found["scheme"], host, port, path if path.startswith("/") else f"/{path}")


def hosts_of(setting: str) -> frozenset[str]:
    """Those that DESCENT_WEBHOOK_HOSTS names."""
    return frozenset(name.lower() for name in re.split(r"[, ]+", setting) if name)


def require_allowed(target: Target, hosts: frozenset[str]) -> None:
    """What can be said of a target before its name is resolved.

    Raises:
        Refused
    """
    if target.host in hosts:
        return
    if target.scheme != "https":
        raise Refused("It should begin with https://; plain http is only for the hosts in DESCENT_WEBHOOK_HOSTS.")
    if _address(target.host) is not None:
        require_public(target, target.host, hosts)


def require_public(target: Target, address: str, hosts: frozenset[str]) -> None:
    """The same of an address that its name was resolved to, and that is about to be called.

    Raises:
        Refused
    """
    if target.host not in hosts and not is_public(address):
        raise Refused(f"{target.host} is at an address that is not public; DESCENT_WEBHOOK_HOSTS has to name it.")


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's, and of a single machine. One that has another inside, as those of
    NAT64 do, is what that one is."""
    found = _address(address)
    if isinstance(found, IPv6Address):
        found = _inner(found) or (found if found in UNICAST else None)
    if found is None or any(found in network for network in NOT_GLOBAL):
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved)


def _is_host(name: str | None, literal: str | None) -> bool:
    """A name whose last part is a number is an address, and has to be written as four numbers: what `127.1` or
    `0x7f000001` are, programs do not agree upon."""
    if name is None:
        return isinstance(_address(literal or ""), IPv6Address)
    labels = name.removesuffix(".").split(".")
    is_number = NUMBER.fullmatch(labels[-1]) is not None
    return all(map(LABEL.fullmatch, labels)) and (not is_number or _address(name) is not None)


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """None of a name. Without the zone that a link-local one may have."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
