"""Modbus/TCP Security: contexts with certificates on both sides, and what the role in a certificate allows.

Source: MODBUS/TCP Security protocol specification V21 (role extension, port 802); the roles are those of the test
certificates of pysunspec2.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509

from hil_adapters.wire.codes import WRITING, Function

__all__ = ["ROLE_OID", "SUNSPEC_ROLES", "ServerSecurity", "client_context", "role_of", "server_context"]

ROLE_OID: Final = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")
"""Certificate extension that holds a role as an UTF8String."""

_ALL: Final = frozenset(int(function) for function in Function)
_UTF8_STRING: Final = 0x0C
_LONGEST_SHORT_FORM: Final = 127
_DER_HEAD: Final = 2
"""Tag and length."""

SUNSPEC_ROLES: Final[Mapping[str, frozenset[int]]] = {
    "ReadOnlySunSpec": _ALL - WRITING,
    "GridServiceSunSpec": _ALL,
    "NetworkAdministratorSunSpec": _ALL - WRITING,
    "SuperAdministratorSunSpec": _ALL,
}
"""Functions by role. A network administrator configures the network, not the device."""


def server_context(cert: Path, key: Path, *, ca: Path) -> ssl.SSLContext:
    """Return a context that shows ``cert`` and wants a client certificate issued under ``ca`` (PEM files)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca: Path, *, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return a context that trusts servers under ``ca`` with the right host name, and shows ``cert`` where given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(ca)
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


def role_of(connection: ssl.SSLObject) -> str | None:
    """Return the role in the peer's certificate; None without certificate, role, or with a malformed one."""
    certificate = connection.getpeercert(binary_form=True)
    if certificate is None:
        return None
    try:
        extension = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_oid(ROLE_OID)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return None
    value = extension.value
    return _utf8_string(value.value) if isinstance(value, x509.UnrecognizedExtension) else None


def _utf8_string(der: bytes) -> str | None:
    """Return a DER UTF8String of up to 127 bytes; None where it is anything else."""
    head, text = der[:_DER_HEAD], der[_DER_HEAD:]
    if not text or len(text) > _LONGEST_SHORT_FORM or head != bytes((_UTF8_STRING, len(text))):
        return None
    try:
        return text.decode()
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSecurity:
    """TLS of a server: a client without a role that is named here is turned away."""

    context: ssl.SSLContext
    roles: Mapping[str, frozenset[int]] = field(default_factory=lambda: SUNSPEC_ROLES)
    """Function codes by role; any other function gets exception 1."""

    def role(self, connection: ssl.SSLObject) -> str | None:
        """Return the role of a client, if it is one that counts."""
        role = role_of(connection)
        return role if role in self.roles else None
