"""A small site whose first home somebody outside controls, and what that needs of a run."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from models.battery import BatteryFleet
from twin.control.base import Forecast, Observation, Site
from twin.external.controller import External
from twin.external.seam import Around, Measured

__all__ = ["EMS_FILE", "Told", "around", "ems_module", "measured", "observation", "site", "write_house"]

HOUSE = """
name: outside
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20T10:00, duration_s: 30 min, step_s: 60}
sources:
  house: {file: house.csv, unit: "1", time_zone: Europe/Rome}
devices:
  - {kind: load, from: feeder, profile: house.load}
  - {kind: pv, name: Roof, home: Load R11, profile: house.sun, p_peak_kw: 6}
  - {kind: battery, name: Store, home: Load R11, capacity_kwh: 10, power_kw: 5, soc_start: 0.5}
live: {speed: 400}
strategies:
  self_consumption:
  outside: STRATEGY
"""
EMS_FILE = Path(__file__).parents[2] / "scenarios/outside_ems.py"


class _NoForecast:
    def window(self, step: int, horizon: int) -> Any:
        raise AssertionError("nobody asks here")

    def prices(self, step: int, horizon: int) -> Any:
        raise AssertionError("nobody asks here")


def site() -> Site:
    """Return two homes: one with PV, a battery and a charger, one with two PV generators and a battery."""
    two = np.ones(2)
    return Site(
        dt_s=60,
        n_steps=60,
        steps_per_day=1440,
        home_name=("ours", "next"),
        pv_home=np.array([1, 0, 1]),
        pv_rated_kw=np.array([3.0, 6.0, 2.0]),
        battery_home=np.array([1, 0]),
        battery=BatteryFleet(
            capacity_kwh=np.array([5.0, 10.0]),
            charge_kw=np.array([2.0, 5.0]),
            discharge_kw=np.array([2.0, 4.0]),
            eta_charge=0.95 * two,
            eta_discharge=0.95 * two,
            soc_min=0.1 * two,
            soc_max=two,
            loss_per_day=0.0 * two,
        ),
        appliance_name=("our car",),
        appliance_home=np.array([0]),
    )


def observation(step: int = 0, **changed: Any) -> Observation:
    """Return what a strategy sees of the site: a surplus of 3 kW at the first home, a deficit of 1 kW at the other."""
    forecast: Forecast = _NoForecast()
    values: dict[str, Any] = {
        "load_kw": np.array([1.0, 1.0]),
        "pv_kw": np.array([-4.0, 0.0]),
        "soc": np.array([0.5, 0.625]),
        "vm_pu": np.full(2, np.nan),
        "grid_kw": np.full(2, np.nan),
        "appliance_kw": np.array([0.0]),
        **changed,
    }
    return Observation(
        step=step,
        time_s=60 * step,
        price_import_eur_kwh=0.25,
        price_export_eur_kwh=0.08,
        forecast=forecast,
        **values,
    )


def measured(step: int = 0, **changed: Any) -> Measured:
    """Return what the meters show: 2.5 kW fed in by the first home at 1.02 pu."""
    values: dict[str, Any] = {
        "home_p_kw": np.array([-2.5, 0.5]),
        "home_q_kvar": np.array([0.75, 0.0]),
        "vm_pu": np.array([1.02, 1.0]),
        "pv_p_kw": np.array([0.0, -4.5, 0.0]),
        "pv_q_kvar": np.array([0.0, 0.5, 0.0]),
        "pv_available_kw": np.array([0.0, -5.0, 0.0]),
        "battery_p_kw": np.array([0.0, 1.25]),
        "battery_q_kvar": np.array([0.0, 0.0]),
        "appliance_p_kw": np.array([3.5]),
        "appliance_q_kvar": np.array([0.0]),
        **changed,
    }
    return Measured(step=step, **values)


@dataclass
class Told:
    """What a controller says while it is open."""

    events: list[tuple[int, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """Texts of the events."""
        return [text for _, text in self.events]


@contextmanager
def around(controller: External, folder: Path, *, speed: float = 60.0) -> Iterator[Told]:
    """Open a controller as a run does."""
    told = Told()
    surroundings = Around(
        speed=speed,
        folder=folder / "outside",
        base_dir=folder,
        tell=lambda step, text: told.events.append((step, text)),
        say=told.said.append,
    )
    with controller.opened(surroundings):
        yield told


def ems_module() -> ModuleType:
    """Return the EMS of scenario 09, which has a Modbus client of its own."""
    spec = importlib.util.spec_from_file_location("outside_ems_under_test", EMS_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    load: Callable[[ModuleType], None] = spec.loader.exec_module
    load(module)
    return module


def write_house(folder: Path, strategy: str) -> Path:
    """Write the scenario of a house under passing clouds, half an hour at 0.15 s a step, and return its path.

    ``strategy`` is the entry of the strategy ``outside``, in one line of YAML.
    """
    rows = [
        f"2026-06-20T{10 + minute // 60:02d}:{minute % 60:02d},{0.05 + 0.01 * (minute % 7):.3f},{0.9 - 0.1 * (minute % 5):.3f}"
        for minute in range(120)
    ]
    (folder / "house.csv").write_text("time,load,sun\n" + "\n".join(rows) + "\n")
    path = folder / "house.yaml"
    path.write_text(HOUSE.replace("STRATEGY", strategy))
    return path
