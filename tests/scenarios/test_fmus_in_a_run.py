"""FMUs in a run: those of others give what FMPy's own simulation gives, ours what our models give; what a crash does."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import fmpy
import numpy as np
import pytest
from third_party_fmus import NAMES, fmu
from tiny_fmus import Var, build_fmu

from twin.errors import RunError
from twin.plant import FloatArray
from twin.prepare import Prepared, prepare
from twin.scenario import load_scenario
from twin.world import StrategyRun, run_world

HEAD = """\
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20, days: 1, step_s: 15 min}
strategies: {none: }
sources:
  s: {file: s.csv, unit: '1', time_zone: Europe/Rome}
devices:
  - {kind: load, from: feeder, profile: s.share}
"""
STEP_S, N_STEPS = 900, 96
FMU_STEP_S = 30
PER_STEP = STEP_S // FMU_STEP_S

Prepare = Callable[[str], Prepared]


class Memory:
    def __init__(self) -> None:
        self.steps: list[dict[str, FloatArray]] = []

    def append(self, step: int, values: Mapping[str, FloatArray]) -> None:
        self.steps.append({key: np.array(value) for key, value in values.items()})

    def series(self, key: str) -> FloatArray:
        return np.array([values[key] for values in self.steps])


@pytest.fixture(name="prepared_with")
def _prepared_with(tmp_path: Path) -> Prepare:
    def prepared_with(devices: str) -> Prepared:
        hours = [f"2026-06-20T{at:02d}:00,{0.3 + 0.03 * at:.2f},{at},{at % 2}" for at in range(24)]
        (tmp_path / "s.csv").write_text("\n".join(["time,share,hour,odd", *hours]) + "\n")
        (tmp_path / "run.yaml").write_text(HEAD + devices)
        return prepare(load_scenario(tmp_path / "run.yaml"))

    return prepared_with


def play(prepared: Prepared, memory: Memory) -> tuple[str, ...]:
    """Run the strategy ``none`` from the first to the last step; return what devices told."""
    controller, forecast = prepared.controller("none")
    parts = StrategyRun(
        plant=prepared.plant,
        feeder=prepared.feeder,
        engine=prepared.engine,
        controller=controller,
        site=prepared.site,
        forecast=forecast,
        sink=memory,
    )
    return run_world(parts, lambda done: None)


# --- third-party FMUs against FMPy ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Case:
    """An FMU in the scenario; times and frequencies are chosen for communication steps of half a minute."""

    signals: dict[str, str] = field(default_factory=dict)
    """What feeds an input: ``vm_pu``, or a column of the source ``s``."""
    fixed: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, float] = field(default_factory=dict)
    output: str
    factor: float = 1.0
    """Power in kW for a unit of the output."""
    record: tuple[str, ...] = ()
    trusted: bool = True


CASES = {
    "add.fmu": Case(
        signals={"u1": "vm_pu", "u2": "hour"},
        parameters={"add.k1": 2.0, "add.k2": -0.125},
        output="y",
        record=("y",),
        trusted=False,
    ),
    "ramp.fmu": Case(
        parameters={"ramp.startTime": 21605.0, "ramp.duration": 40000.0, "ramp.height": 4.0},
        output="out",
        record=("out", "ramp.y"),
    ),
    "Mass_Damper.fmu": Case(
        signals={"f": "share"},
        parameters={"mass.m": 1000.0, "spring.c": 1e-3, "damper.d": 1.0},
        output="y",
        factor=0.001,
        record=("y", "damper.v_rel"),
    ),
    "MassSpringSubSystem1.fmu": Case(
        signals={"x2": "vm_pu"},
        fixed={"k1": 1e-6, "k2": 2e-6, "m1": 1.5},
        output="x1",
        factor=0.001,
        record=("x1", "v1"),
    ),
    "MassSpringSubSystem2.fmu": Case(
        signals={"x1": "odd"},
        fixed={"k2": 1e-6, "k3": 2e-6, "m2": 1.5},
        output="x2",
        record=("x2", "v2"),
    ),
    "MassSpringSystem.fmu": Case(
        signals={"m1": "share"},
        fixed={"k1": 1e-7, "k2": 2e-7, "k3": 1e-7},
        output="x1",
        factor=0.001,
        record=("x1", "v1", "x2", "v2"),
    ),
    "FMU3Model.fmu": Case(
        signals={"input": "vm_pu", "int32": "hour", "boolean": "odd"},
        parameters={"increment": 0.25},
        output="output",
        factor=0.002,
        record=("output", "int32", "boolean"),
        trusted=False,
    ),
}


def entry(at: int, name: str, case: Case) -> str:
    def wire(source: str) -> str:
        unit = "unit: pu" if source == "vm_pu" else "unit: '1'"
        return f"{{signal: vm_pu, {unit}}}" if source == "vm_pu" else f"{{column: s.{source}, {unit}}}"

    inputs = [f"{variable}: {wire(source)}" for variable, source in case.signals.items()]
    inputs += [f"{variable}: {value:.9f}" for variable, value in case.fixed.items()]
    parameters = [f"{variable}: {value!r}" for variable, value in case.parameters.items()]
    return f"""\
  - kind: fmu
    name: {name}
    home: Load R{(1, 11, 15, 16, 17, 18)[at % 6]}
    fmu:
      file: package:gemseo_fmu/problems/fmu_files/linux/{name}
      interface: co_simulation
      inputs: {{{", ".join(inputs)}}}
      parameters: {{{", ".join(parameters)}}}
      outputs: {{p_kw: {{variable: {case.output}, unit: kW, factor: {case.factor}}}}}
      record: [{", ".join(case.record)}]
      step: {FMU_STEP_S} s
      trusted: {str(case.trusted).lower()}
