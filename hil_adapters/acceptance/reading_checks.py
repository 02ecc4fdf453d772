"""Checks that only read: who answers, how fast, and whether what it says can be true."""

import math
import statistics

from hil_adapters.acceptance.bench import Bench
from hil_adapters.acceptance.judging import agreement, implausible, slope_over_voltage
from hil_adapters.acceptance.results import CheckResult, Outcome, failed, not_applicable, passed
from hil_adapters.acceptance.snapshot import PointReading, snapshot
from hil_adapters.device.session import DeviceSession
from hil_adapters.device.statistics import Cause
from hil_adapters.errors import HilError, LinkError
from hil_adapters.maps.binding import unresolved
from hil_adapters.samples import Quality

__all__ = ["METER_CHECK", "ratings_kw", "reading_checks", "slope_check", "with_meter"]

METER_CHECK = "scale and sign against a meter"
_TRIES = 3
_NEEDED = ("p_kw", "soc", "p_rated_kw")
_MOST_FAILED = 0.01
_TIMEOUT_SHARE = 0.5
_MILLISECONDS = 1e3
_MOST_NAMED = 4
_TOLERANCE_SHARE = 0.02
_TOLERANCE_KW = 0.02
_LEAST_SHARE = 0.05
_RATINGS = ("p_rated_kw", "p_max_kw", "charge_kw", "discharge_kw", "p_charge_max_kw", "p_discharge_max_kw")


def ratings_kw(bench: Bench) -> float | None:
    """Return the largest power that the device names as a rating [kW]; None where it names none."""
    found = [abs(value) for name in _RATINGS if (value := bench.latest(name)) is not None and value != 0.0]
    return max(found, default=None)


async def reading_checks(bench: Bench) -> list[CheckResult]:
    """Return what the readings so far say; reads every point once more."""
    return [
        _identity(bench),
        _fit(bench),
        _latency(bench),
        _errors(bench),
        await _values(bench),
        _plausible(bench),
    ]


def _identity(bench: Bench) -> CheckResult:
    identity, name = bench.session.identity, "identity"
    if identity is None:
        return failed(name, "the device did not say who it is; identify it with another map")
    text = f"{identity}; fingerprint {identity.fingerprint}"
    if identity.serial is None and bench.loaded.commands:
        return failed(
            name,
            f"{text}; without a serial number it cannot be armed: name the point of it under identity in the map",
        )
    return passed(name, text, value=identity.serial)


def _fit(bench: Bench) -> CheckResult:
    """Judge whether the device has what the map promises."""
    name, found = "register map", bench.session.map
    if bench.loaded.discovery is None:
        lacking = unresolved(bench.loaded)
    else:
        lacking = (
            *(f"signal {each}" for each in bench.loaded.signals if each not in found.signals),
            *(f"command {each}" for each in bench.loaded.commands if each not in found.commands),
        )
    has = f"{len(found.points)} points, {len(found.signals)} signals, {len(found.commands)} commands"
    if "signal p_kw" in lacking or (bench.loaded.commands and not found.commands):
        return failed(name, f"{has}; the device lacks {', '.join(lacking)}; use another map")
    if lacking:
        return passed(name, f"{has}; the device does without {', '.join(lacking)}", value=found.name)
    return passed(name, has, value=found.name)


def _latency(bench: Bench) -> CheckResult:
    name, latency = "latency", bench.session.statistics.latency
    limit_s = _TIMEOUT_SHARE * bench.session.timeout_s
    text = (
        f"half of {latency.count} answers within {_MILLISECONDS * latency.p50_s:.1f} ms, 99 % within "
        f"{_MILLISECONDS * latency.p99_s:.1f} ms, the longest {_MILLISECONDS * latency.longest_s:.1f} ms"
    )
    value = round(_MILLISECONDS * latency.p99_s, 1) if latency.count else None
    if not latency.p99_s <= limit_s:
        text += f"; more than half of the time-out of {bench.session.timeout_s:g} s: raise link.timeout_s or the period"
        return failed(name, text, value=value, unit="ms")
    return passed(name, text, value=value, unit="ms")


