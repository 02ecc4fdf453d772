from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import simbench

from models.errors import FeederError
from models.feeder import describe, load_feeder
from models.feeder.base import FeederDevices
from models.feeder.profiles import read_profiles

CODE = "1-LV-rural3--2-sw"


@pytest.fixture(scope="module")
def feeder():
    return load_feeder(f"simbench:{CODE}")


@pytest.fixture(scope="module")
def absolute():
    return simbench.get_absolute_values(simbench.get_simbench_net(CODE), profiles_instead_of_study_cases=True)


def profile_tables(load=(0.5, 0.6, 0.7), pv=(0.0, 0.2, 0.4), times=("00:00", "00:15", "00:30")):
    time = [f"01.01.2016 {label}" for label in times]
    return {
        "load": pd.DataFrame({"time": time, "H0_pload": load, "H0_qload": [0.1, 0.2, 0.3]}),
        "renewables": pd.DataFrame({"time": time, "PV1": pv}),
    }


def devices_of(load_profile="H0", sgen_profile="PV1"):
    one = np.zeros(1, dtype=np.int64)
    return FeederDevices(
        load_name=("house",),
        load_bus=one,
        load_p_kw=np.array([10.0]),
        load_q_kvar=np.array([4.0]),
        load_profile=(load_profile,),
        sgen_name=("roof",),
        sgen_bus=one,
        sgen_p_kw=np.array([-5.0]),
        sgen_q_kvar=np.array([0.0]),
        sgen_s_kva=np.array([5.0]),
        sgen_kind=("PV",),
        sgen_profile=(sgen_profile,),
    )


def read(tables=None, devices=None):
    return read_profiles(
        {"profiles": profile_tables() if tables is None else tables}, devices or devices_of(), "test"
    )


@pytest.mark.parametrize("first", [0, 8264, 16416, 35040])
def test_powers_are_those_of_the_simbench_package(feeder, absolute, first):
    window = slice(first, first + 96)
    profiles, devices = feeder.profiles, feeder.devices
    p_kw = profiles.load_p_kw(first, 96, devices)
    q_kvar = profiles.load_q_kvar(first, 96, devices)
    pv_kw = profiles.sgen_p_kw(first, 96, devices)
    np.testing.assert_allclose(p_kw, absolute["load", "p_mw"].to_numpy()[window] * 1e3, atol=1e-12)
    np.testing.assert_allclose(q_kvar, absolute["load", "q_mvar"].to_numpy()[window] * 1e3, atol=1e-12)
    np.testing.assert_allclose(pv_kw, -absolute["sgen", "p_mw"].to_numpy()[window] * 1e3, atol=1e-12)


def test_year_starts_at_midnight_in_germany_and_is_complete(feeder):
    profiles = feeder.profiles
    assert profiles.start_utc_s == int(datetime(2015, 12, 31, 23, tzinfo=UTC).timestamp())
    assert (profiles.dt_s, profiles.n_steps) == (900, 366 * 96)
    assert describe(feeder)["profiles"]["year"] == 2016


def test_generation_shapes_have_names_and_are_shares(feeder):
    assert feeder.profiles.generation_names == ("PV1", "PV3", "PV4", "PV7")
    shape = feeder.profiles.generation("PV3", 0, feeder.profiles.n_steps)
    assert shape.min() == 0.0
    assert 0.5 < shape.max() <= 1.0


def test_unknown_generation_shape_is_a_key_error(feeder):
    with pytest.raises(KeyError, match="PV99"):
        feeder.profiles.generation("PV99", 0, 4)


def test_window_scales_by_nominal_power():
    profiles = read()
    assert profiles.load_p_kw(1, 2, devices_of()).tolist() == [[6.0], [7.0]]
    assert profiles.load_q_kvar(0, 1, devices_of())[0] == pytest.approx([0.4])
    assert profiles.sgen_p_kw(0, 3, devices_of())[:, 0] == pytest.approx([0.0, -1.0, -2.0])


def test_returned_windows_are_fresh():
    profiles = read()
    profiles.generation("PV1", 0, 3)[:] = 9.0
    assert profiles.generation("PV1", 0, 3).tolist() == [0.0, 0.2, 0.4]


def test_noise_below_zero_counts_as_no_generation():
    assert read(profile_tables(pv=[-1e-5, 0.2, 0.4])).generation("PV1", 0, 1).tolist() == [0.0]


def test_generation_shape_that_consumes_is_refused_by_name():
    with pytest.raises(FeederError, match=r"'PV1' falls to -0\.2"):
        read(profile_tables(pv=[0.0, -0.2, 0.4]))


def test_profiles_without_times_are_refused():
    tables = profile_tables()
    tables["load"] = tables["load"].drop(columns="time")
    with pytest.raises(FeederError, match="no column 'time'"):
        read(tables)


def test_network_without_profiles_has_none():
    assert read_profiles({}, devices_of(), "test") is None


@pytest.mark.parametrize(("first", "count"), [(-1, 2), (2, 2), (3, 1)])
def test_window_outside_the_year_is_refused(first, count):
    with pytest.raises(FeederError, match="hold steps 0 to 2"):
        read().load_p_kw(first, count, devices_of())


@pytest.mark.parametrize(
    ("devices", "missing"),
    [(devices_of("H7"), "'H7_pload', 'H7_qload'"), (devices_of(sgen_profile="PV9"), "'PV9'")],
)
def test_profile_that_the_network_lacks_is_refused_by_name(devices, missing):
    with pytest.raises(FeederError, match=missing):
        read(devices=devices)


def test_device_without_a_profile_is_refused_by_name():
    with pytest.raises(FeederError, match=r"'house \(None\)'"):
        read().load_p_kw(0, 1, replace(devices_of(), load_profile=(None,)))


def test_gap_in_a_profile_is_refused_by_name_and_row():
    with pytest.raises(FeederError, match=r"'H0_pload' has 1 missing values, the first at row 1"):
        read(profile_tables(load=[0.5, np.nan, 0.7]))


@pytest.mark.parametrize(
    "times", [("00:00", "00:15", "00:45"), ("00:15", "00:15", "00:15"), ("00:30", "00:15", "00:00")]
)
def test_times_that_are_no_equal_steps_are_refused(times):
    with pytest.raises(FeederError, match="are not equal steps"):
        read(profile_tables(times=times))


def test_times_in_another_notation_are_refused():
    tables = profile_tables()
    tables["load"]["time"] = ["2016-01-01T00:00", "2016-01-01T00:15", "2016-01-01T00:30"]
    with pytest.raises(FeederError, match="not written like"):
        read(tables)
