"""The year of profiles that comes with a SimBench network (Meinecke et al. 2020, doi:10.3390/en13123290).

35 136 values of 15 min in 2016, relative to the nominal power of each device. The time labels of the data set jump with
daylight saving (27 March and 30 October), so they are clock time in Germany and the values are evenly spaced in real time:
the first is at 2016-01-01 00:00 CET (UTC+1). Measured on the published data: photovoltaic shapes peak between 11:15 and
11:45 CET, half an hour to an hour before solar noon in Germany; they are used as published.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from models.errors import FeederError
from models.feeder.base import FeederDevices, FloatArray, IntArray
from models.feeder.names import listing

__all__ = ["SimbenchProfiles", "read_profiles"]

_LABEL = "%d.%m.%Y %H:%M"
_CET = timedelta(hours=1)
_NOISE = 1e-3
_GENERATION_TABLES = ("renewables", "powerplants")


class SimbenchProfiles:
    """Relative time series by name; only the window asked for is ever scaled to devices."""

    def __init__(
        self,
        *,
        start_utc_s: int,
        dt_s: int,
        load: dict[str, tuple[FloatArray, FloatArray]],
        shapes: dict[str, FloatArray],
    ) -> None:
        """Keep the series.

        Args:
            start_utc_s: start of the first value.
            dt_s: length of a value.
            load: active and reactive series per load profile, shape (T,) each, relative to nominal.
            shapes: generation series per profile, shape (T,), relative to nominal.
        """
        self.start_utc_s = start_utc_s
        self.dt_s = dt_s
        self.n_steps = len(next(iter([*(pair[0] for pair in load.values()), *shapes.values()])))
        self.generation_names = tuple(sorted(shapes))
        self.load_names = tuple(sorted(load))
        self._load_row = {name: row for row, name in enumerate(load)}
        self._load_p = _stack((pair[0] for pair in load.values()), self.n_steps)
        self._load_q = _stack((pair[1] for pair in load.values()), self.n_steps)
        self._shape_row = {name: row for row, name in enumerate(shapes)}
        self._shapes = _stack(shapes.values(), self.n_steps)

    def generation(self, name: str, first: int, count: int) -> FloatArray:
        """Return a generation shape, shape (count,), as a share of rated power, at least 0; KeyError if unknown."""
        shape: FloatArray = self._shapes[self._shape_row[name], self._window(first, count)].copy()
        return shape

    def load_share(self, name: str, first: int, count: int) -> FloatArray:
        """Return a load shape, shape (count,), as a share of nominal active power; KeyError if unknown."""
        shape: FloatArray = self._load_p[self._load_row[name], self._window(first, count)].copy()
        return shape

    def load_p_kw(self, first: int, count: int, devices: FeederDevices) -> FloatArray:
        """Return active power of the network's loads, shape (count, n_loads) [kW]."""
        rows = _rows(devices.load_name, devices.load_profile, self._load_row)
        return self._scaled(self._load_p, rows, devices.load_p_kw, self._window(first, count))

    def load_q_kvar(self, first: int, count: int, devices: FeederDevices) -> FloatArray:
        """Return reactive power of the network's loads, shape (count, n_loads) [kvar]."""
        rows = _rows(devices.load_name, devices.load_profile, self._load_row)
        return self._scaled(self._load_q, rows, devices.load_q_kvar, self._window(first, count))

    def sgen_p_kw(self, first: int, count: int, devices: FeederDevices) -> FloatArray:
        """Return active power of the network's static generators, shape (count, n_sgens) [kW], negative."""
        rows = _rows(devices.sgen_name, devices.sgen_profile, self._shape_row)
        return self._scaled(self._shapes, rows, devices.sgen_p_kw, self._window(first, count))

    def _window(self, first: int, count: int) -> slice:
        if first < 0 or count < 0 or first + count > self.n_steps:
            raise FeederError(
                f"the network's profiles hold steps 0 to {self.n_steps - 1} of {self.dt_s} s; steps {first} to "
                f"{first + count - 1} are outside; choose a period inside the profile year"
            )
        return slice(first, first + count)

    @staticmethod
    def _scaled(series: FloatArray, rows: IntArray, nominal: FloatArray, window: slice) -> FloatArray:
        scaled: FloatArray = series[:, window].T[:, rows] * nominal
        return scaled


