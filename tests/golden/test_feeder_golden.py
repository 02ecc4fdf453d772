"""The fast engines against pandapower over a day, on networks prepared by hand in this file."""

import json
from pathlib import Path

import numpy as np
import pandapower
import pandapower.networks
import pytest
import simbench

from models.feeder import ENGINES, load_feeder

FAST = sorted(set(ENGINES) - {"pandapower"})
CASES = sorted(path.parent for path in (Path(__file__).parent / "feeder").glob("*/params.json"))


def test_five_golden_cases_of_a_day_are_present():
    params = [json.loads((case / "params.json").read_text()) for case in CASES]
    assert len(params) == 5
    assert all(entry["steps"] == 96 for entry in params)


@pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_voltages_and_loadings_of_a_day_agree_with_pandapower(case):
    params = json.loads((case / "params.json").read_text())
    net = reference_net(params["source"])
    powers = net_powers(net, params)
    feeder = load_feeder(params["source"])
    engines = {name: ENGINES[name](feeder) for name in FAST}
    p_kw, q_kvar = feeder_powers(feeder, net, params)
    for step in range(params["steps"]):
        for (table, column), values in powers.items():
            net[table][column] = values[step]
        pandapower.runpp(net)
        if step == 0:
            assert_same_elements(net, feeder)
        for name, engine in engines.items():
            assert_same_flow(engine.solve(p_kw[step], q_kvar[step]), net, feeder, params, name)


def assert_same_flow(flow, net, feeder, params, engine):
    vm_pu = net.res_bus.vm_pu.loc[feeder.index.bus].to_numpy()
    line = net.res_line.loading_percent.loc[feeder.index.line].to_numpy()
    trafo = net.res_trafo.loading_percent.loc[feeder.index.trafo].to_numpy()
    tolerance = params["loading_percent_tolerance"]
    np.testing.assert_allclose(flow.vm_pu, vm_pu, rtol=0, atol=params["vm_pu_tolerance"], err_msg=engine)
    np.testing.assert_allclose(flow.line_loading_percent, line, rtol=0, atol=tolerance, err_msg=engine)
    np.testing.assert_allclose(flow.trafo_loading_percent, trafo, rtol=0, atol=tolerance, err_msg=engine)
    p_hv_kw = net.res_trafo.p_hv_mw.loc[feeder.index.trafo].to_numpy() * 1e3
    np.testing.assert_allclose(flow.trafo_p_kw, p_hv_kw, rtol=1e-6, atol=1e-3, err_msg=engine)
    p_import_kw, q_import_kvar = net.res_ext_grid.p_mw.sum() * 1e3, net.res_ext_grid.q_mvar.sum() * 1e3
    assert flow.p_import_kw == pytest.approx(p_import_kw, rel=1e-6, abs=1e-3), engine
    assert flow.q_import_kvar == pytest.approx(q_import_kvar, rel=1e-6, abs=1e-3), engine
    loss_mw = net.res_line.pl_mw.sum() + net.res_trafo.pl_mw.sum()
    assert flow.p_loss_kw == pytest.approx(loss_mw * 1e3, rel=1e-5, abs=1e-3), engine


def reference_net(source):
    kind, _, name = source.partition(":")
    if kind == "simbench":
        net = simbench.get_simbench_net(name)
    elif "with_der=all" in name:
        net = pandapower.networks.create_cigre_network_mv(with_der="all")
    else:
        net = getattr(pandapower.networks, name)()
    told = net.trafo.tap_pos.notna() & net.trafo.tap_step_percent.notna() & net.trafo.tap_changer_type.isna()
    net.trafo["tap_changer_type"] = net.trafo.tap_changer_type.astype(object).where(~told, "Ratio")
    return net


def net_powers(net, params):
    """Return values per step for the network's own tables: (table, column) -> shape (steps, rows) [MW, Mvar]."""
    steps = params["steps"]
    powers = {}
    if params["powers"] == "profiles of the network":
        window = slice(params["first_step"], params["first_step"] + steps)
        absolute = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
        for key in (("load", "p_mw"), ("load", "q_mvar"), ("sgen", "p_mw")):
            powers[key] = absolute[key].to_numpy()[window]
    else:
        for key, curve in (
            (("load", "p_mw"), load_curve),
            (("load", "q_mvar"), load_curve),
            (("sgen", "p_mw"), sgen_curve),
        ):
            powers[key] = net[key[0]][key[1]].to_numpy() * curve(steps, len(net[key[0]]))
    if len(net.storage):
        powers["storage", "p_mw"] = net.storage.p_mw.abs().to_numpy() * storage_curve(steps, len(net.storage))
    return powers


def feeder_powers(feeder, net, params):
    """Return powers per step and bus, shape (steps, NB) each [kW, kvar], from the feeder's own arrays."""
    steps, first, devices = params["steps"], params["first_step"], feeder.devices
    if params["powers"] == "profiles of the network":
        load_p_kw = feeder.profiles.load_p_kw(first, steps, devices)
        load_q_kvar = feeder.profiles.load_q_kvar(first, steps, devices)
        sgen_p_kw = feeder.profiles.sgen_p_kw(first, steps, devices)
    else:
        load_p_kw = devices.load_p_kw * load_curve(steps, len(devices.load_name))
        load_q_kvar = devices.load_q_kvar * load_curve(steps, len(devices.load_name))
        sgen_p_kw = devices.sgen_p_kw * sgen_curve(steps, len(devices.sgen_name))
    assert len(devices.load_name) == len(net.load)  # no device is left out in these networks
    storage_kw = net.storage.p_mw.abs().to_numpy() * 1e3 * storage_curve(steps, len(net.storage))
    p_kw, q_kvar = (np.zeros((steps, len(feeder.bus_name))) for _ in range(2))
    for bus, p in (
        (devices.load_bus, load_p_kw),
        (devices.sgen_bus, sgen_p_kw),
        (devices.storage_bus, storage_kw),
    ):
        np.add.at(p_kw, (slice(None), bus), p)
    np.add.at(q_kvar, (slice(None), devices.load_bus), load_q_kvar)
    np.add.at(q_kvar, (slice(None), devices.sgen_bus), np.broadcast_to(devices.sgen_q_kvar, sgen_p_kw.shape))
    return p_kw, q_kvar


def load_curve(steps, count):
    hour = np.arange(steps)[:, None] * 24 / steps
    return 0.5 + 0.3 * np.sin((hour + np.arange(count)) * np.pi / 12)


def sgen_curve(steps, count):
    hour = np.arange(steps)[:, None] * 24 / steps
    return np.exp(-(((hour - 12 - 0.1 * np.arange(count) % 2) / 3) ** 2))


def storage_curve(steps, count):
    hour = np.arange(steps)[:, None] * 24 / steps
    return np.where(hour < 6, 0.5, np.where(hour > 18, -0.8, 0.0)) * np.ones(count)


def assert_same_elements(net, feeder):
    """The feeder holds exactly the buses, lines and transformers for which pandapower has a result."""
    assert set(feeder.index.bus) == set(net.res_bus.index[net.res_bus.vm_pu.notna()])
    others = net.res_line.drop(index=feeder.index.line)
    assert not (others.loading_percent.fillna(0.0) > 0.0).any()
    assert set(feeder.index.trafo) == set(net.trafo.index)
