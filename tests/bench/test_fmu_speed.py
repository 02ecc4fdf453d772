"""What a step of 1000 devices costs: third-party FMI 2.0 instances, and our battery as one FMI 3.0 array.

Each figure comes from a process of its own, one after the other: an FMU of OpenModelica keeps a key for thread data for
each instance, and a process has 1024.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import fmpy
import numpy as np
import pytest
from numpy.typing import NDArray
from third_party_fmus import fmu

from models.fmu.base import FleetSpec, Take, Wire
from models.fmu.binding.instances import make_instance
from models.fmu.binding.logs import MessageLog
from models.fmu.fleet import open_fleet
from models.fmu.ours.catalogue import fleet_spec, shipped_fmu
from models.fmu.reading.archive import unpacked
from models.fmu.reading.description import read_info

N = 1000
STEPS = 100
WARMING = 5
ROOT = Path(__file__).parents[2]
HELPERS = ROOT / "tests" / "helpers"


def adders() -> FleetSpec:
    """OpenModelica's adder of two inputs."""
    return FleetSpec(
        label="adders",
        file=fmu("add.fmu"),
        size=N,
        inputs=(Wire(signal="a", variable="u1"), Wire(signal="b", variable="u2")),
        outputs=(Wire(signal="sum", variable="y", take=Take.MEAN),),
        trusted=True,
    )


def battery_array() -> FleetSpec:
    return fleet_spec(
        "battery",
        label="batteries",
        size=N,
        parameters={},
        inputs=("p_set_kw", "temp_ambient_degc"),
        outputs=("p_kw", "soc"),
    )


def battery_each() -> FleetSpec:
    return replace(battery_array(), file=shipped_fmu("battery", "2.0"), array_size=None)


SPECS = {"adders": adders, "battery_array": battery_array, "battery_each": battery_each}


def ms_per_step(step: Callable[[int], object]) -> float:
    for number in range(WARMING):
        step(number)
    taken_s = []
    for number in range(WARMING, WARMING + STEPS):
        start = time.perf_counter()
        step(number)
        taken_s.append(time.perf_counter() - start)
    return 1e3 * float(np.median(taken_s))


def of_plain_fmpy(spec: FleetSpec, inputs: NDArray[np.float64]) -> float:
    """The same fleet as one writes it with FMPy: vector calls for each instance."""
    known = {variable.name: variable.value_reference for variable in read_info(spec.file).variables}
    set_references = [known[wire.variable] for wire in spec.inputs]
    get_references = [known[wire.variable] for wire in spec.outputs]
    columns = [[float(value) for value in column] for column in inputs.T]
    with unpacked(spec.file) as place:
        description = fmpy.read_model_description(place.folder)
        instances = [
            fmpy.simulation.instantiate_fmu(place.folder, description, "CoSimulation") for _ in range(N)
        ]
        for instance in instances:
            instance.setupExperiment()
            instance.enterInitializationMode()
            instance.exitInitializationMode()

        def step(number: int) -> None:
            for instance, values in zip(instances, columns, strict=True):
                instance.setReal(set_references, values)
                instance.doStep(60.0 * number, 60.0)
                instance.getReal(get_references)

        return ms_per_step(step)


def figures(name: str, way: str) -> dict[str, float]:
    """Return what a step costs in one way: plain FMPy, a fleet in this process, or one in a worker."""
    spec = SPECS[name]()
    inputs = np.array([np.random.default_rng(1).normal(size=N), np.full(N, 20.0)])
    if way == "plain":
        return {"ms": of_plain_fmpy(spec, inputs)}
    start = time.perf_counter()
    with closing(open_fleet(replace(spec, trusted=way == "here"))) as block:
        open_s = time.perf_counter() - start
        taken_ms = ms_per_step(lambda number: block.step(inputs, time_s=60.0 * number, dt_s=60.0))
    return {"ms": taken_ms, "open_s": open_s}


def measured(name: str, way: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, name, way],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": os.pathsep.join((str(ROOT), str(HELPERS)))},
    )
    assert done.returncode == 0, done.stderr
    taken: dict[str, float] = json.loads(done.stdout)
    return taken


@pytest.mark.bench
def test_a_thousand_third_party_instances_in_process_in_a_worker_and_with_plain_fmpy(capsys):
    adders()  # before the other processes: without the file the test ends here
    plain, here, worker = (measured("adders", way) for way in ("plain", "here", "worker"))
    with capsys.disabled():
        print(
            f"\n{N} instances of add.fmu, ms a step: FMPy's vector calls {plain['ms']:.2f}, in this process "
            f"{here['ms']:.3f} ({plain['ms'] / here['ms']:.0f} times faster), in a worker {worker['ms']:.3f} "
            f"({plain['ms'] / worker['ms']:.0f} times); opened in {here['open_s']:.2f} s and {worker['open_s']:.2f} s"
        )


@pytest.mark.bench
def test_a_fleet_of_a_thousand_of_our_batteries_is_one_instance(capsys):
    plain_ms = measured("battery_each", "plain")["ms"]
    ways = {
        "one FMI 3.0 array": ("battery_array", "here"),
        "one FMI 3.0 array in a worker": ("battery_array", "worker"),
        f"{N} FMI 2.0 instances": ("battery_each", "here"),
        f"{N} FMI 2.0 instances in a worker": ("battery_each", "worker"),
    }
    taken = {name: measured(*way)["ms"] for name, way in ways.items()}
    with capsys.disabled():
        print(f"\n{N} batteries, ms a step: FMPy's vector calls on {N} FMI 2.0 instances {plain_ms:.2f}")
        for name, taken_ms in taken.items():
            print(f"  {name}: {taken_ms:.3f} ({plain_ms / taken_ms:.0f} times faster)")


@pytest.mark.bench
def test_making_and_freeing_an_instance_is_cheap_beside_plain_fmpy(capsys):
    log = MessageLog()
    with unpacked(shipped_fmu("battery", "2.0")) as place:
        description = fmpy.read_model_description(place.folder)
        plain_ms = ms_per_step(
            lambda _: fmpy.simulation.instantiate_fmu(
                place.folder, description, "CoSimulation"
            ).freeInstance()
        )
        kept = make_instance(place, name="kept", kind="co_simulation", log=log)
        ours_ms = ms_per_step(
            lambda _: make_instance(place, name="one", kind="co_simulation", log=log).freeInstance()
        )
        kept.freeInstance()
    with capsys.disabled():
        print(
            f"\nmaking and freeing an instance of a battery: FMPy {plain_ms:.2f} ms, here {ours_ms:.3f} ms "
            f"({plain_ms / ours_ms:.0f} times faster)"
        )


if __name__ == "__main__":
    print(json.dumps(figures(sys.argv[1], sys.argv[2])))
