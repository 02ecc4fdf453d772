"""Whether what a strategy returned is a proposal at all."""

import numpy as np
from numpy.typing import NDArray

from twin.control.base import FloatArray, IntArray, Proposal, Site
from twin.errors import ControllerError

__all__ = ["checked"]

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
    if proposal.pv_limit_kw is None:
        return Proposal(battery_kw=battery_kw)
    pv_limit_kw = _as_floats("pv_limit_kw", proposal.pv_limit_kw, shape=(len(site.pv_home),))
    bad = np.isnan(pv_limit_kw) | (pv_limit_kw < 0.0)
    _refuse("pv_limit_kw", pv_limit_kw, bad, device="PV generator", home=site.pv_home, site=site)
    return Proposal(battery_kw=battery_kw, pv_limit_kw=pv_limit_kw)


def _as_floats(name: str, values: FloatArray, *, shape: tuple[int]) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise ControllerError(
            f"{name}: not an array of numbers ({exc}); return a float array of shape {shape}"
        ) from exc
    if array.shape != shape:
        raise ControllerError(
            f"{name}: shape {array.shape}, expected {shape}: one value for each device in the order of the site; "
            "start from np.zeros of that shape and fill it"
        )
    return array


def _refuse(
    name: str, values: FloatArray, bad: BoolArray, *, device: str, home: IntArray, site: Site
) -> None:
    if not bad.any():
        return
    worst = int(np.flatnonzero(bad)[0])
    rule = "at least 0, or inf for no limit" if name == "pv_limit_kw" else "finite"
    raise ControllerError(
        f"{name}[{worst}] = {values[worst]:g} for {device} {worst} at home {site.home_name[home[worst]]!r} "
        f"({int(bad.sum())} of {len(bad)} are wrong): values must be {rule}; look for a division by zero or a "
        "missing measurement (vm_pu and grid_kw are NaN in the first step)"
    )
