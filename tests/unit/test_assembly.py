"""A scenario becomes a plant: who gets what, from which series, and what is a mistake."""

import numpy as np
import pandapower
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.feeder import load_feeder
from models.inverter import ReactiveMode
from twin.assembly import build_plant, period_of
from twin.errors import ScenarioError
from twin.scenario import load_scenario

HEAD = """
name: plant
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20, days: 1, step_s: 15 min}
strategies: {none: }
"""
LOADS = "  - {kind: load, from: feeder, profile: constant}\n"


@pytest.fixture(scope="module")
def feeder():
    return load_feeder("pandapower:create_cigre_network_lv")


@pytest.fixture
def plant_of(tmp_path, feeder):
    """Build the plant of a scenario with the given devices."""

    def build(devices=LOADS, extra="", head=HEAD):
        path = tmp_path / "plant.yaml"
        path.write_text(f"{head}{extra}\ndevices:\n{devices}")
        return build_plant(load_scenario(path), feeder)[0]

    return build


def mistakes_of(build, *args, **kwargs):
    with pytest.raises(ScenarioError) as caught:
        build(*args, **kwargs)
    return str(caught.value)


def test_every_load_of_the_network_is_a_home_at_its_bus(plant_of, feeder):
    plant = plant_of()
    assert plant.home_name == feeder.devices.load_name
    assert np.array_equal(plant.home_bus, feeder.devices.load_bus)
    assert np.array_equal(plant.load_home, np.arange(plant.n_homes))
    assert plant.load_p_kw[0] == pytest.approx(feeder.devices.load_p_kw)
    assert plant.load_q_kvar[0] == pytest.approx(feeder.devices.load_q_kvar)


def test_match_keeps_loads_by_name(plant_of, feeder):
    plant = plant_of("  - {kind: load, from: feeder, profile: constant, match: 'Load R*'}\n")
    assert plant.home_name == tuple(name for name in feeder.devices.load_name if name.startswith("Load R"))


def test_a_smaller_share_lies_within_a_larger_one(plant_of):
    devices = LOADS + (
        "  - {kind: pv, share: 60 %, p_peak_kw: 3, profile: clear_sky, place: {latitude_deg: 38, longitude_deg: 13}}\n"
        "  - {kind: battery, share: 0.4, capacity_kwh: 5, power_kw: 2}\n"
    )
    plant = plant_of(devices)
    assert len(plant.pv_home) == round(0.6 * plant.n_homes)
    assert len(plant.battery_home) == round(0.4 * plant.n_homes)
    assert set(plant.battery_home) <= set(plant.pv_home)
    assert plant.pv_name[0] == f"pv {plant.home_name[plant.pv_home[0]]}"


def test_match_bounds_a_draw_to_homes_by_name(plant_of):
    battery = "  - {kind: battery, share: 50 %, match: MATCH, capacity_kwh: 5, power_kw: 2}\n"
    plant = plant_of(LOADS + battery.replace("MATCH", "'Load R*'"))
    fitting = [home for home, name in enumerate(plant.home_name) if name.startswith("Load R")]
    assert len(plant.battery_home) == round(0.5 * len(fitting)) > 0
    assert set(plant.battery_home) <= set(fitting)


def test_a_match_that_fits_no_home_says_so(plant_of):
    text = mistakes_of(
        plant_of, LOADS + "  - {kind: battery, share: 1, match: 'X*', capacity_kwh: 5, power_kw: 2}\n"
    )
    assert "fits none of the" in text
    assert "homes (first: 'Load R1')" in text


def test_a_battery_beside_pv_goes_where_pv_is_alone(plant_of):
    devices = LOADS + (
        "  - {kind: battery, beside: pv, capacity_kwh: 5, power_kw: 2, prefix: new}\n"
        "  - {kind: pv, home: Load R1, name: a, p_peak_kw: 3, profile: s.shape}\n"
        "  - {kind: pv, home: Load R11, name: b, p_peak_kw: 3, profile: s.shape}\n"
        "  - {kind: battery, home: Load R1, name: old, capacity_kwh: 9, power_kw: 2}\n"
    )
    plant = plant_of(devices, extra=SHAPES)
    assert dict(
        zip(plant.battery_name, (plant.home_name[home] for home in plant.battery_home), strict=True)
    ) == {
        "old": "Load R1",
        "new Load R11": "Load R11",
    }


SHAPES = "sources: {s: {file: shapes.csv, unit: '1', time_zone: Europe/Rome}}"


@pytest.fixture(autouse=True)
def shapes(tmp_path):
    hours = [f"2026-06-20T{hour:02d}:00,{hour / 24:.6f},{-1 if hour == 5 else 1}" for hour in range(24)]
    (tmp_path / "shapes.csv").write_text("\n".join(["time,shape,wrong", *hours]) + "\n")


