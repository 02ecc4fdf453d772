"""The spread of voltages over buses and time against numpy."""

import json
import re

import numpy as np
import pytest

from twin.errors import RunFolderError
from twin.report import build_report
from twin.report.feeder_file import read_context
from twin.report.spread import spread_table
from twin.results import RunReader, query


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_stored_run):
    return make_stored_run(tmp_path_factory.mktemp("run") / "run", days=2, n_buses=12, stop={"mpc": 0})


def test_quantiles_over_all_are_those_of_numpy(folder):
    strategy = RunReader(folder).strategy("none")
    vm_pu = strategy.series("bus.vm_pu").astype(float)
    q = [0.99, 0.0, 0.31]
    found = query.quantiles_over_all(strategy, "bus.vm_pu", q, names=["LV bus 3", "LV bus 7"])
    np.testing.assert_allclose(found, np.quantile(vm_pu[:, [3, 7]], q), rtol=1e-12)


def test_quantiles_over_all_refuse_what_is_not_there(folder):
    strategy = RunReader(folder).strategy("none")
    with pytest.raises(RunFolderError, match="no bus 'nowhere' is stored"):
        query.quantiles_over_all(strategy, "bus.vm_pu", [0.5], names=["LV bus 3", "nowhere"])
    with pytest.raises(ValueError, match="at least one entity"):
        query.quantiles_over_all(strategy, "bus.vm_pu", [0.5], names=[])
    with pytest.raises(ValueError, match="between 0 and 1"):
        query.quantiles_over_all(strategy, "bus.vm_pu", [1.5], names=["LV bus 3"])


def test_the_table_has_every_strategy_with_steps(folder):
    run, context = RunReader(folder), read_context(folder)
    table = spread_table({name: run.strategy(name) for name in ("none", "self_consumption", "mpc")}, context)
    assert [row[0] for row in table.rows] == ["none", "self_consumption"]
    vm_pu = run.strategy("none").series("bus.vm_pu")[:, context.free_buses].astype(float)
    expected = np.quantile(vm_pu, (0, 0.01, 0.05, 0.5, 0.95, 0.99, 1))
    np.testing.assert_allclose([float(cell) for cell in table.rows[0][1:]], expected, atol=0.51e-4)


def test_there_is_no_table_without_bus_series(tmp_path, make_stored_run):
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12, detail="kpi")
    assert spread_table({"none": RunReader(folder).strategy("none")}, read_context(folder)) is None


def test_the_en_50160_table_counts_the_nodes_that_are_judged(tmp_path, make_stored_run):
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12)
    context = json.loads((folder / "context.json").read_text(encoding="utf-8"))
    context["held_buses"] = [0]
    (folder / "context.json").write_text(json.dumps(context), encoding="utf-8")
    html = build_report(RunReader(folder))
    table = html[html.index("<caption>EN 50160") :]
    table = table[: table.index("</table>")]
    assert "1 held by the upstream grid left out" in table
    assert set(re.findall(r'<td class="n">(\d+)</td></tr>', table)) == {"11"}
