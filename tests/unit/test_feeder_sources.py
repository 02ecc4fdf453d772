import builtins
import subprocess
import sys

import pandapower
import pandas as pd
import pytest
from pandapower.io_utils import to_dict_of_dfs

from models.errors import FeederError
from models.feeder import load_feeder
from models.feeder.sources import load_net


def small_net():
    net = pandapower.create_empty_network(name="small")
    head, end = pandapower.create_bus(net, 0.4, name="head"), pandapower.create_bus(net, 0.4, name="end")
    pandapower.create_ext_grid(net, head)
    pandapower.create_line(net, head, end, 0.1, "NAYY 4x150 SE")
    pandapower.create_load(net, end, 0.01)
    return net


def write_excel(net, path):
    """Write the sheets of ``pandapower.to_excel``, which itself needs a further package."""
    with pd.ExcelWriter(path, engine="openpyxl") as book:
        for sheet, frame in to_dict_of_dfs(net, include_empty_tables=False).items():
            frame.to_excel(book, sheet_name=sheet)


def test_importing_the_package_imports_no_power_flow_library():
    code = (
        "import sys, models.feeder; "
        "print([m for m in ('pandapower', 'pandas', 'power_grid_model', 'simbench', 'networkx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("source", "n_buses"),
    [
        ("pandapower:create_cigre_network_lv", 44),
        ("pandapower:cigre_lv", 44),
        ("pandapower:cigre_mv", 15),
        ("pandapower:kerber_dorfnetz", 116),
        ("pandapower:create_kerber_landnetz_freileitung_1?n_lines=3", 5),
    ],
)
def test_networks_of_pandapower_are_found_by_name(source, n_buses):
    assert len(load_net(source).bus) == n_buses


def test_arguments_reach_the_function():
    assert len(load_net("pandapower:cigre_mv").sgen) == 0
    assert len(load_net("pandapower:cigre_mv?with_der=pv_wind").sgen) == 9
    assert len(load_net("pandapower:cigre_mv_all").storage) == 2


def test_simbench_code_gives_the_network_with_its_profiles():
    net = load_net("simbench:1-LV-rural1--0-sw")
    assert len(net.bus) == 15
    assert len(net.profiles["load"]) == 35136


@pytest.mark.parametrize("suffix", [".json", ".xlsx"])
def test_network_written_to_a_file_is_read_back(tmp_path, suffix):
    write = pandapower.to_json if suffix == ".json" else write_excel
    write(small_net(), str(tmp_path / f"net{suffix}"))
    feeder = load_feeder(f"net{suffix}", tmp_path)
    assert feeder.bus_name == ("head", "end")
    assert feeder.devices.load_p_kw.tolist() == [10.0]


def test_same_network_from_two_formats_has_the_same_hash(tmp_path):
    pandapower.to_json(small_net(), str(tmp_path / "net.json"))
    write_excel(small_net(), str(tmp_path / "net.xlsx"))
    assert load_feeder("net.json", tmp_path).sha256 == load_feeder("net.xlsx", tmp_path).sha256


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("simbench:1-LV-rural9--2-sw", r"no such SimBench code; did you mean .*1-LV-rural3--2-sw"),
        ("simbench:", "no such SimBench code"),
        ("pandapower:cigre_lw", "no such network; did you mean .*cigre_lv"),
        ("pandapower:qqqqqqqq", r"no such network$"),
        ("pandapower:cigre_mv?with_der=tidal", "refuses its arguments"),
        ("pandapower:cigre_mv?der=all", r"refuses its arguments .*with_der"),
        ("pandapower:cigre_mv?with_der", "arguments are written"),
        ("pandapower:mv_oberrhein?separation_by_sub=True", "holds a tuple, not one pandapower network"),
        ("missing.json", "there is no file"),
        ("net.txt", "not a feeder source"),
        ("1-LV-rural3--2-sw", "not a feeder source; write simbench:CODE"),
    ],
)
def test_wrong_source_is_refused_with_a_remedy(source, message, tmp_path):
    with pytest.raises(FeederError, match=message):
        load_net(source, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.json", b"{ not json", "cannot be read as a pandapower network"),
        ("net.json", b'{"a": 1}', "not one pandapower network|cannot be read"),
        ("net.json", b"[1, 2]", "not one pandapower network|cannot be read"),
        ("net.json", b"", "cannot be read"),
        ("net.json", bytes(range(256)), "cannot be read"),
        ("net.xlsx", b"this is no workbook", "cannot be read"),
    ],
)
def test_file_that_is_no_network_is_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FeederError, match=message):
        load_net(name, tmp_path)


def test_missing_simbench_package_says_how_to_install_it(monkeypatch):
    real_import = builtins.__import__

    def without_simbench(name, *args, **kwargs):
        if name == "simbench":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "simbench", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_simbench)
    with pytest.raises(FeederError, match=r"pip install 'gemello\[simbench\]'"):
        load_net("simbench:1-LV-rural3--2-sw")