"""


def by_fmpy(name: str, case: Case, given: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the outputs at the end of each communication step as FMPy simulates; inputs are held over N_STEPS steps."""
    kinds = {"Boolean": np.bool_, "Int32": np.int32}
    model = fmpy.read_model_description(str(fmu(name)), validate=False)
    types = {variable.name: kinds.get(variable.type, np.float64) for variable in model.modelVariables}
    # each value twice, at the begin and the end of a communication step: FMPy then holds it without any rounding
    times = np.repeat(np.arange(N_STEPS * PER_STEP + 1.0) * FMU_STEP_S, 2)[1:-1]
    signals = np.zeros(len(times), dtype=[("time", np.float64), *((key, types[key]) for key in given)])
    signals["time"] = times
    for key, values in given.items():
        signals[key] = np.repeat(values, 2 * PER_STEP)
    result = fmpy.simulate_fmu(
        str(fmu(name)),
        validate=False,
        fmi_type="CoSimulation",
        stop_time=float(N_STEPS * STEP_S),
        step_size=float(FMU_STEP_S),
        output_interval=float(FMU_STEP_S),
        start_values={**case.parameters, **case.fixed},
        input=signals if given else None,
        output=list(dict.fromkeys((case.output, *case.record))),
    )
    ends = np.arange(1, N_STEPS * PER_STEP + 1) * FMU_STEP_S
    rows = np.searchsorted(result["time"], ends - FMU_STEP_S / 1000)
    np.testing.assert_allclose(result["time"][rows], ends, atol=1e-9)
    return {key: result[key][rows].astype(np.float64) for key in result.dtype.names if key != "time"}


def test_each_third_party_fmu_is_in_the_comparison() -> None:
    assert set(CASES) == set(NAMES)


def test_third_party_fmus_give_in_a_run_what_fmpy_gives_alone(prepared_with: Prepare) -> None:
    for name in CASES:
        fmu(name)  # skips where it cannot be had
    prepared = prepared_with("".join(entry(at, name, case) for at, (name, case) in enumerate(CASES.items())))
    memory = Memory()
    assert play(prepared, memory) == ()
    plant = prepared.plant
    stored = [(entry.device, entry.output) for entry in plant.stored_outputs]
    for (name, case), plan in zip(CASES.items(), plant.blocks, strict=True):
        bus = plant.home_bus[plan.home[0]]
        # the voltage of the step before, 1 pu at the start
        known = {"vm_pu": np.concatenate([[1.0], memory.series("bus.vm_pu")[:-1, bus]])}
        known |= {
            column.removeprefix("s."): series[:, 0].astype(np.float64)
            for column, series in plan.series.items()
        }
        expected = by_fmpy(name, case, {key: known[source] for key, source in case.signals.items()})
        assert np.ptp(expected[case.output]) > 0.1, "must move for the comparison to say something"
        mean_kw = case.factor * expected[case.output].reshape(N_STEPS, PER_STEP).mean(axis=1)
        found_kw = memory.series("load.p_kw")[:, plan.position[0]]
        assert np.allclose(found_kw, mean_kw, rtol=1e-12, atol=1e-12), name
        for variable in case.record:
            at = stored.index((name, variable))
            last = expected[variable][PER_STEP - 1 :: PER_STEP]
            assert np.array_equal(memory.series("state.value")[:, at], last), (name, variable)


# --- ours -----------------------------------------------------------------------------------------------------------

