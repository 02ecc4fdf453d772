"""``twin device serve``: one virtual device for a finished EMS or a client to talk to."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from twin.cli.options import Debug, Json
from twin.cli.shell import guarded

__all__ = ["PhysicsOption", "serve_command"]


class PhysicsOption(StrEnum):
    """What computes the device."""

    PV_INVERTER = "pv_inverter"
    BATTERY = "battery"
    EV_CHARGER = "ev_charger"
    WATER_HEATER = "water_heater"
    METER = "meter"


def serve_command(
    map_: Annotated[
        str,
        typer.Argument(metavar="MAP", help="Register map: a shipped one by name, or a file ending in .yaml."),
    ],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port; 0: any free one.")] = 5020,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than loopback need --allow.")
    ] = "127.0.0.1",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="NETWORK", help="Who may connect, e.g. 192.168.1.0/24; may be repeated."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Parameter or input of the physics (p_rated_kw=6, p_available_kw=-4, vm_pu=1.08), serial, or a point "
            "of the map; may be repeated.",
        ),
    ] = None,
    physics: Annotated[
        PhysicsOption | None, typer.Option("--physics", help="What computes the device, if not its kind.")
    ] = None,
    protection: Annotated[
        bool, typer.Option("--protection", help="With the interface protection of CEI 0-21.")
    ] = False,
    faults: Annotated[
        Path | None, typer.Option("--faults", metavar="FILE", help="Script of faults (YAML).")
    ] = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Serve one virtual device over Modbus TCP until Ctrl-C.

    Only this machine can reach it unless --host and --allow say otherwise.
    """

    def work() -> int:
        from hil_adapters.virtual.protection import ProtectionSettings
        from twin import console
        from twin.installed import require_hil
        from twin.virtual.standalone import Wanted, is_loopback, serve_alone, standalone_config

        require_hil(["pysunspec2"])
        wanted = Wanted(
            map=map_,
            physics=None if physics is None else physics.value,
            settings=settings if settings is not None else (),
            host=host,
            port=port,
            allow=allow if allow is not None else (),
            protection=ProtectionSettings() if protection else None,
            faults=None if faults is None else str(faults),
        )
        config = standalone_config(wanted)
        if not is_loopback(host):
            console.say(
                f"WARNING: this device listens on {host}, beyond this machine. Everybody in {', '.join(allow or ())} "
                "can read and command it; Modbus has no password."
            )

        def show(used_port: int, unit: int) -> None:
            if json_out:
                console.json_line({"map": map_, "host": host, "port": used_port, "unit": unit})
            else:
                console.say(f"{map_} answers at {host}:{used_port}, unit {unit}; Ctrl-C ends it")

        serve_alone(config, on_served=show)
        return 0

    guarded(work, debug=debug)
