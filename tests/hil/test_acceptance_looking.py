"""Looking at devices without writing: everything they say, the map that fits, a draft of one, a scan, the page of a report."""

import asyncio
import contextlib
import datetime as dt
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from acceptance_rig import FollowingBank, limited_map, serving
from guard_rig import SERIAL
from virtual_rigs import Clock, sunspec_device

from hil_adapters.acceptance.drafting import draft_of, write_draft
from hil_adapters.acceptance.looking import Exploration, Look, best_map, explore, look_at, who_answers
from hil_adapters.acceptance.pages import figure
from hil_adapters.acceptance.results import (
    CheckResult,
    Findings,
    Outcome,
    Trace,
    failed,
    not_applicable,
    passed,
    report_of,
)
from hil_adapters.acceptance.scanning import UnitFound, scan_units
from hil_adapters.device.identity import Identity
from hil_adapters.errors import IdentityError, MapError
from hil_adapters.maps.loader import load_map
from hil_adapters.samples import Quality
from hil_adapters.sunspec.chain import Chain, ChainModel
from hil_adapters.virtual.serving import Station, served
from hil_adapters.wire.base import Bank, TcpTarget

NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)


def at(port: int) -> TcpTarget:
    return TcpTarget(host="127.0.0.1", port=port)


@contextlib.asynccontextmanager
async def device(kind: str) -> AsyncIterator[TcpTarget]:
    """Serve a SunSpec device of a kind."""
    virtual = sunspec_device(kind, Clock())
    virtual.step(1.0)
    async with served([Station(banks={virtual.bank.unit: virtual.bank})]) as ports:
        yield at(ports[0])


def explored(kind: str) -> Exploration:
    async def work() -> Exploration:
        async with device(kind) as target:
            return await explore(target, 1)

    return asyncio.run(work())


@pytest.mark.parametrize("kind", ["pv", "battery", "meter"])
def test_the_map_of_its_kind_fits_best(kind: str) -> None:
    assert explored(kind).look.map.name == f"sunspec_{kind}"


def test_of_models_that_no_map_knows_none_fits() -> None:
    chain = Chain(base=40000, models=(ChainModel(model=64999, address=40002, length=10),))
    with pytest.raises(MapError, match="64999"):
        best_map(chain)


@pytest.mark.parametrize("kind", ["pv", "battery", "meter"])
def test_a_draft_reads_the_device_as_the_map_with_discovery_does(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "draft.yaml"

    async def work() -> tuple[Exploration, Look]:
        async with device(kind) as target:
            found = await explore(target, 1)
            write_draft(found, file)
            return found, await look_at(load_map(file), target, 1)

    found, drafted = asyncio.run(work())
    assert draft_of(found).discovery is None
    assert {name: sample.value for name, sample in drafted.signals.items()} == pytest.approx(
        {name: sample.value for name, sample in found.look.signals.items()}, nan_ok=True
    )
    assert set(drafted.map.commands) == set(found.look.map.commands)


def test_a_draft_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="cannot be written"):
        write_draft(explored("meter"), tmp_path / "no such folder" / "draft.yaml")


def test_points_that_a_device_refuses_stand_in_the_picture_with_their_reason(tmp_path: Path) -> None:
    file = limited_map(
        tmp_path,
        (
            "  - {name: temperature,",
            "  - {name: beyond, address: 900, type: uint16}\n  - {name: temperature,",
        ),
    )

    async def work() -> Look:
        async with serving(FollowingBank()) as port:
            return await look_at(load_map(file), at(port), 1)

    readings = {reading.point.name: reading for reading in asyncio.run(work()).readings}
    assert readings["beyond"].quality is Quality.BAD
    assert "exception 2" in readings["beyond"].reason
    assert (readings["rated_w"].value, readings["rated_w"].registers) == (5000.0, (5000,))
    assert readings["serial"].value == SERIAL


def test_who_answers_is_told_and_another_serial_number_refused(tmp_path: Path) -> None:
    register_map = load_map(limited_map(tmp_path))

    async def work(serial: str | None) -> Identity:
        async with serving(FollowingBank()) as port:
            return await who_answers(register_map, at(port), 1, serial=serial)

    assert asyncio.run(work(None)).serial == SERIAL
    with pytest.raises(IdentityError):
        asyncio.run(work("SN-1"))


def test_a_scan_finds_devices_by_their_units_and_names_no_map_for_what_it_does_not_know() -> None:
    async def work() -> list[UnitFound]:
        pv, battery = sunspec_device("pv", Clock(), unit=3), sunspec_device("battery", Clock(), unit=5)
        for each in (pv, battery):
            each.step(1.0)
        banks: dict[int, Bank] = {each.bank.unit: each.bank for each in (pv, battery)}
        async with served([Station(banks=banks)]) as ports:
            found = [unit async for unit in scan_units(at(ports[0]), range(1, 7), timeout_s=0.5)]
        async with serving(FollowingBank()) as port:
            return [*found, *[unit async for unit in scan_units(at(port), [1], timeout_s=0.5)]]

    found = asyncio.run(work())
    assert [(unit.unit, [fit.name for fit in unit.fits][:1]) for unit in found] == [
        (3, ["sunspec_pv"]),
        (5, ["sunspec_battery"]),
        (1, []),
    ]


# ---------------------------------------------------------------------- report and figure


def report(*results: CheckResult) -> bool:
    identity = Identity(serial="1", fingerprint="f")
    return report_of(
        results,
        Findings(),
        identity=identity,
        loaded=load_map("generic_meter"),
        performed=NOW,
        valid_days=30.0,
    ).passed


def test_a_failed_check_fails_the_report_unless_it_is_for_information() -> None:
    information = CheckResult(name="b", outcome=Outcome.FAILED, text="slow", needed=False)
    assert report(passed("a", "fine"), information, not_applicable("c", "no meter"))
    assert not report(passed("a", "fine"), failed("b", "wrong"))


def test_what_could_not_be_made_is_told_as_such_in_the_report() -> None:
    made = report_of(
        [not_applicable("meter", "none was named"), passed("power", "fine", value=float("nan"))],
        Findings(),
        identity=Identity(serial="1", fingerprint="f"),
        loaded=load_map("generic_meter"),
        performed=NOW,
        valid_days=30.0,
    )
    assert (made.checks[0].passed, made.checks[0].value) == (True, "not applicable")
    assert made.checks[1].value is None


def test_a_figure_draws_power_and_set_point_where_they_were() -> None:
    trace = Trace(
        command="p_set_kw",
        title="step",
        power_kw=((0.0, 0.0), (5.0, 0.0), (10.0, 2.0)),
        asked_kw=((5.0, 2.0), (10.0, None)),
    )
    asked, power = (
        [tuple(map(float, point.split(","))) for point in points.split()]
        for points in re.findall(r'<polyline class="\w+" points="([^"]*)"', figure(trace))
    )
    # 860 wide with 64 and 16 of margin: the middle of the time lies at 64 + 390
    assert [x for x, _ in power] == [64.0, 454.0, 844.0]
    assert [x for x, _ in asked] == [454.0, 844.0]
    assert power[0][1] == power[1][1] > power[2][1], "up is more"
    assert asked[0][1] == asked[1][1] == power[2][1]


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_a_figure_of_one_value_is_a_figure(value: float) -> None:
    trace = Trace(command="p_set_kw", title="", power_kw=((0.0, value),), asked_kw=())
    assert "nan" not in figure(trace)
