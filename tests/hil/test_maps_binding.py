"""Signals and commands: units, signs, percentages, sequences, and what is refused."""

import math

import pytest
from map_files import meter_map, point

from hil_adapters.errors import GuardError, MapError
from hil_adapters.maps.binding import (
    PointWrite,
    carriers_of,
    command_writes,
    release_writes,
    resolve,
    safe_writes,
    set_point_of,
    signals_of,
    unresolved,
    watchdog_of,
)
from hil_adapters.maps.units import factor_between, factor_through, unit_of_signal
from hil_adapters.samples import NOTHING, Quality, Sample

TIMER = {"kind": "timer", "point": "timer", "timeout_s": 90, "falls_back_to": "full power"}


def sample(value, quality=Quality.GOOD, received_s=10.0):
    return Sample(value=value, quality=quality, received_s=received_s)


def inverter(**values):
    """A map with a limit in percent behind a timer in minutes, and a set-point in W that counts generation positive."""
    points = (
        point("w", address=0, unit="W"),
        point("soc", address=1, unit="%"),
        point("rating", address=2, unit="kW"),
        point("timer", address=10, type="uint16", unit="min", access="rw"),
        point("limit", address=11, type="uint16", unit="%", scale=0.1, access="rw"),
        point("enable", address=12, type="uint16", access="rw"),
        point("set", address=13, unit="W", access="rw"),
        point("share", address=14, type="uint16", unit="%"),
    )
    rules = {"class": "volatile", "watchdog": TIMER}
    return meter_map(
        *points,
        **{
            "signals": {
                "p_kw": {"point": "w", "sign": "generation"},
                "soc": {"point": "soc"},
                "p_share_kw": {"point": "share", "percent_of": "rating"},
                "i_a": {"point": "w", "factor": 4.0, "factor_unit": "A/kW"},
            },
            "commands": {
                "p_limit_kw": {
                    "writes": [
                        {"point": "timer", "from_watchdog": True},
                        {"point": "limit", "percent_of": "rating"},
                        {"point": "enable", "value": 1},
                    ],
                    "release": [{"point": "enable", "value": 0}],
                },
                "p_set_kw": {
                    "writes": [
                        {"point": "timer", "from_watchdog": True},
                        {"point": "set", "sign": "generation"},
                    ],
                    "release": [{"point": "set", "value": 0}],
                },
            },
            "writes": {
                "timer": {"low": 1, "high": 60, "class": "volatile"},
                "limit": {"low": 0, "high": 100, **rules},
                "enable": {"low": 0, "high": 1, **rules},
                "set": {"low": -5000, "high": 5000, "safe": -100, **rules},
            },
            **values,
        },
    )


def pairs(writes):
    return [(write.point, write.value) for write in writes]


def test_a_signal_has_the_twins_unit_and_counts_consumption_positive():
    signals = signals_of(inverter(), {"w": sample(2500.0), "soc": sample(42.0)})
    assert signals["p_kw"].value == -2.5
    assert signals["soc"].value == pytest.approx(0.42)
    assert signals["i_a"].value == pytest.approx(10.0)


def test_a_percentage_is_of_its_base_and_takes_the_worst_quality_and_the_oldest_time():
    values = {"share": sample(40.0, received_s=12.0), "rating": sample(5.0, Quality.STALE, received_s=3.0)}
    found = signals_of(inverter(), values)["p_share_kw"]
    assert found.value == pytest.approx(2.0)
    assert (found.quality, found.received_s) == (Quality.STALE, 3.0)


@pytest.mark.parametrize("values", [{}, {"w": NOTHING}])
def test_what_never_arrived_is_bad_and_not_zero(values):
    found = signals_of(inverter(), values)["p_kw"]
    assert math.isnan(found.value)
    assert found.quality is Quality.BAD
    assert math.isnan(found.received_s)


def test_a_bad_value_is_not_passed_on_as_a_number():
    assert math.isnan(signals_of(inverter(), {"w": sample(1.0, Quality.BAD)})["p_kw"].value)


def test_zero_generation_has_no_sign():
    assert math.copysign(1.0, signals_of(inverter(), {"w": sample(0.0)})["p_kw"].value) == 1.0


