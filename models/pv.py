"""PV power from sun and weather, as a share of peak power.

Models, all from pvlib (Anderson et al. 2023, doi:10.21105/joss.05994): clear sky of Ineichen and Perez (2002,
doi:10.1016/S0038-092X(02)00045-2) with the Linke turbidity of the month; transposition of Perez et al. (1990,
doi:10.1016/0038-092X(90)90055-H) with albedo 0.25; reflection at the glass (physical model, De Soto et al. 2006,
doi:10.1016/j.solener.2005.06.010); cell temperature of Faiman (2008, doi:10.1002/pip.813); DC power of PVWatts
version 5 (Dobos 2014, doi:10.2172/1158421). ``loss_share`` holds everything else: wiring, soiling, mismatch,
inverter (PVGIS proposes 0.14).

The mean over a step is taken from samples at the middles of equal parts of at most five minutes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.errors import DeviceError

if TYPE_CHECKING:
    import pandas as pd

    from models.weather import WeatherYear

__all__ = ["PvArray", "clear_sky_share", "weather_share"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SAMPLE_S = 300
_CHUNK_SAMPLES = 100_000
_CLEAR_SKY_TEMP_DEGC = 20.0
_WIND_M_S = 1.0
_ALBEDO = 0.25
_HORIZON_DEG = 90.0
_GAMMA_PER_K = -0.004
"""Change of DC power with cell temperature: crystalline silicon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PvArray:
    """Where a PV array stands, which way it faces, and what it loses.

    Raises:
        DeviceError: a place or direction that does not exist.
    """

    latitude_deg: float
    """North positive."""
    longitude_deg: float
    """East positive."""
    altitude_m: float
    """Height above sea level."""
    tilt_deg: float
    """0 lies flat, 90 stands."""
    azimuth_deg: float
    """Clockwise from north: 90 east, 180 south, 270 west."""
    loss_share: float
    """Share of DC power lost on the way to the terminal, 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse places and directions that do not exist."""
        for name, (lowest, highest) in _RANGES.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise DeviceError(f"PV array: {name} must be from {lowest:g} to {highest:g} (got {value:g})")


_RANGES = {
    "latitude_deg": (-90.0, 90.0),
    "longitude_deg": (-180.0, 180.0),
    "altitude_m": (-500.0, 9000.0),
    "tilt_deg": (0.0, 90.0),
    "azimuth_deg": (0.0, 360.0),
    "loss_share": (0.0, 1.0),
}


def clear_sky_share(array: PvArray, *, times_utc_s: IntArray, dt_s: int) -> FloatArray:
    """Return the mean power of each step under a clear sky, shape (T,), as a share of peak power, at least 0.

    The air has 20 degree C and moves at 1 m/s.

    Args:
        array: the generator.
        times_utc_s: starts of the steps, shape (T,), seconds since 1970-01-01 UTC.
        dt_s: length of each step [s].

    Raises:
        DeviceError: a step that is not above 0 s.
    """
    return _mean_share(array, times_utc_s, dt_s, weather=None)


def weather_share(path: Path, array: PvArray, *, times_utc_s: IntArray, dt_s: int) -> FloatArray:
    """Return the mean power of each step in the weather of a file, shape (T,), as a share of peak power, at least 0.

    The file's rows are taken by month, day and hour, whatever their year, so a typical year serves any run;
    29 February takes 28 February where the file has none. Irradiance is held over the file's interval while the sun
    moves. The place is that of ``array``, not that of the file.

    Args:
        path: EPW, TMY3, a typical year of PVGIS (CSV or JSON), or CSV (see :func:`models.weather.read_weather`).
        array: the generator.
        times_utc_s: starts of the steps, shape (T,), seconds since 1970-01-01 UTC.
        dt_s: length of each step [s].

    Raises:
        DeviceError: a step that is not above 0 s; the file missing or unreadable, a value missing or impossible, a
            gap, or a period not covered.
    """
    from models.weather import read_weather  # noqa: PLC0415  # brings pandas, which only weather files need

    return _mean_share(array, times_utc_s, dt_s, weather=read_weather(path))


