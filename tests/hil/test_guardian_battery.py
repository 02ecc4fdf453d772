"""A guardian and a battery without a watchdog: its own state of charge, its safe value, commands on the same registers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from guard_rig import (
    BATTERY_TEXT,
    SET_ENABLED,
    SET_W,
    SOC,
    Feeder,
    Rig,
    armed,
    config_for,
    guard_place,
    state_of,
    told,
    written_map,
)

from hil_adapters.guard.link import started_guardian
from hil_adapters.guard.messages import GuardState, Image, Limits

MISSING = 0xFFFF


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the map of the battery, where guardians register too."""
    with guard_place(monkeypatch) as folder:
        written_map(folder, BATTERY_TEXT)
        yield folder


def commanded(image: Image, command: str = "p_set_kw") -> float | None:
    return image.devices["roof"].commanded.get(command)


def watts(rig: Rig) -> list[int]:
    """Return what was written to the set-point, consumption positive."""
    raw = [write["values"][0] for write in rig.writes() if write["address"] == SET_W]
    return [value - 0x10000 if value >= 0x8000 else value for value in raw]


def read(feeder: Feeder, soc: float) -> None:
    """Wait until the guardian has read a state of charge."""
    feeder.feed_until(lambda image: image.devices["roof"].signals["soc"].value == soc, "the state of charge")


def test_charging_ends_when_the_battery_itself_says_that_it_is_full(place: Path, rig: Rig) -> None:
    limits = {"soc": Limits(low=0.2, high=0.8)}
    with started_guardian(config_for(place, rig.port, limits=limits)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 3.0, "it charges", p_set_kw=3.0)
        rig.put(SOC, 80)
        feeder.feed_until(lambda image: commanded(image) == 0.0, "it stops", p_set_kw=3.0)
        feeder.feed_until(lambda image: commanded(image) == -2.0, "it discharges", p_set_kw=-2.0)
        told(feeder, "clamped to 0 by its state of charge of 0.800")
    assert watts(rig)[:3] == [3000, 0, -2000]


def test_a_battery_that_does_not_tell_its_state_of_charge_gets_its_safe_value(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 3.0, "it charges", p_set_kw=3.0)
        rig.put(SOC, MISSING)
        feeder.feed_until(lambda image: commanded(image) is None, "it is let go of", p_set_kw=3.0)
        told(feeder, "blindly")
        assert state_of(feeder.image) is GuardState.ARMED
    assert watts(rig) == [3000, 0]


def test_the_safe_value_of_a_point_is_written_instead_of_the_release(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == -4.0, "it discharges", p_set_kw=-4.0)
        link.trip("a test")
        assert [(write["address"], write["values"]) for write in rig.writes()[-2:]] == [
            (SET_W, [0]),
            (SET_ENABLED, [1]),
        ]


def test_two_commands_on_the_same_registers_do_not_fight(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 3.0, "it charges", p_set_kw=3.0)
        feeder.feed(p_set_kw=3.0, p_limit_kw=1.0)
        told(feeder, "p_set_kw is in force and uses the same registers")
        assert watts(rig) == [3000]


def test_what_is_in_force_is_not_written_again_where_there_is_no_watchdog(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 3.0, "it charges", p_set_kw=3.0)
        began = feeder.step
        feeder.feed_until(lambda _image: feeder.step > began + 300, "many steps", p_set_kw=3.0)
        assert len(rig.writes()) == 2


def test_a_battery_that_reads_its_state_of_charge_late_is_not_asked_before(place: Path, rig: Rig) -> None:
    rig.put(SOC, MISSING)
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed(p_set_kw=3.0)
        told(feeder, "blindly")
        assert rig.writes() == []
        rig.put(SOC, 50)
        read(feeder, 0.5)
        feeder.feed_until(lambda image: commanded(image) == 3.0, "it charges", p_set_kw=3.0)
