"""The guide to controllers in the loop says what the program does."""

import re
from dataclasses import fields
from pathlib import Path

import yaml
from outside_homes import site

from twin.external.controller import External
from twin.external.process import environment

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/controller_in_the_loop.md").read_text(encoding="utf-8")
PARAMETERS = {entry.name for entry in fields(External) if entry.init} - {"site"}


def test_the_table_names_every_parameter_and_no_other():
    table = GUIDE.partition("## Parameters")[2].partition("\n\n## ")[0]
    rows = [row.partition(" | ")[0] for row in table.splitlines() if row.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == PARAMETERS
    strategies = (ROOT / "docs/strategies.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| `external` \|.+\| (.+) \|$", strategies, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == PARAMETERS


def test_the_examples_are_accepted():
    whole, faults = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.+?)```", GUIDE, re.DOTALL))
    params = whole["strategies"]["outside"]["params"] | {"home": "ours"}
    assert External(site(), **params | faults).ports["pv"] == 5021


def test_the_environment_of_a_started_ems_is_as_told(tmp_path):
    address = {"host": "127.0.0.1", "port": 5020, "unit": 2, "map": "sunspec_pv"}
    found = environment({"meter": address, "pv-1": address}, tick_s=0.3, addresses_file=tmp_path / "a.json")
    for name in ("TWIN_METER_PORT", "TWIN_PV_1_UNIT", "TWIN_TICK_S", "TWIN_ADDRESSES"):
        assert f"`{name}`" in GUIDE
        assert found[name]
    assert set(found) == {
        "TWIN_TICK_S",
        "TWIN_ADDRESSES",
        *(f"TWIN_{name}_{what}" for name in ("METER", "PV_1") for what in ("HOST", "PORT", "UNIT", "MAP")),
    }
