"""The accounts of one strategy: meters and market value while it runs, settlement of the communities at its end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from twin.clock import end_of_steps_s
from twin.community.bills import fixed_charges_eur, years_between
from twin.community.calendar import hourly_mean
from twin.community.emissions import co2_kg
from twin.community.meters import HourlyMeters, MeterAccumulator, MeterTotals
from twin.community.results import Settlement
from twin.community.settle import MemberMoney, Pooled, settle
from twin.community.sharing import community_hours
from twin.community.status import member_status
from twin.control import Controller
from twin.control.management.levels import level_of, settles_of
from twin.kpis import KpiValue
from twin.payment import stored_worth_eur_kwh
from twin.plant import total_by
from twin.prepare import Prepared
from twin.results import layout
from twin.results.disk import write_atomic
from twin.results.tables import write_hours
from twin.signals import Chunk
from twin.units import energy_kwh, price_eur_kwh

__all__ = ["Accounts", "Closing"]

FloatArray = NDArray[np.float64]
_POOLS: tuple[Pooled, ...] = get_args(Pooled)


@dataclass(frozen=True, kw_only=True, eq=False)
class Closing:
    """The closed accounts of one strategy."""

    values: tuple[KpiValue, ...]
    level: int | None
    """Level of management, 0 to 4; None for a strategy that does not say."""
    pooled: Pooled
    """How the strategy is paid."""
    pays: str
    settlements: Mapping[str, Mapping[Pooled, Settlement]]
    """By rule set and pool; empty without communities."""
    meters: HourlyMeters | None
    """None without communities."""

    def write(self, folder: Path, prepared: Prepared) -> None:
        """Store settlement and hourly energies in the folder of the strategy; nothing without communities.

        Raises:
            StoreError: a file cannot be written.
        """
        if self.meters is None:
            return
        content = {
            "level": self.level,
            "pooled": self.pooled,
            "pays": self.pays,
            "rules": {
                rules: {pool: asdict(settlement) for pool, settlement in pools.items()}
                for rules, pools in self.settlements.items()
            },
        }
        write_atomic(
            folder / layout.SETTLEMENT, json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
        )
        communities, meters = prepared.plant.communities, self.meters
        by_community = vars(community_hours(communities, meters))
        by_member = {"injected_kwh": meters.injected_kwh, "withdrawn_kwh": meters.withdrawn_kwh}
        homes = [prepared.plant.home_name[home] for home in communities.member_home]
        for path, column, names, values in (
            (layout.COMMUNITY_HOURS, "community", communities.name, by_community),
            (layout.MEMBER_HOURS, "home", homes, by_member),
        ):
            write_hours(folder / path, meters.hour_start_utc_s, column=column, names=names, values=values)


class Accounts:
    """Takes the chunks of one strategy in time order and closes the accounts after the last one."""

    def __init__(self, prepared: Prepared) -> None:
        plant = prepared.plant
        self._prepared = prepared
        self._payment = prepared.payment
        self._import_kw = np.full(plant.n_steps, np.nan)
        self._load_kw = np.full(plant.n_steps, np.nan)
        self._meters: MeterAccumulator | None = None
        if plant.communities.n_communities:
            self._meters = MeterAccumulator(
                plant.communities,
                dt_s=plant.dt_s,
                start_utc_s=plant.start_utc_s,
                n_steps=plant.n_steps,
                pv_home=plant.pv_home,
            )

    def add(self, chunk: Chunk) -> None:
        """Take the next steps."""
        steps = slice(chunk.first_step, chunk.first_step + chunk.n_steps)
        self._import_kw[steps] = chunk.arrays["feeder.p_import_kw"][:, 0]
        self._load_kw[steps] = chunk.arrays["feeder.p_load_kw"][:, 0]
        if self._meters is not None:
            self._meters.add(chunk)

    def close(self, controller: Controller, stored_change_kwh: FloatArray) -> Closing:
        """Return the accounts of a strategy that ran to its end.

        Args:
            controller: the strategy.
            stored_change_kwh: energy in each battery, end less start, shape (B,).
        """
        pooled = settles_of(controller) or "community"
        meters, settlements = None, {}
        if self._meters is not None:
            meters = self._meters.hourly()
            money = self._money(self._meters.totals(), stored_change_kwh)
            settlements = self._settle(meters, money)
        paid = settlements[self._payment.pays][pooled] if settlements else None
        return Closing(
            values=(*(() if paid is None else _community_values(paid)), *self._market_values()),
            level=level_of(controller),
            pooled=pooled,
            pays=self._payment.pays,
            settlements=settlements,
            meters=meters,
        )

    def _money(self, totals: MeterTotals, stored_change_kwh: FloatArray) -> MemberMoney:
        plant, market = self._prepared.plant, self._prepared.plant.market
        communities = plant.communities
        stored_eur = total_by(
            plant.battery_home, stored_worth_eur_kwh(plant) * stored_change_kwh, plant.n_homes
        )
        return MemberMoney(
            bill_eur=totals.energy_cost_eur
            + fixed_charges_eur(
                communities.member_contract_kw,
                years_between(
                    plant.start_utc_s, plant.start_utc_s + end_of_steps_s(plant.n_steps, plant.dt_s)
                ),
                fixed_eur_year=market.fixed_eur_year,
                power_eur_kw_year=market.power_eur_kw_year,
                vat_percent=market.vat_percent,
            ),
            sale_eur=totals.sale_eur,
            peak_kw=totals.peak_kw,
            over_contract_h=totals.over_contract_h,
            stored_eur=stored_eur[communities.member_home],
        )

    def _settle(self, meters: HourlyMeters, money: MemberMoney) -> dict[str, dict[Pooled, Settlement]]:
        plant, payment = self._prepared.plant, self._payment
        communities, market = plant.communities, plant.market
        status = member_status(
            communities, start_utc_s=plant.start_utc_s, dt_s=plant.dt_s, n_steps=plant.n_steps
        )
        found = {
            name: {
                pool: settle(
                    communities,
                    meters,
                    rules=rules.premium,
                    valorisation=rules.valorisation,
                    splits=payment.splits,
                    money=money,
                    zone_price_eur_mwh=hourly_mean(market.zone_eur_mwh, plant.start_utc_s, plant.dt_s),
                    co2_kg_kwh=hourly_mean(market.co2_kg_kwh, plant.start_utc_s, plant.dt_s),
                    home_name=plant.home_name,
                    pv_name=plant.pv_name,
                    pooled=pool,
                )
                for pool in _POOLS
            }
            for name, rules in payment.rules.items()
        }
        return {
            name: {pool: _with_status(settlement, status) for pool, settlement in pools.items()}
            for name, pools in found.items()
        }

    def _market_values(self) -> tuple[KpiValue, ...]:
        plant = self._prepared.plant
        import_kwh = energy_kwh(self._import_kw, plant.dt_s)
        load_kwh = energy_kwh(self._load_kw, plant.dt_s)
        net_kg = float(co2_kg(import_kwh, plant.market.co2_kg_kwh))
        all_drawn_kg = float(co2_kg(load_kwh, plant.market.co2_kg_kwh))
        return (
            KpiValue("co2_net_kg", net_kg),
            KpiValue("co2_avoided_kg", all_drawn_kg - net_kg),
            KpiValue("market_value_eur", float(price_eur_kwh(plant.market.zone_eur_mwh) @ import_kwh)),
        )


def _with_status(found: Settlement, status: Sequence[str]) -> Settlement:
    members = (replace(line, status=words) for line, words in zip(found.members, status, strict=True))
    return replace(found, members=tuple(members))


def _community_values(paid: Settlement) -> tuple[KpiValue, ...]:
    lines, areas = paid.communities, paid.areas
    shared = sum(line.shared_kwh for line in lines)
    # without what a battery alone injects, which cannot be shared
    injected = sum(area.injected_kwh for area in areas if area.level == "zone")
    withdrawn = sum(line.withdrawn_kwh for line in lines)
    return (
        KpiValue("shared_kwh", shared),
        KpiValue("shared_own_kwh", sum(line.own_shared_kwh for line in lines)),
        KpiValue("shared_cp_kwh", sum(area.shared_kwh for area in areas if area.level == "cp")),
        KpiValue("shared_zone_kwh", sum(area.shared_kwh for area in areas if area.level == "zone")),
        _percent("shared_injected_percent", shared, injected, "members inject nothing that can be shared"),
        _percent("shared_withdrawn_percent", shared, withdrawn, "members withdraw nothing"),
        KpiValue("incentive_eur", sum(line.incentive_eur for line in lines)),
        KpiValue("valorisation_eur", sum(line.valorisation_eur for line in lines)),
        KpiValue("members_bill_eur", sum(line.bill_eur for line in lines)),
        KpiValue("members_sale_eur", sum(line.sale_eur for line in lines)),
        KpiValue("social_kept_eur", sum(line.social_kept_eur for line in lines)),
        KpiValue("members_stored_eur", sum(line.stored_eur for line in lines)),
        KpiValue("members_net_eur", sum(line.net_eur for line in paid.members)),
    )


def _percent(name: str, part: float, whole: float, why_not: str) -> KpiValue:
    if whole == 0.0:
        return KpiValue(name, None, note=why_not)
    return KpiValue(name, 100.0 * part / whole)
