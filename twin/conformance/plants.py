"""Plants to try a strategy on: closed, synthetic, small. T steps, H homes, P PV, B batteries."""

from dataclasses import dataclass, fields, replace
from datetime import date
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.battery import BatteryFleet
from twin.clock import step_at, steps_in, utc_s
from twin.control import Controller, Forecast, Site, total_by
from twin.control.forecast import forecast_kind, forecast_noise, make_forecast
from twin.members import NOBODY, Communities
from twin.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

__all__ = [
    "Case",
    "Series",
    "opted_in",
    "synthetic_case",
    "with_other_data",
    "without_batteries",
    "without_communities",
    "without_members",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SUMMER_UTC_S = utc_s(date(2026, 6, 15))
_SEED = 20260615
_DEAR_FROM_H, _DEAR_UNTIL_H = 7.0, 20.0
"""Energy costs more between these hours of a day."""
_JOINS_H = 12
"""Hour of the run in which one member joins."""
_SILENT_FROM_H, _SILENT_UNTIL_H = 10, 20
"""Hours of the run in which one member is not heard."""
_OTHER_LOAD, _OTHER_PV = 1.7, 0.6
"""Factors on what other data are made from."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One plant with its data."""

    name: str
    site: Site
    load_kw: FloatArray
    """Shape (T, H), at least 0."""
    pv_available_kw: FloatArray
    """Shape (T, P), at most 0."""
    price_import_eur_kwh: FloatArray
    price_export_eur_kwh: FloatArray
    soc_start: FloatArray

    def series(self) -> "Series":
        """Return what a forecast is made from, in arrays of its own."""
        site = self.site
        return Series(
            load_kw=self.load_kw.copy(),
            pv_kw=np.stack([total_by(site.pv_home, row, site.n_homes) for row in self.pv_available_kw]),
            price_import_eur_kwh=self.price_import_eur_kwh.copy(),
            price_export_eur_kwh=self.price_export_eur_kwh.copy(),
            steps_per_day=site.steps_per_day,
        )

    def forecast(self, controller: Controller) -> Forecast:
        """Return a forecast of the kind that a controller asks for, over arrays of its own."""
        return self.series().forecast(controller)


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """What a forecast is made from."""

    load_kw: FloatArray
    """Shape (T, H)."""
    pv_kw: FloatArray
    """PV of each home, shape (T, H), at most 0."""
    price_import_eur_kwh: FloatArray
    price_export_eur_kwh: FloatArray
    steps_per_day: int

    def forecast(self, controller: Controller) -> Forecast:
        """Return a forecast of the kind that a controller asks for; it reads these arrays and not copies of them."""
        return make_forecast(
            forecast_kind(controller),
            load_kw=self.load_kw,
            pv_kw=self.pv_kw,
            price_import_eur_kwh=self.price_import_eur_kwh,
            price_export_eur_kwh=self.price_export_eur_kwh,
            steps_per_day=self.steps_per_day,
            noise=forecast_noise(controller),
        )


def synthetic_case(
    name: str,
    *,
    n_homes: int = 10,
    n_steps: int = 192,
    dt_s: float = 900,
    start_utc_s: int = SUMMER_UTC_S,
) -> Case:
    """Return a made-up plant, two days in steps of 15 min unless told otherwise.

    Of five homes one has PV and a battery, one PV, one two of each, and two only a load.

    Homes are members of two communities under one primary substation; every fifth home is in none. There are late and
    silent members, one joins in the course of the run, and one has opted out.
    """
    kind = np.arange(n_homes) % 5
    pv_home = np.sort(np.concatenate([np.flatnonzero(kind == k) for k in (0, 2, 3, 3)]))
    battery_home = np.sort(np.concatenate([np.flatnonzero(kind == k) for k in (0, 3, 3)]))
    rng = np.random.default_rng(_SEED)
    hour = np.arange(n_steps) * dt_s / 3600 % 24
    daily = 0.3 + 0.9 * np.exp(-((hour - 20.0) ** 2) / 6.0) + 0.4 * np.exp(-((hour - 8.0) ** 2) / 3.0)
    sun = np.maximum(np.sin((hour - 5.5) / 15.0 * np.pi), 0.0)
    pv_rated_kw = (3.0 + np.arange(len(pv_home)) % 3).astype(np.float64)
    communities = _two_communities(pv_home, pv_rated_kw, n_homes=n_homes, n_steps=n_steps, dt_s=dt_s)
    site = Site(
        dt_s=dt_s,
        n_steps=n_steps,
        steps_per_day=steps_in(SECONDS_PER_DAY, dt_s),
        home_name=tuple(f"home {i}" for i in range(n_homes)),
        pv_home=pv_home,
        pv_rated_kw=pv_rated_kw,
        battery_home=battery_home,
        battery=_fleet(len(battery_home)),
        start_utc_s=start_utc_s,
        communities=communities,
        shared_value_eur_kwh=np.full(communities.n_communities, 0.12),
    )
    window = site.battery.soc_max - site.battery.soc_min
    return Case(
        name=name,
        site=site,
        load_kw=daily[:, None] * rng.gamma(3.0, 1.0 / 3.0, (n_steps, n_homes)),
        pv_available_kw=-sun[:, None] * 0.9 * pv_rated_kw,
        price_import_eur_kwh=np.where((hour >= _DEAR_FROM_H) & (hour < _DEAR_UNTIL_H), 0.31, 0.22),
        price_export_eur_kwh=np.full(n_steps, 0.08),
        soc_start=site.battery.soc_min + window * np.linspace(0.1, 0.9, len(battery_home)),
    )


def without_batteries(case: Case) -> Case:
    """Return the same plant without batteries."""
    none = BatteryFleet(**{entry.name: np.zeros(0) for entry in fields(BatteryFleet)})
    site = replace(case.site, battery_home=np.zeros(0, dtype=np.int64), battery=none)
    return replace(case, site=site, soc_start=np.zeros(0))


def without_communities(case: Case) -> Case:
    """Return the same plant without communities."""
    return replace(case, site=replace(case.site, communities=NOBODY, shared_value_eur_kwh=np.zeros(0)))


def without_members(case: Case, homes: IntArray) -> Case:
    """Return the same plant where these homes, shape (N,), are in no community."""
    communities = case.site.communities
    stays = ~np.isin(communities.member_home, homes)
    position = np.cumsum(stays) - 1
    silent = communities.silent[stays[communities.silent[:, 0]]]
    keeps_plant = stays[communities.plant_member]
    changed: dict[str, Any] = {"silent": np.column_stack((position[silent[:, 0]], silent[:, 1:]))}
    for entry in fields(communities):
        values = getattr(communities, entry.name)
        if entry.name.startswith("member_"):
            changed[entry.name] = (
                values[stays] if isinstance(values, np.ndarray) else tuple(compress(values, stays))
            )
        elif entry.name.startswith("plant_"):
            changed[entry.name] = values[keeps_plant]
    changed["plant_member"] = position[changed["plant_member"]]
    return replace(case, site=replace(case.site, communities=replace(communities, **changed)))


def opted_in(case: Case, homes: IntArray) -> Case:
    """Return the same plant where these homes, shape (N,), have not opted out."""
    communities = case.site.communities
    opted_out = communities.member_opted_out & ~np.isin(communities.member_home, homes)
    return replace(
        case, site=replace(case.site, communities=replace(communities, member_opted_out=opted_out))
    )


def with_other_data(case: Case, homes: IntArray) -> Case:
    """Return the same plant where these homes, shape (N,), consume more and have less sun."""
    site = case.site
    at_home, at_pv = np.isin(np.arange(site.n_homes), homes), np.isin(site.pv_home, homes)
    return replace(
        case,
        load_kw=case.load_kw * np.where(at_home, _OTHER_LOAD, 1.0),
        pv_available_kw=case.pv_available_kw * np.where(at_pv, _OTHER_PV, 1.0),
    )


def _fleet(n: int) -> BatteryFleet:
    size = (1.0 + np.arange(n) % 3).astype(np.float64)
    return BatteryFleet(
        capacity_kwh=5.0 * size,
        charge_kw=2.5 * size,
        discharge_kw=2.0 * size,
        eta_charge=np.full(n, 0.95),
        eta_discharge=np.full(n, 0.94),
        soc_min=np.full(n, 0.1),
        soc_max=np.full(n, 0.95),
        loss_per_day=np.full(n, 0.0013),
    )


def _two_communities(
    pv_home: IntArray, pv_rated_kw: FloatArray, *, n_homes: int, n_steps: int, dt_s: float
) -> Communities:
    home = np.array([i for i in range(n_homes) if i % 5 != 4], dtype=np.int64)  # noqa: PLR2004 - every fifth
    n = len(home)
    member_of = {int(h): m for m, h in enumerate(home)}
    owned = np.array([h in member_of for h in pv_home.tolist()], dtype=np.bool_)
    has_pv = np.isin(home, pv_home)
    joins, silent_from, silent_until = (
        step_at(h * SECONDS_PER_HOUR, dt_s) for h in (_JOINS_H, _SILENT_FROM_H, _SILENT_UNTIL_H)
    )
    return Communities(
        name=("north", "south"),
        kind=("CER", "CER"),
        perimeter=("cp", "cp"),
        area=("CP 1", "CP 1"),
        cp=np.zeros(2, dtype=np.int64),
        cp_name=("CP 1",),
        zone="NORD",
        member_home=home,
        member_community=(home >= n_homes / 2).astype(np.int64),
        member_kind=("household",) * n,
        member_role=tuple("prosumer" if pv else "consumer" for pv in has_pv),
        member_contract_kw=np.full(n, 6.0),
        member_invest_eur=np.full(n, 500.0),
        member_first_step=np.where(home % 10 == 7, min(joins, n_steps - 1), 0),  # noqa: PLR2004 - one home in ten
        member_end_step=np.full(n, n_steps, dtype=np.int64),
        member_opted_out=home % 10 == 5,  # noqa: PLR2004 - one home in ten
        member_reserve_share=np.where(home % 10 == 0, 0.2, 0.0),
        member_delay_steps=np.where(home % 10 == 3, 2, 0),  # noqa: PLR2004 - one home in ten
        silent=np.array(
            [[member_of[h], silent_from, silent_until] for h in (8,) if h in member_of], dtype=np.int64
        ).reshape(-1, 3),
        plant_pv=np.flatnonzero(owned),
        plant_member=np.array([member_of[int(h)] for h in pv_home[owned]], dtype=np.int64),
        plant_kw=pv_rated_kw[owned],
        plant_entered_day=np.full(int(owned.sum()), 20000, dtype=np.int64),
        plant_grant_share=np.zeros(int(owned.sum())),
    )
