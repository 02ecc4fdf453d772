"""Devices with a state of their own become block plans: who is in them, and what drives them."""

from pathlib import Path

import numpy as np
import pytest
from block_plants import HEAD, Build, Mistakes, only, run

from twin.signals import Axis

HEATERS = "  - {kind: water_heater, share: 50 %, draw: generated, litres_day: 150}\n"
CARS = "  - {kind: ev, share: 50 %, trips: generated, spread_h: 0, drive_days_share: 1, driven_kwh_day: 6}\n"
BATTERY = (
    "  - {kind: battery, share: 50 %, capacity_kwh: 10, power_kw: 4, as: AS,\n"
    "     detail: {standby_kw: 20 W, taper_high_soc: 10 %, temp_derate_start_degc: 21, temp_derate_end_degc: 40}}\n"
)
PV = (
    "  - {kind: pv, share: 50 %, p_peak_kw: 5, profile: constant, as: AS,\n"
    "     inverter: {function: q_v, v1s_pu: 1.01, v2s_pu: 1.05, p_v: {start_pu: 1.03, end_pu: 1.1}}}\n"
)

SLOW_PV = PV.replace("as: AS,", "as: AS, detail: {response_s: 30 s, ramp_up_share_s: 6 %/min},")


def test_appliances_are_silent_loads_behind_the_meters_of_homes(build: Build) -> None:
    plant = build(HEATERS + CARS)
    heaters, cars = plant.blocks
    n_network = len(build("").load_name)
    assert heaters.axis is cars.axis is Axis.LOAD
    assert heaters.position.tolist() == list(range(n_network, n_network + len(heaters.home)))
    assert plant.n_homes == n_network, "no home of their own"
    assert np.array_equal(plant.load_home[heaters.position], heaters.home)
    assert plant.load_name[heaters.position[0]] == f"water_heater {plant.home_name[heaters.home[0]]}"
    assert not plant.load_p_kw[:, heaters.position].any()
    assert np.array_equal(plant.appliance_load, np.concatenate([heaters.position, cars.position]))


def test_appliances_do_not_change_who_has_pv(build: Build) -> None:
    pv = PV.replace("AS", "model")
    assert np.array_equal(build(pv).pv_home, build(HEATERS + CARS + pv).pv_home)


def test_an_appliance_beside_pv_goes_to_each_home_with_pv_once(build: Build) -> None:
    devices = (
        "  - {kind: ev, beside: pv, trips: generated, prefix: new}\n"
        "  - {kind: ev, home: Load R1, name: old, trips: generated}\n"
        "  - {kind: pv, home: Load R1, name: a, p_peak_kw: 3, profile: constant}\n"
        "  - {kind: pv, home: Load R11, name: b, p_peak_kw: 3, profile: constant}\n"
    )
    plant = build(devices)
    where = {plant.load_name[at]: plant.home_name[plant.load_home[at]] for at in plant.appliance_load}
    assert where == {"old": "Load R1", "new Load R11": "Load R11"}


def test_an_appliance_at_a_bus_without_a_home_opens_one(build: Build) -> None:
    bus = "Bus R2"
    plant = build(f"  - {{kind: ev, bus: {bus}, name: lonely, trips: generated}}\n")
    assert plant.home_name[only(plant).home[0]] == "lonely"


def test_rows_of_a_file_are_one_block_with_their_own_parameters(build: Build, tmp_path: Path) -> None:
    (tmp_path / "cars.csv").write_text(
        "name,home,capacity_kwh,soc_start\nx,Load R1,40,0.4\ny,Load R11,60,60 %\n"
    )
    plan = only(
        build("  - {kind: ev, csv: cars.csv, trips: generated, departure: '23:00', arrival: '22:00'}\n")
    )
    assert plan.label == "devices[1] ev"
    block = plan.open()
    assert block.start()[block.outputs.index("soc")].tolist() == [0.4, 0.6]


