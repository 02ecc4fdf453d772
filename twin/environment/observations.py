"""What a strategy sees, as one flat float32 array with names and units. H homes, B batteries."""

import math

import numpy as np
from numpy.typing import NDArray

from twin.clock import local_time
from twin.control import Observation, Site
from twin.plant import Plant, total_by
from twin.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

__all__ = ["ObservationLayout"]

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]

_VM_MAX_PU = 2.0
_MARGIN = 1e-3
"""Bounds are wider than the data by this share and by this many kW: float32 rounds."""


class ObservationLayout:
    """What each value of an observation means, shape (5 H + B + 4,).

    In this order: load, available PV, meter, voltage and ``measured`` of each home, state of charge of each battery,
    import price, export price, sine and cosine of the local time of day.

    Meter and voltage are of the step before. Where they are missing (in the first step of an episode, or of a home
    that was not heard) the meter is 0, the voltage 1 pu, and ``measured`` of the home is 0 instead of 1: an array of
    an agent must not hold NaN.
    """

    def __init__(self, site: Site) -> None:
        self._start_utc_s = site.start_utc_s
        quantities = (
            ("load", "kW"),
            ("PV available", "kW"),
            ("meter before", "kW"),
            ("voltage before", "pu"),
            ("measured", "1"),
        )
        per_home = [(f"{home}: {name}", unit) for name, unit in quantities for home in site.home_name]
        soc = [
            (f"battery {i} of {site.home_name[home]}: state of charge", "1")
            for i, home in enumerate(site.battery_home)
        ]
        common = [
            ("import price", "EUR/kWh"),
            ("export price", "EUR/kWh"),
            ("time of day, sine", "1"),
            ("time of day, cosine", "1"),
        ]
        every = (*per_home, *soc, *common)
        self.names = tuple(name for name, _ in every)
        self.units = tuple(unit for _, unit in every)

    def values(self, seen: Observation) -> Float32Array:
        """Return an observation as one array; no value is NaN."""
        missing = np.isnan(seen.grid_kw) | np.isnan(seen.vm_pu)
        at = local_time(self._start_utc_s + seen.time_s)
        second = at.hour * SECONDS_PER_HOUR + at.minute * SECONDS_PER_MINUTE + at.second
        angle = 2.0 * math.pi * second / SECONDS_PER_DAY
        return np.concatenate(
            (
                seen.load_kw,
                seen.pv_kw,
                np.where(missing, 0.0, seen.grid_kw),
                np.where(missing, 1.0, seen.vm_pu),
                np.where(missing, 0.0, 1.0),
                seen.soc,
                (seen.price_import_eur_kwh, seen.price_export_eur_kwh, math.sin(angle), math.cos(angle)),
            )
        ).astype(np.float32)

    def bounds(self, plant: Plant) -> tuple[Float32Array, Float32Array]:
        """Return lowest and highest value of each entry over the whole run, shape (5 H + B + 4,) each."""
        n_homes, n_batteries = plant.n_homes, plant.battery.n
        load_low_kw, load_high_kw = _extremes(plant.load_p_kw, plant.load_home, n_homes)
        pv_low_kw, _ = _extremes(plant.pv_available_kw, plant.pv_home, n_homes)
        charge_kw = total_by(plant.battery_home, plant.battery.charge_kw, n_homes)
        discharge_kw = total_by(plant.battery_home, plant.battery.discharge_kw, n_homes)
        zeros, ones = np.zeros(n_homes), np.ones(n_homes)
        prices = (plant.tariff.price_import_eur_kwh, plant.tariff.price_export_eur_kwh)
        low = np.concatenate(
            (
                _wider(load_low_kw, -1.0),
                _wider(pv_low_kw, -1.0),
                _wider(load_low_kw + pv_low_kw - discharge_kw, -1.0),
                zeros,
                zeros,
                np.zeros(n_batteries),
                [min(float(price.min()), -1.0) for price in prices],
                (-1.0, -1.0),
            )
        )
        high = np.concatenate(
            (
                _wider(load_high_kw, 1.0),
                zeros,
                _wider(load_high_kw + charge_kw, 1.0),
                _VM_MAX_PU * ones,
                ones,
                np.ones(n_batteries),
                [max(float(price.max()), 1.0) for price in prices],
                (1.0, 1.0),
            )
        )
        return low.astype(np.float32), high.astype(np.float32)


def _extremes(
    series_kw: NDArray[np.float32], home: NDArray[np.int64], n_homes: int
) -> tuple[FloatArray, FloatArray]:
    """Return lowest and highest power of the devices of each home, each at most and at least 0, shape (H,)."""
    low_kw = np.minimum(series_kw.min(axis=0, initial=0.0), 0.0).astype(np.float64)
    high_kw = np.maximum(series_kw.max(axis=0, initial=0.0), 0.0).astype(np.float64)
    return total_by(home, low_kw, n_homes), total_by(home, high_kw, n_homes)


def _wider(bound_kw: FloatArray, sign: float) -> FloatArray:
    return bound_kw + sign * _MARGIN * (1.0 + np.abs(bound_kw))
