"""Limits, ramps and intervals against a device and a line that do not behave."""

import asyncio
import itertools
import time
from pathlib import Path

import pytest
from guard_rig import (
    BATTERY_TEXT,
    ENABLED,
    LIMIT,
    MAP_TEXT,
    SET_ENABLED,
    SET_W,
    TIMER,
    Rig,
    armed,
    commanded,
    config_for,
    running_inverter,
    state_of,
    told,
    written_map,
)

from hil_adapters.guard.assembling import assembled
from hil_adapters.guard.guardian import Guardian
from hil_adapters.guard.link import started_guardian
from hil_adapters.guard.messages import GuardianConfig, GuardState, Limits

FEEDER_TIMEOUT_S = 2.0


# ---------------------------------------------------------------------- limits


def test_rounding_does_not_lead_beyond_the_limit_of_the_lab(place: Path, rig: Rig) -> None:
    # 1 % of 5 kW are 50 W: 2.333 kW are 46.66 %, and 47 % would be 2.35 kW
    config = config_for(place, rig.port, limits={"p_limit_kw": Limits(low=1.333, high=2.333)})
    with started_guardian(config) as link:
        feeder = armed(link)
        feeder.feed_until(
            lambda image: commanded(image) == pytest.approx(2.3), "the upper end", p_limit_kw=5.0
        )
        n_writes = len(rig.writes())
        began_s = time.monotonic()
        feeder.feed_until(lambda _image: time.monotonic() - began_s > 0.5, "time passes", p_limit_kw=5.0)
        assert len(rig.writes()) - n_writes <= 3 * 3, "it is there, and only refreshed"
        feeder.feed_until(
            lambda image: commanded(image) == pytest.approx(1.35), "the lower end", p_limit_kw=0.0
        )
    values = {write["values"][0] for write in rig.writes() if write["address"] == LIMIT}
    assert values == {46, 27}


def test_nothing_is_asked_of_a_device_whose_bounded_temperature_is_not_known(place: Path) -> None:
    written_map(
        place, MAP_TEXT.replace("unit: degC, group: fast", "unit: degC, group: fast, missing: [0x8000]")
    )
    with running_inverter(place) as rig:
        config = config_for(place, rig.port, limits={"temp_degc": Limits(low=-20.0, high=60.0)})
        with started_guardian(config) as link:
            feeder = armed(link)
            feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
            rig.put(23, 0x8000)
            feeder.feed_until(lambda image: commanded(image) is None, "released", p_limit_kw=2.0)
            assert "temp_degc" in told(feeder, "not known")
            rig.put(23, 25)
            feeder.feed_until(lambda image: commanded(image) == 2.0, "in force again", p_limit_kw=2.0)


def test_releasing_in_between_does_not_get_around_the_shortest_time_between_two_writes(place: Path) -> None:
    written_map(
        place,
        MAP_TEXT.replace(
            "    high: 100\n    class: volatile\n",
            "    high: 100\n    min_interval_s: 2\n    class: volatile\n",
        ),
    )
    with running_inverter(place) as rig, started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        for _ in range(4):
            feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
            feeder.feed_until(lambda image: commanded(image) is None, "released", p_limit_kw=float("inf"))
        at_s = [write["at_s"] for write in rig.writes() if write["address"] == LIMIT]
        assert min(later - earlier for earlier, later in itertools.pairwise(at_s)) > 1.5


# ---------------------------------------------------------------------- the device


def test_without_a_timer_that_reads_back_no_set_point_follows(place: Path, rig: Rig) -> None:
    rig.ignore(TIMER)
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: state_of(image) is GuardState.TRIPPED, "tripped", p_limit_kw=2.0)
        told(feeder, "limit_timer holds 0 after 2 was written")
    assert LIMIT not in {write["address"] for write in rig.writes()}


def test_a_timer_that_stops_being_kept_trips_and_lets_go(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        rig.put(TIMER, 0)
        rig.ignore(TIMER)
        feeder.feed_until(lambda image: state_of(image) is GuardState.TRIPPED, "tripped", p_limit_kw=2.0)
        told(feeder, "safe state reached")
        assert (rig.writes()[-1]["address"], rig.writes()[-1]["values"]) == (ENABLED, [0])


async def flapping(config: GuardianConfig, *, for_s: float) -> None:
    with assembled(config) as devices:
        guardian = Guardian(config, devices, clock_with_sleep=time.monotonic)
        life = asyncio.create_task(guardian.run())
        guard, session, step = devices.guards["roof"], devices.sessions["roof"], 0
        async with asyncio.timeout(20.0):
            while True:
                if guard.states.state is GuardState.ARMED:
                    break
                await asyncio.sleep(0.02)
        began_s = time.monotonic()
        while (now_s := time.monotonic()) - began_s < for_s:
            step += 1
            devices.feed.finished(step, sent_s=now_s, expires_s=60.0, now_s=now_s)
            guard.offer({"p_limit_kw": 0.0}, expires_s=now_s + 60.0, step=step)
            if step % 8 == 0:
                await session.give_up("the line flaps")
            await asyncio.sleep(0.05)
        guardian.end("the test is over")
        await life


def test_a_connection_that_flaps_does_not_make_a_ramp_steeper(place: Path, rig: Rig) -> None:
    # 0.5 kW/s are 10 % of the rating a second
    limits = {"p_limit_kw": Limits(low=0.0, high=5.0, ramp_per_s=0.5)}
    asyncio.run(flapping(config_for(place, rig.port, limits=limits), for_s=4.0))
    written = [(write["at_s"], write["values"][0]) for write in rig.writes() if write["address"] == LIMIT]
    began_s, _ = written[0]
    assert len(written) > 4
    for at_s, percent in written:
        assert 100 - percent <= 10.0 * (at_s - began_s + 1.0) + 1.0


def test_a_safe_value_that_is_not_zero_is_what_remains(place: Path) -> None:
    written_map(place, BATTERY_TEXT.replace("safe: 0", "safe: 1500"))
    with running_inverter(place) as rig, started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(
            lambda image: image.devices["roof"].commanded.get("p_set_kw") == -3.0, "in force", p_set_kw=-3.0
        )
        link.trip("e-stop")
        n_writes = len(rig.writes())
        assert [(w["address"], w["values"]) for w in rig.writes()[-2:]] == [
            (SET_W, [1500]),
            (SET_ENABLED, [1]),
        ]
        assert link.stop().devices["roof"].released
        assert len(rig.writes()) == n_writes