def read_profiles(net: Any, devices: FeederDevices, source: str) -> SimbenchProfiles | None:
    """Return the profiles attached to a network, or None if it has none.

    All shapes without a gap are kept, so that further loads and generators can use them.

    Raises:
        FeederError: a device names a profile that is missing, a value is not finite, or the time labels are no year of
            equal steps.
    """
    tables = net.get("profiles")
    if not isinstance(tables, dict) or "load" not in tables or len(tables["load"]) == 0:
        return None
    if "time" not in tables["load"]:
        raise FeederError(
            f"{source}: the network's load profiles have no column 'time'; write it as SimBench does"
        )
    start_utc_s, dt_s = _time_base(tables["load"]["time"].tolist(), source)
    shapes = {
        name: _shape(tables[table], name, source)
        for table in _GENERATION_TABLES
        if table in tables
        for name in tables[table].columns
        if name != "time"
    }
    used = sorted({name for name in devices.load_profile if name is not None})
    columns = [f"{name}_{part}load" for name in used for part in ("p", "q")]
    missing = [column for column in columns if column not in tables["load"]]
    missing += sorted({name for name in devices.sgen_profile if name is not None and name not in shapes})
    if missing:
        raise FeederError(f"{source}: the network's profiles lack {listing(missing)}, which its devices name")
    names = {*used, *_complete_load_profiles(tables["load"])}
    load = {
        name: (
            _series(tables["load"], f"{name}_pload", source),
            _series(tables["load"], f"{name}_qload", source),
        )
        for name in sorted(names)
    }
    return (
        SimbenchProfiles(start_utc_s=start_utc_s, dt_s=dt_s, load=load, shapes=shapes)
        if load or shapes
        else None
    )


def _complete_load_profiles(table: Any) -> set[str]:
    """Return the load profiles that have active and reactive power and no gap in either."""
    finite = {str(column) for column in table.columns if column != "time" and _is_finite(table[column])}
    active = {column.removesuffix("_pload") for column in finite if column.endswith("_pload")}
    return {name for name in active if f"{name}_qload" in finite}


def _is_finite(column: Any) -> bool:
    return column.dtype.kind in "fiu" and bool(np.isfinite(column.to_numpy(dtype=np.float64)).all())


def _time_base(labels: list[str], source: str) -> tuple[int, int]:
    try:
        first, second, last = (
            datetime.strptime(labels[row], _LABEL).replace(tzinfo=UTC) - _CET
            for row in (0, 1, len(labels) - 1)
        )
    except (ValueError, TypeError, IndexError) as error:
        raise FeederError(
            f"{source}: profile times are not written like 01.01.2016 00:15 ({error})"
        ) from error
    dt_s = int((second - first).total_seconds())
    # winter time at both ends: the labels in between may jump with daylight saving, the count may not
    if dt_s <= 0 or first + timedelta(seconds=dt_s * (len(labels) - 1)) != last:
        raise FeederError(
            f"{source}: {len(labels)} profile times from {labels[0]} to {labels[-1]} are not equal steps of {dt_s} s; "
            "a row is missing or doubled"
        )
    return int(first.timestamp()), dt_s


def _series(table: Any, column: str, source: str) -> FloatArray:
    values: FloatArray = np.asarray(table[column].to_numpy(), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise FeederError(
            f"{source}: profile '{column}' has {len(bad)} missing values, the first at row {bad[0]}; fill or drop it"
        )
    return values


def _shape(table: Any, column: str, source: str) -> FloatArray:
    values = _series(table, column, source)
    if values.min() < -_NOISE:
        raise FeederError(
            f"{source}: generation profile '{column}' falls to {values.min():.4g}; a share of rated power is at least 0"
        )
    # wind profiles of SimBench hold -1e-5 where there is none
    shape: FloatArray = np.maximum(values, 0.0)
    return shape


def _rows(names: tuple[str, ...], profiles: tuple[str | None, ...], known: dict[str, int]) -> IntArray:
    wrong = [
        f"{name} ({profile})" for name, profile in zip(names, profiles, strict=True) if profile not in known
    ]
    if wrong:
        raise FeederError(
            f"no profile of the network for {listing(wrong)}; give these devices a profile in the scenario"
        )
    return np.array([known[profile] for profile in profiles if profile is not None], dtype=np.int64)


def _stack(series: Iterable[FloatArray], n_steps: int) -> FloatArray:
    return np.array(list(series), dtype=np.float64).reshape(-1, n_steps)
