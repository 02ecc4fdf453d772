"""Devices that do not pass their acceptance test, and what is not written to them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance_rig import FlakyBank, FollowingBank, MuteBank, accepted, limited_map, options_for, serving
from guard_rig import ENABLED, LIMIT, guard_place

from hil_adapters.acceptance.options import MeterOptions
from hil_adapters.acceptance.results import AcceptanceResult, Outcome
from hil_adapters.acceptance.suite import run_acceptance
from hil_adapters.guard.evidence import release_objection


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that a socket's path fits in, where guardians register."""
    patch = pytest.MonkeyPatch()
    with patch.context() as inside, guard_place(inside) as folder:
        yield folder


def test_a_device_that_does_not_follow_its_limit_fails_the_step_and_is_released(place: Path) -> None:
    run = accepted(place, FollowingBank(deaf=True), settle_s=1.0)
    assert run.names(Outcome.FAILED)[:2] == ["step of p_limit_kw", "execution within 10 s of p_limit_kw"]
    assert "check sign, unit and scale" in run.check("step of p_limit_kw").text
    assert not run.result.passed
    assert run.bank.registers[ENABLED] == 0


def test_a_device_that_somebody_else_commands_is_not_written_to(place: Path) -> None:
    bank = FollowingBank(holds_for_ever=True)
    bank.registers[ENABLED], bank.registers[LIMIT] = 1, 60
    run = accepted(place, bank)
    assert run.names(Outcome.FAILED) == ["nobody commands it"]
    assert bank.log == []
    assert bank.registers[LIMIT] == 60


def test_without_confirmation_nothing_is_written_and_nothing_is_proven(place: Path) -> None:
    run = accepted(place, FollowingBank(), confirmation=None)
    assert run.bank.log == []
    assert run.result.passed
    assert run.result.report.watchdog == {}
    assert release_objection(run.result.report, "p_limit_kw", timeout_s=1.0) is not None


def test_a_command_without_a_limit_of_the_lab_is_not_tried(place: Path) -> None:
    run = accepted(place, FollowingBank(), limits={})
    assert run.bank.log == []
    assert "--limit p_limit_kw=LOW:HIGH" in run.check("command p_limit_kw").text


def test_another_serial_number_as_typed_lets_nothing_be_written(place: Path) -> None:
    run = accepted(place, FollowingBank(), confirmation="SN-4712")
    assert run.bank.log == []
    assert "not confirmed" in run.check("arming for the test").text


def test_a_map_with_the_wrong_sign_is_found_with_a_meter(place: Path) -> None:
    binding = "p_kw: {point: power_w, sign: generation}"
    wrong = limited_map(place, (binding, binding.replace("generation", "consumption")))
    reversed_map = place / "reversed.yaml"
    wrong.rename(reversed_map)
    right = limited_map(place)

    async def work() -> AcceptanceResult:
        async with serving(FollowingBank()) as port, serving(FollowingBank()) as meter_port:
            target = options_for(right, meter_port).target
            meter = MeterOptions(map_file=right, target=target, unit=1)
            options = options_for(reversed_map, port, confirmation=None, meter=meter)
            return await run_acceptance(options, watch=lambda _: None)

    result = asyncio.run(work())
    check = next(check for check in result.results if check.name == "scale and sign against a meter")
    assert check.outcome is Outcome.FAILED
    assert "the sign is reversed" in check.text


def test_a_meter_that_does_not_answer_is_a_failed_check_and_not_the_end(place: Path) -> None:
    async def free_port() -> int:
        async with serving(FollowingBank()) as port:
            return port

    target = options_for(place / "guarded.yaml", asyncio.run(free_port())).target
    meter = MeterOptions(map_file=limited_map(place), target=target, unit=1)
    run = accepted(place, FollowingBank(), confirmation=None, meter=meter)
    assert "the meter cannot be read" in run.check("scale and sign against a meter").text


def test_impossible_readings_are_told(place: Path) -> None:
    bank = FollowingBank()
    bank.registers[23] = 900  # degC
    run = accepted(place, bank, confirmation=None)
    assert "temp_degc is 900" in run.check("plausibility").text
    assert not run.result.passed


def test_a_device_that_fails_now_and_then_fails_the_check_of_errors_and_not_the_test(place: Path) -> None:
    run = accepted(place, FlakyBank())
    assert "exception" in run.check("errors").text
    assert "errors must pass first" in run.check("commands").text
    assert run.bank.log == []
    assert run.check("errors").outcome is Outcome.FAILED
    assert run.check("identity").outcome is Outcome.PASSED


def test_a_point_without_a_value_matters_only_where_it_is_needed(place: Path) -> None:
    missing = "missing: [0x7FFF], "
    temperature = ("address: 23, type: int16, ", f"address: 23, type: int16, {missing}")
    power = ("address: 22, type: int16, ", f"address: 22, type: int16, {missing}")
    bank = FollowingBank()
    bank.registers[23] = 0x7FFF
    run = accepted(place, bank, map_file=limited_map(place, temperature), confirmation=None)
    assert run.result.passed
    assert "signals without a value: temp_degc" in run.check("values").text
    blind = MuteBank()
    run = accepted(place, blind, map_file=limited_map(place, power), confirmation=None)
    assert "power_w must have one" in run.check("values").text
    assert not run.result.passed
