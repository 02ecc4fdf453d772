"""FMUs of the user become block plans: their wires, the power that they count with, and every mistake at its place."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from block_plants import HEAD, Build, Mistakes, only, run
from tiny_fmus import Var, build_fmu
from tiny_fmus_zips import changed, with_entry

from twin.errors import ScenarioError

HEATERS = "  - {kind: water_heater, share: 50 %, draw: generated, litres_day: 150}\n"
CARS = "  - {kind: ev, share: 50 %, trips: generated}\n"
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
        ("", "p_kw: {variable: V, unit: W}", (), "outputs.p_kw", "V is an input of the FMU"),
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


def test_a_unit_against_that_of_the_fmu_counts_and_is_noted(
    build: Build, pump_of: Callable[..., str]
) -> None:
    devices = pump_of(
        "V: v_v, T.amb: {signal: temp_air_degc, unit: degC}",
        "p_kw: {variable: P, unit: kW}, q_kvar: {variable: T, unit: var}",
        "trusted: true",
        "record: [T]",
    )
    plant = build(f"{devices}    temp_air_degc: 7\n")
    assert [note for note in plant.market.assumed if "FMU says" in note] == [
        "devices[1] pump: T.amb: the FMU says K, the scenario says degC, which counts.",
        "devices[1] pump: P: the FMU says W, the scenario says kW, which counts.",
        "devices[1] pump: T: the FMU says K, the scenario says var, which counts.",
    ]
    p_kw, _, warm = run(only(plant), 1, v_v=np.full((1, 1), 240.0))[0, :, 0]
    assert p_kw == pytest.approx(10 * 140)
    assert warm == pytest.approx(7.0)


def test_a_unit_that_the_fmu_says_in_other_letters_or_not_at_all_is_no_contradiction(
    build: Build, pump_of: Callable[..., str]
) -> None:
    devices = pump_of(
        "free: {signal: home_p_kw, unit: W}",
        "p_kw: {variable: P, unit: J/s}, q_kvar: {variable: P, unit: var}",
    )
    assert not [note for note in build(devices).market.assumed if "FMU says" in note]


def test_energy_driven_is_used_once_in_a_step_however_many_steps_the_fmu_makes(
    build: Build, tmp_path: Path
) -> None:
    build_fmu(
        tmp_path, name="pump", inputs=("e",), outputs=("y", "left"), step_code="left = left - e; y = 0 * e;"
    )
    devices = (
        "  - {kind: ev, as: fmu, home: Load R1, name: car, trips: s.trip, fmu: {file: pump.fmu, trusted: true,\n"
        "     inputs: {e: {signal: used_kwh, unit: kWh}}, outputs: {p_kw: {variable: y, unit: kW}}, record: [left],\n"
        "     step: STEP}}\n"
    )
    for step in ("1 min", "5 s"):
        found = run(only(build(devices.replace("STEP", step))), 601)[:, 1, 0]
        assert found[479] == 0.0
        assert found[480] == pytest.approx(-1 / 60), "one kWh in each of two hours, from 8 h on"
        assert found[600] == pytest.approx(-2.0)


def test_the_origin_says_the_step_of_the_fmu_where_it_is_not_that_of_the_run(
    build: Build, pump_of: Callable[..., str]
) -> None:
    short, same = (
        only(build(pump_of("V: v_v", "p_kw: P", f"step: {step}"))).origin for step in ("10 s", "1 min")
    )
    assert "Co-Simulation, steps of 10 s, an instance each" in short
    assert "Co-Simulation, an instance each" in same


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


def _as_of_python(description: bytes) -> bytes:
    return description.replace(b'generationTool="tiny"', b'generationTool="PythonFMU3 0.2.2"')


def test_an_fmu_that_needs_its_tool_is_refused_and_one_that_needs_python_is_not(
    build: Build, mistakes: Mistakes, tmp_path: Path
) -> None:
    file = build_fmu(tmp_path / "tool", name="pump", capabilities={"needsExecutionTool": "true"})
    changed(file, tmp_path / "pump.fmu")
    devices = PUMP.replace("INPUTS", "").replace("OUTPUTS", "p_kw: {variable: y, unit: kW}")
    ((field, message),) = mistakes(devices)
    assert field == "devices[1].fmu.file"
    assert "only runs with" in message
    changed(file, tmp_path / "pump.fmu", edit={"modelDescription.xml": _as_of_python})
    assert "FMI 2.0 of PythonFMU3 0.2.2, Co-Simulation, an instance each" in only(build(devices)).origin


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
    assert f"Co-Simulation, one instance for all {n}" in plan.origin


def test_appliances_count_with_their_rated_power_in_a_contract(
    build: Build, pump_of: Callable[..., str]
) -> None:
    homes = "".join(
        f"  - {{kind: load, bus: Bus R{at}, name: h{at}, profile: constant, p_kw: 1}}\n"
        for at in range(2, 10)
    )
    appliances = (
        "  - {kind: ev, home: h2, name: car, trips: generated, p_max_kw: 7.4}\n"
        "  - {kind: water_heater, home: h3, name: heater, draw: generated, p_rated_kw: 0.8, p_element_kw: 1.6}\n"
        "  - {kind: ev, home: h4, name: held, trips: generated, p_max_kw: 7.4}\n"
        "  - {kind: water_heater, home: h2, name: small, draw: generated, p_rated_kw: 0.5}\n"
    )
    rated = (
        "  - {kind: ev, as: fmu, home: h8, name: wallbox, p_max_kw: 11,\n"
        "     fmu: {file: pump.fmu, outputs: {p_kw: P}}}\n"
        "  - {kind: ev, as: fmu, home: h9, name: silent, fmu: {file: pump.fmu, outputs: {p_kw: P}}}\n"
    )
    known = pump_of("", "p_kw: {variable: P, max: 5}").replace("Load R1", "h5")
    unknown = pump_of("", "p_kw: P").replace("Load R1", "h6").replace("name: pump", "name: secret")
    members = (
        "  - {kind: pv, home: h7, name: roof, p_peak_kw: 5, profile: constant}\n"
        "communities:\n  - name: street\n    kind: CER\n    members:\n"
        + "".join(f"      - {{home: h{at}}}\n" for at in (2, 3, 5, 6, 7, 8, 9))
        + "      - {home: h4, contract_kw: 3}\n"
    )
    head = HEAD.replace("  - {kind: load, from: feeder, profile: constant}\n", "")
    plant = build(homes + appliances + rated + known + unknown + members, head)
    found = dict(
        zip(
            (plant.home_name[at] for at in plant.communities.member_home),
            plant.communities.member_contract_kw.tolist(),
            strict=True,
        )
    )
    assert found == {
        "h2": 11.0,  # 1 + 7.4 + 0.5 kW
        "h3": 4.95,  # 1 + 0.8 + 1.6 kW
        "h4": 3.0,  # as written
        "h5": 6.6,  # 1 + 5 kW
        "h6": 3.3,  # 1 kW, and what only the FMU knows
        "h7": 3.3,
        "h8": 16.5,  # 1 + 11 kW, as written
        "h9": 3.3,
    }
    note = plant.communities.notes[0]
    assert note.startswith("The contract power of 7 of 8 members is assumed")
    assert "the peak of their loads in the run and the rated power of their appliances" in note
    assert note.endswith("It leaves out 2 devices whose FMU has no `max` for p_kw in the scenario.")


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


@pytest.mark.parametrize("there", ["pass", "sys.modules['fmpy'] = None"])
def test_plans_are_imported_without_fmpy_whether_it_is_there_or_not(there: str) -> None:
    program = (
        f"import sys; {there}\n"
        "import twin.assembly, twin.scenario\n"
        "print([name for name in sys.modules if name.startswith('fmpy.')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[]"