def test_only_batteries_with_detail_or_an_fmu_are_blocks(build: Build) -> None:
    plain = "  - {kind: battery, home: Load R1, name: a, capacity_kwh: 10, power_kw: 4}\n"
    plant = build(plain + BATTERY.replace("AS", "model"))
    plan = only(plant)
    assert plan.axis is Axis.BATTERY
    assert plan.position.tolist() == list(range(1, len(plant.battery_name)))
    assert plan.record == (("temp_degc", "degC"), ("health", "1"))
    assert plan.origin == "a model in arrays"


def test_the_inverters_of_generators_in_a_block_are_left_to_the_block(build: Build) -> None:
    plant = build(PV.replace("AS", "fmu"))
    as_model = build(PV.replace("AS", "model"))
    assert as_model.blocks == ()
    assert np.all(as_model.pv_inverter.p_v_start_pu == 1.03)
    assert np.all(np.isinf(plant.pv_inverter.p_v_start_pu))
    assert np.all(plant.pv_inverter.cos_phi == 1.0)
    assert np.array_equal(plant.pv_inverter.s_rated_kva, as_model.pv_inverter.s_rated_kva)
    n = len(plant.pv_name)
    outputs = run(
        only(plant),
        1,
        p_available_kw=np.full((1, n), -5.0),
        p_limit_kw=np.full((1, n), 1e9),
        vm_pu=np.full((1, n), 1.065),
    )
    assert np.allclose(outputs[0, 0], -2.5), "P(V) halves rated power half way from 1.03 to 1.10 pu"
    assert np.allclose(outputs[0, 1], 0.436 * 5.0), "Q(V) absorbs all it can"


def test_a_slow_inverter_is_a_block_as_model_and_as_fmu_and_both_agree(build: Build) -> None:
    as_model, as_fmu = (only(build(SLOW_PV.replace("AS", word))) for word in ("model", "fmu"))
    assert as_model.origin == "a model in arrays"
    assert as_fmu.origin.startswith("the FMU pv_inverter_fmi3.fmu")
    n = len(as_model.home)
    random = np.random.default_rng(3)
    live = {
        "p_available_kw": random.uniform(-6.0, 0.0, size=(200, n)),
        "p_limit_kw": random.uniform(0.0, 9.0, size=(200, n)),
        "vm_pu": random.uniform(0.95, 1.08, size=(200, n)),
    }
    assert np.allclose(run(as_fmu, 200, **live), run(as_model, 200, **live), rtol=1e-11, atol=1e-11)


def test_detail_reaches_the_inverter(build: Build) -> None:
    detail = "as: model, detail: {ramp_up_share_s: 6 %/min}, "
    plan = only(build(f"  - {{kind: pv, share: 50 %, p_peak_kw: 5, profile: constant, {detail}prefix: a}}\n"))
    n = len(plan.home)
    live = {
        "p_available_kw": np.full((20, n), -5.0),
        "p_limit_kw": np.full((20, n), 1e9),
        "vm_pu": np.ones((20, n)),
    }
    p_kw = run(plan, 20, **live)[:, 0]
    ramp_kw = -5.0 * np.minimum(
        0.06 * (np.arange(20) + 0.5), 1.0
    )  # 6 % of 5 kW in a minute, mean of each minute
    full = 16  # the ramp ends within the minute before
    assert np.allclose(p_kw[:full], ramp_kw[:full, None])
    assert np.allclose(p_kw[full + 1 :], -5.0)


def test_rows_of_a_file_may_have_detail_and_others_not(build: Build, tmp_path: Path) -> None:
    (tmp_path / "roofs.csv").write_text(
        "name,home,p_peak_kw,detail.response_s\na,Load R1,5,\nb,Load R11,5,60 s\n"
    )
    plant = build("  - {kind: pv, csv: roofs.csv, profile: constant}\n")
    plan = only(plant)
    assert [plant.pv_name[at] for at in plan.position] == ["b"]
    live = {
        "p_available_kw": np.full((1, 1), -5.0),
        "p_limit_kw": np.ones((1, 1)) * 9,
        "vm_pu": np.ones((1, 1)),
    }
    assert run(plan, 1, **live)[0, 0, 0] == pytest.approx(-5.0 * np.exp(-1.0)), (
        "mean of 1 - exp(-t / 60 s) over a minute"
    )


