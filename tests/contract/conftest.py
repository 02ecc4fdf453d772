"""A small scenario on a network of pandapower, and ways to run it; a stored run with energy communities."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fmu_leaks import Place, watched_place

from twin.community.results import AreaShared, CommunityLine, MemberLine, PlantLine, Settlement
from twin.results import write_columns
from twin.scenario import load_scenario

SHAPE = "time,share\n" + "".join(f"2026-06-20T{hour:02d}:00,{0.2 + 0.02 * hour:.2f}\n" for hour in range(24))

SCENARIO = """
name: small
seed: 3
feeder:
  source: pandapower:create_cigre_network_lv
period: {start: 2026-06-20, days: 1, step_s: 15 min}
sources:
  shape: {file: shape.csv, unit: "1", time_zone: Europe/Rome}
devices:
  - {kind: load, from: feeder, profile: shape.share}
  - {kind: pv, share: 0.5, profile: clear_sky, p_peak_kw: 8, place: {latitude_deg: 38.1, longitude_deg: 13.4}}
  - {kind: battery, share: 0.5, capacity_kwh: 8, power_kw: 4}
strategies:
  none:
  self_consumption:
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add where a real device is, for test_device_contract.py; without them it runs against a virtual one."""
    group = parser.getgroup("devices on the wire")
    group.addoption(
        "--hil-host", help="Address of a real device: HOST, HOST:PORT, or rtu:/dev/ttyUSB0@19200."
    )
    group.addoption("--hil-port", type=int, help="Its TCP port, if not that of its map.")
    group.addoption("--hil-map", help="Its register map: a shipped one by name, or a file.")
    group.addoption("--hil-unit", type=int, help="Its unit id, if not that of its map.")
    group.addoption("--hil-serial", help="Serial number that must answer.")
    group.addoption(
        "--hil-write",
        action="append",
        metavar="COMMAND=LOW:HIGH",
        help="Try this command of the real device within these limits (kW); may be repeated. Without it nothing is written.",
    )


def write_scenario(folder: Path, *changes: tuple[str, str], extra: str = "") -> Path:
    """Write the small scenario into a folder, with text replaced or added, and return its path."""
    text = SCENARIO
    for old, new in changes:
        assert old in text, f"{old!r} is not in the scenario"
        text = text.replace(old, new)
    (folder / "shape.csv").write_text(SHAPE)
    path = folder / "small.yaml"
    path.write_text(text + extra)
    return path


@pytest.fixture
def small_scenario(tmp_path):
    """Write the small scenario with changes and return its path."""
    return partial(write_scenario, tmp_path)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """Run the small scenario once with the command; return the folder of results and what was printed."""
    folder = tmp_path_factory.mktemp("finished")
    return folder / "results", run_twin("run", write_scenario(folder), "--out", folder / "results")


def run_twin(*arguments, **options):
    """Run the command ``twin`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "twin", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
        **options,
    )


@pytest.fixture
def twin():
    """The command ``twin``."""
    return run_twin


@pytest.fixture
def load_small(small_scenario):
    """Load the small scenario with changes."""

    def load(*changes: tuple[str, str], extra: str = ""):
        return load_scenario(small_scenario(*changes, extra=extra))

    return load


COMMUNITIES = (
    ("Alba", "CER", "CP A", 10),
    ("Borgo", "CER", "CP A", 8),
    ("Condominio", "GACC", "CP A", 4),
    ("Delta", "CER", "CP B", 3),
)
"""Name, kind, primary substation and members."""
LEVELS = ("No control", "EMS per user", "EMS and CEMS", "Aggregator", "Aggregator on MSD")
SHIFTS = ((0.0, 0.0), (0.35, 0.0), (0.3, 0.12), (0.28, 0.2), (0.28, 0.2))
"""By level: share of the surplus kept for the evening, share of the evening moved to midday."""
KINDS = ("household", "sme", "household", "municipality", "household", "farm", "household", "cooperative")
PLANT_KW = {0: 6.0, 3: 12.0, 5: 20.0, 10: 6.0, 13: 9.0, 18: 8.0, 22: 15.0}
"""Rated power of the plant behind a member."""
OWNER = np.repeat(np.arange(len(COMMUNITIES)), [n for *_, n in COMMUNITIES])
HOMES = tuple(f"{COMMUNITIES[c][0]} {KINDS[m % 8]} {m + 1}" for m, c in enumerate(OWNER))
CP_OF = np.array([0, 0, 0, 1])
FIRST_HOUR_UTC_S = 1465768800
"""13 June 2016, 00:00 in Rome, as the stored run."""


def member_energy(level, n_hours):
    """Return energy injected and withdrawn, shape (hours, members) each [kWh]: made up, with a plausible day."""
    hour = np.arange(n_hours)[:, np.newaxis] % 24
    sun = np.maximum(np.sin((hour - 6) / 14 * np.pi), 0.0) * ((hour >= 6) & (hour <= 20))
    evening = np.exp(-((hour - 20) ** 2) / 6.0)
    kept, moved = SHIFTS[level]
    size = 0.4 + 0.15 * (np.arange(len(HOMES)) % 7)
    use = size * (0.6 + (2.4 - moved) * evening + 2 * moved * np.maximum(sun - 0.6, 0))
    made = 0.8 * sun * np.array([PLANT_KW.get(m, 0.0) for m in range(len(HOMES))])
    surplus, need = np.maximum(made - use, 0), np.maximum(use - made, 0)
    stored = np.minimum(kept * surplus, 2.0)
    given = 0.9 * stored.sum(axis=0) * evening / evening.sum()
    return surplus - stored, np.maximum(need - given, 0)


def _member(m, energy, *, shared_kwh, tariff_eur_kwh):
    injected, withdrawn = (float(values[:, m].sum()) for values in energy)
    bill, sale = 0.25 * withdrawn + 1.5, 0.06 * injected
    stored = -0.002 * injected if m in PLANT_KW else 0.0
    incentive, valorisation = tariff_eur_kwh * shared_kwh, 0.01057 * shared_kwh
    return MemberLine(
        home=HOMES[m],
        community=COMMUNITIES[OWNER[m]][0],
        kind=KINDS[m % 8],
        role="prosumer" if m in PLANT_KW else "consumer",
        contract_kw=6.0 if m in PLANT_KW else 3.0,
        withdrawn_kwh=withdrawn,
        injected_kwh=injected,
        shared_kwh=shared_kwh,
        bill_eur=bill,
        sale_eur=sale,
        incentive_eur=incentive,
        valorisation_eur=valorisation,
        stored_eur=stored,
        net_eur=bill - sale - incentive - valorisation - stored,
        co2_kg=0.26 * (withdrawn - injected),
        peak_kw=float(energy[1][:, m].max()),
        over_contract_h=0.0,
    )


def _community(c, lines, own_shared_kwh):
    name, kind, cp, n = COMMUNITIES[c]
    keys = (
        *("withdrawn_kwh", "injected_kwh", "shared_kwh", "incentive_eur", "valorisation_eur"),
        *("bill_eur", "sale_eur", "stored_eur", "net_eur", "co2_kg"),
    )
    return CommunityLine(
        name=name,
        kind=kind,
        perimeter="building" if kind == "GACC" else "cp",
        area="LV bus 4" if kind == "GACC" else cp,
        cp=cp,
        n_members=n,
        own_shared_kwh=own_shared_kwh,
        **{key: sum(getattr(line, key) for line in lines) for key in keys},
    )


def make_settlement(level, *, rules, pooled, n_hours):
    """Return a settlement whose members and plants add up to their communities."""
    energy = member_energy(level, n_hours)
    member = np.eye(len(COMMUNITIES))[OWNER]
    surplus, need = (values @ member for values in energy)
    own = np.minimum(surplus, need)
    areas = [
        (surplus[:, who].sum(axis=1), need[:, who].sum(axis=1))
        for who in (CP_OF == 0, CP_OF == 1, CP_OF >= 0)
    ]
    credited = own.copy()
    if pooled == "cp":
        left = (surplus - own)[:, CP_OF == 0]
        rest = np.minimum(*areas[0]) - own[:, CP_OF == 0].sum(axis=1)
        credited[:, CP_OF == 0] += (
            rest[:, np.newaxis] * left / np.maximum(left.sum(axis=1, keepdims=True), 1e-9)
        )
    weight = sum(
        0.5 * values / np.maximum(total[:, OWNER], 1e-9)
        for values, total in zip(energy, (surplus, need), strict=True)
    )
    weight /= np.maximum((weight @ member)[:, OWNER], 1e-9)
    part = (credited[:, OWNER] * weight).sum(axis=0)
    by_kind = {"CER": 0.11, "GACC": 0.10} if rules == "flat_2020" else {"CER": 0.13, "GACC": 0.13}
    tariff = [by_kind[kind] for _, kind, _, _ in COMMUNITIES]
    lines = [
        _member(m, energy, shared_kwh=float(part[m]), tariff_eur_kwh=tariff[c]) for m, c in enumerate(OWNER)
    ]
    plants = []
    for m, rated_kw in PLANT_KW.items():
        c = OWNER[m]
        injected = energy[0][:, m]
        shared = float((credited[:, c] * injected / np.maximum(surplus[:, c], 1e-9)).sum())
        plants.append(
            PlantLine(
                name=f"PV {HOMES[m]}",
                home=HOMES[m],
                community=COMMUNITIES[c][0],
                rated_kw=rated_kw,
                injected_kwh=float(injected.sum()),
                shared_kwh=shared,
                incentive_eur=tariff[c] * shared,
                sale_eur=0.06 * float(injected.sum()),
            )
        )
    return Settlement(
        rules=rules,
        pooled=pooled,
        communities=tuple(
            _community(
                c,
                [line for line, owner in zip(lines, OWNER, strict=True) if owner == c],
                float(own[:, c].sum()),
            )
            for c in range(len(COMMUNITIES))
        ),
        members=tuple(lines),
        plants=tuple(plants),
        areas=tuple(
            AreaShared(
                level=level_name,
                name=name,
                injected_kwh=float(given.sum()),
                withdrawn_kwh=float(taken.sum()),
                shared_kwh=float(np.minimum(given, taken).sum()),
            )
            for (level_name, name), (given, taken) in zip(
                (("cp", "CP A"), ("cp", "CP B"), ("zone", "NORD")), areas, strict=True
            )
        ),
        marks=("Excise of 0.0227 EUR/kWh & VAT are not <verified>.",),
    )


def _write_hours(folder, level, n_hours):
    injected, withdrawn = member_energy(level, n_hours)
    member = np.eye(len(COMMUNITIES))[OWNER]
    start = FIRST_HOUR_UTC_S + 3600 * np.arange(n_hours)
    for name, what, names, values in (
        (
            "community_hours",
            "community",
            [c[0] for c in COMMUNITIES],
            (injected @ member, withdrawn @ member),
        ),
        ("member_hours", "home", list(HOMES), (injected, withdrawn)),
    ):
        columns = {
            "hour_start_utc_s": np.tile(start, len(names)),
            what: np.repeat(names, n_hours).tolist(),
            "injected_kwh": values[0].T.ravel(),
            "withdrawn_kwh": values[1].T.ravel(),
        }
        if what == "community":
            columns["shared_kwh"] = np.minimum(*values).T.ravel()
        write_columns(folder / f"{name}.parquet", columns)


def _add_communities(folder, n_hours):
    """Add a fifth strategy and settle all of them."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    shutil.copytree(folder / "mpc", folder / "msd")
    manifest["strategies"]["msd"] = dict(manifest["strategies"]["mpc"])
    for level, (key, label) in enumerate(zip(manifest["strategies"], LEVELS, strict=True)):
        manifest["strategies"][key]["label"] = label
        rules = {
            name: {
                pooled: asdict(make_settlement(level, rules=name, pooled=pooled, n_hours=n_hours))
                for pooled in ("community", "cp")
            }
            for name in ("flat_2020", "cacer_2023")
        }
        content = {
            "level": level,
            "pooled": "cp" if level > 2 else "community",
            "pays": "cacer_2023",
            "rules": rules,
        }
        (folder / key / "settlement.json").write_text(json.dumps(content), encoding="utf-8")
        _write_hours(folder / key, level, n_hours)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "reinforcement.json").write_text(json.dumps(_reinforcement(list(manifest["strategies"]))))


def _reinforcement(keys):
    """Return limits that are reached a year later with every level."""
    entries = {}
    for level, key in enumerate(keys):
        rows = [
            {
                "what": "Highest loading of a line",
                "where": "Line 7",
                "value": 71.0 - level,
                "limit": 100.0,
                "unit": "%",
                "years": 17.0 + level,
            },
            {"what": "Peak import", "where": "", "value": 12.0, "limit": 60.0, "unit": "kW", "years": None},
        ]
        entries[key] = {
            "rows": rows,
            "years": 17.0 + level,
            "deferral_years": float(level),
            "npv_eur": 2500.0 * level,
        }
    terms = {
        "growth_percent_year": 2.0,
        "discount_percent": 4.0,
        "cost_eur": 150_000.0,
        "horizon_years": 30.0,
    }
    return {"terms": terms, "base": keys[0], "strategies": entries}


@pytest.fixture(scope="session")
def make_community_run(make_stored_run):
    """Store a run with three communities under one substation and one under another: ``make(folder, days=2)``."""

    def make(folder, *, days=2, n_buses=40):
        make_stored_run(folder, days=days, n_buses=n_buses)
        _add_communities(folder, 24 * days)
        return folder

    return make


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a test a place of its own, and fail if it leaves anything behind."""
    with watched_place(tmp_path) as made:
        yield made
