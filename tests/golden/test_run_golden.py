"""Whole stored runs against pandapower on networks whose own tables are set step by step."""

import numpy as np
import pandapower
import pytest
import simbench

from models.feeder import load_feeder
from twin import RunOptions, load_scenario, run
from twin.results import RunReader
from twin.signals import Axis

VOLTAGE_QUANTUM_PU = 1e-5
POWER_QUANTUM_KW = 1e-3

SIMBENCH = """
name: golden
feeder: {source: "simbench:1-LV-rural3--2-sw"}
period: {start: 2016-07-09, days: 1, step_s: 15 min}
devices:
  - {kind: load, from: feeder, profile: feeder}
  - {kind: pv, from: feeder, profile: feeder}
strategies: {none: }
"""

OWN_NETWORK = """
name: golden
feeder: {source: net.json}
period: {start: 2026-01-10, days: 1, step_s: 15 min}
devices:
  - {kind: load, from: feeder, profile: constant}
  - {kind: pv, from: feeder, profile: constant}
strategies: {none: }
"""


def stored(tmp_path, text):
    path = tmp_path / "golden.yaml"
    path.write_text(text)
    result = run(load_scenario(path), RunOptions(out=tmp_path / "results"))
    assert [entry.message for entry in result.failed] == []
    return RunReader(result.folder).strategy("none")


@pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")
def test_a_stored_day_of_a_simbench_feeder_agrees_with_its_own_tables(tmp_path):
    strategy = stored(tmp_path, SIMBENCH)
    net = simbench.get_simbench_net("1-LV-rural3--2-sw")
    net.trafo["tap_changer_type"] = "Ratio"
    net.storage["in_service"] = False
    powers = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
    # 9 July 2016, 00:00 in Rome is 8 July, 23:00 in the CET of the profiles, whose first value is 1 January, 00:00
    first = (31 + 29 + 31 + 30 + 31 + 30 + 8) * 96 - 4
    index = load_feeder("simbench:1-LV-rural3--2-sw").index
    vm_pu, loading = strategy.series("bus.vm_pu"), strategy.series("line.loading_percent")
    for step in range(0, 96, 12):
        for table, column in (("load", "p_mw"), ("load", "q_mvar"), ("sgen", "p_mw")):
            net[table][column] = powers[table, column].loc[first + step]
        pandapower.runpp(net)
        expected = net.res_bus.vm_pu.loc[index.bus].to_numpy()
        assert np.abs(vm_pu[step] - expected).max() < VOLTAGE_QUANTUM_PU
        expected = net.res_line.loading_percent.loc[index.line].to_numpy()
        assert np.abs(loading[step] - expected).max() < 2e-3
        import_kw = net.res_ext_grid.p_mw.sum() * 1e3
        assert strategy.series("feeder.p_import_kw")[step, 0] == pytest.approx(import_kw, abs=0.05)


def test_generators_of_a_network_keep_their_reactive_power(tmp_path):
    net = pandapower.create_empty_network()
    buses = [pandapower.create_bus(net, vn_kv=0.4, name=name) for name in ("head", "end")]
    pandapower.create_ext_grid(net, buses[0])
    pandapower.create_line(net, *buses, length_km=0.3, std_type="NAYY 4x150 SE", name="cable")
    pandapower.create_load(net, buses[1], p_mw=0.01, q_mvar=0.004, name="house")
    pandapower.create_sgen(net, buses[1], p_mw=0.05, q_mvar=-0.02, name="absorbs", sn_mva=0.06)
    pandapower.create_sgen(net, buses[1], p_mw=0.02, q_mvar=0.01, name="injects")
    pandapower.to_json(net, str(tmp_path / "net.json"))
    strategy = stored(tmp_path, OWN_NETWORK)
    pandapower.runpp(net)
    assert strategy.series("feeder.p_import_kw")[0, 0] == pytest.approx(
        net.res_ext_grid.p_mw[0] * 1e3, abs=2e-3
    )
    assert strategy.series("feeder.q_import_kvar")[0, 0] == pytest.approx(
        net.res_ext_grid.q_mvar[0] * 1e3, abs=2e-3
    )
    assert np.abs(strategy.series("bus.vm_pu")[0] - net.res_bus.vm_pu.to_numpy()).max() < VOLTAGE_QUANTUM_PU
    q_kvar = dict(zip(strategy.names(Axis.PV), strategy.series("pv.q_kvar")[0], strict=True))
    assert q_kvar["absorbs"] == pytest.approx(20.0, abs=POWER_QUANTUM_KW)
    assert q_kvar["injects"] == pytest.approx(-10.0, abs=POWER_QUANTUM_KW)
