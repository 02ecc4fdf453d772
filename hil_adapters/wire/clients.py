"""What servers and proxies have in common towards TCP clients: who may connect, and how a connection is reset."""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Sequence
from typing import Final

__all__ = ["AllowedClients", "reset_connection"]

_LINGER_RESET: Final = struct.pack("ii", 1, 0)


class AllowedClients:
    """Addresses or networks (192.168.1.0/24) whose clients may connect; None: this machine only."""

    def __init__(self, allow: Sequence[str] | None) -> None:
        """Take what a person wrote; ``ValueError`` where it names no network."""
        self._networks = (
            None if allow is None else tuple(ipaddress.ip_network(text, strict=False) for text in allow)
        )

    def address(self, transport: asyncio.BaseTransport) -> str | None:
        """Return the address of a client that may connect; None of one that may not, or that is gone already."""
        name = transport.get_extra_info("peername")
        return str(name[0]) if name and self.holds(str(name[0])) else None

    def holds(self, text: str) -> bool:
        """Return whether clients at an address may connect; a zone (``fe80::1%eth0``) does not matter."""
        address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if self._networks is None:
            return address.is_loopback
        return any(address in network for network in self._networks)


def reset_connection(transport: asyncio.WriteTransport) -> None:
    """End a connection by RST; one that is closing already ends without."""
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    transport.abort()