def test_hourly_values_are_held_and_scaled(plant_of, feeder):
    plant = plant_of("  - {kind: load, from: feeder, profile: s.shape}\n", extra=SHAPES)
    assert plant.load_p_kw[4 * 12 : 4 * 13] == pytest.approx(
        np.tile(0.5 * feeder.devices.load_p_kw, (4, 1)), rel=1e-5
    )


def test_energies_of_a_parquet_file_become_powers(plant_of, tmp_path):
    stamps = pa.array(
        np.arange("2026-06-19T22:00", "2026-06-20T22:00", 15, dtype="datetime64[m]").astype("datetime64[us]")
    )
    table = pa.table({"time": stamps.cast(pa.timestamp("us", tz="UTC")), "meter": np.full(96, 0.5)})
    pq.write_table(table, tmp_path / "energy.parquet")
    plant = plant_of(
        "  - {kind: load, bus: Bus R1, name: house, profile: m.meter, cos_phi: 0.8}\n",
        extra="sources: {m: {file: energy.parquet, unit: kWh}}",
    )
    assert plant.load_p_kw[:, 0] == pytest.approx(np.full(96, 2.0)), "0.5 kWh in a quarter is 2 kW"
    assert plant.load_q_kvar[:, 0] == pytest.approx(np.full(96, 1.5)), "cos phi 0.8"


def test_pv_is_written_generation_positive_and_stored_as_feed_in(plant_of):
    plant = plant_of(
        LOADS + "  - {kind: pv, home: Load R1, name: a, p_peak_kw: 4, profile: s.shape}\n", extra=SHAPES
    )
    assert plant.pv_available_kw[4 * 12, 0] == pytest.approx(-2.0)
    assert plant.pv_available_kw.max() <= 0.0


def test_days_are_local_days(tmp_path):
    counts = []
    for start in ("2026-03-29", "2026-10-25", "2026-06-20"):
        path = tmp_path / "dst.yaml"
        path.write_text(HEAD.replace("2026-06-20", start) + "devices:\n" + LOADS)
        counts.append(period_of(load_scenario(path)).n_steps)
    assert counts == [4 * 23, 4 * 25, 4 * 24]


def test_devices_of_a_csv_file_are_rows_with_their_own_values(plant_of, tmp_path):
    (tmp_path / "fleet.csv").write_text(
        "name,home,capacity_kwh,power_kw,inverter.function\nb1,Load R1,5,2,q_v\nb2,Load R11,7.5,3,cos_phi\n"
    )
    plant = plant_of(LOADS + "  - {kind: battery, csv: fleet.csv}\n")
    assert plant.battery.capacity_kwh.tolist() == [5.0, 7.5]
    assert plant.battery_inverter.mode.tolist() == [ReactiveMode.Q_V, ReactiveMode.COS_PHI]


