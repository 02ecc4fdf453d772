from dataclasses import replace

import numpy as np
import pandapower
import pytest

from models.errors import EngineMismatchError, FeederError
from models.feeder import ENGINES, TrafoWindings, check_engine, load_feeder, make_engine
from models.feeder.compile import compile_feeder
from models.feeder.engine_impedance import MAX_NODES


@pytest.fixture(scope="module")
def feeder():
    return load_feeder("pandapower:cigre_lv")


def generator_feeder():
    net = pandapower.create_empty_network()
    head, end = pandapower.create_bus(net, 0.4), pandapower.create_bus(net, 0.4)
    pandapower.create_ext_grid(net, head)
    pandapower.create_line(net, head, end, 0.1, "NAYY 4x150 SE")
    pandapower.create_gen(net, end, p_mw=0.01, vm_pu=1.0, name="G")
    return compile_feeder(net, source="test")


class WrongEngine:
    """An engine that adds an error to the results of another one."""

    def __init__(self, engine, **error):
        self.name = "wrong"
        self._engine = engine
        self._error = error

    def solve(self, p_kw, q_kvar):
        flow = self._engine.solve(p_kw, q_kvar)
        return replace(flow, **{field: getattr(flow, field) + error for field, error in self._error.items()})


def test_auto_takes_the_impedance_matrix_on_a_small_network_and_records_the_check(feeder):
    engine, check = make_engine(feeder)
    assert engine.name == check.engine == "impedance"
    assert "fastest up to" in check.reason
    assert check.reference == "pandapower"
    assert check.cases == ("no load", "nominal load", "heavy load", "reverse flow")
    assert 0.0 < check.max_dv_pu <= 1e-6
    assert check.max_dloading_percent <= 1e-4


def test_auto_takes_power_grid_model_on_a_large_network():
    net = pandapower.create_empty_network()
    buses = pandapower.create_buses(net, MAX_NODES + 1, 0.4)
    pandapower.create_ext_grid(net, buses[0])
    pandapower.create_lines(net, np.repeat(buses[0], MAX_NODES), buses[1:], 0.1, "NAYY 4x150 SE")
    feeder = compile_feeder(net, source="test")
    engine, check = make_engine(feeder)
    assert engine.name == "pgm"
    assert f"fastest above {MAX_NODES} nodes" in check.reason
    with pytest.raises(
        FeederError, match=rf"engine impedance takes {MAX_NODES} nodes, the network has {MAX_NODES + 1};"
    ):
        make_engine(feeder, "impedance")


def test_auto_takes_the_reference_where_the_faster_engines_cannot():
    engine, check = make_engine(generator_feeder())
    assert engine.name == "pandapower"
    assert "voltage-controlled generators: 'G'" in check.reason
    assert check.cases == ()


@pytest.mark.parametrize("name", ["impedance", "pgm"])
def test_fast_engine_asked_for_where_it_cannot_is_refused(name):
    with pytest.raises(
        FeederError, match=rf"{name} cannot carry voltage-controlled generators: 'G'; choose engine auto"
    ):
        make_engine(generator_feeder(), name)


def test_reference_can_be_asked_for(feeder):
    engine, check = make_engine(feeder, "pandapower")
    assert engine.name == "pandapower"
    assert check.reason == "pandapower is asked for"


def test_unknown_engine_is_refused(feeder):
    with pytest.raises(
        FeederError, match="unknown engine 'opendss'; choose auto, impedance, pandapower, pgm"
    ):
        make_engine(feeder, "opendss")


@pytest.mark.parametrize(
    "error", [{"vm_pu": 2e-6}, {"line_loading_percent": 2e-4}, {"trafo_loading_percent": -2e-4}]
)
def test_engine_that_differs_is_refused(feeder, error):
    wrong = WrongEngine(ENGINES["pgm"](feeder), **error)
    with pytest.raises(
        EngineMismatchError, match="engine wrong differs from pandapower in load case 'no load'"
    ):
        check_engine(feeder, wrong, reason="test")


def test_engine_that_returns_nan_voltages_is_refused(feeder):
    wrong = WrongEngine(ENGINES["pgm"](feeder), vm_pu=np.nan)
    with pytest.raises(EngineMismatchError):
        check_engine(feeder, wrong, reason="test")


@pytest.mark.parametrize("name", ["impedance", "pgm"])
def test_feeder_built_by_hand_without_windings_is_refused(feeder, name):
    with pytest.raises(FeederError, match="transformers without windings"):
        ENGINES[name](replace(feeder, windings=TrafoWindings()))


def test_overload_of_the_network_is_halved_until_the_reference_solves_it():
    net = pandapower.create_empty_network()
    head, end = pandapower.create_bus(net, 0.4), pandapower.create_bus(net, 0.4)
    pandapower.create_ext_grid(net, head)
    pandapower.create_line(net, head, end, 0.5, "NAYY 4x150 SE")
    pandapower.create_load(net, end, p_mw=1.0)
    _, check = make_engine(compile_feeder(net, source="test"))
    assert check.max_dv_pu <= 1e-6


def test_a_network_in_the_wrong_unit_is_named_as_such():
    net = pandapower.create_empty_network()
    head, end = (pandapower.create_bus(net, vn_kv=0.4, name=name) for name in ("head", "end"))
    pandapower.create_ext_grid(net, head)
    pandapower.create_line(net, head, end, length_km=0.2, std_type="NAYY 4x150 SE", name="cable")
    pandapower.create_load(net, end, p_mw=50000.0, name="fifty kilowatts, or so its author thought")
    with pytest.raises(FeederError, match=r"cannot carry its own loads of 5e\+07 kW.*in MW"):
        make_engine(compile_feeder(net, source="wrong"))
