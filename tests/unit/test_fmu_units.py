"""Signals in our units and variables in the units of an FMU."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import FmuMappingError
from models.fmu.base import FmuInfo, FmuVariable
from models.fmu.reading.units import OUR_UNITS, conversion, is_convertible

POWER = (1, 2, -3, 0, 0, 0, 0, 0)
KELVIN = (0, 0, 0, 0, 1, 0, 0, 0)
NONE = (0, 0, 0, 0, 0, 0, 0, 0)


def variable(unit: str | None, *, kind: str = "Real") -> FmuVariable:
    return FmuVariable(
        name="pump.x",
        value_reference=1,
        type=kind,
        causality="input",
        variability="continuous",
        initial=None,
        unit=unit,
        start=None,
        low=None,
        high=None,
        shape=(),
        text="",
    )


def fmu(**units: tuple[tuple[int, ...], float, float]) -> FmuInfo:
    return FmuInfo(
        file=Path("house/pump.fmu"),
        sha256="",
        fmi_version="2.0",
        model_name="pump",
        token="",
        text="",
        generation_tool="",
        variables=(),
        unit_factors=units,
        platforms=(),
        has_sources=False,
        co_simulation="pump",
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


@pytest.mark.parametrize(
    ("unit", "value", "theirs", "expected"),
    [
        ("kW", 2.5, "W", 2500.0),
        ("kW", 2.5, "MW", 0.0025),
        ("kW", 2.5, "kW", 2.5),
        ("kvar", -1.0, "var", -1000.0),
        ("kvar", -1.0, "W", -1000.0),
        ("kWh", 1.0, "J", 3.6e6),
        ("kWh", 1.0, "MJ", 3.6),
        ("kWh", 1.0, "W.h", 1000.0),
        ("degC", 20.0, "K", 293.15),
        ("degC", 20.0, "Cel", 20.0),
        ("degC", 20.0, "°C", 20.0),
        ("degC", 100.0, "degF", 212.0),
        ("degC", 0.0, "degF", 32.0),
        ("pu", 1.02, "1", 1.02),
        ("pu", 1.02, "%", 102.0),
        ("%", 50.0, "1", 0.5),
        ("1", 0.5, "%", 50.0),
        ("V", 230.0, "kV", 0.23),
        ("h", 2.0, "s", 7200.0),
        ("h", 2.0, "min", 120.0),
        ("s", 86400.0, "d", 1.0),
        ("l/min", 6.0, "m3/s", 1e-4),
        ("l/min", 6.0, "l/h", 360.0),
        ("l", 150.0, "m3", 0.15),
        ("EUR/kWh", 0.25, "EUR/MWh", 250.0),
        ("EUR/MWh", 100.0, "ct/kWh", 10.0),
        ("W/m2", 1000.0, "kW/m2", 1.0),
        ("Hz", 50.0, "1/s", 50.0),
        ("kg/s", 0.1, "kg/h", 360.0),
        ("kW/K", 0.002, "W/K", 2.0),
        ("kWh/K", 0.5, "J/K", 1.8e6),
    ],
)
def test_a_value_comes_out_in_the_unit_of_the_variable(unit, value, theirs, expected):
    factor, offset = conversion(fmu(), variable(theirs), unit, None)
    assert value * factor + offset == pytest.approx(expected, rel=1e-14)
    assert conversion(fmu(), variable(None), unit, theirs) == (factor, offset)


def test_plain_thousands_are_exact():
    assert conversion(fmu(), variable("W"), "kW", None) == (1000.0, 0.0)
    assert conversion(fmu(), variable("%"), "pu", None) == (100.0, 0.0)
    assert conversion(fmu(), variable("K"), "degC", None) == (1.0, 273.15)


@given(st.sampled_from(sorted(OUR_UNITS)), st.sampled_from(sorted(OUR_UNITS)), st.floats(-1e6, 1e6))
@settings(deadline=None)
def test_there_and_back_is_the_same_value_and_what_fits_one_way_fits_the_other(one, other, value):
    def convert(amount: float, unit: str, theirs: str) -> float:
        factor, offset = conversion(fmu(), variable(theirs), unit, None)
        return amount * factor + offset

    try:
        there = convert(value, one, other)
    except FmuMappingError:
        with pytest.raises(FmuMappingError):
            convert(value, other, one)
        return
    assert convert(there, other, one) == pytest.approx(value, rel=1e-12, abs=1e-9)


def test_a_unit_of_the_fmu_alone_is_taken_from_its_definition():
    info = fmu(hp=(POWER, 745.7, 0.0), tenthK=(KELVIN, 0.1, 0.0))
    assert conversion(info, variable("hp"), "kW", None) == (1000 / 745.7, 0.0)
    assert conversion(info, variable(None), "kW", "hp") == (1000 / 745.7, 0.0)
    factor, offset = conversion(info, variable("tenthK"), "degC", None)
    assert 20 * factor + offset == pytest.approx(2931.5)


def test_a_rounded_definition_of_a_usual_unit_is_the_usual_unit():
    info = fmu(deg=((0, 0, 0, 0, 0, 0, 0, 1), 0.01745, 0.0), degC=(KELVIN, 1.0, 273.16))
    assert conversion(info, variable("degC"), "degC", None) == (1.0, 0.0)


@pytest.mark.parametrize(
    "definition",
    [(POWER, 1.0, 0.0), (NONE, 1.0, 0.0), (POWER, 1000.0, 5.0)],
    ids=["a kW of 1 W", "a kW without dimension", "a kW that starts at 5"],
)
def test_an_unusual_definition_of_a_usual_unit_is_not_trusted_but_the_word_of_the_user_is(definition):
    info = fmu(kW=definition)
    with pytest.raises(
        FmuMappingError, match=r"pump\.fmu: variable pump\.x: the FMU defines its unit kW as .*`unit: kW`"
    ):
        conversion(info, variable("kW"), "kW", None)
    assert conversion(info, variable("kW"), "kW", "kW") == (1.0, 0.0)


@pytest.mark.parametrize(
    "definition", [(POWER, 0.0, 0.0), (POWER, float("nan"), 0.0), (POWER, 1.0, float("inf"))]
)
def test_a_definition_without_meaning_is_refused(definition):
    with pytest.raises(FmuMappingError, match="which means nothing"):
        conversion(fmu(hp=definition), variable("hp"), "kW", None)


@pytest.mark.parametrize(
    ("unit", "theirs", "what"),
    [
        ("kW", "V", r"is in V \(a voltage\), the signal is in kW \(a power\)"),
        ("degC", "W", r"is in W \(a power\), the signal is in degC \(a temperature\)"),
        ("pu", "V", "the signal v_v is the voltage in V"),
        (
            "EUR/kWh",
            "1",
            r"is in 1 \(a number without unit\), the signal is in EUR/kWh \(a price of energy\)",
        ),
        ("Hz", "rad/s", r"is in rad/s \(an angular speed\), the signal is in Hz \(a frequency\)"),
        ("l/min", "kg/s", r"is in kg/s \(a mass flow\), the signal is in l/min \(a volume flow\)"),
    ],
)
def test_units_of_different_things_are_refused_naming_both(unit, theirs, what):
    with pytest.raises(FmuMappingError, match=what):
        conversion(fmu(), variable(theirs), unit, None)


def test_the_word_of_the_user_goes_before_that_of_the_fmu():
    assert conversion(fmu(), variable("V"), "kW", "W") == (1000.0, 0.0)


def test_unknown_units_are_refused():
    with pytest.raises(
        FmuMappingError, match="the unit 'bananas' is not defined in the FMU and not known here"
    ):
        conversion(fmu(), variable("bananas"), "kW", None)
    with pytest.raises(FmuMappingError, match="the unit 'C' is not defined"):
        conversion(fmu(), variable(None), "degC", "C")
    with pytest.raises(
        FmuMappingError, match="the unit 'apples' of the signal is unknown; known are %, 1, EUR/MWh"
    ):
        conversion(fmu(), variable("W"), "apples", None)


@pytest.mark.parametrize("unit", sorted(OUR_UNITS))
def test_a_variable_without_unit_is_in_the_unit_of_the_signal(unit):
    assert conversion(fmu(), variable(None), unit, None) == (1.0, 0.0)


@pytest.mark.parametrize("kind", ["Real", "Float32", "Float64"])
def test_a_variable_without_unit_is_refused_where_one_is_required(kind):
    with pytest.raises(FmuMappingError, match=r"pump\.x: the FMU does not say its unit.*`unit: kW`"):
        conversion(fmu(), variable(None, kind=kind), "kW", None, required=True)
    assert conversion(fmu(), variable(None), "kW", "W", required=True) == (1000.0, 0.0)
    assert conversion(fmu(), variable(None), "1", None, required=True) == (1.0, 0.0)
    assert conversion(fmu(), variable(None), "pu", None, required=True) == (1.0, 0.0)
    assert conversion(fmu(), variable(None, kind="Boolean"), "h", None, required=True) == (1.0, 0.0)


def test_convertible_says_yes_no_or_unknown():
    assert is_convertible(fmu(), variable("W"), "kW") is True
    assert is_convertible(fmu(), variable("V"), "kW") is False
    assert is_convertible(fmu(), variable(None), "kW") is None
    assert is_convertible(fmu(), variable("bananas"), "kW") is None
