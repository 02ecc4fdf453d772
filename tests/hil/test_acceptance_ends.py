"""How an acceptance test ends before its time, and its ramps."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance_rig import FollowingBank, accepted, limited_map, options_for, serving
from guard_rig import ENABLED, LIMIT, RATED_KW, guard_place

from hil_adapters.acceptance.results import Outcome
from hil_adapters.acceptance.suite import run_acceptance
from hil_adapters.errors import IdentityError, LinkLostError, TrippedError
from hil_adapters.guard.messages import Limits
from hil_adapters.guard.registry import Stopped, estop


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that a socket's path fits in, where guardians register."""
    patch = pytest.MonkeyPatch()
    with patch.context() as inside, guard_place(inside) as folder:
        yield folder


def test_a_device_that_does_not_answer_ends_the_test_at_once(place: Path) -> None:
    async def work() -> None:
        async with serving(FollowingBank()) as port:
            pass
        await run_acceptance(options_for(limited_map(place), port), watch=lambda _: None)

    with pytest.raises(LinkLostError):
        asyncio.run(work())


def test_another_device_than_the_expected_one_ends_the_test_before_anything_is_written(place: Path) -> None:
    bank = FollowingBank()

    async def work() -> None:
        async with serving(bank) as port:
            await run_acceptance(
                options_for(limited_map(place), port, serial="SN-1", confirmation="SN-1"),
                watch=lambda _: None,
            )

    with pytest.raises(IdentityError, match="SN-4711"):
        asyncio.run(work())
    assert bank.log == []


async def _in_force(bank: FollowingBank) -> None:
    while bank.registers[ENABLED] != 1:  # noqa: ASYNC110 - a register of a test has no event
        await asyncio.sleep(0.01)


def test_an_interrupted_test_leaves_the_device_released(place: Path) -> None:
    bank = FollowingBank(holds_for_ever=True)

    async def work() -> None:
        async with serving(bank) as port:
            options = options_for(limited_map(place), port)
            test = asyncio.create_task(run_acceptance(options, watch=lambda _: None))
            await asyncio.wait_for(_in_force(bank), 20)
            test.cancel()
            with pytest.raises(asyncio.CancelledError):
                await test

    asyncio.run(work())
    assert bank.registers[ENABLED] == 0
    released = [entry for entry in bank.log if entry["address"] == ENABLED]
    assert released[-1]["values"] == [0]


def test_an_estop_from_elsewhere_ends_the_test_and_releases_the_device(place: Path) -> None:
    bank = FollowingBank(holds_for_ever=True)
    stopped: list[Stopped] = []

    async def work() -> None:
        async with serving(bank) as port:
            options = options_for(limited_map(place), port)
            test = asyncio.create_task(run_acceptance(options, watch=lambda _: None))
            await asyncio.wait_for(_in_force(bank), 20)
            stopped.extend(await asyncio.to_thread(estop, "a person pressed it"))
            await test

    with pytest.raises(TrippedError, match="a person pressed it"):
        asyncio.run(work())
    assert [entry.error for entry in stopped] == [None]
    assert bank.registers[ENABLED] == 0


def test_limits_with_a_ramp_are_kept_to_while_a_step_is_tried(place: Path) -> None:
    slow = {"p_limit_kw": Limits(low=0.5, high=3.0, ramp_per_s=2.0)}
    run = accepted(place, FollowingBank(), limits=slow)
    assert run.check("step of p_limit_kw").outcome is Outcome.PASSED
    steps = [
        (first, second)
        for first, second in zip(run.bank.log, run.bank.log[1:], strict=False)
        if first["address"] == second["address"] == LIMIT
    ]
    for first, second in steps:
        change_kw = abs(second["values"][0] - first["values"][0]) / 100.0 * RATED_KW
        assert change_kw <= 2.0 * max(second["at_s"] - first["at_s"], 0.0) + 0.06
