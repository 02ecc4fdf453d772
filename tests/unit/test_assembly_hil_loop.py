"""Devices on the wire and their feeder act on each other: slopes, sensitivities, verdicts, and sources that feed hardware."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from block_plants import Build, Mistakes
from hil_entries import PV_ENTRY, only_slot, written

from hil_adapters.grid_source.base import SourceLimits
from models.feeder import load_feeder, make_engine
from models.feeder.base import Engine
from twin.assembly.hil_gain import loop_verdict, sensitivities
from twin.hil import WireSlope
from twin.loop_gain import Verdict

SOURCE = ", grid_source: {host: 10.0.0.9, low_v: 200 V, high_v: 260 V, step_v: 1.5 V, at_end: nominal}"


@cache
def _engine() -> tuple[Engine, int]:
    feeder = load_feeder("pandapower:create_cigre_network_lv")
    return make_engine(feeder, "auto")[0], len(feeder.bus_name)


def test_the_slope_of_a_virtual_inverter_is_that_of_its_functions(build: Build) -> None:
    slope = only_slot(build(written(PV_ENTRY, "virtual", ", stands_for: 10"))).slope
    assert slope is not None
    assert slope.p_kw_v == pytest.approx(3.0 / (0.04 * 230.0))
    assert slope.q_kvar_v == pytest.approx(0.436 * 3.0 / (0.02 * 230.0)), (
        "injection below 0.92 pu is steepest"
    )
    stated = only_slot(build(written(PV_ENTRY, "virtual", ", slope_kw_v: 0.8"))).slope
    assert stated == WireSlope(p_kw_v=0.8)


def test_sensitivities_are_those_of_the_power_flow() -> None:
    engine, n_buses = _engine()
    rest = np.zeros(n_buses)
    bus = np.array([5, 9, 5])
    dv_dp, dv_dq = sensitivities(engine, bus, p_kw=rest, q_kvar=rest)
    before = engine.solve(rest, rest).vm_pu
    drawn = rest.copy()
    drawn[9] = 5.0
    assert dv_dp[0, 1] * 5.0 == pytest.approx(
        (engine.solve(drawn, rest).vm_pu[5] - before[5]) * 230.0, rel=0.02
    )
    assert np.all(dv_dp < 0.0)
    assert np.all(dv_dq < 0.0)
    assert dv_dp[0].tolist() == dv_dp[2].tolist(), "two devices at one bus see the same"


def test_the_loop_of_devices_and_feeder_is_judged(build: Build) -> None:
    engine, n_buses = _engine()

    def verdict(more: str) -> tuple[float, Verdict, float]:
        found = loop_verdict(build(written(PV_ENTRY, "virtual", more)), engine, n_buses=n_buses)
        assert found is not None
        return found.gain, found.verdict, found.alpha

    gain, calm, alpha = verdict("")
    assert (calm, alpha) == (Verdict.OK, 1.0)
    assert verdict(", stands_for: 30")[0] == pytest.approx(gain), "the entry describes all of them"
    steep, relaxed, alpha = verdict(", stands_for: 300, slope_kw_v: 3")
    assert relaxed is Verdict.RELAX
    assert alpha == pytest.approx(1.0 / (1.0 + steep))
    assert verdict(", stands_for: 30000, slope_kw_v: 3")[1] is Verdict.REFUSE
    assert verdict(", slope_kw_v: -100000")[1] is Verdict.REFUSE, "power that rises with voltage runs away"


def test_a_real_device_and_a_model_make_no_loop(build: Build) -> None:
    engine, n_buses = _engine()
    for word in ("hardware", "model"):
        assert loop_verdict(build(written(PV_ENTRY, word)), engine, n_buses=n_buses) is None


def test_a_real_device_behind_a_grid_source_sees_the_feeder(build: Build) -> None:
    slot = only_slot(build(written(PV_ENTRY, "hardware", f"{SOURCE}, slope_kw_v: 0.5")))
    assert slot.source is not None
    assert slot.source.limits == SourceLimits(nominal_v=230.0, low_v=200.0, high_v=260.0, step_v=1.5)
    assert (slot.source.host, slot.source.port, slot.source.at_end) == ("10.0.0.9", None, "nominal")
    assert slot.sees_voltage
    engine, n_buses = _engine()
    found = loop_verdict(
        build(written(PV_ENTRY, "hardware", f"{SOURCE}, slope_kw_v: 0.5")), engine, n_buses=n_buses
    )
    assert found is not None
    assert found.gain > 0.0


def test_a_grid_source_has_no_effect_on_a_virtual_device(build: Build) -> None:
    assert only_slot(build(written(PV_ENTRY, "virtual", SOURCE))).source is None


def test_words_that_no_grid_source_understands_are_a_mistake(mistakes: Mistakes, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text("format: 1\n")
    entry = written(PV_ENTRY, "hardware", SOURCE.replace("low_v", "commands: words.yaml, low_v"))
    ((field, message),) = mistakes(entry)
    assert field == "devices[1].modbus.grid_source.commands"
    assert "set_voltage" in message
