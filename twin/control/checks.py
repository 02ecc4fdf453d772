"""Whether what a strategy returned is a proposal at all, and what a guide returned is guidance."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from twin.control.base import FloatArray, IntArray, Proposal, Site
from twin.control.management.guidance import Guidance, Priority
from twin.errors import ControllerError

__all__ = ["checked", "checked_guidance"]

BoolArray = NDArray[np.bool_]


def checked(proposal: Proposal, site: Site) -> Proposal:
    """Return ``proposal`` with float64 arrays of the shapes that ``site`` asks for.

    Whether a device can follow is not looked at: devices and limits have the last word.

    Raises:
        ControllerError: not a ``Proposal``, a wrong shape, a value that is not a number, or a negative PV limit.
    """
    if not isinstance(proposal, Proposal):
        raise ControllerError(
            f"decide() returned {type(proposal).__name__}, not a Proposal; return "
            "Proposal(battery_kw=...) from twin.control in every step"
        )
    battery_kw = _as_floats("battery_kw", proposal.battery_kw, shape=(len(site.battery_home),))
    _refuse(
        "battery_kw",
        battery_kw,
        ~np.isfinite(battery_kw),
        device="battery",
        home=site.battery_home,
        site=site,
    )
    return Proposal(
        battery_kw=battery_kw,
        pv_limit_kw=_checked_limit_kw(proposal.pv_limit_kw, site),
        appliance_kw=_checked_appliance_kw(proposal.appliance_kw, site),
    )


def _checked_limit_kw(pv_limit_kw: FloatArray | None, site: Site) -> FloatArray | None:
    if pv_limit_kw is None:
        return None
    limit_kw = _as_floats("pv_limit_kw", pv_limit_kw, shape=(len(site.pv_home),))
    bad = np.isnan(limit_kw) | (limit_kw < 0.0)
    _refuse("pv_limit_kw", limit_kw, bad, device="PV generator", home=site.pv_home, site=site)
    return limit_kw


def _checked_appliance_kw(appliance_kw: FloatArray | None, site: Site) -> FloatArray | None:
    if appliance_kw is None:
        return None
    set_kw = _as_floats("appliance_kw", appliance_kw, shape=(len(site.appliance_home),))
    bad = np.isnan(set_kw) | np.isneginf(set_kw)
    _refuse("appliance_kw", set_kw, bad, device="appliance", home=site.appliance_home, site=site)
    return set_kw


def checked_guidance(guidance: Guidance, site: Site, *, source: str) -> Guidance:
    """Return ``guidance`` with arrays of the shapes that ``site`` asks for; ``source`` names the guide in messages.

    Raises:
        ControllerError: not a ``Guidance``, a wrong shape, a value that is not allowed, or bounds that leave nothing.
    """
    if not isinstance(guidance, Guidance):
        raise ControllerError(
            f"{source}.guide() returned {type(guidance).__name__}, not a Guidance; start from "
            "dataclasses.replace(no_guidance(site), ...) of twin.control.management.guidance"
        )
    found = {
        name: _guidance_field(name, getattr(guidance, name), site, source=source)
        for name in _GUIDANCE
        if getattr(guidance, name) is not None or name not in _OPTIONAL
    }
    empty = found["grid_min_kw"] > found["grid_max_kw"]
    if empty.any():
        at = int(np.flatnonzero(empty)[0])
        raise ControllerError(
            f"{source}: home {site.home_name[at]!r}: grid_min_kw {found['grid_min_kw'][at]:g} lies above grid_max_kw "
            f"{found['grid_max_kw'][at]:g}; leave room between the bounds"
        )
    return Guidance(
        battery_kw=found["battery_kw"],
        grid_min_kw=found["grid_min_kw"],
        grid_max_kw=found["grid_max_kw"],
        import_bonus_eur_kwh=found["import_bonus_eur_kwh"],
        export_bonus_eur_kwh=found["export_bonus_eur_kwh"],
        priority=found["priority"].astype(np.int64),
        expires_step=found["expires_step"].astype(np.int64),
        planned_net_kw=found.get("planned_net_kw"),
        hold_soc=found.get("hold_soc"),
        for_others_kw=found.get("for_others_kw"),
    )


_GUIDANCE: Mapping[str, tuple[Callable[[FloatArray], BoolArray], str]] = MappingProxyType(
    {
        "battery_kw": (lambda values: ~np.isinf(values), "finite, or NaN for no proposal"),
        "grid_min_kw": (lambda values: values < np.inf, "a number, or -inf for no bound"),
        "grid_max_kw": (lambda values: values > -np.inf, "a number, or inf for no bound"),
        "import_bonus_eur_kwh": (np.isfinite, "finite, 0 for none"),
        "export_bonus_eur_kwh": (np.isfinite, "finite, 0 for none"),
        "priority": (lambda values: np.isin(values, list(Priority)), "a Priority"),
        "expires_step": (np.isfinite, "the number of a step"),
        "planned_net_kw": (lambda values: ~np.isinf(values), "finite, or NaN for none"),
        "hold_soc": (lambda values: (values >= 0.0) & (values <= 1.0), "from 0 to 1, 0 for none"),
        "for_others_kw": (np.isfinite, "finite, 0 for none"),
    }
)
"""What may be in each field of guidance, and the same in words."""
_OF_BATTERIES = frozenset({"battery_kw", "hold_soc"})
_OPTIONAL = frozenset({"planned_net_kw", "hold_soc", "for_others_kw"})


def _guidance_field(name: str, values: FloatArray, site: Site, *, source: str) -> FloatArray:
    of_batteries = name in _OF_BATTERIES
    size = len(site.battery_home) if of_batteries else site.n_homes
    array = _as_floats(f"{source}: {name}", values, shape=(size,))
    allows, rule = _GUIDANCE[name]
    allowed = allows(array)
    if not allowed.all():
        at = int(np.flatnonzero(~allowed)[0])
        home = site.battery_home[at] if of_batteries else at
        raise ControllerError(
            f"{source}: {name}[{at}] = {array[at]:g} for home {site.home_name[home]!r}: must be {rule}; look for a "
            "missing reading (those of homes that are not heard of are NaN)"
        )
    return array


_RULES = {
    "battery_kw": "finite",
    "pv_limit_kw": "at least 0, or inf for no limit",
    "appliance_kw": "finite, or inf for as much as the appliance wants",
}


def _as_floats(name: str, values: FloatArray, *, shape: tuple[int]) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise ControllerError(
            f"{name}: not an array of numbers ({exc}); return a float array of shape {shape}"
        ) from exc
    if array.shape != shape:
        raise ControllerError(
            f"{name}: shape {array.shape}, expected {shape}: one value for each, in the order of the site; "
            "start from np.zeros of that shape and fill it"
        )
    return array


def _refuse(
    name: str, values: FloatArray, bad: BoolArray, *, device: str, home: IntArray, site: Site
) -> None:
    if not bad.any():
        return
    worst = int(np.flatnonzero(bad)[0])
    rule = _RULES[name]
    raise ControllerError(
        f"{name}[{worst}] = {values[worst]:g} for {device} {worst} at home {site.home_name[home[worst]]!r} "
        f"({int(bad.sum())} of {len(bad)} are wrong): values must be {rule}; look for a division by zero or a "
        "missing measurement (vm_pu and grid_kw are NaN in the first step)"
    )
