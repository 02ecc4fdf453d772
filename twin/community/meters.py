"""From the steps of a run to hourly meter readings of members and plants, in bounded memory.

Every connection point has one meter for what it injects and one for what it withdraws. An hour is a UTC hour, which
is a local hour in Italy too, so days with 23 or 25 hours need nothing special. Sums are taken step by step in time
order: how a run is cut into chunks does not change a single bit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.clock import end_of_steps_s, is_whole_steps, step_at, steps_in, whole_seconds
from twin.community.grouping import shares, sum_columns
from twin.errors import RunError
from twin.members import Communities
from twin.plant import FloatArray, IntArray
from twin.signals import Chunk
from twin.units import SECONDS_PER_HOUR, energy_kwh, hours

__all__ = ["NEEDED", "HourlyMeters", "MeterAccumulator", "MeterTotals"]

NEEDED = ("home.p_kw", "pv.p_kw", "feeder.price_import_eur_kwh", "feeder.price_export_eur_kwh")
"""The signals that a chunk must hold."""

_QUARTER_S = 900

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class HourlyMeters:
    """Energy of N hours at the meters of M members and U plants; 0 while not a member."""

    hour_start_utc_s: IntArray
    """Start of each hour, seconds since 1970-01-01 UTC, shape (N,). A run may start and end within an hour."""
    injected_kwh: FloatArray
    """Shape (N, M)."""
    withdrawn_kwh: FloatArray
    """Shape (N, M)."""
    plant_injected_kwh: FloatArray
    """The injection of each member divided over its plants, shape (N, U)."""
    active: BoolArray | None = None
    """Who is a member in some part of the hour, shape (N, M); None where all are members for the whole run."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MeterTotals:
    """Figures of M members over the whole run, as a member or not."""

    energy_cost_eur: FloatArray
    """Withdrawn energy at the import price, shape (M,)."""
    sale_eur: FloatArray
    """Injected energy at the export price, shape (M,)."""
    peak_kw: FloatArray
    """Largest mean withdrawal of a quarter of an hour by the clock, shape (M,)."""
    over_contract_h: FloatArray
    """Time of the steps with a withdrawal above the contract power, shape (M,) [h]."""


