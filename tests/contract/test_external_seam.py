"""A user's own controller may have an outside too: it is opened for a run in real time and told what was measured."""

import json

import numpy as np
import pytest
from outside_homes import write_house

from twin import RunOptions, load_scenario, run
from twin.live.session import LiveOptions
from twin.plant import total_by
from twin.prepare import prepare
from twin.results import RunReader

OWN = '''
import json
from contextlib import contextmanager
from dataclasses import asdict

from twin.control.rules import SelfConsumption


class Watching(SelfConsumption):
    """Decides by a rule and writes down what it is told."""

    @contextmanager
    def opened(self, around):
        around.folder.mkdir(parents=True)
        around.tell(0, f"opened at speed {around.speed:g}")
        around.say("hello on the screen")
        with (around.folder / "measured.jsonl").open("w") as self.file:
            yield
        around.tell(29, "closed")

    @contextmanager
    def replayed(self, recorded):
        yield

    def measured(self, measured):
        plain = {name: value if name == "step" else value.tolist() for name, value in asdict(measured).items()}
        self.file.write(json.dumps(plain) + "\\n")
'''


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Run half an hour in 1.8 s; return the plant, the folder of the strategy, its reader and what was said."""
    folder, said = tmp_path_factory.mktemp("watched"), []
    (folder / "watching.py").write_text(OWN)
    path = write_house(folder, "{use: watching.py:Watching}")
    loaded = load_scenario(path, overrides={"live.speed": 1000})
    options = RunOptions(strategies=["outside"], out=folder / "out", live=LiveOptions(say=said.append))
    result = run(loaded, options)
    assert [entry.message for entry in result.failed] == []
    strategy = RunReader(result.folder).strategy("outside")
    return prepare(loaded).plant, result.folder / "outside", strategy, said


def told(folder):
    lines = (folder / "devices/outside/measured.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return {name: np.array([record[name] for record in records]) for name in records[0]}


def test_it_is_told_in_each_step_what_is_stored_of_it(done):
    plant, folder, stored, _ = done
    measured = told(folder)
    assert measured["step"].tolist() == list(range(30))
    for name, key in (
        ("home_p_kw", "home.p_kw"),
        ("pv_p_kw", "pv.p_kw"),
        ("pv_q_kvar", "pv.q_kvar"),
        ("pv_available_kw", "pv.p_available_kw"),
        ("battery_p_kw", "battery.p_kw"),
        ("battery_q_kvar", "battery.q_kvar"),
    ):
        assert measured[name] == pytest.approx(stored.series(key), abs=1e-3), name
    assert measured["vm_pu"] == pytest.approx(stored.series("bus.vm_pu")[:, plant.home_bus], abs=2e-5)


def test_the_reactive_power_of_a_home_is_that_of_its_loads_and_devices(done):
    plant, folder, stored, _ = done
    for step, row in enumerate(told(folder)["home_q_kvar"]):
        parts = (
            (plant.load_home, "load.q_kvar"),
            (plant.pv_home, "pv.q_kvar"),
            (plant.battery_home, "battery.q_kvar"),
        )
        total = sum(
            total_by(home, stored.series(key)[step].astype(float), plant.n_homes) for home, key in parts
        )
        assert row == pytest.approx(total, abs=5e-3)
    assert np.abs(told(folder)["home_q_kvar"]).max() > 0.1, "there is reactive power to see"


def test_it_speaks_to_the_events_and_to_the_screen(done):
    _, folder, _, said = done
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event.get("message") for event in events if event["kind"] == "device"] == [
        "opened at speed 1000",
        "closed",
    ]
    assert said == ["hello on the screen"]
    assert len((folder / "timing.jsonl").read_text().splitlines()) == 30
