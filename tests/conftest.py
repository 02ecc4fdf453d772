"""Fixtures shared by test folders."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from twin.kpis import KpiAccumulator, KpiContext, KpiLimits
from twin.results import Detail, Manifest, RunStatus, StrategyWriter, write_manifest, write_rows
from twin.results.tables import write_columns
from twin.signals import Axis

# A busy machine is not a failure; on CI the same examples are tried each time.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")

START_UTC_S = int(datetime(2016, 6, 12, 22, 0, tzinfo=UTC).timestamp())
"""13 June 2016, 00:00 in Rome."""
DT_S = 900
STEPS_PER_DAY = 96
LABELS = {
    "none": "No control",
    "self_consumption": "Self-consumption",
    "peak_shaving": "Peak shaving",
    "mpc": "Predictive (MPC)",
}
SEED = 7


class TinyFeeder:
    """A radial LV feeder behind one MV/LV transformer, with a linear voltage drop: enough to fill every figure."""

    def __init__(self, n_buses: int) -> None:
        self.n = n_buses
        self.bus_name = ("MV bus", *(f"LV bus {i}" for i in range(1, n_buses)))
        parent = np.full(n_buses, -1)
        rng = np.random.default_rng(SEED)
        for i in range(2, n_buses):
            parent[i] = 1 if i % 22 == 2 else i - 1 if rng.random() < 0.8 else max(i - 2, 1)
        self.parent = parent
        length = np.where(parent >= 1, 0.018 + 0.02 * rng.random(n_buses), 0.0)
        self.length_km = length
        self.distance_km = np.zeros(n_buses)
        self.x, self.y = np.zeros(n_buses), np.zeros(n_buses)
        for i in range(2, n_buses):
            self.distance_km[i] = self.distance_km[parent[i]] + length[i]
            self.y[i] = self.y[parent[i]] - 1
            self.x[i] = i / 22 + rng.normal(0, 0.12)
        self.x[:2], self.y[0] = self.x[2:].mean(), 1.0
        self.home_bus = np.arange(2, n_buses)[: max(n_buses - 30, 1)]
        n_homes = len(self.home_bus)
        self.pv_home = np.arange(0, n_homes, 3)
        self.battery_home = np.arange(0, n_homes, 6)
        self.below = np.zeros((n_buses, n_homes))
        for home, bus in enumerate(self.home_bus):
            at = int(bus)
            while at >= 1:
                self.below[at, home] = 1.0
                at = int(parent[at])

    def raw(self) -> dict:
        lines = range(2, self.n)
        return {
            "name": "tiny-rural",
            "source": "synthetic:tiny",
            "notes": ["Transformer taps are taken from the network <file> & applied."],
            "has_geo": False,
            "bus": {
                "name": list(self.bus_name),
                "x": self.x.tolist(),
                "y": self.y.tolist(),
                "vn_kv": [20.0] + [0.4] * (self.n - 1),
                "distance_km": self.distance_km.tolist(),
            },
            "line": {
                "name": [f"Line {i}" for i in lines],
                "from_bus": [self.bus_name[self.parent[i]] for i in lines],
                "to_bus": [self.bus_name[i] for i in lines],
                "length_km": [float(self.length_km[i]) for i in lines],
                "rating_ka": [0.27] * len(lines),
            },
            "trafo": {
                "name": ["Trafo 1"],
                "hv_bus": ["MV bus"],
                "lv_bus": ["LV bus 1"],
                "rating_kva": [160.0],
                "level": ["MV/LV"],
            },
            "devices": {
                "loads": len(self.home_bus),
                "pv": len(self.pv_home),
                "pv_kw": 6.0 * len(self.pv_home),
                "batteries": len(self.battery_home),
                "battery_kwh": 10.0 * len(self.battery_home),
                "homes": len(self.home_bus),
            },
        }

    def context(self, n_steps: int) -> KpiContext:
        homes = tuple(f"Home {i}" for i in range(len(self.home_bus)))
        return KpiContext(
            dt_s=DT_S,
            n_steps=n_steps,
            start_utc_s=START_UTC_S,
            bus_name=self.bus_name,
            line_name=tuple(self.raw()["line"]["name"]),
            trafo_name=("Trafo 1",),
            trafo_level=("MV/LV",),
            head_trafos=(0,),
            home_name=homes,
            load_home=tuple(range(len(homes))),
            pv_home=tuple(self.pv_home),
            battery_home=tuple(self.battery_home),
            battery_capacity_kwh=(10.0,) * len(self.battery_home),
            limits=KpiLimits(vm_min_pu=0.95, vm_max_pu=1.05, reverse_hours_percent=5.0, peak_import_kw=60.0),
            held_buses=(0,),
        )

    def names(self) -> dict[Axis, tuple[str, ...]]:
        context = self.context(1)
        return {
            Axis.FEEDER: ("feeder",),
            Axis.BUS: context.bus_name,
            Axis.LINE: context.line_name,
            Axis.TRAFO: context.trafo_name,
            Axis.HOME: context.home_name,
            Axis.LOAD: context.home_name,
            Axis.PV: tuple(f"PV {i}" for i in self.pv_home),
            Axis.BATTERY: tuple(f"Battery {i}" for i in self.battery_home),
            Axis.STATE: (),
        }

    def step(self, step: int, kind: int, noise: np.ndarray) -> dict[str, np.ndarray]:
        hour = (step % STEPS_PER_DAY) / 4
        sun = max(np.sin((hour - 6) / 14 * np.pi), 0.0) if 6 <= hour <= 20 else 0.0
        sun *= (1.0, 0.85, 0.45, 0.95, 1.0, 0.7, 0.9)[step // STEPS_PER_DAY % 7]
        evening = np.exp(-((hour - 20) ** 2) / 6) + 0.5 * np.exp(-((hour - 8) ** 2) / 3)
        load = 0.25 + 0.9 * evening * noise
        pv = np.full(len(self.pv_home), -5.4 * sun)
        battery = self._battery(kind, hour, sun)
        home = load.copy()
        home[self.pv_home] += pv
        home[self.battery_home] += battery
        return self._flow(home, load=load, pv=pv, battery=battery)

    def _battery(self, kind: int, hour: float, sun: float) -> np.ndarray:
        charge = {0: 0.0, 1: 2.6 * sun * (hour < 12.5), 2: 0.9 * sun, 3: 2.4 * sun * (11 < hour < 15.5)}[kind]
        give = {0: 0.0, 1: 1.5, 2: 1.0, 3: 1.7}[kind] * (18.5 < hour < 22.5)
        return np.full(len(self.battery_home), charge - give)

    def _flow(self, home: np.ndarray, *, load: np.ndarray, pv: np.ndarray, battery: np.ndarray) -> dict:
        line_kw = self.below @ home
        drop = np.zeros(self.n)
        for i in range(1, self.n):
            above = drop[self.parent[i]] if i > 1 else 0.0
            drop[i] = above + (line_kw[i] * self.length_km[i] * 0.0045 if i > 1 else line_kw[1] * 1.2e-4)
        vm = 1.01 - drop
        loss = 0.0008 * float((line_kw[1:] ** 2).sum()) / 100
        total = float(home.sum()) + loss
        low, p05, median, p95, high = np.quantile(vm[1:], [0, 0.05, 0.5, 0.95, 1])
        one = np.ones(1)
        feeder = {
            "p_import_kw": total,
            "q_import_kvar": 0.1 * total,
            "p_loss_kw": loss,
            "p_other_kw": 0.0,
            "p_load_kw": load.sum(),
            "p_pv_kw": pv.sum(),
            "p_pv_available_kw": pv.sum(),
            "p_battery_kw": battery.sum(),
            "p_balance_kw": 1e-9,
            "vm_min_pu": low,
            "vm_p05_pu": p05,
            "vm_median_pu": median,
            "vm_p95_pu": p95,
            "vm_max_pu": high,
            "residual_kva": 1e-7,
            "iterations": 2.0,
            "price_import_eur_kwh": 0.25,
            "price_export_eur_kwh": 0.08,
        }
        return {
            **{f"feeder.{name}": one * value for name, value in feeder.items()},
            "bus.vm_pu": vm,
            "line.loading_percent": np.abs(line_kw[2:]) / 0.9,
            "trafo.p_kw": one * total,
            "trafo.q_kvar": one * 0.1 * total,
            "trafo.loading_percent": one * abs(total) / 1.6,
            "home.p_kw": home,
            "load.p_kw": load,
            "load.q_kvar": 0.2 * load,
            "pv.p_kw": pv,
            "pv.q_kvar": 0 * pv,
            "pv.p_available_kw": pv,
            "battery.p_kw": battery,
            "battery.q_kvar": 0 * battery,
            "battery.soc": np.full(len(battery), 0.5),
            "state.value": np.zeros(0),
        }


def _evaluate(folder: Path, accumulator: KpiAccumulator) -> None:
    write_rows(
        folder / "kpi.parquet",
        [
            {"name": v.name, "value": v.value, "where": v.where, "step": v.step, "note": v.note}
            for v in accumulator.values()
        ],
    )
    rows = accumulator.elements()
    columns = dict.fromkeys(key for row in rows for key in row)
    write_columns(folder / "elements.parquet", {key: [row.get(key) for row in rows] for key in columns})


@pytest.fixture(scope="session")
def make_stored_run() -> Callable[..., Path]:
    """Store a run through the real writer: ``make(folder, days=2, n_buses=130, detail=..., stop={strategy: step})``."""

    def make(
        folder: Path,
        *,
        days: int = 2,
        n_buses: int = 130,
        detail: str = "all",
        stop: dict[str, int] | None = None,
    ) -> Path:
        feeder, n_steps = TinyFeeder(n_buses), days * STEPS_PER_DAY
        stops = {} if stop is None else stop
        context = feeder.context(n_steps)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "feeder.json").write_text(json.dumps(feeder.raw()), encoding="utf-8")
        (folder / "context.json").write_text(json.dumps(context.to_dict()), encoding="utf-8")
        (folder / "scenario.yaml").write_text(
            "name: tiny_rural\ndescription: A made-up rural feeder with 4 strategies & a few <odd> signs.\n"
            "prices:\n  import_eur_kwh: 0.25\n  export_eur_kwh: 0.08\n",
            encoding="utf-8",
        )
        manifest = Manifest.begin(
            scenario="tiny_rural",
            scenario_sha256="0123456789abcdef" * 4,
            seed=SEED,
            created=datetime(2026, 11, 21, 23, 0, tzinfo=UTC),
            n_steps=n_steps,
            dt_s=DT_S,
            labels=LABELS,
        )
        check = {"engine": "pgm", "reference": "pandapower", "max_difference_pu": 1.8e-9, "cases": 4}
        manifest = manifest.with_details(engine_check=check, options={}).with_notes("Prices are assumptions.")
        noise = np.random.default_rng(SEED).gamma(2.0, 0.5, size=(n_steps, len(feeder.home_bus)))
        for kind, name in enumerate(LABELS):
            end = stops.get(name, n_steps)
            accumulator = KpiAccumulator(context)
            with StrategyWriter(
                folder / name,
                names=feeder.names(),
                detail=Detail(detail),
                selected={},
                steps_per_part=STEPS_PER_DAY,
                on_chunk=accumulator.add,
            ) as writer:
                for step in range(end):
                    writer.append(step, feeder.step(step, kind, noise[step]))
            status = RunStatus.FINISHED if end == n_steps else RunStatus.INTERRUPTED
            manifest = manifest.with_strategy(name, status, steps_done=end)
            if end == n_steps:
                _evaluate(folder / name, accumulator)
        whole = RunStatus.INTERRUPTED if stops else RunStatus.FINISHED
        write_manifest(folder, manifest.finish(whole, finished=datetime(2026, 11, 21, 23, 5, tzinfo=UTC)))
        return folder

    return make
