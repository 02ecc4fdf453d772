"""Commands of runs in real time: live, e-stop, replay."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.cli.options import EXIT_FAILED, Debug, Duration, Json, RunFolder, ScenarioFile
from twin.cli.running import OPTION_NAMES, changed_values, check_out, exit_code_of, run_and_show
from twin.cli.shell import guarded
from twin.errors import InputError

if TYPE_CHECKING:
    from twin.live.session import LiveMode
    from twin.scenario import LoadedScenario

__all__ = ["estop_command", "live", "replay"]


def live(
    scenario: ScenarioFile,
    armed: Annotated[bool, typer.Option("--armed", help="Command real devices.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Read real devices, write nothing.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Read real devices; set-points are checked and logged, not written."),
    ] = False,
    strategy: Annotated[
        list[str] | None, typer.Option("--strategy", help="Run only this strategy; may be repeated.")
    ] = None,
    confirm: Annotated[
        list[str] | None,
        typer.Option(
            "--confirm",
            metavar="NAME=SERIAL",
            help="Arm this device without asking; may be repeated. For scripts: who runs it confirms.",
        ),
    ] = None,
    duration: Duration = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for results.")] = Path("results"),
    json_out: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
    debug: Debug = False,
) -> None:
    """Run a scenario in real time with its devices on the wire. Ctrl-C puts them into their safe state."""

    def work() -> int:
        from twin.live.session import LiveOptions
        from twin.runner import RunOptions
        from twin.scenario import load_scenario

        check_out(out)
        changed = changed_values(duration=duration)
        loaded = load_scenario(scenario, overrides=changed, option_names=OPTION_NAMES)
        if not any((armed, read_only, dry_run)) and not _real_devices(loaded):
            raise InputError(
                f"{scenario}: has no real device (`as: hardware`); `twin run {scenario}` runs it"
            )
        mode = _mode(armed=armed, read_only=read_only, dry_run=dry_run)
        chosen = list(loaded.scenario.strategies) if strategy is None else strategy
        if armed and len(chosen) > 1:
            raise InputError(
                f"--armed: one strategy commands a device; choose it with --strategy ({', '.join(chosen)})"
            )
        typed = _typed(loaded, _confirmed(confirm or [])) if armed else {}
        options = RunOptions(
            strategies=strategy,
            out=out,
            changed=changed,
            live=LiveOptions(mode=mode, confirm=lambda slot: typed.get(slot.name, "")),
        )
        return exit_code_of(run_and_show(loaded, options, json_out=json_out, quiet=quiet))

    guarded(work, debug=debug)


def estop_command(
    reason: Annotated[str, typer.Option("--reason", help="For the audit log.")] = "e-stop by the user",
    debug: Debug = False,
) -> None:
    """Put every device of every run of this user into its safe state, and keep it there."""

    def work() -> int:
        from hil_adapters.guard.registry import estop
        from twin import console

        stopped = estop(reason)
        if not stopped:
            console.say("no guardian is running; nothing was commanded")
            return EXIT_FAILED
        for entry in stopped:
            names = ", ".join(entry.devices)
            console.say(f"{names}: {'tripped, in the safe state' if entry.error is None else entry.error}")
        return EXIT_FAILED if any(entry.error is not None for entry in stopped) else 0

    guarded(work, debug=debug)


def replay(
    run: RunFolder,
    strategy: Annotated[
        list[str] | None, typer.Option("--strategy", help="Replay only this strategy; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for results.")] = Path("results"),
    json_out: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
    debug: Debug = False,
) -> None:
    """Repeat a run from what its devices said, without the devices and as fast as it goes."""

    def work() -> int:
        from twin.live.strategy import is_recorded
        from twin.results import latest_run, layout
        from twin.runner import RunOptions
        from twin.scenario import load_scenario

        check_out(out)
        folder = latest_run(run)
        loaded = load_scenario(folder / layout.SCENARIO)
        names = loaded.scenario.strategies
        if not any((folder / name / layout.DEVICES).is_dir() for name in names):
            raise InputError(f"{run}: had no devices on the wire; run its scenario again with `twin run`")
        recorded = [name for name in names if is_recorded(folder / name)]
        if not recorded:
            raise InputError(
                f"{run}: no strategy of it came as far as its first reading; there is nothing to replay"
            )
        options = RunOptions(
            strategies=recorded if strategy is None else strategy,
            out=out,
            changed={"replay": str(folder)},
            replay=folder.resolve(),
        )
        return exit_code_of(run_and_show(loaded, options, json_out=json_out, quiet=quiet))

    guarded(work, debug=debug)


def _mode(*, armed: bool, read_only: bool, dry_run: bool) -> "LiveMode":
    from twin.live.session import LiveMode

    given = [
        mode
        for mode, is_given in (
            (LiveMode.ARMED, armed),
            (LiveMode.READ_ONLY, read_only),
            (LiveMode.DRY_RUN, dry_run),
        )
        if is_given
    ]
    if len(given) != 1:
        raise InputError("say what may be done to real devices: one of --armed, --read-only, --dry-run")
    return given[0]


def _confirmed(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, serial = pair.rpartition("=")
        if not sign or not name or not serial:
            raise InputError(f"--confirm {pair}: write NAME=SERIAL, as in --confirm 'Roof=SN123'")
        found[name] = serial
    return found


def _real_devices(loaded: "LoadedScenario") -> dict[str, str]:
    """Return the serial number that must answer, by name of each real device."""
    from twin.scenario.device_base import SwitchedBase

    return {
        entry.spec.name: entry.spec.modbus.serial or ""
        for entry in loaded.devices
        if isinstance(entry.spec, SwitchedBase)
        and entry.spec.as_ == "hardware"
        and entry.spec.name is not None
        and entry.spec.modbus is not None
    }


def _typed(loaded: "LoadedScenario", given: dict[str, str]) -> dict[str, str]:
    """Return what was typed for each real device, before anything is started and a progress bar stands in the way."""
    serials = _real_devices(loaded)
    for name, serial in given.items():
        if name not in serials:
            raise InputError(
                f"--confirm {name}: the scenario has no such real device; it has {', '.join(serials) or 'none'}"
            )
        if serials[name] and serial != serials[name]:
            raise InputError(
                f"--confirm {name}={serial}: the scenario expects serial number {serials[name]}; look which device it is, "
                "and correct one of the two"
            )
    typed: dict[str, str] = {}
    for name in serials:
        if name in given:
            typed[name] = f"{name} {given[name]}"
            continue
        if not sys.stdin.isatty():
            raise InputError(
                f"{name}: nobody is there to confirm it; run in a terminal or give --confirm '{name}=SERIAL'"
            )
        typer.echo(f"{name} will be commanded. Type its name and serial number to arm it:", err=True)
        typed[name] = str(typer.prompt("name serial", err=True))
    return typed
