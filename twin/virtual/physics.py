"""Our device models, or a user's FMU, as the inside of a virtual device."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from hil_adapters.virtual.base import Physics
from models.devices.base import Causality, DeviceBlock
from models.devices.numpy_block import KINDS, NumpyBlock
from models.errors import ModelError
from models.fmu.base import FleetSpec, Interface, Take, Wire
from models.fmu.fleet import open_fleet
from twin.errors import InputError
from twin.signals import AS_MUCH_AS_POSSIBLE_KW
from twin.virtual.config import FmuPart, FmuWire, PhysicsConfig

__all__ = ["AROUND", "METERED", "BlockPhysics", "MeterPhysics", "OpenPhysics", "open_physics"]

AROUND: Final = frozenset({"vm_pu", "frequency_hz"})
"""What surrounds every device, whether its model takes it or not."""
METERED: Final = frozenset({"p_kw", "q_kvar"})
"""What flows by a meter."""
_METER_RATED_KW: Final = 25.0
"""The registers of a meter have room for so much where nothing else is said: a house."""
_MOST_KW: Final = 1e6

Asked = Callable[[Mapping[str, float]], dict[str, float]]
"""Turns commands in force into inputs of a model."""


class OpenPhysics(Physics, Protocol):
    """Physics to be closed at the end."""

    def close(self) -> None:
        """Free everything; may be called again."""
        ...


class BlockPhysics:
    """One device of a ``DeviceBlock``."""

    def __init__(
        self,
        block: DeviceBlock,
        *,
        nameplate: Mapping[str, float],
        inputs: Mapping[str, float],
        asked: Asked,
        also: Mapping[str, str] | None = None,
    ) -> None:
        """Wrap ``block``, which has one device.

        Args:
            block: its physics.
            nameplate: ratings.
            inputs: value of every input that neither commands nor surroundings give.
            asked: commands in force -> inputs.
            also: further names of outputs: name that register maps use -> output.
        """
        self._block, self._nameplate, self._asked = block, dict(nameplate), asked
        self._also = {} if also is None else dict(also)
        self._inputs = {name: inputs[name] for name in block.inputs}
        self._time_s = 0.0

    @property
    def nameplate(self) -> Mapping[str, float]:
        """Ratings."""
        return self._nameplate

    def step(
        self, commands: Mapping[str, float], world: Mapping[str, float], *, dt_s: float
    ) -> Mapping[str, float]:
        """Advance by ``dt_s`` [s] and return the outputs of the block by name."""
        values = self._inputs | {name: world[name] for name in self._inputs if name in world}
        values |= {name: value for name, value in self._asked(commands).items() if name in values}
        column = np.array([[values[name]] for name in self._block.inputs]).reshape(-1, 1)
        outputs = self._block.step(column, time_s=self._time_s, dt_s=dt_s)
        self._time_s += dt_s
        found = {name: float(value) for name, value in zip(self._block.outputs, outputs[:, 0], strict=True)}
        return found | {name: found[output] for name, output in self._also.items()}

    def close(self) -> None:
        """Close the block."""
        self._block.close()


class MeterPhysics:
    """A meter shows what flows by: ``p_kw`` and ``q_kvar`` of what surrounds it."""

    def __init__(self, *, p_rated_kw: float, inputs: Mapping[str, float]) -> None:
        self._inputs = {**dict.fromkeys(METERED, 0.0), **inputs}
        self._rated_kw = p_rated_kw

    @property
    def nameplate(self) -> Mapping[str, float]:
        """The power that its registers have room for."""
        return {"p_rated_kw": self._rated_kw}

    def step(
        self,
        _commands: Mapping[str, float],
        world: Mapping[str, float],
        *,
        dt_s: float,  # noqa: ARG002 - it has no state
    ) -> Mapping[str, float]:
        """Return what flows by."""
        return {name: world.get(name, value) for name, value in self._inputs.items()}

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


def open_physics(config: PhysicsConfig, *, label: str) -> OpenPhysics:
    """Open the inside of a device.

    Raises:
        InputError: a parameter or an input is not known or does not fit, or the FMU cannot be used.
    """
    try:
        if config.kind == "meter":
            return _meter(config, label)
        if config.kind == "fmu":
            return _user_fmu(config, label)
        return _model(config, label)
    except ModelError as error:
        raise InputError(f"virtual device {label}: {error}") from error


def _meter(config: PhysicsConfig, label: str) -> MeterPhysics:
    unknown = set(config.parameters) - {"p_rated_kw"}
    if unknown:
        raise InputError(
            f"virtual device {label}: a meter has no {', '.join(sorted(unknown))}; it has p_rated_kw"
        )
    return MeterPhysics(p_rated_kw=config.parameters.get("p_rated_kw", _METER_RATED_KW), inputs=config.inputs)


def _model(config: PhysicsConfig, label: str) -> BlockPhysics:
    kind = KINDS[config.kind]
    names = kind.KIND.named(Causality.INPUT)
    block = NumpyBlock(
        kind,
        size=1,
        parameters={**config.parameters, **_own_inputs(config, names, label)},
        inputs=names,
        outputs=kind.KIND.named(Causality.OUTPUT),
        label=label,
    )
    start = {entry.name: entry.start for entry in kind.KIND.variables}
    return BlockPhysics(
        block,
        nameplate=_NAMEPLATES[config.kind](start | config.parameters),
        inputs=start | config.inputs,
        asked=_ASKED[config.kind],
        also={"temp_degc": "temp_top_degc"} if config.kind == "water_heater" else None,
    )


def _own_inputs(config: PhysicsConfig, names: tuple[str, ...], label: str) -> dict[str, float]:
    unknown = set(config.inputs) - set(names) - AROUND
    if unknown:
        raise InputError(
            f"virtual device {label}: a {config.kind} has no input {', '.join(sorted(unknown))}; it has {', '.join(names)}"
        )
    return {name: value for name, value in config.inputs.items() if name in names}


def _user_fmu(config: PhysicsConfig, label: str) -> BlockPhysics:
    part = config.fmu
    if part is None:
        raise InputError(
            f"virtual device {label}: physics fmu needs a file; give 'fmu: {{file: ..., outputs: ...}}'"
        )
    inputs = {"p_limit_kw": AS_MUCH_AS_POSSIBLE_KW, "vm_pu": 1.0, "frequency_hz": 50.0} | config.inputs
    missing = [wire.signal for wire in part.inputs if wire.signal not in inputs]
    if missing:
        raise InputError(
            f"virtual device {label}: input {', '.join(missing)} of the FMU has no value at the start; give it in 'inputs'"
        )
    if "p_kw" not in {wire.signal for wire in part.outputs}:
        raise InputError(f"virtual device {label}: no output of the FMU is p_kw; map one to it")
    block = open_fleet(_fleet_spec(part, label))
    return BlockPhysics(block, nameplate=config.parameters, inputs=inputs, asked=dict)


def _fleet_spec(part: FmuPart, label: str) -> FleetSpec:
    return FleetSpec(
        label=label,
        file=Path(part.file),
        size=1,
        inputs=tuple(_wire(entry) for entry in part.inputs),
        outputs=tuple(_wire(entry) for entry in part.outputs),
        parameters=part.parameters,
        interface=Interface(part.interface),
        step_s=part.step_s,
        trusted=part.trusted,
    )


def _wire(entry: FmuWire) -> Wire:
    return Wire(
        signal=entry.signal,
        variable=entry.variable,
        factor=entry.factor,
        offset=entry.offset,
        take=Take(entry.take),
        is_amount=entry.is_amount,
        low=-_MOST_KW if entry.signal == "p_kw" else -np.inf,
        high=_MOST_KW if entry.signal == "p_kw" else np.inf,
    )


def _feed_in(commands: Mapping[str, float]) -> dict[str, float]:
    """PV: a set-point of feed-in is a limit too."""
    limit_kw = min(commands.get("p_limit_kw", AS_MUCH_AS_POSSIBLE_KW), AS_MUCH_AS_POSSIBLE_KW)
    set_kw = commands.get("p_set_kw")
    return {"p_limit_kw": limit_kw if set_kw is None else min(limit_kw, max(-set_kw, 0.0))}


def _storage(commands: Mapping[str, float]) -> dict[str, float]:
    """Battery: rests without a set-point; a limit holds back what it feeds in."""
    return {
        "p_set_kw": max(commands.get("p_set_kw", 0.0), -commands.get("p_limit_kw", AS_MUCH_AS_POSSIBLE_KW))
    }


def _charging(commands: Mapping[str, float]) -> dict[str, float]:
    """Charger: as much as possible without a set-point; a limit holds back what it draws."""
    wish_kw = min(commands.get("p_set_kw", AS_MUCH_AS_POSSIBLE_KW), AS_MUCH_AS_POSSIBLE_KW)
    return {"p_set_kw": min(wish_kw, commands.get("p_limit_kw", AS_MUCH_AS_POSSIBLE_KW))}


def _drawing(commands: Mapping[str, float]) -> dict[str, float]:
    """Water heater: set-point and limit both hold back what it draws."""
    wish_kw = min(
        commands.get("p_set_kw", AS_MUCH_AS_POSSIBLE_KW), commands.get("p_limit_kw", AS_MUCH_AS_POSSIBLE_KW)
    )
    return {"p_limit_kw": min(max(wish_kw, 0.0), AS_MUCH_AS_POSSIBLE_KW)}


_ASKED: Final[Mapping[str, Asked]] = {
    "pv_inverter": _feed_in,
    "battery": _storage,
    "ev_charger": _charging,
    "water_heater": _drawing,
}
_NAMEPLATES: Final[Mapping[str, Callable[[Mapping[str, float]], dict[str, float]]]] = {
    "pv_inverter": lambda p: {"p_rated_kw": p["p_rated_kw"], "s_rated_kva": p["s_rated_kva"]},
    "battery": lambda p: {name: p[name] for name in ("charge_kw", "discharge_kw", "capacity_kwh")},
    "ev_charger": lambda p: {"p_rated_kw": p["p_max_kw"], "capacity_kwh": p["capacity_kwh"]},
    "water_heater": lambda p: {"p_rated_kw": p["p_rated_kw"] + p["p_element_kw"]},
}
