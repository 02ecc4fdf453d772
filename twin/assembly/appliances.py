"""Water heaters, EV chargers and FMUs of the user: loads with a state of their own, and what drives them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.devices.ev_charger import DEPARTURE_UNKNOWN_H
from models.errors import ModelError
from twin.assembly.homes import Homes
from twin.assembly.loads import LoadRows
from twin.assembly.placing import places
from twin.assembly.schedules import Habits, Trips, draw_l_min, generators, trips
from twin.assembly.series import Period, SeriesBook
from twin.errors import InputError
from twin.scenario.appliances import GENERATED, EvSpec, FmuDeviceSpec, WaterHeaterSpec
from twin.scenario.device_base import BlockBase
from twin.units import SECONDS_PER_HOUR, energy_kwh

__all__ = ["add_appliances", "assumptions", "departure_h", "driven_series", "temp_air_degc"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

_KM_DAY = 35.0
_KWH_KM = 0.18
"""Use of a car where the scenario says nothing (assumptions)."""
_PLUGGED_ABOVE = 0.5


def add_appliances(
    spec: WaterHeaterSpec | EvSpec | FmuDeviceSpec,
    *,
    book: SeriesBook,
    homes: Homes,
    rows: LoadRows,
    order: IntArray,
) -> None:
    """Add the appliances of one entry to the loads, silent: their blocks drive them; InputError as for other devices."""
    names, home = places(spec, homes, order, fresh_home=False)
    silent = np.zeros((book.period.n_steps, len(names)))
    rows.names += names
    rows.home += home
    rows.p_kw.append(silent)
    rows.q_kvar.append(silent)


def temp_air_degc(spec: BlockBase, book: SeriesBook) -> Array | None:
    """Return the temperature of the air [degC] that an entry states, shape (T,) or (1,); None where it states none."""
    if isinstance(spec.temp_air_degc, str):
        return book.column(spec.temp_air_degc)[0]
    if spec.temp_air_degc is not None:
        return np.array([spec.temp_air_degc])
    if spec.air_file is None:
        return None
    from models.weather import read_weather  # noqa: PLC0415 - brings pandas, which only weather files need

    middle_utc_s: Array = book.period.step_utc_s.astype(np.float64) + book.period.dt_s / 2
    try:
        air: Array = read_weather(book.loaded.base_dir / spec.air_file).at(middle_utc_s)[3]
    except ModelError as error:
        raise InputError(str(error)) from error
    return air


def driven_series(
    specs: Sequence[BlockBase], names: Sequence[str], book: SeriesBook
) -> Mapping[str, Callable[[], Array]]:
    """Return what can drive the devices of an entry beside live signals, by signal: a function that makes the series.

    Shape (T, N), (T, 1) or (1, N) each.
    """
    heaters = [spec for spec in specs if isinstance(spec, WaterHeaterSpec)]
    cars = [spec for spec in specs if isinstance(spec, EvSpec)]
    if heaters:
        return {
            "draw_l_min": lambda: _drawn(heaters, names, book),
            "temp_room_degc": lambda: _row(heaters, "temp_room_degc"),
        }
    if not cars:
        return {}
    made: list[Trips] = []

    def driven() -> Trips:
        if not made:
            made.append(_driven(cars, names, book))
        return made[0]

    return {
        "plugged": lambda: driven().plugged,
        "used_kwh": lambda: driven().used_kwh,
        "departure_h": lambda: departure_h(driven().plugged, book.period.dt_s),
        "soc_need": lambda: _row(cars, "soc_need"),
    }


def assumptions(specs: Sequence[BlockBase]) -> list[str]:
    """Return, for the report, what was assumed about the use of the devices of an entry."""
    said: list[str] = []
    heaters = [spec for spec in specs if isinstance(spec, WaterHeaterSpec) and spec.draw == GENERATED]
    if heaters:
        litres = np.mean([spec.litres_day for spec in heaters])
        said.append(
            f"Water drawn from {len(heaters)} water heaters is drawn at random, {litres:g} l a day on average (assumption)."
        )
    cars = [spec for spec in specs if isinstance(spec, EvSpec) and spec.trips == GENERATED]
    if cars:
        mean_kwh = np.mean([_driven_kwh_day(spec) for spec in cars])
        said.append(
            f"Trips of {len(cars)} cars are drawn at random: one on {cars[0].drive_days_share:.0%} of the days, {mean_kwh:.3g} kWh "
            "each on average (assumption); the time of departure is known to the charger."
        )
    return said


def departure_h(plugged: Array, dt_s: float) -> Array:
    """Return the hours from the start of each step to the next departure, shape (T, N); ``DEPARTURE_UNKNOWN_H`` after the last."""
    n_steps = len(plugged)
    leaves = np.zeros(plugged.shape, dtype=np.bool_)
    leaves[1:] = (plugged[:-1] > _PLUGGED_ABOVE) & (plugged[1:] <= _PLUGGED_ABOVE)
    step = np.arange(n_steps, dtype=np.float64)[:, None]
    at = np.where(leaves, step, np.inf)
    following = np.minimum.accumulate(at[::-1], axis=0)[::-1]
    later = np.vstack([following[1:], np.full((1, plugged.shape[1]), np.inf)])
    hours = (later - step) * (dt_s / SECONDS_PER_HOUR)
    return np.where(np.isfinite(hours), hours, DEPARTURE_UNKNOWN_H)


def _row(specs: Sequence[WaterHeaterSpec | EvSpec], field: str) -> Array:
    return np.array([[getattr(spec, field) for spec in specs]], dtype=np.float64)


def _drawn(specs: Sequence[WaterHeaterSpec], names: Sequence[str], book: SeriesBook) -> Array:
    drawn = np.zeros((book.period.n_steps, len(specs)))
    made = [device for device, spec in enumerate(specs) if spec.draw == GENERATED]
    if made:
        randoms = generators(book.loaded.scenario.seed, "water_heater", [names[device] for device in made])
        litres_day = np.array([specs[device].litres_day for device in made])
        drawn[:, made] = draw_l_min(book.period, randoms, litres_day=litres_day)
    for device, spec in enumerate(specs):
        if spec.draw != GENERATED:
            drawn[:, device] = _not_negative(spec.draw, book)
    return drawn


def _driven(specs: Sequence[EvSpec], names: Sequence[str], book: SeriesBook) -> Trips:
    period = book.period
    plugged, used_kwh = np.ones((period.n_steps, len(specs))), np.zeros((period.n_steps, len(specs)))
    made = [device for device, spec in enumerate(specs) if spec.trips == GENERATED]
    if made:
        randoms = generators(book.loaded.scenario.seed, "ev", [names[device] for device in made])
        found = trips(period, randoms, habits=_habits([specs[device] for device in made]))
        plugged[:, made], used_kwh[:, made] = found.plugged, found.used_kwh
    for device, spec in enumerate(specs):
        if spec.trips != GENERATED:
            plugged[:, device], used_kwh[:, device] = _from_columns(spec, book, period)
    return Trips(plugged=plugged, used_kwh=used_kwh)


def _from_columns(spec: EvSpec, book: SeriesBook, period: Period) -> tuple[Array, Array]:
    used_kwh = energy_kwh(_not_negative(spec.trips, book), period.dt_s)
    if not spec.plugged:
        return np.where(used_kwh > 0.0, 0.0, 1.0), used_kwh
    plugged = np.where(book.column(spec.plugged)[0] > _PLUGGED_ABOVE, 1.0, 0.0)
    both = (plugged > 0.0) & (used_kwh > 0.0)
    if np.any(both):
        hours = float(np.flatnonzero(both)[0]) * period.dt_s / SECONDS_PER_HOUR
        raise InputError(
            f"{spec.trips!r} drives {hours:g} h after the start of the run while {spec.plugged!r} says plugged in; "
            "correct one of the columns"
        )
    return plugged, used_kwh


def _not_negative(reference: str, book: SeriesBook) -> Array:
    values, _ = book.column(reference)
    if values.min(initial=0.0) < 0.0:
        raise InputError(f"{reference!r} has negative values; check its sign")
    return values


def _habits(specs: Sequence[EvSpec]) -> Habits:
    def column(read: Callable[[EvSpec], float]) -> Array:
        return np.array([read(spec) for spec in specs], dtype=np.float64)

    return Habits(
        departure_h=column(lambda spec: spec.departure),
        arrival_h=column(lambda spec: spec.arrival),
        spread_h=column(lambda spec: spec.spread_h),
        drive_days_share=column(lambda spec: spec.drive_days_share),
        driven_kwh_day=column(_driven_kwh_day),
    )


def _driven_kwh_day(spec: EvSpec) -> float:
    if spec.driven_kwh_day is not None:
        return spec.driven_kwh_day
    km_day = _KM_DAY if spec.km_day is None else spec.km_day
    return km_day * (_KWH_KM if spec.use_kwh_km is None else spec.use_kwh_km)