def _errors(bench: Bench) -> CheckResult:
    name, counts = "errors", bench.session.statistics
    failures = {cause.value: count for cause, count in counts.causes.items() if cause is not Cause.GOOD}
    told = ", ".join(f"{cause} {count}" for cause, count in failures.items()) or "none"
    text = f"{counts.requests} requests; failed: {told}; repeated {counts.retries}; periods skipped {counts.skipped}"
    share = counts.failed_share
    value = None if math.isnan(share) else round(100.0 * share, 3)
    if not share <= _MOST_FAILED:
        return failed(
            name,
            f"{text}; more than 1 % failed: check the line, the time-out and other clients",
            value=value,
            unit="%",
        )
    return passed(name, text, value=value, unit="%")


async def _values(bench: Bench) -> CheckResult:
    """Judge every point of the map: refused, not implemented, impossible; only what is needed fails the check."""
    name = "values"
    try:
        readings = await _everything(bench)
    except LinkError as error:
        return failed(name, f"the points could not be read in {_TRIES} attempts: {error}")
    refused = [reading.point.name for reading in readings if not reading.registers]
    empty = [reading for reading in readings if reading.registers and reading.value is None]
    odd = [
        f"{reading.point.name}: {reading.reason}"
        for reading in empty
        if not reading.reason.startswith("not implemented") and reading.reason != "empty"
    ]
    text = f"{len(readings)} points read: {len(empty)} without a value, {len(refused)} refused"
    notes = [f"refused: {_listed(refused)}; leave them out of the map"] if refused else []
    notes += [_listed(odd)] if odd else []
    without = {reading.point.name for reading in readings if reading.value is None}
    silent = [signal for signal, points in _points_by_signal(bench).items() if points & without]
    if silent:
        notes.append(f"signals without a value: {', '.join(silent)}")
    told, value = "; ".join((text, *notes)), float(len(readings) - len(without))
    lacking = sorted(_needed_points(bench) & without)
    if lacking:
        return failed(name, f"{told}; {_listed(lacking)} must have one: correct the map", value=value)
    return passed(name, told, value=value)


def _points_by_signal(bench: Bench) -> dict[str, set[str]]:
    return {
        signal: {str(point) for point in (binding.point, binding.percent_of) if point is not None}
        for signal, binding in bench.session.map.signals.items()
    }


def _needed_points(bench: Bench) -> set[str]:
    """Return the points without which a device cannot take part: power, state of charge, and what percentages refer to."""
    signals = _points_by_signal(bench)
    needed = set().union(*(signals.get(name, set()) for name in _NEEDED))
    return needed | {
        str(write.percent_of)
        for command in bench.session.map.commands.values()
        for write in command.writes
        if write.percent_of is not None
    }


async def _everything(bench: Bench) -> tuple[PointReading, ...]:
    """Read every point; where the device fails for a moment, again."""
    for _ in range(_TRIES - 1):
        try:
            return await snapshot(bench.session)
        except LinkError:
            await bench.wait(1.0)
    return await snapshot(bench.session)


def _plausible(bench: Bench) -> CheckResult:
    name, rated_kw = "plausibility", ratings_kw(bench)
    found: dict[str, str] = {}
    for _, signals in bench.history:
        for signal, sample in signals.items():
            why = implausible(signal, sample.value, rated_kw=rated_kw)
            if why is not None:
                found.setdefault(signal, why)
    uncertain = {
        signal
        for _, signals in bench.history
        for signal, sample in signals.items()
        if sample.quality is Quality.UNCERTAIN
    }
    note = f"; at times uncertain: {', '.join(sorted(uncertain))}" if uncertain else ""
    if found:
        return failed(
            name, f"{_listed(list(found.values()))}; check scale, type and word order in the map{note}"
        )
    return passed(name, f"{len(bench.history)} readings of every signal can be true{note}")


def _listed(texts: list[str]) -> str:
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


