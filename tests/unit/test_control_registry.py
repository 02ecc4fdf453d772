"""From a name in a scenario to a controller."""

import sys
from dataclasses import fields

import numpy as np
import pytest

from models.battery import BatteryFleet
from twin.control import Observation, Proposal, Site
from twin.control.management.aggregator import AggregatorMsdStrategy, AggregatorStrategy
from twin.control.management.cems import CemsStrategy
from twin.control.mpc import Mpc
from twin.control.registry import BUILTIN, make_controller, resolve
from twin.control.rules import NoControl, PeakShaving, SelfConsumption
from twin.errors import InputError

OWN = '''"""A strategy."""
import numpy as np
from twin.control import Observation, Proposal, Site

SOME_NUMBER = 3

class Sleeper:
    def __init__(self, site: Site, *, depth: int = 1) -> None:
        self.site = site

    def decide(self, seen: Observation) -> Proposal:
        return Proposal(battery_kw=np.zeros(len(self.site.battery_home)))
'''


@pytest.fixture
def site():
    return Site(
        dt_s=900,
        n_steps=96,
        steps_per_day=96,
        home_name=("home",),
        pv_home=np.zeros(0, dtype=np.int64),
        pv_rated_kw=np.zeros(0),
        battery_home=np.zeros(0, dtype=np.int64),
        battery=BatteryFleet(**{field.name: np.zeros(0) for field in fields(BatteryFleet)}),
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("none", NoControl),
        ("self_consumption", SelfConsumption),
        ("peak_shaving", PeakShaving),
        ("mpc", Mpc),
        ("cems", CemsStrategy),
        ("aggregator", AggregatorStrategy),
        ("aggregator_msd", AggregatorMsdStrategy),
    ],
)
def test_a_builtin_name_finds_its_class(name, kind, tmp_path):
    assert resolve(name, tmp_path) is kind


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_every_builtin_name_finds_a_class(name, tmp_path):
    assert callable(resolve(name, tmp_path).decide)


@pytest.mark.parametrize("name", ["cems", "aggregator", "aggregator_msd"])
def test_a_strategy_above_the_homes_needs_communities(name, site, tmp_path):
    with pytest.raises(InputError, match="communities: the scenario has none"):
        make_controller(resolve(name, tmp_path), site, {})


def test_a_class_of_a_module_is_found(tmp_path):
    assert resolve("twin.control.rules:NoControl", tmp_path) is NoControl


def test_a_class_of_a_file_beside_the_scenario_is_found(tmp_path, site):
    (tmp_path / "own.py").write_text(OWN)
    controller = make_controller(resolve("own.py:Sleeper", tmp_path), site, {"depth": 2})
    assert type(controller).__name__ == "Sleeper"


