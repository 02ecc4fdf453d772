"""The FMUs that are shipped: which there are, where they lie, and a fleet of them.

Built by ``python -m tools.build_fmus`` from the tables of the kinds and the C files in ``sources``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from models.devices.base import DeviceKind, Variable
from models.devices.numpy_block import KINDS, NumpyBlock
from models.errors import FmuMappingError
from models.fmu.base import FleetSpec, FloatArray, Interface, Take, Wire
from models.fmu.ours.description import FMI_VERSIONS

__all__ = [
    "LIBRARY",
    "SHIPPED",
    "SOURCES",
    "check_values",
    "device_kind",
    "fleet_spec",
    "hidden_states",
    "shipped_fmu",
]

LIBRARY: Final = Path(__file__).parent / "library"
SOURCES: Final = Path(__file__).parent / "sources"
SHIPPED: Final = tuple(KINDS)
"""Names of the kinds."""
_MEAN_UNITS: Final = frozenset({"kW", "kvar"})
"""Outputs in these units are means over the step."""


def device_kind(kind: str) -> DeviceKind:
    """Return the table of a kind; raises FmuMappingError for a name that is not in :data:`SHIPPED`."""
    if kind not in KINDS:
        raise FmuMappingError(f"there is no FMU of the kind {kind!r}; there are {', '.join(SHIPPED)}")
    return KINDS[kind].KIND


def hidden_states(kind: str) -> tuple[Variable, ...]:
    """Return what a kind remembers beside its outputs; local variables of the FMU."""
    return KINDS[device_kind(kind).name].STATES


def shipped_fmu(kind: str, fmi: str) -> Path:
    """Return the file of a kind; ``fmi`` is "2.0" (one device) or "3.0" (arrays of ``n`` devices)."""
    name = device_kind(kind).name
    if fmi not in FMI_VERSIONS:
        raise FmuMappingError(
            f"{kind}: there is no FMU of FMI {fmi}; choose one of {', '.join(FMI_VERSIONS)}"
        )
    return LIBRARY / f"{name}_fmi{fmi[0]}.fmu"


def check_values(
    kind: str,
    *,
    label: str,
    size: int,
    parameters: Mapping[str, float | FloatArray],
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> None:
    """Raise DeviceError for an unknown name, a value out of bounds, or parameters that contradict each other."""
    NumpyBlock(
        KINDS[device_kind(kind).name],
        size=size,
        parameters=parameters,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        label=label,
    )


def fleet_spec(
    kind: str,
    *,
    label: str,
    size: int,
    parameters: Mapping[str, float | FloatArray],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> FleetSpec:
    """Return ``size`` devices of a kind as one instance of our FMI 3.0 FMU, run in this process.

    Args:
        kind: One of :data:`SHIPPED`.
        label: Name for messages.
        size: Number of devices N.
        parameters: One value, or one for each device, shape (N,); also values of inputs that no step gives. Others
            keep the start of the table.
        inputs: Names of the inputs that each step gives, in the order of the rows.
        outputs: Names of the outputs wanted, in the order of the rows.

    Raises:
        FmuMappingError: there is no such kind.
        DeviceError: an unknown name, a value out of bounds, or parameters that contradict each other.
    """
    table = device_kind(kind)
    check_values(kind, label=label, size=size, parameters=parameters, inputs=inputs, outputs=outputs)
    known = {entry.name: entry for entry in table.variables}
    return FleetSpec(
        label=label,
        file=shipped_fmu(kind, "3.0"),
        size=size,
        inputs=tuple(Wire(signal=name, variable=name) for name in inputs),
        outputs=tuple(_output(known[name]) for name in outputs),
        parameters=parameters,
        interface=Interface.CO_SIMULATION,
        array_size="n",
        trusted=True,
    )


def _output(entry: Variable) -> Wire:
    take = Take.MEAN if entry.unit in _MEAN_UNITS else Take.LAST
    return Wire(signal=entry.name, variable=entry.name, take=take, low=entry.low, high=entry.high)
