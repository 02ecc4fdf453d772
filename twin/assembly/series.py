"""Profiles named in a scenario, resolved to arrays over the steps of the run."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models import pv
from models.errors import ModelError
from models.feeder.base import Feeder, FeederProfiles
from twin.clock import end_of_steps_s, local_iso, time_units, whole_seconds
from twin.errors import InputError
from twin.profiles.resample import resample_mean
from twin.profiles.table import SeriesTable, read_table, window
from twin.scenario import LoadedScenario
from twin.scenario.devices import PvSpec

__all__ = ["Period", "SeriesBook", "SourceFileError"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The steps of a run."""

    start_utc_s: int
    dt_s: float
    n_steps: int

    @property
    def step_utc_s(self) -> NDArray[np.int64]:
        """Full second in which each step starts, shape (T,), since 1970-01-01 UTC."""
        return self.start_utc_s + whole_seconds(np.arange(self.n_steps, dtype=np.int64), self.dt_s)

    @property
    def end_utc_s(self) -> int:
        """End of the last step, seconds since 1970-01-01 UTC."""
        return self.start_utc_s + end_of_steps_s(self.n_steps, self.dt_s)


class SourceFileError(InputError):
    """A file of ``sources`` is faulty, whoever uses it; ``field`` is its place in the scenario."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


@dataclass
class SeriesBook:
    """Reads each source once and cuts it to the period.

    Every method raises ``InputError`` with a message that says what is missing and what would help; the caller
    knows the scenario field.
    """

    loaded: LoadedScenario
    feeder: Feeder
    period: Period
    _tables: dict[str, SeriesTable] = field(default_factory=dict)

    def column(self, reference: str) -> tuple[Array, str]:
        """Return the column ``SOURCE.COLUMN`` over the period, shape (T,), and its unit (kW, EUR/kWh or 1)."""
        source, _, column = reference.partition(".")
        specs = self.loaded.scenario.sources
        if source not in specs:
            known = ", ".join(specs) if specs else "none"
            raise InputError(f"no source {source!r} (sources of this scenario: {known})")
        if source not in self._tables:
            spec = specs[source]
            try:
                self._tables[source] = read_table(
                    self.loaded.base_dir / spec.file,
                    unit=spec.unit,
                    time_column=spec.time_column,
                    time_zone=spec.time_zone,
                )
            except InputError as error:
                raise SourceFileError(f"sources.{source}", str(error)) from error
        table = self._tables[source]
        values = window(
            table,
            column,
            start_utc_s=self.period.start_utc_s,
            dt_s=self.period.dt_s,
            n_steps=self.period.n_steps,
        )
        return values, table.unit

    def feeder_profiles(self) -> FeederProfiles:
        """Return the network's own profiles."""
        if self.feeder.profiles is None:
            raise InputError(
                f"the network {self.feeder.source} brings no profiles; use `profile: constant` or a column of a source"
            )
        return self.feeder.profiles

    def from_feeder(self, read: Callable[[int, int], Array]) -> Array:
        """Return ``read(first, count)`` of the network's profiles, cut and resampled to the period, shape (T, ...)."""
        profiles, period = self.feeder_profiles(), self.period
        end_utc_s = period.end_utc_s
        first = (period.start_utc_s - profiles.start_utc_s) // profiles.dt_s
        stop = -((profiles.start_utc_s - end_utc_s) // profiles.dt_s)
        if first < 0 or stop > profiles.n_steps:
            last_utc_s = profiles.start_utc_s + profiles.n_steps * profiles.dt_s
            raise InputError(
                f"the network's profiles cover {local_iso(profiles.start_utc_s)} to {local_iso(last_utc_s)}, the run "
                f"needs {local_iso(period.start_utc_s)} to {local_iso(end_utc_s)}; move `period.start` into that year"
            )
        values = read(int(first), int(stop - first))
        offset_s = period.start_utc_s - (profiles.start_utc_s + int(first) * profiles.dt_s)
        if profiles.dt_s == period.dt_s and offset_s == 0:
            return values
        return resample_mean(values, profiles.dt_s, period.dt_s, offset_s=offset_s, n_steps=period.n_steps)

    def load_share(self, name: str) -> Array:
        """Return the network's load shape ``name`` as a share of nominal power, shape (T,)."""
        _check_known("load", name, self.feeder_profiles().load_names)
        return self.from_feeder(lambda first, count: self.feeder_profiles().load_share(name, first, count))

    def pv_share(self, spec: PvSpec) -> Array:
        """Return what a PV generator could give as a share of its peak power, shape (T,), at least 0."""
        profile = spec.profile
        if profile == "constant":
            return np.ones(self.period.n_steps)
        if profile.startswith("feeder:"):
            name = profile.removeprefix("feeder:")
            _check_known("generation", name, self.feeder_profiles().generation_names)
            return self.from_feeder(
                lambda first, count: self.feeder_profiles().generation(name, first, count)
            )
        if profile == "clear_sky" or profile.startswith("weather:"):
            return self._modelled_share(spec)
        values, unit = self.column(profile)
        if unit == "kW":
            if spec.p_peak_kw is None:
                raise InputError(
                    f"{profile!r} is a power, so p_peak_kw is needed to know each generator's share"
                )
            values = values / spec.p_peak_kw
        elif unit != "1":
            raise InputError(f"a PV profile needs a power, an energy or a share, {profile!r} is in {unit}")
        if values.min(initial=0.0) < 0.0:
            raise InputError(
                f"{profile!r} has negative values; a PV profile is written generation positive, so check its sign"
            )
        return values

    def _modelled_share(self, spec: PvSpec) -> Array:
        place = spec.place
        if place is None:
            raise InputError("needs `place` with latitude_deg and longitude_deg")
        period = self.period
        length, second = time_units(period.dt_s)
        # the sun is followed by the second; shorter steps hold it
        starts = period.step_utc_s[::second]
        try:
            array = pv.PvArray(
                latitude_deg=place.latitude_deg,
                longitude_deg=place.longitude_deg,
                altitude_m=place.altitude_m,
                tilt_deg=spec.tilt_deg,
                azimuth_deg=spec.azimuth_deg,
                loss_share=spec.loss_share,
            )
            if spec.profile == "clear_sky":
                share = pv.clear_sky_share(array, times_utc_s=starts, dt_s=length)
            else:
                file = self.loaded.base_dir / spec.profile.removeprefix("weather:")
                share = pv.weather_share(file, array, times_utc_s=starts, dt_s=length)
        except ModelError as error:
            raise InputError(str(error)) from error
        return np.repeat(share, second)[: period.n_steps]


def _check_known(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise InputError(f"the network has no {what} profile {name!r}; it has {', '.join(known)}")
