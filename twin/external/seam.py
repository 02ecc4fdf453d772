"""What a controller that someone outside decides for needs of a run, and what the run tells it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from twin.plant import FloatArray, Plant, total_by
from twin.simulators.ports import Array
from twin.simulators.recorder import Sink

__all__ = ["Around", "Measured", "Outside", "metered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Around a controller while it is open."""

    speed: float
    """Simulated over real time."""
    folder: Path
    """For what it keeps; belongs to it alone."""
    base_dir: Path
    """Folder of the scenario file; relative paths start here."""
    tell: Callable[[int, str], None]
    """Is given a step and what happened, for the events of the run."""
    say: Callable[[str], None]
    """Is given what a person in front of the screen must know at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What the meters of one finished step show; consumption positive. H homes, P PV generators, B batteries, A appliances."""

    step: int
    home_p_kw: FloatArray
    """Shape (H,)."""
    home_q_kvar: FloatArray
    """Shape (H,)."""
    vm_pu: FloatArray
    """Voltage at each home, shape (H,)."""
    pv_p_kw: FloatArray
    """Shape (P,)."""
    pv_q_kvar: FloatArray
    """Shape (P,)."""
    pv_available_kw: FloatArray
    """What the sun would give, shape (P,)."""
    battery_p_kw: FloatArray
    """Shape (B,)."""
    battery_q_kvar: FloatArray
    """Shape (B,)."""
    appliance_p_kw: FloatArray
    """Shape (A,)."""
    appliance_q_kvar: FloatArray
    """Shape (A,)."""


@runtime_checkable
class Outside(Protocol):
    """A controller that someone outside this program decides for; it needs real time and is open while it is used."""

    def opened(self, around: Around) -> AbstractContextManager[object]:
        """Return what lets the outside in while it is entered."""
        ...

    def replayed(self, recorded: Path) -> AbstractContextManager[object]:
        """Return what repeats, while it is entered, what was decided in a run that kept it in ``recorded``."""
        ...

    def measured(self, measured: Measured) -> None:
        """Take what the meters show at the end of a step."""
        ...


def metered(sink: Sink, controller: object, plant: Plant) -> Sink:
    """Return a sink that also tells a controller with an outside what was measured; others leave it as it is."""
    return _Metered(sink, controller, plant) if isinstance(controller, Outside) else sink


class _Metered:
    def __init__(self, sink: Sink, controller: Outside, plant: Plant) -> None:
        self._sink, self._controller, self._plant = sink, controller, plant

    def append(self, step: int, values: Mapping[str, Array]) -> None:
        self._sink.append(step, values)
        self._controller.measured(_measured(step, values, self._plant))


def _measured(step: int, values: Mapping[str, Array], plant: Plant) -> Measured:
    of_loads, n_homes = plant.appliance_load, plant.n_homes
    return Measured(
        step=step,
        home_p_kw=values["home.p_kw"],
        home_q_kvar=total_by(plant.load_home, values["load.q_kvar"], n_homes)
        + total_by(plant.pv_home, values["pv.q_kvar"], n_homes)
        + total_by(plant.battery_home, values["battery.q_kvar"], n_homes),
        vm_pu=values["bus.vm_pu"][plant.home_bus],
        pv_p_kw=values["pv.p_kw"],
        pv_q_kvar=values["pv.q_kvar"],
        pv_available_kw=values["pv.p_available_kw"],
        battery_p_kw=values["battery.p_kw"],
        battery_q_kvar=values["battery.q_kvar"],
        appliance_p_kw=values["load.p_kw"][of_loads],
        appliance_q_kvar=values["load.q_kvar"][of_loads],
    )