class MeterAccumulator:
    """Takes the chunks of one strategy in time order and gives the hourly readings.

    Args:
        communities: the members and plants that are metered.
        dt_s: length of a step [s]; divides a quarter of an hour.
        start_utc_s: start of the run, a full quarter of an hour, seconds since 1970-01-01 UTC.
        n_steps: number of steps of the run.
        pv_home: home of each PV generator, shape (P,).

    Raises:
        ValueError: steps and quarters of an hour do not fit, or a plant is not at its member's home or has no power.
    """

    def __init__(
        self, communities: Communities, *, dt_s: float, start_utc_s: int, n_steps: int, pv_home: IntArray
    ) -> None:
        if not is_whole_steps(_QUARTER_S, dt_s) or start_utc_s % _QUARTER_S:
            raise ValueError(
                f"steps of {dt_s} s from {start_utc_s} s do not fit quarters of an hour; start on a full quarter "
                f"with a step that divides {_QUARTER_S} s"
            )
        _check_plants(communities, pv_home)
        self._members = communities
        self._dt_s, self._start_utc_s, self._n_steps = dt_s, start_utc_s, n_steps
        self._n_pv = len(pv_home)
        self._offset_s = start_utc_s % SECONDS_PER_HOUR
        n_hours = -(-(self._offset_s + end_of_steps_s(n_steps, dt_s)) // SECONDS_PER_HOUR)
        n_members = communities.n_members
        self._injected_kwh = np.zeros((n_hours, n_members))
        self._withdrawn_kwh = np.zeros((n_hours, n_members))
        self._plant_pv_kwh = np.zeros((n_hours, len(communities.plant_pv)))
        self._cost_eur, self._sale_eur = np.zeros((1, n_members)), np.zeros((1, n_members))
        self._quarter_kwh = np.zeros(n_members)
        self._peak_kw = np.zeros(n_members)
        self._over_steps = np.zeros(n_members, dtype=np.int64)
        self._next = 0

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk, of any length.

        Raises:
            ValueError: the chunk does not follow the last one, goes beyond the run, lacks a signal or has another
                number of PV generators.
            RunError: a value is not a finite number.
        """
        self._check(chunk)
        members, step = self._members, chunk.first_step + np.arange(chunk.n_steps)
        metered_kw = chunk.arrays["home.p_kw"][:, members.member_home]
        p_kw = metered_kw.astype(np.float64)
        withdrawn_kwh = energy_kwh(np.maximum(p_kw, 0.0), self._dt_s)
        injected_kwh = energy_kwh(np.maximum(-p_kw, 0.0), self._dt_s)
        self._add_hours(chunk, step, withdrawn_kwh=withdrawn_kwh, injected_kwh=injected_kwh)
        # np.add.at adds row after row, so that the bits do not depend on where a chunk ends; sum() adds in pairs
        row = np.zeros(chunk.n_steps, dtype=np.int64)
        prices = chunk.arrays
        np.add.at(self._cost_eur, row, withdrawn_kwh * prices["feeder.price_import_eur_kwh"].astype(float))
        np.add.at(self._sale_eur, row, injected_kwh * prices["feeder.price_export_eur_kwh"].astype(float))
        self._add_quarters(step, withdrawn_kwh)
        # in the resolution of the store: 4.4 kW there must not exceed a contract of 4.4 kW
        contract_kw = members.member_contract_kw.astype(metered_kw.dtype)
        self._over_steps += (metered_kw > contract_kw).sum(axis=0)
        self._next += chunk.n_steps

    def hourly(self) -> HourlyMeters:
        """Return the readings of the run.

        The injection of a member is divided over its plants in proportion to their PV energy of the hour; by rated
        power where there is none, e.g. while a battery discharges at night.

        Raises:
            ValueError: steps are missing.
        """
        self._complete()
        member = self._members.plant_member
        n_members = self._members.n_members
        pv_share = shares(self._plant_pv_kwh, member, n_members)
        rated_share = shares(self._members.plant_kw[None, :], member, n_members)
        any_pv = sum_columns(self._plant_pv_kwh, member, n_members) > 0
        share = np.where(any_pv[:, member], pv_share, rated_share)
        first_s = self._start_utc_s - self._offset_s
        return HourlyMeters(
            hour_start_utc_s=first_s + SECONDS_PER_HOUR * np.arange(len(self._injected_kwh), dtype=np.int64),
            injected_kwh=self._injected_kwh.copy(),
            withdrawn_kwh=self._withdrawn_kwh.copy(),
            plant_injected_kwh=self._injected_kwh[:, member] * share,
            active=self._active(),
        )

    def totals(self) -> MeterTotals:
        """Return the figures of the whole run.

        Raises:
            ValueError: steps are missing.
        """
        self._complete()
        return MeterTotals(
            energy_cost_eur=self._cost_eur[0].copy(),
            sale_eur=self._sale_eur[0].copy(),
            peak_kw=self._peak_kw.copy(),
            over_contract_h=hours(self._dt_s) * self._over_steps.astype(np.float64),
        )

    def _add_hours(
        self, chunk: Chunk, step: IntArray, *, withdrawn_kwh: FloatArray, injected_kwh: FloatArray
    ) -> None:
        """Add the energies of the steps while a member to their hours."""
        members = self._members
        hour = (self._offset_s + whole_seconds(step, self._dt_s)) // SECONDS_PER_HOUR
        is_member = (members.member_first_step <= step[:, None]) & (step[:, None] < members.member_end_step)
        pv_kw = chunk.arrays["pv.p_kw"][:, members.plant_pv].astype(np.float64)
        pv_kwh = energy_kwh(np.maximum(-pv_kw, 0.0), self._dt_s)
        np.add.at(self._withdrawn_kwh, hour, np.where(is_member, withdrawn_kwh, 0.0))
        np.add.at(self._injected_kwh, hour, np.where(is_member, injected_kwh, 0.0))
        np.add.at(self._plant_pv_kwh, hour, np.where(is_member[:, members.plant_member], pv_kwh, 0.0))

    def _add_quarters(self, step: IntArray, withdrawn_kwh: FloatArray) -> None:
        """Follow the largest mean withdrawal of a quarter of an hour."""
        steps_per_quarter = steps_in(_QUARTER_S, self._dt_s)
        quarter = step // steps_per_quarter
        touched = np.arange(quarter[0], quarter[-1] + 1)
        energy = np.zeros((len(touched), withdrawn_kwh.shape[1]))
        if step[0] % steps_per_quarter:
            energy[0] = self._quarter_kwh
        np.add.at(energy, quarter - quarter[0], withdrawn_kwh)
        # the last quarter of the run may be cut short
        end = np.minimum((touched + 1) * steps_per_quarter, self._n_steps)
        duration_s = self._dt_s * (end - touched * steps_per_quarter)
        # energy only grows within a quarter: an unfinished one cannot exceed itself when finished
        mean_kw = energy * (SECONDS_PER_HOUR / duration_s[:, None])
        self._peak_kw = np.maximum(self._peak_kw, mean_kw.max(axis=0))
        self._quarter_kwh = energy[-1]

    def _active(self) -> BoolArray:
        """Return who is a member in some step of each hour, shape (N, M)."""
        border_s = SECONDS_PER_HOUR * np.arange(len(self._injected_kwh) + 1) - self._offset_s
        border = np.clip(step_at(border_s, self._dt_s), 0, self._n_steps)
        first, end = border[:-1, None], border[1:, None]
        members = self._members
        active: BoolArray = np.maximum(members.member_first_step, first) < np.minimum(
            members.member_end_step, end
        )
        return active

    def _check(self, chunk: Chunk) -> None:
        end = chunk.first_step + chunk.n_steps
        if chunk.first_step != self._next or end > self._n_steps or not chunk.n_steps:
            raise ValueError(
                f"chunk has steps {chunk.first_step} to {end}, expected some from {self._next} on and at most "
                f"{self._n_steps}; add the chunks in time order"
            )
        for key in NEEDED:
            if key not in chunk.arrays:
                raise ValueError(f"chunk at step {chunk.first_step} lacks the signal {key}")
            array = chunk.arrays[key]
            if not np.isfinite(array).all():
                row, column = np.argwhere(~np.isfinite(array))[0]
                raise RunError(
                    f"{key}, entity {column}, step {chunk.first_step + row}: the value is {array[row, column]}, "
                    "not a finite number; look at this step's inputs and the strategy's set-points"
                )
        if chunk.arrays["pv.p_kw"].shape[1] != self._n_pv:
            raise ValueError(
                f"pv.p_kw has {chunk.arrays['pv.p_kw'].shape[1]} columns, expected {self._n_pv} (pv_home)"
            )

    def _complete(self) -> None:
        if self._next != self._n_steps:
            raise ValueError(f"{self._next} of {self._n_steps} steps were added; add the whole run first")


def _check_plants(communities: Communities, pv_home: IntArray) -> None:
    home = communities.member_home[communities.plant_member]
    wrong = np.flatnonzero(pv_home[communities.plant_pv] != home)
    if len(wrong):
        raise ValueError(f"plant {wrong[0]} is a PV generator of another home than its member's")
    if not (communities.plant_kw > 0).all():
        raise ValueError(f"plant {int(np.argmin(communities.plant_kw > 0))} has no rated power above 0")