async def with_meter(
    bench: Bench, meter: DeviceSession | None, trouble: HilError | None
) -> list[CheckResult]:
    """Compare power and voltage with a second device at the same terminal.

    Args:
        bench: the device.
        meter: session with the meter; None: there is none.
        trouble: why the meter could not be read.
    """
    if trouble is not None:
        return [failed(METER_CHECK, f"the meter cannot be read: {trouble}")]
    if meter is None:
        return [not_applicable(METER_CHECK, "no meter was named; give one with --meter MAP@HOST")]
    ours: dict[str, list[tuple[float, float]]] = {"p_kw": [], "vm_v": []}
    theirs: dict[str, list[tuple[float, float]]] = {"p_kw": [], "vm_v": []}
    for _ in range(_METER_READINGS):
        await meter.poll("fast")
        await meter.poll("slow")
        await bench.wait(bench.options.poll_s)
        for name, readings in ours.items():
            sample = meter.signals().get(name)
            value = bench.session.signals().get(name)
            if sample is not None and sample.quality is Quality.GOOD:
                theirs[name].append((sample.received_s, sample.value))
            if value is not None and value.quality <= Quality.UNCERTAIN:
                readings.append((value.received_s, value.value))
    apart_s = 2.0 * bench.options.poll_s + bench.session.timeout_s
    return [
        _power(bench, ours["p_kw"], theirs["p_kw"], apart_s),
        _voltage(ours["vm_v"], theirs["vm_v"], apart_s),
    ]


_METER_READINGS = 10


def _power(
    bench: Bench, ours: list[tuple[float, float]], theirs: list[tuple[float, float]], apart_s: float
) -> CheckResult:
    if not ours or not theirs:
        return failed(METER_CHECK, "one of the two gives no active power; use a map with p_kw")
    rated_kw = ratings_kw(bench)
    level_kw = abs(statistics.median(value for _, value in theirs))
    scale_kw = level_kw if rated_kw is None else rated_kw
    tolerance_kw = _TOLERANCE_KW + _TOLERANCE_SHARE * (scale_kw + level_kw)
    if rated_kw is not None and level_kw < _LEAST_SHARE * rated_kw:
        return not_applicable(
            METER_CHECK, f"{level_kw:.3f} kW is too little to tell scale and sign; repeat it with more power"
        )
    found = agreement(ours, theirs, tolerance=tolerance_kw, apart_s=apart_s)
    text = f"device {found.device:.3f} kW, meter {found.meter:.3f} kW, {found.pairs} pairs, tolerance {tolerance_kw:.3f} kW"
    difference_kw = round(found.device - found.meter, 4)
    if found.agrees:
        return passed(METER_CHECK, text, value=difference_kw, unit="kW")
    why = found.suspicion or "they measure different places, or the scale is wrong"
    return failed(METER_CHECK, f"{text}: {why}; correct the map", value=difference_kw, unit="kW")


def _voltage(
    ours: list[tuple[float, float]], theirs: list[tuple[float, float]], apart_s: float
) -> CheckResult:
    name = "voltage against a meter"
    if not ours or not theirs:
        return not_applicable(name, "one of the two gives no voltage")
    level_v = abs(statistics.median(value for _, value in theirs))
    found = agreement(ours, theirs, tolerance=_TOLERANCE_SHARE * level_v + 1.0, apart_s=apart_s)
    text = f"device {found.device:.1f} V, meter {found.meter:.1f} V"
    difference_v = round(found.device - found.meter, 2)
    if found.agrees:
        return passed(name, text, value=difference_v, unit="V")
    return failed(
        name,
        f"{text}: {found.suspicion or 'another phase, or line to line'}; correct the map",
        value=difference_v,
        unit="V",
    )


def slope_check(bench: Bench) -> tuple[CheckResult, float | None]:
    """Return what the readings say about power over voltage, and the slope [kW/V] where it was seen."""
    name = "slope of power over voltage"
    pairs = [
        (signals["vm_v"].value, signals["p_kw"].value)
        for at_s, signals in bench.history
        if "vm_v" in signals and "p_kw" in signals and not _commanded_at(bench, at_s)
    ]
    found = slope_over_voltage(pairs)
    if found.slope_kw_v is None:
        return not_applicable(name, f"{found.text}; where it matters, give slope_kw_v in the scenario"), None
    value = round(found.slope_kw_v, 6)
    return (
        CheckResult(
            name=name, outcome=Outcome.PASSED, text=found.text, value=value, unit="kW/V", needed=False
        ),
        value,
    )


def _commanded_at(bench: Bench, at_s: float) -> bool:
    """Return whether the device was commanded then; its power says nothing about the voltage while it was."""
    return any(asked_s <= at_s for asked_s, _, _ in bench.asked)
