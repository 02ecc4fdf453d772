"""The wiring table of the software loop, and its check against the ports of the simulators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin.errors import WiringError
from twin.simulators.ports import StepCore, check_connection

__all__ = ["CONNECTIONS", "Connection", "check_wiring"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One row of the wiring table."""

    source: str
    target: str
    keys: tuple[str, ...]
    delayed: bool = False
    """The target sees the value of the step before."""


CONNECTIONS: tuple[Connection, ...] = (
    Connection(
        source="exogenous",
        target="control",
        keys=(
            "load.p_kw",
            "pv.p_available_kw",
            "feeder.price_import_eur_kwh",
            "feeder.price_export_eur_kwh",
        ),
    ),
    Connection(source="devices", target="control", keys=("battery.soc_end",), delayed=True),
    Connection(source="feeder", target="control", keys=("home.vm_pu", "home.p_kw"), delayed=True),
    Connection(source="feeder", target="exogenous", keys=("home.vm_pu", "home.p_kw"), delayed=True),
    Connection(source="control", target="exogenous", keys=("load.p_set_kw",), delayed=True),
    Connection(source="feeder", target="devices", keys=("home.vm_pu", "home.p_kw"), delayed=True),
    Connection(source="exogenous", target="devices", keys=("state.load_value",)),
    Connection(source="recorder", target="exogenous", keys=("feeder.step_done",), delayed=True),
    Connection(source="exogenous", target="devices", keys=("pv.p_available_kw",)),
    Connection(source="control", target="devices", keys=("battery.p_set_kw", "pv.p_limit_kw")),
    Connection(source="feeder", target="devices", keys=("battery.p_kw",), delayed=True),
    Connection(source="exogenous", target="feeder", keys=("load.p_kw", "load.q_kvar")),
    Connection(source="devices", target="feeder", keys=("pv.p_ask_kw", "pv.q_ask_kvar", "battery.p_ask_kw")),
    Connection(
        source="exogenous",
        target="recorder",
        keys=(
            "load.p_kw",
            "load.q_kvar",
            "pv.p_available_kw",
            "feeder.price_import_eur_kwh",
            "feeder.price_export_eur_kwh",
        ),
    ),
    Connection(source="devices", target="recorder", keys=("battery.soc", "state.value")),
    Connection(
        source="feeder",
        target="recorder",
        keys=(
            "feeder.p_import_kw",
            "feeder.q_import_kvar",
            "feeder.p_loss_kw",
            "feeder.p_other_kw",
            "feeder.residual_kva",
            "feeder.iterations",
            "bus.vm_pu",
            "line.loading_percent",
            "trafo.p_kw",
            "trafo.q_kvar",
            "trafo.loading_percent",
            "home.p_kw",
            "pv.p_kw",
            "pv.q_kvar",
            "battery.p_kw",
            "battery.q_kvar",
        ),
    ),
)
"""What is wired to what in the software loop."""


def check_wiring(cores: Mapping[str, StepCore], external: Sequence[str] = ()) -> None:
    """Check every connection of the table against the ports, and that every input is fed once.

    Args:
        cores: The step cores by name.
        external: Input ports of ``exogenous`` that third-party simulators feed.

    Raises:
        WiringError: naming both ends and what differs, or the input without a source.
    """
    fed: dict[tuple[str, str], int] = {}
    for row in CONNECTIONS:
        given = {port.name: port for port in cores[row.source].outputs}
        taken = {port.name: port for port in cores[row.target].inputs}
        for key in row.keys:
            for end, known in ((row.source, given), (row.target, taken)):
                if key not in known:
                    raise WiringError(f"{row.source}.{key} -> {row.target}.{key}: {end} has no such port")
            check_connection(row.source, given[key], row.target, taken[key])
            fed[row.target, key] = fed.get((row.target, key), 0) + 1
    for name in external:
        fed["exogenous", name] = 1
    for name, core in cores.items():
        for port in core.inputs:
            if fed.get((name, port.name), 0) != 1:
                raise WiringError(
                    f"{name}.{port.name}: {fed.get((name, port.name), 0)} sources in the wiring table, needs one"
                )
