"""Amounts that surround a device: told for a step, taken by its ticks."""

from collections.abc import Mapping
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_rigs import Clock, charger_map, vendor_device

from hil_adapters.virtual.amounts import Amounts
from hil_adapters.virtual.device import VirtualDevice
from twin.virtual.config import PhysicsConfig
from twin.virtual.physics import open_physics


class Driving:
    """Physics that note what they are told to have used."""

    nameplate: ClassVar = {"p_rated_kw": 7.4}
    taken: tuple[float, ...] = ()

    def step(
        self, commands: Mapping[str, float], world: Mapping[str, float], *, dt_s: float
    ) -> Mapping[str, float]:
        self.taken = (*self.taken, world["used_kwh"])
        return {"p_kw": 0.0}


def driven_device() -> tuple[VirtualDevice, Driving]:
    device = vendor_device(charger_map(), {"p_rated_kw": 7.4}, Clock(), world={"used_kwh": 0.0})
    device._physics = driving = Driving()
    return device, driving


def test_amounts_are_taken_once() -> None:
    device, driving = driven_device()
    device.tell({"used_kwh": 2.0})
    device.tell({"used_kwh": 1.0})
    device.step(0.1)
    device.step(0.1)
    assert driving.taken == (3.0, 0.0)


def test_amounts_of_a_step_are_spread_over_its_ticks() -> None:
    device, driving = driven_device()
    device.tell({"used_kwh": 3.0, "step_s": 0.5})
    for _ in range(7):
        device.step(0.1)
    assert driving.taken == pytest.approx((0.6, 0.6, 0.6, 0.6, 0.6, 0.0, 0.0))


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 10), st.floats(0.1, 60), st.integers(0, 30)), min_size=1, max_size=8
    )
)
@settings(deadline=None, max_examples=100)
def test_no_amount_is_lost_or_taken_twice_however_late_or_early_steps_come(
    steps: list[tuple[float, float, int]],
) -> None:
    amounts = Amounts()
    taken_kwh = 0.0
    for used_kwh, step_s, n_ticks in steps:
        amounts.tell({"used_kwh": used_kwh}, step_s=step_s)
        for _ in range(n_ticks):
            taken_kwh += amounts.take(1.7)["used_kwh"]
    taken_kwh += amounts.take(60.0)["used_kwh"]
    assert taken_kwh == pytest.approx(sum(used_kwh for used_kwh, _, _ in steps))


def test_a_car_drives_through_a_step_and_not_in_its_first_tick() -> None:
    config = PhysicsConfig(
        kind="ev_charger", parameters={"capacity_kwh": 50.0, "soc_start": 0.8}, inputs={"plugged": 0.0}
    )
    device, _ = driven_device()
    physics = open_physics(config, label="car")
    device._physics = physics
    device.tell({"used_kwh": 5.0, "step_s": 10.0, "plugged": 0.0})
    charges = []
    for _ in range(20):
        device.step(1.0)
        charges.append(device.state.soc)
    physics.close()
    assert charges[0] == pytest.approx(0.79)
    assert charges[4] == pytest.approx(0.75)
    assert charges[9:] == pytest.approx([0.7] * 11)
