"""Devices with a state of their own become block plans: who is in them, what drives them, and every mistake in an FMU."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_fmus import Var, build_fmu
from tiny_fmus_zips import with_entry

from models.devices.base import DeviceBlock
from models.feeder import load_feeder
from models.feeder.base import Feeder
from twin.assembly import build_plant
from twin.errors import ScenarioError
from twin.plant import BlockPlan, FloatArray, Plant
from twin.scenario import load_scenario
from twin.signals import Axis

HEAD = """\
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20, days: 1, step_s: 1 min}
strategies: {none: }
sources:
  s: {file: s.csv, unit: kWh, time_zone: Europe/Rome}
  w: {file: s.csv, unit: l, time_zone: Europe/Rome}
  t: {file: s.csv, unit: degC, time_zone: Europe/Rome}
  one: {file: s.csv, unit: '1', time_zone: Europe/Rome}
devices:
  - {kind: load, from: feeder, profile: constant}
"""
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

Build = Callable[..., Plant]
Mistakes = Callable[[str], list[tuple[str, str]]]


@pytest.fixture(name="feeder", scope="module")
def _feeder() -> Feeder:
    return load_feeder("pandapower:create_cigre_network_lv")


@pytest.fixture(name="build")
def _build(tmp_path: Path, feeder: Feeder) -> Build:
    """Build the plant of a scenario with these devices beside the loads of the network."""
    hours = [
        f"2026-06-20T{hour:02d}:00,{hour},{int(8 <= hour < 10)},{int(not 8 <= hour < 11)}"
        for hour in range(24)
    ]
    (tmp_path / "s.csv").write_text("\n".join(["time,hour,trip,there", *hours]) + "\n")

    def build(devices: str, head: str = HEAD) -> Plant:
        path = tmp_path / "plant.yaml"
        path.write_text(head + devices)
        return build_plant(load_scenario(path), feeder)[0]

    return build


@pytest.fixture(name="mistakes")
def _mistakes(build: Build) -> Mistakes:
    """Return (field, message) of every mistake."""

    def mistakes(devices: str) -> list[tuple[str, str]]:
        with pytest.raises(ScenarioError) as caught:
            build(devices)
        assert all(mistake.line is not None and mistake.line >= 9 for mistake in caught.value.mistakes)
        return [(mistake.field, mistake.message) for mistake in caught.value.mistakes]

    return mistakes


def only(plant: Plant) -> BlockPlan:
    (plan,) = plant.blocks
    return plan


def run(plan: BlockPlan, steps: int, **live: FloatArray) -> FloatArray:
    """Return the outputs of some steps of a minute, shape (steps, outputs, N); ``live`` values have shape (steps, N)."""
    block: DeviceBlock = plan.open()
    try:
        found = []
        for step in range(steps):
            rows = []
            for name in block.inputs:
                series = plan.series.get(name)
                row = live[name][step] if series is None else series[step if len(series) > 1 else 0]
                rows.append(np.broadcast_to(row, block.size))
            found.append(block.step(np.array(rows, dtype=np.float64), time_s=60.0 * step, dt_s=60.0))
        return np.array(found)
    finally:
        block.close()


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


PUMP = """\
  - kind: fmu
    home: Load R1
    name: pump
    fmu:
      file: pump.fmu
      inputs: {INPUTS}
      outputs: {OUTPUTS}
