"""The loop of a run without a feeder, on numbers worked by hand."""

import numpy as np
import pytest

from models.battery import BatteryFleet
from twin.control import Proposal, Site
from twin.control.forecast import PerfectForecast
from twin.control.rehearsal import rehearse
from twin.errors import ControllerError


class Script:
    """Ask for what is written down, and keep what was seen."""

    def __init__(self, battery_kw, pv_limit_kw=None):
        self.battery_kw, self.pv_limit_kw, self.seen = battery_kw, pv_limit_kw, []

    def decide(self, seen):
        self.seen.append(seen)
        return Proposal(battery_kw=np.array([self.battery_kw[seen.step]]), pv_limit_kw=self.pv_limit_kw)


@pytest.fixture
def rehearsed():
    one = np.ones(1)
    site = Site(
        dt_s=1800,
        n_steps=2,
        steps_per_day=48,
        home_name=("home",),
        pv_home=np.zeros(2, dtype=np.int64),
        pv_rated_kw=np.full(2, 3.0),
        battery_home=np.zeros(1, dtype=np.int64),
        battery=BatteryFleet(
            capacity_kwh=4 * one,
            charge_kw=2 * one,
            discharge_kw=2 * one,
            eta_charge=0.5 * one,
            eta_discharge=one,
            soc_min=0 * one,
            soc_max=one,
            loss_per_day=0 * one,
        ),
    )
    known = PerfectForecast(
        load_kw=np.array([[1.0], [1.0]]),
        pv_kw=np.array([[-4.0], [0.0]]),
        price_import_eur_kwh=np.array([0.3, 0.2]),
        price_export_eur_kwh=np.array([0.1, 0.1]),
    )

    def run(controller):
        return rehearse(
            controller,
            site,
            pv_available_kw=np.array([[-3.0, -1.0], [0.0, 0.0]]),
            soc_start=np.array([0.25]),
            forecast=known,
        )

    return run


# Step 1: 1 kW load, 4 kW PV, 2 kW into the battery (half of it is stored: 0.5 kWh): 1 kW exported, 0.5 kWh at 0.10.
# Step 2: 9 kW are asked for, 2 kW can be had: 1 kW exported, 0.5 kWh at 0.10.
def test_energy_and_money_are_as_worked_by_hand(rehearsed):
    done = rehearsed(Script([2.0, -9.0]))
    assert done.battery_kw[:, 0] == pytest.approx([2.0, -2.0])
    assert done.soc[:, 0] == pytest.approx([0.25, 0.375, 0.125])
    assert done.grid_kw[:, 0] == pytest.approx([-1.0, -1.0])
    assert done.cost_eur == pytest.approx([-0.10])


def test_a_pv_limit_holds_each_generator(rehearsed):
    done = rehearsed(Script([0.0, 0.0], pv_limit_kw=np.array([0.5, np.inf])))
    assert done.grid_kw[:, 0] == pytest.approx([-0.5, 1.0])
    assert done.cost_eur == pytest.approx([-0.025 + 0.1])


def test_the_meter_is_seen_one_step_late_and_cannot_be_written(rehearsed):
    controller = Script([0.0, 0.0])
    rehearsed(controller)
    first, second = controller.seen
    assert np.isnan(first.grid_kw[0])
    assert np.isnan(first.vm_pu[0])
    assert (second.grid_kw[0], second.vm_pu[0], second.time_s) == (-3.0, 1.0, 1800)
    with pytest.raises(ValueError, match="read-only"):
        second.soc[0] = 1.0


def test_a_bad_proposal_stops_the_loop(rehearsed):
    with pytest.raises(ControllerError, match=r"battery_kw\[0\] = nan"):
        rehearsed(Script([0.0, np.nan]))
