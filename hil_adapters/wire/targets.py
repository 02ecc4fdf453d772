"""Targets as a person writes them."""

from hil_adapters.errors import LinkError
from hil_adapters.wire.base import RtuOverTcpTarget, SerialTarget, Target, TcpTarget

__all__ = ["parse_target"]

_MODBUS_PORT = 502
_LAST_PORT = 65535
_RTU = "rtu:"
_RTU_OVER_TCP = "rtu+tcp://"
_TCP = "tcp://"


def parse_target(text: str) -> Target:
    """Return the target that ``text`` names.

    ``host``, ``host:port`` and ``tcp://host:port`` are Modbus TCP (port 502 where none is given), ``rtu+tcp://host:port`` is
    RTU over TCP, ``rtu:/dev/ttyUSB0@19200`` a serial line (19200 baud where none is given). IPv6 addresses stand in brackets.

    Raises:
        LinkError: it names none.
    """
    if text.startswith(_RTU_OVER_TCP):
        host, port = _host_and_port(text.removeprefix(_RTU_OVER_TCP), text, default=None)
        return RtuOverTcpTarget(host=host, port=port)
    if text.startswith(_RTU):
        path, at, rate = text.removeprefix(_RTU).rpartition("@")
        if not at:
            path, rate = rate, "19200"
        if not path or not rate.isdecimal() or int(rate) == 0:
            raise _unknown(text)
        return SerialTarget(path=path, baudrate=int(rate))
    host, port = _host_and_port(text.removeprefix(_TCP), text, default=_MODBUS_PORT)
    return TcpTarget(host=host, port=port)


def _host_and_port(rest: str, text: str, *, default: int | None) -> tuple[str, int]:
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        host, port = rest, "" if default is None else str(default)
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    bare_ipv6 = ":" in host and not rest.startswith("[")
    if not host or "/" in host or bare_ipv6 or not port.isdecimal() or not 1 <= int(port) <= _LAST_PORT:
        raise _unknown(text)
    return host, int(port)


def _unknown(text: str) -> LinkError:
    return LinkError(
        f"{text!r} names no device; write host:port, rtu+tcp://host:port or rtu:/dev/ttyUSB0@19200"
    )