SLOW_PV = """\
  - kind: pv
    share: 60 %
    p_peak_kw: 20
    profile: clear_sky
    place: {latitude_deg: 38.1, longitude_deg: 13.4}
    inverter: {function: q_v, v1s_pu: 1.0, v2s_pu: 1.04, p_v: {start_pu: 1.03, end_pu: 1.1}}
    as: AS
"""
DETAIL = "    detail: {response_s: 5 min, ramp_up_share_s: 1 %/min}\n"


def test_slow_inverters_give_the_same_run_as_model_and_as_fmu(prepared_with: Prepare) -> None:
    runs = {}
    for kind, devices in (
        ("model", (SLOW_PV + DETAIL).replace("AS", "model")),
        ("fmu", (SLOW_PV + DETAIL).replace("AS", "fmu")),
        ("at once", SLOW_PV.replace("AS", "fmu")),
    ):
        runs[kind] = Memory()
        assert play(prepared_with(devices), runs[kind]) == ()
    for key in ("pv.p_kw", "pv.q_kvar", "bus.vm_pu", "home.p_kw"):
        assert np.allclose(runs["fmu"].series(key), runs["model"].series(key), rtol=1e-9, atol=1e-9), key
    feed_in_kw, at_once_kw = (-runs[kind].series("pv.p_kw") for kind in ("fmu", "at once"))
    assert feed_in_kw.max() > 10.0
    assert np.diff(feed_in_kw, axis=0).max() <= 20.0 * 0.15 + 1e-9, "1 % of 20 kW in each of 15 minutes"
    assert at_once_kw.sum() > feed_in_kw.sum()


# --- crashes --------------------------------------------------------------------------------------------------------

CRASH_S = 30000.0
CRASH_ONCE = """
if (time >= {at} && access("{mark}", F_OK) != 0) {{
  fclose(fopen("{mark}", "w"));
  fputs("assertion level > 0 failed\\n", stderr);
  abort();
}}
"""
FILLING = "level += (1.1 - vm) * dt * 1e-4; p = 3 * level;"
TANK = """\
  - kind: fmu
    name: tank
    home: Load R11
    fmu:
      file: tank.fmu
      inputs: {vm: vm_pu}
      outputs: {p_kw: {variable: p, unit: kW, min: 0, max: 20}}
      record: [level]
      step: 5 min
"""
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the FMUs crash by a POSIX signal")


def build_tank(folder: Path, further: str = "") -> None:
    """A device that fills the slower the higher the voltage is, and saves its level with its state."""
    build_fmu(
        folder,
        name="tank",
        inputs=(Var("vm", "input", start=1.0, unit="1"),),
        outputs=("p", "level"),
        parameters={},
        step_code=further + FILLING,
    )


@on_linux
def test_a_restart_after_a_crash_leaves_no_trace_in_the_results(
    prepared_with: Prepare, tmp_path: Path
) -> None:
    calm, shaky = Memory(), Memory()
    build_tank(tmp_path)
    assert play(prepared_with(TANK), calm) == ()
    build_tank(tmp_path, CRASH_ONCE.format(at=CRASH_S, mark=tmp_path / "crashed"))
    (told,) = play(prepared_with(TANK + "      on_failure: restart\n"), shaky)
    assert (tmp_path / "crashed").exists()
    assert told.startswith("devices[1] tank: ")
    assert "tank.fmu" in told
    assert "crashed with SIGABRT" in told
    assert "in the step from t = 29700 s" in told, "its communication step from 30000 s crashes"
    assert "assertion level > 0 failed" in told
    assert "Restart 1 of at most 3" in told
    level = calm.series("state.value")[:, 0]
    assert np.all(np.diff(level) > 0.0)
    assert len(np.unique(np.diff(level).round(9))) > N_STEPS / 2, "the voltage of each step counts"
    for key in calm.steps[0]:
        assert np.array_equal(shaky.series(key), calm.series(key), equal_nan=True), key


@on_linux
def test_a_crash_ends_the_run_with_the_reason_and_the_time(prepared_with: Prepare, tmp_path: Path) -> None:
    build_tank(tmp_path, CRASH_ONCE.format(at=CRASH_S, mark=tmp_path / "crashed"))
    memory = Memory()
    with pytest.raises(RunError) as caught:
        play(prepared_with(TANK + "      on_failure: end\n"), memory)
    text = str(caught.value)
    assert text.startswith("step 33 (2026-06-20T08:15+02:00): devices[1] tank (tank.fmu)")
    assert "crashed with SIGABRT" in text
    assert "in the step from t = 29700 s" in text
    assert "assertion level > 0 failed" in text
    assert len(memory.steps) == 33, "the steps before it are kept"
