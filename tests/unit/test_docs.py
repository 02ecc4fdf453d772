"""What the README and the guides show works as written."""

import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twin.cli import app
from twin.control.registry import BUILTIN, resolve
from twin.scenario import load_scenario

ROOT = Path(__file__).parents[2]


def blocks(name, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), flags=re.DOTALL)


def test_the_scenario_of_the_readme_loads(tmp_path):
    (text,) = (block for block in blocks("README.md", "yaml") if "feeder:" in block)
    path = tmp_path / "readme.yaml"
    path.write_text(text)
    assert set(load_scenario(path).scenario.strategies) == {"none", "self_consumption", "mpc"}


@pytest.mark.parametrize(
    ("name", "class_name"), [("README.md", "NightCharger"), ("docs/strategies.md", "HalfPower")]
)
def test_the_strategies_of_the_guides_are_strategies(name, class_name, tmp_path):
    (text,) = (block for block in blocks(name, "python") if f"class {class_name}" in block)
    (tmp_path / "mine.py").write_text(text)
    factory = resolve(f"mine.py:{class_name}", tmp_path)
    assert callable(factory.decide)


def test_every_built_in_strategy_is_in_the_guide():
    guide = (ROOT / "docs/strategies.md").read_text()
    assert all(f"| `{name}` |" in guide for name in BUILTIN)


def test_every_command_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert f"twin {name}" in readme


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_the_query_of_the_guide_runs(tmp_path):
    (query,) = blocks("docs/scenarios.md", "sql")
    folder = tmp_path / "results/01_rural_feeder/run/mpc"
    folder.mkdir(parents=True)
    elements = {"axis": ["bus", "bus", "line"], "name": ["a", "b", "c"], "vm_max_pu": [1.0, 1.1, None]}
    pq.write_table(pa.table(elements), folder / "elements.parquet")
    rows = duckdb.connect().execute(query.replace("results/", f"{tmp_path}/results/")).fetchall()
    assert rows == [("b", 1.1), ("a", 1.0)]
