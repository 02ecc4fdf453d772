"""What is handed to strategies before a run."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from twin import load_scenario
from twin.errors import ScenarioError
from twin.prepare import prepare

SCENARIO = """
name: shared
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2016-07-04, days: 1, step_s: 15 min}
devices:
  - {kind: load, from: feeder, profile: constant}
  - {kind: pv, home: Load R11, name: roof, p_peak_kw: 9, profile: constant}
  - {kind: battery, share: 50 %, capacity_kwh: 9, power_kw: 3}
communities:
  - {name: one, kind: CER, area: Bus R11, members: [{match: "Load R*"}]}
strategies: {none: , mine: {use: "mine.py:Halves"}}
"""
HALVES = """
class Halves:
    def __init__(self, site):
        self.charge_kw = site.battery.charge_kw
        self.charge_kw *= 0.5

    def decide(self, seen):
        return None
"""


@pytest.fixture
def loaded(tmp_path):
    (tmp_path / "mine.py").write_text(HALVES)
    path = tmp_path / "shared.yaml"
    path.write_text(SCENARIO)
    return load_scenario(path)


def arrays(holder, where="site"):
    for entry in fields(holder):
        value = getattr(holder, entry.name)
        if isinstance(value, np.ndarray):
            yield f"{where}.{entry.name}", value
        elif is_dataclass(value):
            yield from arrays(value, f"{where}.{entry.name}")


def test_a_strategy_cannot_change_what_it_shares_with_others(loaded):
    found = dict(arrays(prepare(loaded, ["none"]).site))
    assert {"site.battery.charge_kw", "site.communities.member_home", "site.shared_value_eur_kwh"} <= set(
        found
    )
    assert [name for name, array in found.items() if array.flags.writeable] == []


def test_a_strategy_that_tries_is_a_mistake_before_the_run(loaded):
    with pytest.raises(ScenarioError, match="read-only") as caught:
        prepare(loaded)
    assert caught.value.mistakes[0].field == "strategies.mine"