def test_detail_reaches_the_battery_and_air_warms_it(build: Build) -> None:
    cold = only(
        build(BATTERY.replace("AS", "model").replace("share: 50 %", "share: 50 %, temp_air_degc: t.hour"))
    )
    assert cold.series["temp_ambient_degc"].shape == (1440, 1)
    assert cold.series["temp_ambient_degc"][::60, 0].tolist() == list(range(24))
    n = len(cold.home)
    _, soc, temp_degc, _ = run(cold, 60, p_set_kw=np.zeros((60, n)))[-1]
    assert np.all(temp_degc < 20.0), "the air is at 0 degC in the first hour"
    taken_kwh = (0.5 - soc) * 10.0
    lost_kwh = 5.0 * (1 - (1 - 0.0013) ** (1 / 24))
    assert np.allclose(taken_kwh, 0.02 / 0.95 + lost_kwh, rtol=1e-3), (
        "the own consumption comes from the battery"
    )


def test_a_weather_file_says_how_warm_the_air_is(build: Build, tmp_path: Path) -> None:
    times = [f"2026-06-{19 + hour // 24}T{hour % 24:02d}:00Z,0,0,0,{hour}" for hour in range(48)]
    (tmp_path / "air.csv").write_text("\n".join(["time,ghi,dni,dhi,temp_air", *times]) + "\n")
    plan = only(build(HEATERS.replace("draw:", "weather: air.csv, draw:")))
    first = 22  # midnight in Rome is 22:00 UTC of the day before
    assert plan.series["temp_air_degc"].shape == (1440, 1)
    assert plan.series["temp_air_degc"][::60, 0].tolist() == list(range(first, first + 24))
    assert only(build(HEATERS)).series["temp_air_degc"].tolist() == [[15.0]]


@pytest.mark.parametrize("devices", [HEATERS, CARS, BATTERY])
def test_our_fmu_and_our_model_of_an_entry_give_the_same(build: Build, devices: str) -> None:
    marked = devices if "as: AS" in devices else devices.replace("share: 50 %", "share: 50 %, as: AS")
    as_fmu, as_model = (only(build(marked.replace("AS", word))) for word in ("fmu", "model"))
    assert as_fmu.origin.startswith("the FMU ")
    assert as_fmu.record == as_model.record
    set_kw = np.random.default_rng(1).uniform(-5.0, 5.0, size=(500, len(as_fmu.home)))
    live = {"p_set_kw": set_kw, "p_limit_kw": np.abs(set_kw)}
    assert np.allclose(run(as_fmu, 500, **live), run(as_model, 500, **live), rtol=1e-11, atol=1e-11)


def test_drawn_water_has_its_mean_and_whole_draw_offs(build: Build) -> None:
    drawn = only(
        build(
            "  - {kind: water_heater, share: 1, draw: generated, litres_day: 150}\n".replace("1,", "100 %,")
        )
    )
    l_min = drawn.series["draw_l_min"]
    assert l_min.shape == (1440, len(drawn.home))
    assert l_min.min() >= 0.0
    week = HEAD.replace("days: 1", "days: 28")
    litres = only(build(HEATERS, week)).series["draw_l_min"].sum(axis=0) / 28
    # a day's water has a standard deviation of about 80 l: baths of 140 l come one day in ten
    assert litres.mean() == pytest.approx(150.0, abs=4 * 80.0 / np.sqrt(28 * len(litres)))
    assert len(np.unique(litres)) == len(litres), "each home has its own habits"