def test_two_files_of_one_name_do_not_replace_each_other(tmp_path):
    for folder, depth in (("a", "1"), ("b", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(OWN.replace("SOME_NUMBER = 3", f"SOME_NUMBER = {depth}"))
    first, second = resolve("a/own.py:Sleeper", tmp_path), resolve("b/own.py:Sleeper", tmp_path)
    assert first is not second
    assert sys.modules[first.__module__].SOME_NUMBER == 1
    assert sys.modules[second.__module__].SOME_NUMBER == 2


def test_an_installed_entry_point_is_found(tmp_path, monkeypatch):
    (tmp_path / "twin_plugin_under_test.py").write_text(OWN)
    info = tmp_path / "twin_plugin_under_test-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: twin-plugin-under-test\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[twin.strategies]\nsleeper = twin_plugin_under_test:Sleeper\nbroken = twin_plugin_under_test:Nobody\n"
        "number = twin_plugin_under_test:SOME_NUMBER\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("sleeper", tmp_path).__name__ == "Sleeper"
    with pytest.raises(
        InputError, match=r"entry point 'twin_plugin_under_test:Nobody' failed with AttributeError"
    ):
        resolve("broken", tmp_path)
    with pytest.raises(InputError, match="is not a class"):
        resolve("number", tmp_path)
    with pytest.raises(InputError, match="did you mean 'sleeper'"):
        resolve("sleper", tmp_path)
    monkeypatch.delitem(sys.modules, "twin_plugin_under_test")


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            "self_consumtion",
            r"'self_consumtion' is not known, did you mean 'self_consumption'\?; there are .*mpc, none",
        ),
        ("zzz", r"'zzz' is not known; there are .*mpc, none"),
        ("no_such_module_anywhere:X", "importing 'no_such_module_anywhere' failed with ModuleNotFoundError"),
        ("twin.control.rules:NoControll", r"'NoControll' does not exist in it, did you mean 'NoControl'\?"),
        ("twin.control.rules:__name__", "'__name__' is not a class"),
        ("onw.py:Sleeper", r"there is no file .*onw\.py, did you mean 'own\.py'\?; the path is relative"),
        ("elsewhere/own.py:Sleeper", r"there is no file .*own\.py; the path is relative"),
        ("own.py:Sleper", r"did you mean 'Sleeper'\?; its classes are Sleeper"),
        ("own.py:", "'' does not exist in it"),
        ("broken.py:Sleeper", r"loading .*broken\.py failed with ZeroDivisionError"),
        ("syntax.py:Sleeper", r"loading .*syntax\.py failed with SyntaxError"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_input_error(use, message, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "syntax.py").write_text("class Sleeper(:\n")
    with pytest.raises(InputError, match=message):
        resolve(use, tmp_path)


def test_the_cause_of_a_failed_import_is_kept(tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(InputError) as caught:
        resolve("broken.py:Sleeper", tmp_path)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("factory", "params", "message"),
    [
        (
            PeakShaving,
            {},
            "PeakShaving: parameter 'limit_kw' is missing; it accepts limit_kw, charge_limit_kw=None",
        ),
        (
            PeakShaving,
            {"limt_kw": 1},
            r"parameter 'limt_kw' is not known, did you mean 'limit_kw'\?; it accepts",
        ),
        (PeakShaving, {"limit_kw": -1}, r"PeakShaving\(limit_kw=-1\): limit_kw must be at least 0"),
        (PeakShaving, {"limit_kw": "5 kW"}, r"PeakShaving\(limit_kw='5 kW'\): .*; it accepts limit_kw"),
        (NoControl, {"x": 1}, "parameter 'x' is not known; it accepts no parameters"),
        (NoControl, {"site": 1}, "parameter 'site' is not known"),
        (Mpc, {"horizon_h": 0.1}, "horizon_h must be at least one step, 0.25 h"),
    ],
)
def test_bad_parameters_are_input_errors_that_name_the_accepted_ones(factory, params, message, site):
    with pytest.raises(InputError, match=message):
        make_controller(factory, site, params)


def test_a_class_that_takes_any_parameter_gets_them_all(site):
    class Open:
        def __init__(self, site: Site, **params: float) -> None:
            self.site, self.params = site, params

        def decide(self, seen: Observation) -> Proposal:
            raise NotImplementedError

    assert make_controller(Open, site, {"a": 1.0}).params == {"a": 1.0}


def test_a_factory_whose_signature_python_cannot_tell_is_called_all_the_same(site):
    class Strange:
        __signature__ = "cannot be told"

        def __init__(self, site, *, depth=1):
            self.site, self.depth = site, depth

        def decide(self, seen):
            raise NotImplementedError

    assert make_controller(Strange, site, {"depth": 2}).depth == 2
    with pytest.raises(InputError, match="see its documentation for the parameters it accepts"):
        make_controller(Strange, site, {"width": 2})


def test_a_class_without_decide_is_an_input_error(site):
    class Mute:
        def __init__(self, site: Site) -> None:
            pass

    with pytest.raises(InputError, match="Mute: has no method decide"):
        make_controller(Mute, site, {})
