"""Loads that follow a load shape of the network."""

import numpy as np
import pytest

from models.feeder import load_feeder
from twin.assembly import build_plant
from twin.errors import ScenarioError
from twin.scenario import load_scenario

SOURCE = "simbench:1-LV-rural1--0-sw"
HEAD = f"""\
feeder: {{source: "{SOURCE}"}}
period: {{start: 2016-07-04, days: 1}}
strategies: {{none: }}
devices:
"""
BUS = "bus: LV1.101 Bus 2"


@pytest.fixture(scope="module")
def feeder():
    return load_feeder(SOURCE)


@pytest.fixture
def plant_of(tmp_path, feeder):
    def plant_of(*devices):
        path = tmp_path / "s.yaml"
        path.write_text(HEAD + "".join(f"  - {device}\n" for device in devices))
        return build_plant(load_scenario(path), feeder)[0]

    return plant_of


def test_flats_at_one_bus_follow_shapes_scaled_to_their_peak(plant_of, feeder):
    plant = plant_of(
        f"{{kind: load, {BUS}, name: flat 1, profile: 'feeder:H0-A', p_kw: 3 kW, cos_phi: 0.8}}",
        f"{{kind: load, {BUS}, name: flat 2, profile: 'feeder:H0-C', p_kw: 2 kW}}",
    )
    first = (plant.start_utc_s - feeder.profiles.start_utc_s) // 900
    for load, (name, p_kw) in enumerate((("H0-A", 3.0), ("H0-C", 2.0))):
        expected = p_kw * feeder.profiles.load_share(name, first, 96)
        assert plant.load_p_kw[:, load] == pytest.approx(expected, rel=1e-6)
        assert expected.min() < expected.max() <= p_kw
    assert plant.load_q_kvar[:, 0] == pytest.approx(0.75 * plant.load_p_kw[:, 0], rel=1e-5), "cos phi 0.8"
    assert plant.home_name == ("flat 1", "flat 2")
    assert plant.home_bus[0] == plant.home_bus[1]


def test_a_shape_scales_the_loads_of_the_network_to_their_nominal_power(plant_of, feeder):
    plant = plant_of("{kind: load, from: feeder, profile: 'feeder:H0-A'}")
    ratio = plant.load_p_kw / feeder.devices.load_p_kw
    assert ratio == pytest.approx(np.repeat(ratio[:, :1], ratio.shape[1], axis=1), rel=1e-5)


def test_a_shape_of_the_network_is_that_of_the_loads_that_follow_it(feeder):
    profiles, devices = feeder.profiles, feeder.devices
    load = devices.load_profile.index("H0-A")
    own = profiles.load_p_kw(0, 96, devices)[:, load]
    assert own == pytest.approx(devices.load_p_kw[load] * profiles.load_share("H0-A", 0, 96))


def test_a_shape_that_does_not_exist_and_a_missing_peak_are_mistakes(plant_of):
    with pytest.raises(ScenarioError, match=r"no load profile .H9.; it has .*H0-A"):
        plant_of(f"{{kind: load, {BUS}, name: a, profile: 'feeder:H9', p_kw: 1}}")
    with pytest.raises(ScenarioError, match="p_kw is missing"):
        plant_of(f"{{kind: load, {BUS}, name: a, profile: 'feeder:H0-A'}}")