def test_a_command_is_timer_then_set_point_then_enable_in_the_units_of_the_points():
    writes = command_writes(inverter(), "p_limit_kw", 1.25, {"rating": sample(5.0)})
    assert pairs(writes) == [("timer", 1.5), ("limit", pytest.approx(25.0)), ("enable", 1.0)]


def test_a_set_point_is_turned_to_the_sign_of_the_device():
    assert pairs(command_writes(inverter(), "p_set_kw", 3.0, {})) == [("timer", 1.5), ("set", -3000.0)]


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_limit_is_the_release(value):
    assert command_writes(inverter(), "p_limit_kw", value, {}) == release_writes(inverter(), "p_limit_kw")
    assert release_writes(inverter(), "p_limit_kw") == (PointWrite(point="enable", value=0.0),)


def test_not_a_number_is_no_set_point():
    with pytest.raises(GuardError, match="p_limit_kw: not a number"):
        command_writes(inverter(), "p_limit_kw", math.nan, {"rating": sample(5.0)})


@pytest.mark.parametrize(
    "rating", [None, NOTHING, sample(0.0), sample(-5.0), sample(5.0, Quality.STALE), sample(math.nan)]
)
def test_a_percentage_of_a_rating_that_is_not_known_is_refused(rating):
    values = {} if rating is None else {"rating": rating}
    with pytest.raises(GuardError, match="percentage of rating"):
        command_writes(inverter(), "p_limit_kw", 1.0, values)


def test_the_safe_state_is_the_safe_value_or_else_the_release():
    assert pairs(safe_writes(inverter(), "p_set_kw")) == [("timer", 1.5), ("set", -100.0)]
    assert safe_writes(inverter(), "p_limit_kw") == release_writes(inverter(), "p_limit_kw")


def test_the_watchdog_of_a_command_is_that_of_its_set_point():
    assert set_point_of(inverter(), "p_limit_kw").point == "limit"
    watchdog = watchdog_of(inverter(), "p_limit_kw")
    assert watchdog is not None
    assert watchdog.timeout_s == 90


def test_both_ends_of_a_window_carry_the_value():
    window = {
        "writes": [{"point": "set"}, {"point": "w", "sign": "generation"}],
        "release": [{"point": "set", "value": 0}],
    }
    map_ = inverter(commands={"p_set_kw": window})
    assert [write.point for write in carriers_of(map_, "p_set_kw")] == ["set", "w"]
    assert pairs(command_writes(map_, "p_set_kw", 2.0, {})) == [("set", 2000.0), ("w", -2000.0)]


WINDOW = {
    "writes": [
        {"point": "timer", "from_watchdog": True},
        {"point": "set"},
        {"point": "w", "sign": "generation"},
    ],
    "release": [{"point": "set", "value": 0}],
}


@pytest.mark.parametrize(
    ("before", "after", "order"),
    [
        (1000.0, 3.0, ["timer", "set", "w"]),
        (1000.0, -3.0, ["timer", "w", "set"]),
        (-3000.0, -1.0, ["timer", "set", "w"]),
        (1000.0, 1.0, ["timer", "w", "set"]),
        (math.nan, -3.0, ["timer", "set", "w"]),
    ],
    ids=["grows", "falls", "grows below zero", "stays", "not known"],
)
def test_the_end_of_a_window_that_moves_away_from_the_other_is_written_first(before, after, order):
    map_ = inverter(commands={"p_set_kw": WINDOW})
    quality = Quality.BAD if math.isnan(before) else Quality.STALE
    writes = command_writes(map_, "p_set_kw", after, {"set": sample(before, quality)})
    assert [write.point for write in writes] == order
    values = {write.point: write.value for write in writes}
    assert (values["set"], values["w"]) == (1000.0 * after, -1000.0 * after)


def test_a_command_the_device_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(MapError, match="no command q_set_kvar; the device has p_limit_kw, p_set_kw"):
        command_writes(inverter(), "q_set_kvar", 1.0, {})