def test_a_home_keeps_its_habits_whatever_else_there_is(build: Build) -> None:
    few, many = only(build(HEATERS)), build(CARS + HEATERS.replace("50 %", "90 %")).blocks[1]
    homes = many.home.tolist()
    same = [homes.index(home) for home in few.home]
    assert np.array_equal(few.series["draw_l_min"], many.series["draw_l_min"][:, same])
    other = only(build(HEATERS, "seed: 2\n" + HEAD)).series["draw_l_min"]
    assert other.shape != few.series["draw_l_min"].shape or not np.array_equal(
        other, few.series["draw_l_min"]
    )


def test_generated_cars_leave_and_come_at_their_times(build: Build) -> None:
    plan = only(build(CARS))
    plugged, used_kwh = plan.series["plugged"], plan.series["used_kwh"]
    away = np.zeros(1440, dtype=bool)
    away[450:1080] = True  # 07:30 to 18:00
    assert np.array_equal(plugged == 0.0, np.repeat(away[:, None], len(plan.home), axis=1))
    assert not used_kwh[~away].any()
    hours = plan.series["departure_h"][:, 0]
    assert hours[0] == pytest.approx(7.5)
    assert hours[449] == pytest.approx(1 / 60)
    assert np.all(hours[450:] == 1e9), "the next departure is after the run"
    assert plan.series["soc_need"].shape == (1, len(plan.home))


def test_the_energy_of_trips_has_its_mean(build: Build) -> None:
    plan = only(build(CARS, HEAD.replace("days: 1", "days: 28")))
    per_day = plan.series["used_kwh"].sum(axis=0) / 28
    # a day's energy has a standard deviation of 0.53 of its mean: sqrt(exp(0.25) - 1)
    assert per_day.mean() == pytest.approx(6.0, abs=4 * 0.533 * 6.0 / np.sqrt(28 * len(per_day)))


def test_a_night_shift_is_away_over_midnight(build: Build) -> None:
    night = CARS.replace("spread_h: 0", "spread_h: 0, departure: '22:00', arrival: '06:00'")
    plugged = only(build(night)).series["plugged"][:, 0]
    assert np.array_equal(np.flatnonzero(np.diff(plugged)) + 1, [360, 1320])
    assert plugged[0] == plugged[-1] == 0.0


def test_columns_drive_heaters_and_cars_with_their_energy_kept(build: Build) -> None:
    heater, car, van = build(
        "  - {kind: water_heater, home: Load R1, name: a, draw: w.trip}\n"
        "  - {kind: ev, home: Load R1, name: b, trips: s.trip}\n"
        "  - {kind: ev, home: Load R1, name: c, trips: s.trip, plugged: one.there}\n"
    ).blocks
    assert heater.series["draw_l_min"].sum() == pytest.approx(2.0), "one litre in each of two hours"
    assert car.series["used_kwh"].sum() == pytest.approx(2.0), "one kWh in each of two hours"
    assert np.flatnonzero(car.series["plugged"][:, 0] == 0.0)[[0, -1]].tolist() == [480, 599]
    assert np.flatnonzero(van.series["plugged"][:, 0] == 0.0)[[0, -1]].tolist() == [480, 659]


def test_what_was_assumed_is_said(build: Build) -> None:
    said = " ".join(build(HEATERS + CARS).market.assumed)
    assert "150 l a day on average (assumption)" in said
    assert "6 kWh each on average (assumption)" in said
    assert "drawn at random" not in " ".join(build(BATTERY.replace("AS", "model")).market.assumed)


def test_a_car_that_drives_while_plugged_in_is_a_mistake(mistakes: Mistakes) -> None:
    ((field, message),) = mistakes(
        "  - {kind: ev, home: Load R1, name: c, trips: s.hour, plugged: one.there}\n"
    )
    assert field == "devices[1]"
    assert "drives 1 h after the start of the run while 'one.there' says plugged in" in message
