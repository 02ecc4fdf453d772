"""What the report says of devices that keep their own state: from series worked out by hand to its section."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from block_plants import Shelf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from twin.errors import RunFolderError
from twin.report.clock import Clock
from twin.report.device_data import (
    DeviceEntry,
    DeviceOutput,
    DeviceRun,
    Energy,
    OutputValues,
    StrategyDevices,
)
from twin.report.device_series import device_run, energy_of, values_of
from twin.report.devices_section import device_section, energy_table, output_groups
from twin.report.feeder_file import read_devices
from twin.report.figures_devices import device_figure
from twin.results import Detail, StrategyReader, StrategyWriter
from twin.runner_files import own_state
from twin.signals import RECORDED, Axis

CLOCK = Clock(start_utc_s=1_467_583_200, dt_s=900, n_steps=4)  # 4 July 2016, 00:00 in Rome
NAMES = {
    Axis.FEEDER: ("f",),
    Axis.BUS: ("b",),
    Axis.LINE: (),
    Axis.TRAFO: ("t",),
    Axis.HOME: ("h",),
    Axis.LOAD: ("fridge", "tank 1", "tank 2"),
    Axis.PV: (),
    Axis.BATTERY: ("cell",),
    Axis.STATE: ("tank 1 level [1]", "tank 2 level [1]", "cell temp [degC]"),
}
TANKS = DeviceEntry(
    label="devices[1] tanks",
    axis=Axis.LOAD,
    devices=("tank 1", "tank 2"),
    origin="the FMU tank.fmu (sha256 0123456789ab, FMI 2.0 of a tool, Co-Simulation, an instance each, in this process)",
    outputs=(DeviceOutput(name="level", unit="1"),),
)
CELL = DeviceEntry(
    label="devices[2] cell",
    axis=Axis.BATTERY,
    devices=("cell",),
    origin="a model in arrays",
    outputs=(DeviceOutput(name="temp", unit="degC"),),
)
BUSES = [f"bus {at}" for at in range(1000)]
LOAD_KW = np.array([[9.0, 1.0, 0.0], [9.0, 1.0, 2.0], [9.0, 0.0, 2.0], [9.0, 0.0, 0.0]])
BATTERY_KW = np.array([[4.0], [0.0], [-2.0], [-1.0]])
STATE = np.array([[0.5, 0.5, 20.0], [0.25, 0.75, 21.0], [0.25, 1.0, 26.0], [0.5, 0.5, 25.0]])

Store = Callable[..., StrategyReader]
Series = NDArray[np.float64]


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    def store(
        name: str = "none", *, detail: str = "all", selected: tuple[str, ...] = (), state: Series = STATE
    ) -> StrategyReader:
        positions = {
            axis: np.array([at for at, known in enumerate(names) if known in selected], dtype=np.int64)
            for axis, names in NAMES.items()
        }
        given_values = {"load.p_kw": LOAD_KW, "battery.p_kw": BATTERY_KW, "state.value": state}
        with StrategyWriter(
            tmp_path / name,
            names=NAMES,
            detail=Detail(detail),
            selected=positions,
            steps_per_part=3,
            on_chunk=lambda _: None,
        ) as writer:
            for step in range(len(state)):
                zeros = {signal.key: np.zeros(len(NAMES[signal.axis])) for signal in RECORDED}
                writer.append(step, zeros | {key: values[step] for key, values in given_values.items()})
        return StrategyReader(tmp_path / name)

    return store


def run_of(reader: StrategyReader | None, *further: tuple[str, StrategyReader]) -> DeviceRun:
    found = device_run((TANKS, CELL), [("Idle", reader), *further], dt_s=900)
    assert found is not None
    return found


# --- numbers --------------------------------------------------------------------------------------------------------


def test_energy_is_split_into_what_was_taken_and_what_was_given(store: Store) -> None:
    (strategy,) = run_of(store()).strategies
    assert strategy.energy == (
        Energy(taken_kwh=6.0 * 0.25, given_kwh=0.0),
        Energy(taken_kwh=4.0 * 0.25, given_kwh=-3.0 * 0.25),
    )


def test_the_extremes_name_the_first_device_and_step_that_had_them(store: Store) -> None:
    (strategy,) = run_of(store()).strategies
    level, temp = strategy.outputs[0][0], strategy.outputs[1][0]
    assert level is not None
    assert temp is not None
    assert (level.lowest, level.lowest_device, level.lowest_step) == (0.25, "tank 1", 1)
    assert (level.highest, level.highest_device, level.highest_step) == (1.0, "tank 2", 2)
    assert level.mean == pytest.approx(4.25 / 8)
    assert level.mean_series.tolist() == [0.5, 0.5, 0.625, 0.5]
    assert (temp.lowest, temp.mean, temp.highest) == (20.0, 23.0, 26.0)


def split(values: Series, sizes: list[int]) -> Iterator[Series]:
    first = 0
    for size in (*sizes, values.shape[1]):
        if first < values.shape[1]:
            yield values[:, first : first + size]
        first += size


@given(
    values=arrays(np.float64, (5, 7), elements=st.floats(-1e3, 1e3)),
    sizes=st.lists(st.integers(1, 4), max_size=4),
)
def test_reading_in_blocks_changes_nothing(values: Series, sizes: list[int]) -> None:
    devices = [f"d{place}" for place in range(7)]
    found = values_of(split(values, sizes), devices)
    assert found.lowest == values.min()
    assert found.highest == values.max()
    assert values[found.lowest_step, devices.index(found.lowest_device)] == found.lowest
    assert values[found.highest_step, devices.index(found.highest_device)] == found.highest
    assert found.mean == pytest.approx(values.mean(), abs=1e-9)
    assert found.mean_series == pytest.approx(values.mean(axis=1), abs=1e-9)
    energy = energy_of(split(values, sizes), 1800)
    assert energy.taken_kwh >= 0.0 >= energy.given_kwh
    assert energy.taken_kwh + energy.given_kwh == pytest.approx(values.sum() / 2, abs=1e-6)


# --- what is stored -------------------------------------------------------------------------------------------------


def test_without_series_of_devices_one_sentence_says_so(store: Store) -> None:
    run = run_of(store(detail="kpi"))
    assert run.strategies[0].energy == (None, None)
    assert run.strategies[0].outputs == ((None,), (None,))
    (sentence,) = run.left_out
    assert sentence.startswith("The run was stored with detail kpi")
    section = device_section(run, CLOCK)
    assert section.energy.head == ("Entry", "Devices", "Computed by")
    assert section.energy.rows[0] == ("devices[1] tanks", "2", "FMU tank.fmu")
    assert section.groups == ()
    assert section.figures == ()


def test_an_entry_of_which_only_some_devices_are_stored_has_no_values(store: Store) -> None:
    chosen = ("tank 2", "tank 2 level [1]", "cell", "cell temp [degC]")
    run = run_of(store(detail="selected", selected=chosen))
    (strategy,) = run.strategies
    assert strategy.energy == (None, Energy(taken_kwh=1.0, given_kwh=-0.75))
    assert strategy.outputs[0] == (None,)
    temp = strategy.outputs[1][0]
    assert temp is not None
    assert temp.highest == 26.0
    assert "devices[1] tanks" in run.left_out[0]
    assert "devices[2] cell" not in run.left_out[0]
    assert [row[-1] for row in energy_table(run).rows] == ["\u2013", "+1.00 / \u22120.75"]


def test_a_strategy_without_steps_is_left_out(store: Store) -> None:
    run = run_of(None, ("Busy", store("busy")))
    assert [(strategy.label, strategy.position) for strategy in run.strategies] == [("Busy", 1)]
    assert run.left_out == ("No steps are stored of Idle: not among the strategies here.",)
    nothing = run_of(None)
    assert nothing.left_out == ("No steps are stored, so there are no values of these devices.",)
    assert energy_table(nothing).rows[1] == ("devices[2] cell", "1", "model in arrays")


def test_series_of_other_devices_are_refused(store: Store) -> None:
    with pytest.raises(RunFolderError, match="not those of the devices"):
        device_run((CELL, TANKS), [("Idle", store())], dt_s=900)


def test_a_run_without_such_devices_has_no_section(store: Store) -> None:
    assert device_run((), [("Idle", store())], dt_s=900) is None


def test_what_the_run_folder_says_of_the_devices_is_read_back(tmp_path: Path) -> None:
    plant = Shelf(tmp_path).plant("  - {kind: water_heater, share: 50 %, draw: generated, litres_day: 150}\n")
    (entry,) = read_devices(tmp_path, json.loads(json.dumps({"own_state": own_state(plant, BUSES)})))
    (plan,) = plant.blocks
    assert (entry.label, entry.axis, entry.origin) == (plan.label, Axis.LOAD, "a model in arrays")
    assert entry.devices == tuple(plant.load_name[at] for at in plan.position)
    assert entry.buses == tuple(BUSES[plant.load_bus[at]] for at in plan.position)
    names = [f"{device} {o.name} [{o.unit}]" for o in entry.outputs for device in entry.devices]
    assert names == [stored.name for stored in plant.stored_outputs]


def test_a_run_that_was_stored_without_them_has_none(tmp_path: Path) -> None:
    assert read_devices(tmp_path, {"name": "old"}) == ()


@pytest.mark.parametrize(
    "raw",
    [
        {"own_state": [{"label": "tanks"}]},
        {"own_state": [{"label": "x", "axis": "cellar", "devices": ["a"], "origin": "", "outputs": []}]},
        {"own_state": 3},
        {"own_state": ["tanks"]},
    ],
)
def test_damaged_devices_are_refused_with_the_file(tmp_path: Path, raw: dict[str, object]) -> None:
    with pytest.raises(RunFolderError, match=r"feeder\.json: own_state.*run again"):
        read_devices(tmp_path, raw)


# --- the section ----------------------------------------------------------------------------------------------------


def test_the_energy_table_has_a_row_per_entry_and_a_column_per_strategy(store: Store) -> None:
    table = energy_table(run_of(store(), ("Busy", store("busy"))))
    assert table.head == ("Entry", "Devices", "Computed by", "Idle", "Busy")
    assert table.rows == (
        ("devices[1] tanks", "2", "FMU tank.fmu", "+1.50", "+1.50"),
        ("devices[2] cell", "1", "model in arrays", "+1.00 / \u22120.75", "+1.00 / \u22120.75"),
    )


def test_strategies_that_read_the_same_share_a_row(store: Store) -> None:
    other = STATE.copy()
    other[2, 2] = 30.0
    level, temp = output_groups(run_of(store(), ("Busy", store("busy", state=other))), CLOCK)
    assert level.title == "devices[1] tanks: level [1]"
    assert level.rows == (
        (
            "All strategies",
            "0.250",
            "tank 1, 4 Jul 00:15",
            "0.531",
            "1.000",
            "tank 2, 4 Jul 00:30",
        ),
    )
    assert temp.title == "devices[2] cell: temp [\u00b0C]"
    assert [row[0] for row in temp.rows] == ["Idle", "Busy"]
    assert [row[4] for row in temp.rows] == ["26", "30"]


def test_an_output_that_never_changes_names_no_device_and_has_no_figure(store: Store) -> None:
    state = STATE.copy()
    state[:, :2] = 0.5
    run = run_of(store(state=state))
    (row,) = output_groups(run, CLOCK)[0].rows
    assert row == ("Idle", "0.500", "all devices at all times", "0.500", "0.500", "all devices at all times")
    assert [panel.heading for panel in device_section(run, CLOCK).figures] == ["devices[2] cell: temp"]


def values(*levels: float) -> OutputValues:
    return values_of(iter([np.array([levels]).T]), ["d"])


def test_rounding_is_no_change() -> None:
    entry = DeviceEntry(
        label="e",
        axis=Axis.LOAD,
        devices=("d",),
        origin="a model",
        outputs=(DeviceOutput(name="unmet_kwh", unit="kWh"),),
    )
    idle = StrategyDevices(label="Idle", position=0, energy=(None,), outputs=((values(0.0, 3e-15),),))
    section = device_section(DeviceRun(entries=(entry,), strategies=(idle,)), CLOCK)
    (row,) = section.groups[0].rows
    assert {float(row[place]) for place in (1, 3, 4)} == {0.0}
    assert row[2] == row[5] == "at all times"
    assert section.figures == ()


def test_digits_keep_close_extremes_apart() -> None:
    entry = DeviceEntry(
        label="e",
        axis=Axis.LOAD,
        devices=("d",),
        origin="a model",
        outputs=(DeviceOutput(name="h", unit="1"),),
    )
    idle = StrategyDevices(label="Idle", position=0, energy=(None,), outputs=((values(0.99998, 1.0),),))
    (group,) = output_groups(DeviceRun(entries=(entry,), strategies=(idle,)), CLOCK)
    assert group.rows[0][1] == "0.999980"
    assert group.rows[0][4] == "1.000000"


def test_the_first_output_of_each_entry_is_drawn_before_the_second_of_any() -> None:
    outputs = tuple(DeviceOutput(name=name, unit="1") for name in ("a", "b", "c"))
    entries = tuple(
        DeviceEntry(label=label, axis=Axis.LOAD, devices=("d",), origin="a model", outputs=outputs)
        for label in ("one", "two")
    )
    moving = (values(0.0, 1.0),) * 3
    idle = StrategyDevices(label="Idle", position=0, energy=(None, None), outputs=(moving, moving))
    section = device_section(DeviceRun(entries=entries, strategies=(idle,)), CLOCK)
    assert [panel.heading for panel in section.figures] == ["one: a", "two: a", "one: b", "two: b"]
    assert section.more == 2


def figure(*series: tuple[str, int, Series], n_strategies: int = 2) -> str:
    return device_figure(
        "f", series, n_strategies=n_strategies, clock=CLOCK, title="Tanks", quantity="level", unit="m"
    )


def test_a_figure_has_a_line_per_strategy_told_apart_without_colour() -> None:
    svg = figure(("Idle", 0, np.array([0.0, 1.0, 2.0, 1.0])), ("Busy", 1, np.array([0.0, 3.0, 2.0, 1.0])))
    assert ">Idle<" in svg
    assert ">Busy<" in svg
    assert svg.count("stroke-dasharray") == 2, "the line and its key"
    assert ">level [m]<" in svg
    assert "Idle: 0 to 2. Busy: 0 to 3." in svg


def test_lines_that_would_cover_each_other_are_one_line_for_all() -> None:
    level = np.array([0.0, 1.0, 2.0, 1.0])
    svg = figure(("Idle", 0, level), ("Busy", 1, level + 1e-4))
    assert ">All strategies<" in svg
    assert ">Busy<" not in svg


@pytest.mark.parametrize(("n_steps", "n_strategies"), [(3, 2), (4, 3)], ids=["shorter", "one is missing"])
def test_a_strategy_with_fewer_steps_or_none_is_not_counted_among_all(
    n_steps: int, n_strategies: int
) -> None:
    level = np.array([0.0, 1.0, 2.0, 1.0])
    svg = figure(("Idle", 0, level), ("Busy", 1, level[:n_steps]), n_strategies=n_strategies)
    assert ">All strategies<" not in svg
    assert ">Busy<" in svg


@pytest.mark.parametrize(
    ("level", "label"),
    [(4e-6, "level [10\u207b\u2076 m]"), (2.5e7, "level [10\u2076 m]"), (40.0, "level [m]")],
)
def test_very_small_and_large_values_are_drawn_in_powers_of_ten(level: float, label: str) -> None:
    svg = figure(("Idle", 0, np.array([0.0, level, 0.0, level])), n_strategies=1)
    assert f">{label}<" in svg


def test_a_long_run_is_drawn_by_day_and_stays_small() -> None:
    clock = Clock(start_utc_s=CLOCK.start_utc_s, dt_s=900, n_steps=35_040)
    level = np.sin(np.arange(35_040))
    svg = device_figure(
        "f", [("Idle", 0, level)], n_strategies=1, clock=clock, title="Tanks", quantity="level", unit="m"
    )
    assert len(svg) < 12_000