def discovered(**values):
    """A map whose references offer candidates."""
    signals = {"p_kw": {"point": ["x.W", "w"]}, "q_kvar": {"point": ["x.VAr", "y.VAr"]}}
    return inverter(
        **{
            "signals": signals,
            "identity": {"serial": ["x.SN", "soc"], "model": "x.Md"},
            "discovery": {"kind": "sunspec"},
            **values,
        }
    )


def test_the_first_candidate_that_the_device_has_is_taken_and_the_rest_is_named():
    found = resolve(discovered())
    assert found.signals["p_kw"].point == "w"
    assert found.identity == {"serial": "soc"}
    assert unresolved(discovered()) == ("signal q_kvar", "identity model")


def test_a_command_without_all_of_its_points_falls_to_an_alternative_or_away():
    missing = {"writes": [{"point": "x.Lim"}], "release": [{"point": "x.Ena", "value": 0}]}
    other = {"writes": [{"point": "limit"}], "release": [{"point": "enable", "value": 0}]}
    map_ = discovered(commands={"p_limit_kw": {**missing, "alternatives": [other]}, "p_set_kw": missing})
    found = resolve(map_)
    assert [write.point for write in found.commands["p_limit_kw"].writes] == ["limit"]
    assert set(found.commands) == {"p_limit_kw"}
    assert "command p_set_kw" in unresolved(map_)


def test_the_base_of_a_percentage_is_the_first_that_the_device_has():
    share = {"point": "share", "percent_of": ["x.WRtg", "rating"]}
    command = {
        "writes": [{"point": "limit", "percent_of": ["x.WRtg", "rating"]}],
        "release": [{"point": "enable", "value": 0}],
    }
    found = resolve(discovered(signals={"p_share_kw": share}, commands={"p_limit_kw": command}))
    known = {"share": sample(40.0), "rating": sample(5.0)}
    assert signals_of(found, known)["p_share_kw"].value == pytest.approx(2.0)
    assert pairs(command_writes(found, "p_limit_kw", 1.0, known)) == [("limit", pytest.approx(20.0))]


def test_a_percentage_without_a_base_is_left_out():
    share = {"point": "share", "percent_of": ["x.WRtg", "y.WRtg"]}
    command = {
        "writes": [{"point": "limit", "percent_of": "x.WRtg"}],
        "release": [{"point": "enable", "value": 0}],
    }
    found = resolve(discovered(signals={"p_share_kw": share}, commands={"p_limit_kw": command}))
    assert (found.signals, found.commands) == ({}, {})


def test_an_optional_write_is_left_out_where_the_device_lacks_its_point():
    command = {
        "writes": [{"point": "x.Mode", "value": 1, "optional": True}, {"point": "set"}],
        "release": [{"point": "set", "value": 0}],
    }
    found = resolve(discovered(commands={"p_set_kw": command}))
    assert pairs(command_writes(found, "p_set_kw", 1.0, {})) == [("set", 1000.0)]


def test_candidates_that_are_not_decided_are_refused():
    with pytest.raises(MapError, match="resolve the map first"):
        signals_of(discovered(), {"w": sample(1.0)})


def test_resolving_twice_changes_nothing():
    once = resolve(discovered())
    assert resolve(once) == once


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("p_kw", "kW"),
        ("q_kvar", "kvar"),
        ("vm_l1_v", "V"),
        ("soc", "1"),
        ("e_import_kwh", "kWh"),
        ("state", "1"),
        ("temp_degc", "degC"),
        ("frequency_hz", "Hz"),
        ("i_a", "A"),
        ("a", "1"),
        ("charging_state", "1"),
    ],
)
def test_the_name_of_a_signal_carries_its_unit(name, unit):
    assert unit_of_signal(name) == unit


def test_units_are_converted_and_quantities_are_not_mixed():
    assert factor_between("W", "kW") == pytest.approx(0.001)
    assert factor_between("min", "s") == 60
    assert factor_between("mW", "kW") == pytest.approx(1e-6)
    assert factor_through("kW", "mA", "A/kW") == pytest.approx(1000)
    with pytest.raises(MapError, match="reactive power"):
        factor_between("var", "W")
    with pytest.raises(MapError, match="'furlong' is not known"):
        factor_between("furlong", "W")
    with pytest.raises(MapError, match="write it like 'A/kW'"):
        factor_through("kW", "A", "A")
