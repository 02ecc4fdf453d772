"""A guardian and an emulated SunSpec battery, whose set-point is a window with two ends (model 124)."""

from collections.abc import Callable
from pathlib import Path

import pytest
from guard_rig import Feeder, audit_of, config_for, until
from virtual_hosts import host_of

from hil_adapters.guard.link import started_guardian
from hil_adapters.guard.messages import GuardState, Image
from hil_adapters.maps.loader import map_file
from twin.virtual.config import PhysicsConfig, VirtualDeviceConfig
from twin.virtual.link import started_host

ENDS = {"124.InWRte", "124.OutWRte"}


def battery() -> VirtualDeviceConfig:
    parameters = {"capacity_kwh": 20.0, "charge_kw": 10.0, "discharge_kw": 10.0, "soc_start": 0.5}
    physics = PhysicsConfig(kind="battery", parameters=parameters)
    return VirtualDeviceConfig(name="roof", map="sunspec_battery", serial="SN-4711", physics=physics)


def power_kw(image: Image) -> float:
    sample = image.devices["roof"].signals.get("p_kw")
    return float("nan") if sample is None else sample.value


def reached(asked_kw: float) -> Callable[[Image], bool]:
    return lambda image: abs(power_kw(image) - asked_kw) < 0.02


@pytest.mark.parametrize("asked_kw", [(2.0, 4.0, 6.0), (6.0, 4.0, 2.0), (-6.0, 3.0, -2.0)])
def test_both_ends_of_the_window_follow_the_set_point(place: Path, asked_kw: tuple[float, ...]) -> None:
    with started_host(host_of(battery())) as host:
        config = config_for(place, host.ports["roof"], map_file=map_file("sunspec_battery"))
        with started_guardian(config) as link:
            feeder = Feeder(link.exchange)
            until(lambda: feeder.look().devices["roof"].state is GuardState.ARMED, "armed")
            for value in asked_kw:
                took_s = feeder.feed_until(reached(value), f"{value} kW", p_set_kw=value)
                assert took_s < 5.0, "a third of the watchdog is 10 s: the next refresh would bring it too"
    writes = [line for line in audit_of(place) if line["event"] == "write" and line["point"] in ENDS]
    pairs = list(zip(writes[::2], writes[1::2], strict=True))
    assert len(pairs) >= len(asked_kw)
    for first, second in pairs:
        assert {first["point"], second["point"]} == ENDS
        assert first["value"] == -second["value"], "the window is one value wide"
