"""The strategy: sees the step's own meters and the feeder of the step before, proposes set-points."""

import traceback
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from twin.control.base import Controller, Forecast, Observation, Proposal, Site
from twin.control.checks import checked
from twin.errors import ControllerError
from twin.plant import IntArray, Plant, total_by
from twin.signals import Axis
from twin.simulators.ports import Array, ports

__all__ = ["ControlCore"]


class ControlCore:
    """Builds the frozen image, asks the controller, hands the checked proposal on."""

    name = "control"

    def __init__(
        self,
        plant: Plant,
        sizes: Mapping[Axis, int],
        *,
        controller: Controller,
        site: Site,
        forecast: Forecast,
    ) -> None:
        self.dt_s = plant.dt_s
        self._plant = plant
        self._controller = controller
        self._site = site
        self._forecast = forecast
        self._unlimited = np.full(sizes[Axis.PV], np.inf)
        self.inputs = ports(
            (
                "load.p_kw",
                "pv.p_available_kw",
                "feeder.price_import_eur_kwh",
                "feeder.price_export_eur_kwh",
                "battery.soc_end",
                "home.vm_pu",
                "home.p_kw",
            ),
            sizes,
            plant.dt_s,
        )
        self._appliance_load = plant.appliance_load
        self._as_wanted = np.full(sizes[Axis.LOAD], np.inf)
        self.outputs = ports(("battery.p_set_kw", "pv.p_limit_kw", "load.p_set_kw"), sizes, plant.dt_s)

    def advance(self, step: int, values: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return what the strategy asks for in this step."""
        plant = self._plant
        seen = Observation(
            step=step,
            time_s=step * self.dt_s,
            load_kw=_per_home(plant.load_home, values["load.p_kw"], plant.n_homes),
            pv_kw=_per_home(plant.pv_home, values["pv.p_available_kw"], plant.n_homes),
            soc=values["battery.soc_end"],
            vm_pu=values["home.vm_pu"],
            grid_kw=values["home.p_kw"],
            price_import_eur_kwh=float(values["feeder.price_import_eur_kwh"][0]),
            price_export_eur_kwh=float(values["feeder.price_export_eur_kwh"][0]),
            forecast=self._forecast,
            appliance_kw=values["load.p_kw"][self._appliance_load],
        )
        proposal = checked(self._decide(seen), self._site)
        limit_kw = self._unlimited if proposal.pv_limit_kw is None else proposal.pv_limit_kw
        load_kw = self._as_wanted.copy()
        if proposal.appliance_kw is not None:
            load_kw[self._appliance_load] = proposal.appliance_kw
        return {
            "battery.p_set_kw": proposal.battery_kw.copy(),
            "pv.p_limit_kw": limit_kw.copy(),
            "load.p_set_kw": load_kw,
        }

    def _decide(self, seen: Observation) -> Proposal:
        try:
            return self._controller.decide(seen)
        except (KeyboardInterrupt, ControllerError):
            raise
        except BaseException as error:
            # whatever a user's strategy raises, even an exit, is a failure of the strategy and not of the program
            text = f"{type(error).__name__}: {error} ({_innermost(error)})"
            raise ControllerError(f"the strategy failed: {text}") from error


def _innermost(error: BaseException) -> str:
    """Return file and line where an error was raised, as an author looks for it."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"


def _per_home(home: IntArray, p_kw: Array, n_homes: int) -> Array:
    total = total_by(home, p_kw, n_homes)
    total.flags.writeable = False
    return total
