"""Runs a proxy as a person asks for it: targets and listening places as text, until it is cancelled."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hil_adapters.errors import LinkError
from hil_adapters.faults.catalogue import Fault
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.faults.proxy import FaultProxy, SerialFaultProxy
from hil_adapters.faults.rules import FaultScript
from hil_adapters.wire.base import SerialTarget, TcpTarget
from hil_adapters.wire.station import Framing
from hil_adapters.wire.targets import parse_target

__all__ = ["ProxyWanted", "RunningProxy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyWanted:
    """A proxy as text."""

    target: str
    """See :func:`~hil_adapters.wire.targets.parse_target`."""
    listen: str
    """A TCP port (0: any free one), or a serial line: rtu:/dev/ttyUSB0@19200."""
    host: str = "127.0.0.1"
    allow: Sequence[str] | None = None
    """Networks whose clients may connect; None: this machine only."""
    framing: Framing | None = None
    """In front; None: that of the target. A serial line is always RTU."""


class RunningProxy:
    """A proxy that is run once.

    Raises:
        LinkError: target, listening place or a network of ``allow`` cannot be understood.
        FaultScriptError: the script names a fault that the framing does not know.
    """

    def __init__(self, wanted: ProxyWanted, script: FaultScript) -> None:
        self._wanted = wanted
        self._target = parse_target(wanted.target)
        line = None if wanted.listen.isdecimal() else parse_target(wanted.listen)
        if line is not None and not isinstance(line, SerialTarget):
            raise LinkError(
                f"{wanted.listen!r} is no place to listen; give a port number or rtu:/dev/ttyUSB0@19200"
            )
        self._line = line
        own = Framing.TCP if isinstance(self._target, TcpTarget) else Framing.RTU
        framing = own if wanted.framing is None else wanted.framing
        self.plan = FaultPlan(script, framing=Framing.RTU if line is not None else framing)
        try:
            self._proxy = None if line is not None else self._tcp_proxy()
        except ValueError as error:
            raise LinkError(f"--allow: {error}; give addresses or networks like 192.168.1.0/24") from error

    @property
    def counts(self) -> Counter[Fault]:
        """Faults injected so far."""
        return self.plan.counts

    async def run(self, on_ready: Callable[[str], None]) -> None:
        """Serve until cancelled, or until the serial line in front is lost; ``on_ready`` is told where.

        Raises:
            LinkLostError: the port or the line cannot be used.
        """
        if self._proxy is None:
            await self._run_on_line(on_ready)
            return
        async with self._proxy as proxy:
            on_ready(f"{self._wanted.host}:{proxy.port}")
            await asyncio.get_running_loop().create_future()

    async def _run_on_line(self, on_ready: Callable[[str], None]) -> None:
        if self._line is None:
            return
        async with SerialFaultProxy(self._target, self.plan, line=self._line) as proxy:
            on_ready(str(self._line))
            await proxy.wait()

    def _tcp_proxy(self) -> FaultProxy:
        wanted = self._wanted
        return FaultProxy(
            self._target, self.plan, host=wanted.host, port=int(wanted.listen), allow=wanted.allow
        )