"""


@pytest.fixture(name="pump", scope="module")
def _pump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """P = gain * (V - 100) W with the temperature beside it; an integrator that can save its state."""
    return build_fmu(
        tmp_path_factory.mktemp("pump"),
        name="pump",
        inputs=(
            Var("V", "input", start=230.0, unit="V"),
            Var("T.amb", "input", start=280.0, unit="K"),
            "free",
        ),
        outputs=(Var("P", "output", unit="W"), Var("on", "output"), Var("T", "output", unit="K")),
        parameters={"gain": 10.0},
        variables=(Var("word", "parameter", type="String", start="a"),),
        step_code="P = gain * (V - 100); on = free; T = T_amb;",
        init_code="P = gain * (V - 100);",
    )


@pytest.fixture(name="pump_of")
def _pump_of(tmp_path: Path, pump: Path) -> Callable[..., str]:
    def pump_of(inputs: str, outputs: str, *lines: str) -> str:
        (tmp_path / "pump.fmu").write_bytes(pump.read_bytes())
        text = PUMP.replace("INPUTS", inputs).replace("OUTPUTS", outputs)
        return text + "".join(f"      {line}\n" for line in lines)

    return pump_of


def test_signals_reach_an_fmu_in_its_units_and_come_back_in_ours(
    build: Build, pump_of: Callable[..., str]
) -> None:
    devices = pump_of(
        "V: v_v, T.amb: temp_air_degc, free: {column: one.hour}",
        "p_kw: {variable: P, sign: generation, factor: 2}, q_kvar: {variable: P, unit: var}",
        "trusted: true",
        "record: [T, on]",
        "parameters: {gain: 20}",
    )
    plan = only(build(f"{devices}    temp_air_degc: 7\n"))
    block = plan.open()
    assert block.outputs == ("p_kw", "q_kvar", "T", "on")
    assert block.start()[0, 0] == pytest.approx(-2 * 20 * 130 / 1000), (
        "before the first step the voltage is 230 V"
    )
    block.close()
    p_kw, q_kvar, warm_k, hour = run(plan, 121, v_v=np.full((121, 1), 240.0))[-1, :, 0]
    assert p_kw == pytest.approx(-2 * 20 * 140 / 1000)
    assert q_kvar == pytest.approx(20 * 140 / 1000)
    assert warm_k == pytest.approx(280.15)
    assert hour == 2.0
    assert plan.record == (("T", "K"), ("on", "1"))
    assert "pump.fmu" in plan.origin
    assert "in this process" in plan.origin


def test_parameters_in_a_list_are_those_of_each_device(
    build: Build, pump_of: Callable[..., str], tmp_path: Path
) -> None:
    devices = pump_of("V: v_v", "p_kw: P", "trusted: true", "parameters: {gain: [10, 30]}")
    (tmp_path / "two.csv").write_text("name,home\na,Load R1\nb,Load R11\n")
    plan = only(build(devices.replace("home: Load R1", "csv: two.csv").replace("    name: pump\n", "")))
    assert run(plan, 1, v_v=np.full((1, 2), 200.0))[0, 0].tolist() == pytest.approx([1.0, 3.0])


@pytest.mark.parametrize(
    ("inputs", "outputs", "lines", "field", "part"),
    [
        ("W: v_v", "p_kw: P", (), "inputs.W", "no variable 'W'"),
        ("T.am: temp_air_degc", "p_kw: P", (), "inputs.T.am", "did you mean T.amb"),
        ("P: v_v", "p_kw: P", (), "inputs.P", "no input of the FMU but a output"),
        ("gain: v_v", "p_kw: P", (), "inputs.gain", "set it under parameters"),
        ("word: v_v", "p_kw: P", (), "inputs.word", "holds no numbers"),
        ("V: vm_pu", "p_kw: P", (), "inputs.V", "v_v is the voltage in V"),
        ("V: home_p_kw", "p_kw: P", (), "inputs.V", "a voltage"),
        ("free: home_p_kw", "p_kw: P", (), "inputs.free", "write its unit, e.g. `unit: kW`"),
        ("free: {signal: home_p_kw, unit: kWatt}", "p_kw: P", (), "inputs.free", "'kWatt'"),
        ("free: {column: s.nothing, unit: W}", "p_kw: P", (), "inputs.free.column", "nothing"),
        ("V: 230", "p_kw: P", ("parameters: {V: 2}",), "inputs.V", "under parameters too"),
        ("", "p_kw: Q", (), "outputs.p_kw", "no variable 'Q'"),
        ("", "p_kw: T", (), "outputs.p_kw", "a temperature"),
        ("", "p_kw: on", (), "outputs.p_kw", "write its unit"),
        ("", "p_kw: P", ("record: [T, S]",), "record[1]", "no variable 'S'"),
        ("", "p_kw: P", ("parameters: {gian: 2}",), "parameters.gian", "did you mean gain"),
        ("", "p_kw: P", ("parameters: {gain: high}",), "parameters.gain", "high"),
        ("", "p_kw: P", ("parameters: {gain: [1, 2]}",), "parameters.gain", "2 values for 1 devices"),
        ("", "p_kw: P", ("parameters: {P: 2}",), "parameters.P", "cannot be set"),
        ("", "p_kw: P", ("step: 7 s",), "step", "not a whole number of communication steps"),
        ("", "p_kw: P", ("step: 2 min",), "step", "not a whole number"),
        ("", "p_kw: P", ("interface: model_exchange",), "interface", "interface: co_simulation"),
        ("", "p_kw: P", ("array: n",), "array", "needs an FMU of FMI 3.0"),
    ],
)
def test_a_mistake_in_the_wiring_of_an_fmu_names_its_field(
    mistakes: Mistakes,
    pump_of: Callable[..., str],
    inputs: str,
    outputs: str,
    lines: tuple[str, ...],
    field: str,
    part: str,
) -> None:
    devices = pump_of(inputs, outputs, *lines) + "    temp_air_degc: 3\n"
    ((found, message),) = mistakes(devices)
    assert found == f"devices[1].fmu.{field}"
    assert part in message


def test_all_mistakes_of_several_fmus_come_at_once(mistakes: Mistakes, pump_of: Callable[..., str]) -> None:
    first = pump_of("V: vm_pu, X: hour", "p_kw: {variable: T, unit: W}, q_kvar: U", "step: 7 s", "array: n")
    second = (
        first.replace("name: pump", "name: other").replace("X: hour", "").replace("array: n", "trusted: true")
    )
    fields = [field for field, _ in mistakes(first + second)]
    assert sorted(fields) == sorted(
        [f"devices[1].fmu.{field}" for field in ("array", "step", "inputs.V", "inputs.X", "outputs.q_kvar")]
        + [f"devices[2].fmu.{field}" for field in ("step", "inputs.V", "outputs.q_kvar")]
    )


def test_restart_needs_an_fmu_that_can_save_its_state(mistakes: Mistakes, tmp_path: Path) -> None:
    forgetful = build_fmu(tmp_path, name="pump", capabilities={"canSerializeFMUstate": "false"})
    assert forgetful.name == "pump.fmu"
    devices = PUMP.replace("INPUTS", "").replace("OUTPUTS", "p_kw: {variable: y, unit: kW}")
    ((field, message),) = mistakes(devices + "      on_failure: restart\n")
    assert field == "devices[1].fmu.on_failure"
    assert "cannot save its state" in message


def test_an_unsafe_archive_no_archive_and_one_for_another_machine_are_mistakes_of_the_file(
    mistakes: Mistakes, pump: Path, tmp_path: Path
) -> None:
    with_entry(pump, tmp_path / "a.fmu", "../../evil")
    (tmp_path / "b.fmu").write_text("no zip")
    build_fmu(tmp_path / "c", name="c", platform="win32").rename(tmp_path / "c.fmu")
    text = PUMP.replace("INPUTS", "").replace("OUTPUTS", "p_kw: {variable: y, unit: kW}")
    devices = [
        text.replace("pump.fmu", f"{name}.fmu").replace("name: pump", f"name: {name}") for name in "abc"
    ]
    found = mistakes("".join(devices).replace("variable: y", "variable: y"))
    assert [field for field, _ in found] == [f"devices[{at}].fmu.file" for at in (1, 2, 3)]
    assert "evil" in found[0][1]
    assert "win32" in found[2][1]
    assert not (tmp_path.parent.parent / "evil").exists()


@pytest.mark.parametrize(
    ("array", "outputs", "field", "part"),
    [
        ("m", "p_kw: {variable: y, unit: kW}", "array", "no structural parameter 'm'; it has n"),
        ("gain", "p_kw: {variable: y, unit: kW}", "array", "no structural parameter 'gain'"),
        (None, "p_kw: {variable: fixed, unit: kW}", None, ""),
    ],
)
def test_the_size_parameter_of_an_array_fmu_is_checked(
    build: Build, tmp_path: Path, array: str | None, outputs: str, field: str | None, part: str
) -> None:
    build_fmu(
        tmp_path, name="pump", fmi="3.0", array=True, parameters={"gain": 1.0}, step_code="y = gain * u;"
    )
    devices = PUMP.replace("    home: Load R1\n    name: pump\n", "    share: 50 %\n")
    devices = devices.replace("INPUTS", "u: hour").replace("OUTPUTS", outputs)
    devices = devices.replace("u: hour", "u: {signal: hour, unit: h}")
    text = devices + (f"      array: {array}\n" if array else "")
    with pytest.raises(ScenarioError) as caught:
        build(text)
    found = {mistake.field: mistake.message for mistake in caught.value.mistakes}
    wanted = f"devices[1].fmu.{field}" if field else "devices[1].fmu.outputs.p_kw"
    assert wanted in found
    assert part in found[wanted]


def test_one_array_instance_holds_all_devices_of_an_entry(build: Build, tmp_path: Path) -> None:
    build_fmu(
        tmp_path, name="pump", fmi="3.0", array=True, parameters={"gain": 1.0}, step_code="y = gain * u;"
    )
    devices = PUMP.replace("    home: Load R1\n    name: pump\n", "    share: 50 %\n")
    devices = devices.replace("INPUTS", "u: {signal: home_p_kw, unit: kW}")
    devices = devices.replace("OUTPUTS", "p_kw: {variable: y, unit: kW}")
    plan = only(build(devices + "      array: n\n      trusted: true\n"))
    n = len(plan.home)
    values = np.arange(float(n))[None]
    assert run(plan, 1, home_p_kw=values)[0, 0].tolist() == values[0].tolist()
    assert f"one instance for all {n}" in plan.origin


def test_without_fmpy_the_remedy_is_said_and_models_still_work(
    build: Build, mistakes: Mistakes, pump_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fmpy", None)  # as where it is not installed
    assert len(build(CARS + HEATERS).blocks) == 2
    ours = CARS.replace("50 %", "50 %, as: fmu")
    assert mistakes(ours + pump_of("", "p_kw: P")) == [
        ("devices[1]", 'FMUs need FMPy; install it with: pip install "gemello[fmu]"'),
        ("devices[2]", 'FMUs need FMPy; install it with: pip install "gemello[fmu]"'),
    ]


def test_plans_without_fmus_do_not_import_fmpy_or_numba_kernels() -> None:
    program = (
        "import sys; import twin.assembly, twin.scenario\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'fmpy' or name.startswith('models.fmu')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[]"
