"""``twin device proxy``: a proxy that puts faults between a client and a device."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from twin.cli.options import Debug, Json
from twin.cli.shell import guarded
from twin.errors import InputError, RunError

__all__ = ["FramingOption", "proxy_command"]

_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


class FramingOption(StrEnum):
    """How frames are wrapped in front of the proxy."""

    TCP = "tcp"
    RTU = "rtu"


def proxy_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="The device: host:port, rtu+tcp://host:port or rtu:/dev/ttyUSB0@19200."
        ),
    ],
    faults: Annotated[Path, typer.Option("--faults", metavar="FILE", help="Script of faults (YAML).")],
    listen: Annotated[
        str,
        typer.Option(
            "--listen", metavar="PORT", help="TCP port, 0 for any, or a serial line: rtu:/dev/ttyUSB1@19200."
        ),
    ] = "1502",
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than loopback need --allow.")
    ] = "127.0.0.1",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="NETWORK", help="Who may connect, e.g. 192.168.1.0/24; may be repeated."
        ),
    ] = None,
    framing: Annotated[
        FramingOption | None, typer.Option("--framing", help="In front, if not that of the target.")
    ] = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Put faults between a client and a device, until Ctrl-C. Writes of clients reach the device.

    Only this machine can reach the proxy unless --host and --allow say otherwise.
    """

    def work() -> int:
        import asyncio

        from hil_adapters.errors import FaultScriptError, HilError, LinkError
        from hil_adapters.faults.rules import load_script
        from hil_adapters.faults.running import ProxyWanted, RunningProxy
        from hil_adapters.wire.station import Framing
        from twin import console

        if host not in _LOCAL and not allow:
            raise InputError(f"--host {host} is not this machine alone; say who may connect with --allow")
        wanted = ProxyWanted(
            target=target,
            listen=listen,
            host=host,
            allow=allow,
            framing=None if framing is None else Framing(framing.value),
        )
        try:
            proxy = RunningProxy(wanted, load_script(faults))
        except (FaultScriptError, LinkError) as error:
            raise InputError(str(error)) from error
        if host not in _LOCAL:
            console.say(
                f"WARNING: this proxy listens on {host}, beyond this machine. Everybody in {', '.join(allow or ())} "
                "can read and command the device behind it; Modbus has no password."
            )

        def show(place: str) -> None:
            if json_out:
                console.json_line({"listen": place, "target": target})
            else:
                console.say(f"{target} answers at {place} with the faults of {faults}; Ctrl-C ends it")

        try:
            asyncio.run(proxy.run(show))
        except KeyboardInterrupt:
            pass
        except HilError as error:
            raise RunError(str(error)) from error
        injected = {str(fault): count for fault, count in sorted(proxy.counts.items())}
        if json_out:
            console.json_line({"injected": injected})
        else:
            told = ", ".join(f"{fault} {count}" for fault, count in injected.items())
            console.say(f"faults injected: {told or 'none'}")
        return 0

    guarded(work, debug=debug)