def test_an_inverter_without_a_rating_can_give_its_reactive_power_at_full_power(plant_of):
    plant = plant_of(
        LOADS + "  - {kind: pv, home: Load R1, name: a, p_peak_kw: 9, profile: s.shape}\n", extra=SHAPES
    )
    assert plant.pv_inverter.s_rated_kva.tolist() == [10.0]


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ("  - {kind: pv, from: feeder, profile: s.shape}\n", "no static generators"),
        ("  - {kind: load, from: feeder, profile: constant, match: 'X*'}\n", "fits none of the network's 15 loads"),
        ("  - {kind: load, from: feeder, profile: feeder}\n", "brings no profiles"),
        ("  - {kind: load, bus: Bus R9, name: a, profile: constant, p_kw: 1}\n  - {kind: load, bus: Bus R2, name: a, profile: constant, p_kw: 1}\n", "a"),
        ("  - {kind: battery, share: 0.5, capacity_kwh: 5, power_kw: 1}\n", "there are none"),
        (LOADS + "  - {kind: pv, home: Load R1, name: a, p_peak_kw: 4, profile: s.wrong}\n", "negative values"),
        (LOADS + "  - {kind: pv, home: Load R1, name: a, p_peak_kw: 4, profile: s.shap}\n", "did you mean 'shape'"),
        (LOADS + "  - {kind: pv, home: Load R1, name: a, p_peak_kw: 4, profile: 'feeder:PV3'}\n", "no profiles"),
        ("  []\n", "device"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_line(plant_of, devices, message):
    text = mistakes_of(plant_of, devices, extra=SHAPES)
    assert message in text
    assert "plant.yaml:" in text


def test_a_price_in_kilowatts_is_refused(plant_of):
    text = mistakes_of(plant_of, extra=f"{SHAPES}\nprices: {{import_eur_kwh: s.shape}}")
    assert "prices.import_eur_kwh" in text
    assert "EUR/kWh" in text


def test_several_mistakes_come_together(plant_of):
    devices = LOADS + (
        "  - {kind: pv, home: nobody, name: a, p_peak_kw: 4, profile: s.shape}\n"
        "  - {kind: battery, bus: nowhere, name: b, capacity_kwh: 4, power_kw: 1}\n"
    )
    text = mistakes_of(plant_of, devices, extra=SHAPES)
    assert "no home 'nobody'" in text
    assert "no bus 'nowhere'" in text


def test_a_battery_stands_behind_the_meter_of_a_third_party_load(plant_of):
    devices = LOADS + "  - {kind: battery, home: guest, name: b, capacity_kwh: 4, power_kw: 1}\n"
    guest = "external: [{name: guest, cmd: 'x %(addr)s', model: M, attr: P, unit: W, sign: generation, bus: Bus R1}]"
    plant = plant_of(devices, extra=guest)
    assert plant.home_name[plant.battery_home[0]] == "guest"


def test_the_number_one_is_a_unit(plant_of, feeder):
    plant = plant_of("  - {kind: load, from: feeder, profile: s.shape}\n", extra=SHAPES.replace("'1'", "1"))
    assert plant.load_p_kw[4 * 12] == pytest.approx(0.5 * feeder.devices.load_p_kw, rel=1e-5)


def network_with_generators():
    net = pandapower.create_empty_network()
    bus = pandapower.create_bus(net, vn_kv=0.4, name="bus")
    end = pandapower.create_bus(net, vn_kv=0.4, name="end")
    pandapower.create_ext_grid(net, bus)
    pandapower.create_line(net, bus, end, length_km=0.1, std_type="NAYY 4x150 SE", name="cable")
    pandapower.create_sgen(net, end, p_mw=0.1, sn_mva=0.105, name="rated")
    pandapower.create_sgen(net, end, p_mw=0.09, sn_mva=0.09, name="unrated")
    pandapower.create_sgen(net, end, p_mw=0.03, q_mvar=-0.04, name="absorbs")
    return net


def test_ratings_and_power_factors_of_generators_come_from_the_network(tmp_path):
    pandapower.to_json(network_with_generators(), str(tmp_path / "net.json"))
    path = tmp_path / "plant.yaml"
    head = HEAD.replace('"pandapower:create_cigre_network_lv"', "net.json")
    path.write_text(f"{head}\ndevices:\n  - {{kind: pv, from: feeder, profile: constant}}\n")
    plant, _ = build_plant(load_scenario(path), load_feeder("net.json", tmp_path))
    assert plant.pv_name == ("rated", "unrated", "absorbs")
    assert plant.pv_inverter.s_rated_kva.tolist() == pytest.approx([105.0, 100.0, 50.0])
    assert plant.pv_inverter.cos_phi.tolist() == pytest.approx([1.0, 1.0, 0.6])
    assert plant.pv_inverter.absorbs[2]
    assert plant.pv_available_kw[0].tolist() == pytest.approx([-100.0, -90.0, -30.0])


def test_a_faulty_source_is_one_mistake_at_its_own_line(plant_of, tmp_path):
    (tmp_path / "shapes.csv").write_text("time,shape\n2026-06-20T00:00,1\n2026-06-20T01:00,\n")
    devices = LOADS + "".join(
        f"  - {{kind: pv, home: Load R1, name: {name}, p_peak_kw: 4, profile: s.shape}}\n" for name in "ab"
    )
    text = mistakes_of(plant_of, devices, extra=SHAPES)
    assert text.count("shapes.csv") == 1
    assert "plant.yaml:6: sources.s: " in text


def test_a_name_that_several_buses_have_is_refused(tmp_path):
    net = network_with_generators()
    twin_bus = pandapower.create_bus(net, vn_kv=0.4, name="end")
    pandapower.create_line(net, 1, twin_bus, length_km=0.1, std_type="NAYY 4x150 SE", name="cable 2")
    pandapower.to_json(net, str(tmp_path / "net.json"))
    path = tmp_path / "plant.yaml"
    head = HEAD.replace('"pandapower:create_cigre_network_lv"', "net.json")
    path.write_text(f"{head}\ndevices:\n  - {{kind: load, bus: end, name: a, profile: constant, p_kw: 1}}\n")
    with pytest.raises(ScenarioError, match="several elements called 'end'"):
        build_plant(load_scenario(path), load_feeder("net.json", tmp_path))
