"""What may be written of a device beside an FMU of the user, and what would have no effect there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.devices.base import Causality
from models.devices.numpy_block import KINDS as OUR_KINDS
from twin.errors import ScenarioError
from twin.scenario import LoadedScenario, load_scenario

HEAD = """\
feeder: {source: simbench:1-LV-rural3--2-sw}
period: {start: 2016-07-04, days: 1, step_s: 60}
strategies: {none: }
sources:
  w: {file: s.csv, unit: l/min, time_zone: Europe/Rome}
  kw: {file: s.csv, unit: kWh, time_zone: Europe/Rome}
devices:
"""
HEATER = "- {kind: water_heater, bus: b, name: a"
EV = "- {kind: ev, bus: b, name: a"
BATTERY = "- {kind: battery, bus: b, name: a, capacity_kwh: 10, power_kw: 5"
PV = "- {kind: pv, bus: b, name: a, p_peak_kw: 3, profile: constant"
FMU = "as: fmu, fmu: {file: a.fmu, outputs: {p_kw: y}}}"

Load = Callable[[str], LoadedScenario]


def spec_of(loaded: LoadedScenario) -> Any:
    """Return what is said of the device."""
    return loaded.devices[0].spec


@pytest.fixture(name="load")
def _load(tmp_path: Path) -> Load:
    (tmp_path / "s.csv").write_text("time,c\n2016-07-04T00:00,1\n")
    (tmp_path / "a.fmu").write_bytes(b"")

    def load(device: str) -> LoadedScenario:
        file = tmp_path / "s.yaml"
        file.write_text(f"{HEAD}  {device}\n", encoding="utf-8")
        return load_scenario(file)

    return load


def mistakes(load: Load, device: str) -> dict[str, str]:
    """Return the message of every mistake by its field."""
    with pytest.raises(ScenarioError) as caught:
        load(device)
    return {mistake.field: mistake.message for mistake in caught.value.mistakes}


@pytest.mark.parametrize(
    ("head", "kind", "counts"),
    [
        (f"{HEATER}, ", "water_heater", {"p_rated_kw", "p_element_kw"}),
        (f"{EV}, ", "ev_charger", {"p_max_kw"}),
    ],
)
def test_every_parameter_of_our_model_that_counts_nowhere_else_is_refused_beside_an_fmu(
    load: Load, head: str, kind: str, counts: set[str]
) -> None:
    parameters = [entry for entry in OUR_KINDS[kind].KIND.variables if entry.causality == Causality.PARAMETER]
    assert counts < {entry.name for entry in parameters}
    for entry in parameters:
        value = entry.start * 1.01 if entry.start else 0.01
        value = value if entry.low <= value <= entry.high else entry.start * 0.99
        device = f"{head}{entry.name}: {value}, {FMU}"
        if entry.name in counts:
            assert spec_of(load(device)).says(entry.name)
        else:
            found = mistakes(load, device)[f"devices[0].{entry.name}"]
            assert "has no effect beside fmu:" in found


@pytest.mark.parametrize(
    "device",
    [
        f"{HEATER}, draw: w.c}}",
        f"{EV}, trips: kw.c}}",
        f"{PV}, as: fmu, fmu: {{file: a.fmu, inputs: {{u: p_available_kw}}, outputs: {{p_kw: y}}}}}}",
        f"{HEATER}, as: fmu, p_rated_kw: 2, fmu: {{file: a.fmu, outputs: {{p_kw: y}}}}}}",
        f"{EV}, as: fmu, p_max_kw: 1, fmu: {{file: a.fmu, outputs: {{p_kw: y}}}}}}",
    ],
)
def test_defaults_that_a_resolved_scenario_writes_out_are_no_mistakes_in_it(
    load: Load, tmp_path: Path, device: str
) -> None:
    loaded = load(device)
    again = tmp_path / "again.yaml"
    again.write_text(loaded.resolved_yaml())
    assert load_scenario(again).scenario == loaded.scenario


def test_what_counts_beside_an_fmu_of_the_user_may_be_written(load: Load) -> None:
    takes = "as: fmu, fmu: {file: a.fmu, inputs: {u: SIGNAL}, outputs: {p_kw: y}}}"
    heater = takes.replace("SIGNAL", "temp_room_degc")
    rated = f"{HEATER}, draw: generated, litres_day: 90, p_rated_kw: 2, p_element_kw: 1, temp_room_degc: 12, "
    assert spec_of(load(rated + heater)).p_rated_kw == 2.0
    car = takes.replace("SIGNAL", "soc_need")
    assert (
        spec_of(load(f"{EV}, trips: generated, km_day: 9, p_max_kw: 11, soc_need: 0.9, {car}")).soc_need
        == 0.9
    )
    battery = takes.replace("SIGNAL", "p_set_kw").replace("p_kw: y", "p_kw: y, soc: s")
    assert spec_of(load(f"{BATTERY}, soc_min: 0.2, soc_max: 0.9, eta_charge: 0.9, {battery}")).soc_min == 0.2


@pytest.mark.parametrize(
    ("device", "signal"),
    [(f"{HEATER}, temp_room_degc: 12, ", "temp_room_degc"), (f"{EV}, soc_need: 0.9, ", "soc_need")],
)
def test_what_reaches_an_fmu_by_an_input_needs_the_input(load: Load, device: str, signal: str) -> None:
    found = mistakes(load, device + FMU)
    assert set(found) == {f"devices[0].{signal}"}
    assert f"no effect beside fmu: where no input takes {signal}" in found[f"devices[0].{signal}"]


def test_the_mistake_says_where_to_set_it_instead(load: Load) -> None:
    found = mistakes(load, f"{HEATER}, volume_l: 300, temp_set_degc: 60, {FMU}")
    assert set(found) == {"devices[0].volume_l", "devices[0].temp_set_degc"}
    assert found["devices[0].volume_l"] == (
        "has no effect beside fmu:; remove it, what the FMU lets one set goes under fmu.parameters"
    )