def _mean_share(
    array: PvArray, times_utc_s: IntArray, dt_s: int, *, weather: "WeatherYear | None"
) -> FloatArray:
    if dt_s <= 0:
        raise DeviceError(f"PV array: the step must be above 0 s (got {dt_s})")
    parts = -(-dt_s // _SAMPLE_S)
    middles_s = (np.arange(parts) + 0.5) * (dt_s / parts)
    steps = max(1, _CHUNK_SAMPLES // parts)
    shares = [
        _share_at(array, (chunk_s[:, None] + middles_s).ravel(), weather)
        .reshape(len(chunk_s), parts)
        .mean(axis=1)
        for chunk_s in (times_utc_s[first : first + steps] for first in range(0, len(times_utc_s), steps))
    ]
    return np.concatenate(shares) if shares else np.zeros(0)


def _share_at(array: PvArray, at_utc_s: FloatArray, weather: "WeatherYear | None") -> FloatArray:
    """Return the power at each instant, shape (S,), as a share of peak power."""
    import pandas as pd  # noqa: PLC0415  # pvlib's time type
    import pvlib  # noqa: PLC0415  # takes a second to import, and only PV from the sun needs it

    index = pd.DatetimeIndex(np.round(at_utc_s).astype("datetime64[s]")).tz_localize("UTC")
    place = pvlib.location.Location(array.latitude_deg, array.longitude_deg, altitude=array.altitude_m)
    sun = place.get_solarposition(index)
    if weather is None:
        sky = place.get_clearsky(index, model="ineichen", solar_position=sun)
        ghi, dni, dhi = (sky[name].to_numpy() for name in ("ghi", "dni", "dhi"))
        temp_degc, wind_m_s = np.full(len(index), _CLEAR_SKY_TEMP_DEGC), np.full(len(index), _WIND_M_S)
    else:
        ghi, dni, dhi, temp_degc, wind_m_s = weather.at(at_utc_s)
    zenith_deg, azimuth_deg = sun["apparent_zenith"].to_numpy(), sun["azimuth"].to_numpy()
    return _share_of_peak(array, index, (zenith_deg, azimuth_deg), (ghi, dni, dhi), (temp_degc, wind_m_s))


def _share_of_peak(
    array: PvArray,
    index: "pd.DatetimeIndex",
    sun: tuple[FloatArray, FloatArray],
    irradiance: tuple[FloatArray, FloatArray, FloatArray],
    air: tuple[FloatArray, FloatArray],
) -> FloatArray:
    import pvlib  # noqa: PLC0415  # see above

    zenith_deg, azimuth_deg = sun
    ghi, dni, dhi = irradiance
    facing = {"surface_tilt": array.tilt_deg, "surface_azimuth": array.azimuth_deg}
    sky_w_m2 = pvlib.irradiance.perez(
        **facing,
        dhi=dhi,
        dni=dni,
        dni_extra=pvlib.irradiance.get_extra_radiation(index).to_numpy(),
        solar_zenith=zenith_deg,
        solar_azimuth=azimuth_deg,
        airmass=pvlib.atmosphere.get_relative_airmass(zenith_deg),
    )
    # The clearness of Perez divides by diffuse irradiance; without any there is none from the sky.
    sky_w_m2 = np.where(dhi > 0.0, sky_w_m2, 0.0)
    ground_w_m2 = pvlib.irradiance.get_ground_diffuse(array.tilt_deg, ghi, albedo=_ALBEDO)
    aoi_deg = pvlib.irradiance.aoi(**facing, solar_zenith=zenith_deg, solar_azimuth=azimuth_deg)
    beam_w_m2 = dni * np.maximum(np.cos(np.radians(aoi_deg)), 0.0) * pvlib.iam.physical(aoi_deg)
    # With the sun below the horizon no power, whatever the transposition extrapolates.
    absorbed_w_m2 = np.where(zenith_deg < _HORIZON_DEG, beam_w_m2 + sky_w_m2 + ground_w_m2, 0.0)
    cell_degc = pvlib.temperature.faiman(absorbed_w_m2, *air)
    share = pvlib.pvsystem.pvwatts_dc(absorbed_w_m2, cell_degc, 1.0, _GAMMA_PER_K) * (1.0 - array.loss_share)
    if not np.all(np.isfinite(share)):
        worst = int(np.flatnonzero(~np.isfinite(share))[0])
        raise DeviceError(f"PV array: no finite power at {index[worst].isoformat()}; check place and weather")
    at_least_0: FloatArray = np.maximum(share, 0.0)
    return at_least_0
