"""Guesses which variable is which signal: right ones, and none where nothing says."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.fmu.base import FmuInfo, FmuVariable
from models.fmu.reading.proposal import ProposedWire, Sign, Sure, propose

FMU = FmuInfo(
    file=Path("some.fmu"),
    sha256="",
    fmi_version="2.0",
    model_name="some",
    token="",
    text="",
    generation_tool="",
    variables=(),
    unit_factors={},
    platforms=(),
    has_sources=False,
    co_simulation="some",
    model_exchange=None,
    once_per_process=False,
    needs_execution_tool=False,
    can_save_state=False,
    can_serialise_state=False,
    can_handle_variable_step=True,
    has_event_mode=False,
    may_return_early=False,
    fixed_step_s=None,
    default_stop_s=None,
    default_step_s=None,
    default_tolerance=None,
    n_states=0,
    n_event_indicators=0,
)


def variable(
    name: str,
    causality: str,
    unit: str | None = None,
    *,
    kind: str = "Real",
    shape: tuple[int | str, ...] = (),
) -> FmuVariable:
    return FmuVariable(
        name=name,
        value_reference=0,
        type=kind,
        causality=causality,
        variability="continuous",
        initial=None,
        unit=unit,
        start=None,
        low=None,
        high=None,
        shape=shape,
        text="",
    )


def proposed(*variables: FmuVariable) -> tuple[ProposedWire, ...]:
    return propose(replace(FMU, variables=variables))


def pairs(*variables: FmuVariable) -> dict[str, str]:
    return {wire.variable: wire.signal for wire in proposed(*variables)}


@pytest.mark.parametrize(
    ("name", "unit", "signal"),
    [
        ("p_kw", None, "p_kw"),
        ("P", "W", "p_kw"),
        ("p_ac", "kW", "p_kw"),
        ("pAC", "W", "p_kw"),
        ("PEl", "W", "p_kw"),
        ("power", None, "p_kw"),
        ("heatPump.P", "W", "p_kw"),
        ("active_power_kW", None, "p_kw"),
        ("Q", "var", "q_kvar"),
        ("q_kvar", None, "q_kvar"),
        ("reactivePower", None, "q_kvar"),
        ("SOC", None, "soc"),
        ("SoC", "1", "soc"),
        ("battery.soc", "%", "soc"),
        ("stateOfCharge", None, "soc"),
    ],
)
def test_outputs_are_recognised_by_name(name, unit, signal):
    assert pairs(variable(name, "output", unit)) == {name: signal}


@pytest.mark.parametrize(
    ("name", "unit", "signal"),
    [
        ("T_amb", "K", "temp_air_degc"),
        ("TAmb", "degC", "temp_air_degc"),
        ("weaBus.TDryBul", "K", "temp_air_degc"),
        ("outdoor_temperature", None, "temp_air_degc"),
        ("vm_pu", None, "vm_pu"),
        ("vm", None, "vm_pu"),
        ("u_pu", "1", "vm_pu"),
        ("V", "V", "v_v"),
        ("u", "V", "v_v"),
        ("voltage", "V", "v_v"),
        ("p_set_kw", None, "p_set_kw"),
        ("P_ref", "W", "p_set_kw"),
        ("PSet", "kW", "p_set_kw"),
        ("powerSetpoint", None, "p_set_kw"),
        ("p_limit", "kW", "p_limit_kw"),
        ("P_max", "W", "p_limit_kw"),
        ("pAvailable", "W", "p_available_kw"),
        ("electricity_price", None, "price_import_eur_kwh"),
        ("priceExport", "EUR/kWh", "price_export_eur_kwh"),
        ("feed_in_tariff", None, "price_export_eur_kwh"),
        ("house_power", "W", "home_p_kw"),
        ("time_s", None, "time_s"),
        ("hour", None, "hour"),
        ("draw_l_min", None, "draw_l_min"),
        ("m_dhw", None, "draw_l_min"),
        ("plugged", None, "plugged"),
        ("used_kwh", None, "used_kwh"),
        ("departure_h", None, "departure_h"),
        ("soc_need", None, "soc_need"),
        ("SOC_target", "1", "soc_need"),
    ],
)
def test_inputs_are_recognised_by_name(name, unit, signal):
    assert pairs(variable(name, "input", unit)) == {name: signal}


@pytest.mark.parametrize("name", ["u", "u1", "v", "T", "x", "force", "mode", "k", "f"])
def test_a_name_that_says_nothing_is_not_guessed(name):
    assert pairs(variable(name, "input")) == {}


@pytest.mark.parametrize(
    ("name", "unit", "causality"),
    [
        ("P", "Pa", "output"),
        ("Q_flow", "W", "output"),
        ("q_heat", None, "output"),
        ("p_loss", None, "output"),
        ("T_amb", "W", "input"),
        ("T_set", "K", "input"),
        ("tank.T_out", "K", "input"),
        ("power", "W", "parameter"),
        ("power", "W", "local"),
    ],
)
def test_a_unit_or_a_word_that_contradicts_keeps_the_name_from_being_guessed(name, unit, causality):
    assert pairs(variable(name, causality, unit)) == {}


def test_how_sure_a_guess_is_and_why_are_told():
    by_both, by_name, by_unit = (
        proposed(entry)[0]
        for entry in (variable("P", "output", "W"), variable("P", "output"), variable("y", "output", "W"))
    )
    assert (by_both.sure, by_both.why) == (Sure.NAME_AND_UNIT, "the name reads like p_kw and the unit W fits")
    assert (by_name.sure, by_name.why) == (Sure.NAME, "the name reads like p_kw")
    assert (by_unit.sure, by_unit.why) == (Sure.UNIT, "the only output left in W")
    assert {wire.signal for wire in (by_both, by_name, by_unit)} == {"p_kw"}
    assert {wire.direction for wire in (by_both, by_name, by_unit)} == {"output"}


def test_two_outputs_in_the_same_unit_are_not_guessed_by_unit():
    assert pairs(variable("a", "output", "W"), variable("b", "output", "W")) == {}


def test_the_unit_is_that_of_the_fmu_else_that_of_the_name_else_none():
    assert proposed(variable("P", "output", "MW"))[0].unit == "MW"
    assert proposed(variable("p_kw", "output"))[0].unit == "kW"
    assert proposed(variable("power_W", "output"))[0].unit == "W"
    assert proposed(variable("power", "output"))[0].unit is None


def test_a_power_that_is_generated_has_the_other_sign():
    assert proposed(variable("P_gen", "output", "W"))[0].sign is Sign.GENERATION
    assert proposed(variable("P", "output", "W"))[0].sign is Sign.CONSUMPTION


def test_each_signal_has_the_variable_that_fits_best():
    outputs = (variable("power_max", "output"), variable("P_total", "output"), variable("p_kw", "output"))
    assert pairs(*outputs) == {"p_kw": "p_kw"}
    assert pairs(variable("power", "output"), variable("P", "output", "W")) == {"P": "p_kw"}


def test_a_battery_is_mapped_in_full():
    found = pairs(
        variable("P_ref", "input", "W"),
        variable("T_amb", "input", "K"),
        variable("v", "input", "V"),
        variable("P", "output", "W"),
        variable("Q", "output", "var"),
        variable("SOC", "output", "1"),
        variable("capacity", "parameter", "J"),
    )
    assert found == {
        "P_ref": "p_set_kw",
        "T_amb": "temp_air_degc",
        "v": "v_v",
        "P": "p_kw",
        "Q": "q_kvar",
        "SOC": "soc",
    }


def test_texts_and_fixed_arrays_are_left_out_and_arrays_for_fleets_are_not():
    assert pairs(variable("p_kw", "output", kind="String")) == {}
    assert pairs(variable("p_kw", "output", shape=(5,))) == {}
    assert pairs(variable("p_kw", "output", shape=("n",))) == {"p_kw": "p_kw"}
