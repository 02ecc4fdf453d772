"""A guardian with a defect of its own still lets go of the device; one with many devices still answers at once."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from guard_rig import ENABLED, Rig, config_for, running_inverter

from hil_adapters.guard import device_guard
from hil_adapters.guard.assembling import assembled
from hil_adapters.guard.device_guard import DeviceGuard
from hil_adapters.guard.feed import Feed
from hil_adapters.guard.guardian import Guardian
from hil_adapters.guard.messages import FinalReport, GuardianConfig, GuardState

PATIENCE_S = 20.0


class Defect(Exception):  # noqa: N818 - it stands for any mistake in the program
    """Something that nobody foresaw."""


async def limited(guard: DeviceGuard, feed: Feed) -> None:
    """Wait until the device is armed, and bring a limit of 2 kW into force."""
    step = 0
    async with asyncio.timeout(PATIENCE_S):
        while guard.image().commanded.get("p_limit_kw") != 2.0:
            step += 1
            now_s = time.monotonic()
            feed.finished(step, sent_s=now_s, expires_s=60.0, now_s=now_s)
            guard.offer({"p_limit_kw": 2.0}, expires_s=now_s + 60.0, step=step)
            await asyncio.sleep(0.02)


async def reached(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


async def with_a_defect(config: GuardianConfig, monkeypatch: pytest.MonkeyPatch) -> FinalReport:
    with assembled(config) as devices:
        guardian = Guardian(config, devices, clock_with_sleep=time.monotonic)
        life = asyncio.create_task(guardian.run())
        await limited(devices.guards["roof"], devices.feed)

        def broken(_guard: DeviceGuard, _now_s: float) -> None:
            raise Defect

        monkeypatch.setattr(DeviceGuard, "_watch_conditions", broken)
        return await life


def test_a_defect_in_the_guard_ends_it_with_the_device_released(
    place: Path, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = asyncio.run(with_a_defect(config_for(place, rig.port), monkeypatch))
    assert "Defect" in report.reason
    assert report.devices["roof"].released
    assert (rig.writes()[-1]["address"], rig.writes()[-1]["values"]) == (ENABLED, [0])


async def exchanged(config: GuardianConfig, rig: Rig) -> FinalReport:
    with assembled(config) as devices:
        guardian = Guardian(config, devices, clock_with_sleep=time.monotonic)
        life = asyncio.create_task(guardian.run())
        guard = devices.guards["roof"]
        await limited(guard, devices.feed)
        rig.process.kill()
        await reached(lambda: not guard.image().commanded)
        with running_inverter(config.folder.parent, rig.port, serial="SN-9"):
            await reached(lambda: guard.states.state is GuardState.TRIPPED)
            guardian.end("the test is over")
            return await life


def test_another_device_that_goes_on_answering_trips(
    place: Path, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_guard, "_FOREIGN_S", 0.2)
    config = config_for(place, rig.port, feed_timeout_s=PATIENCE_S)
    report = asyncio.run(exchanged(config, rig))
    assert report.devices["roof"].state is GuardState.TRIPPED
    assert any("tripped: another device" in event for event in report.events)
    # the last write is one of the limit: to the other device nothing went, not even a release
    assert rig.writes()[-1]["values"] != [0]


async def slept(config: GuardianConfig) -> tuple[FinalReport, GuardState]:
    asleep_s = 0.0
    with assembled(config) as devices:
        guardian = Guardian(config, devices, clock_with_sleep=lambda: time.monotonic() + asleep_s)
        life = asyncio.create_task(guardian.run())
        guard = devices.guards["roof"]
        await limited(guard, devices.feed)
        asleep_s = 3600.0
        await reached(lambda: guard.states.state is GuardState.TRIPPED)
        state = guard.states.state
        guardian.end("the test is over")
        return await life, state


def test_a_machine_that_slept_trips_before_anything_else_is_written(place: Path, rig: Rig) -> None:
    report, state = asyncio.run(slept(config_for(place, rig.port)))
    assert state is GuardState.TRIPPED
    assert report.devices["roof"].state is GuardState.TRIPPED
    assert any("slept for 3600 s" in event for event in report.events)
    assert rig.writes()[-1]["values"] == [0]
