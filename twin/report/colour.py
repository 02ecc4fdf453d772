"""Colours and dash patterns that survive colour blindness and a black-and-white printer."""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BATTERY",
    "DASHES",
    "DISCHARGE",
    "HIGH",
    "INK",
    "LEAST_SPAN_PU",
    "LOAD",
    "LOADING_BORDERS",
    "LOW",
    "OTHER",
    "PV",
    "STRATEGY",
    "VOLTAGE_PALETTE",
    "loading_class",
    "palette_rgb",
    "strategy_style",
    "voltage_index",
    "voltage_scale",
]

INK = "#1b1f24"
LOW = "#2166ac"
HIGH = "#b2182b"
PV = "#e69f00"
BATTERY = "#0072b2"
DISCHARGE = "#56b4e9"
LOAD = "#c9ced4"
OTHER = "#a8467f"

STRATEGY = ("#1b1f24", "#0072b2", "#c04a00", "#007a59", "#a8467f", "#7a5c00")
"""Okabe and Ito's set (https://jfly.uni-koeln.de/color/), darkened to a contrast of 3:1 on white."""
DASHES = ("", "7 3", "2 2.5", "9 3 2 3", "4 2 1 2 1 2", "12 4")
"""A pattern beside each colour, so that a line is told apart without it."""

_ANCHORS = ("#053061", "#2166ac", "#6aaed6", "#bfdcec", "#f4f4f2", "#f7cdb9", "#e58368", "#b2182b", "#67001f")
_N_PALETTE = 41

LOADING_BORDERS = (50.0, 80.0, 100.0)
"""Loadings at which a line changes its look [%]."""


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _interpolated() -> tuple[str, ...]:
    anchors = np.array([_rgb(colour) for colour in _ANCHORS], dtype=float)
    at = np.linspace(0, len(anchors) - 1, _N_PALETTE)
    channels = [np.interp(at, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    return tuple(
        "#{:02x}{:02x}{:02x}".format(*(round(float(value)) for value in rgb))
        for rgb in zip(*channels, strict=True)
    )


VOLTAGE_PALETTE = _interpolated()
"""Blue (low) over near-white to red (high)."""

LEAST_SPAN_PU = 0.02
"""Least span of the colours; less would show noise."""


def palette_rgb() -> NDArray[np.uint8]:
    """Return the voltage palette as RGB, shape (colours, 3)."""
    return np.array([_rgb(colour) for colour in VOLTAGE_PALETTE], dtype=np.uint8)


def voltage_scale(
    low_pu: float, high_pu: float, *, vm_min_pu: float, vm_max_pu: float
) -> tuple[float, float]:
    """Return the voltages at the ends of the colours [pu]: those given, cut to the limits and not too close.

    Args:
        low_pu: lowest voltage shown.
        high_pu: highest voltage shown.
        vm_min_pu: lower limit; what lies outside the limits has the colour of the end and a mark of its own.
        vm_max_pu: upper limit.
    """
    low, high = (min(max(value, vm_min_pu), vm_max_pu) for value in (low_pu, high_pu))
    span = min(LEAST_SPAN_PU, vm_max_pu - vm_min_pu)
    if high - low < span:
        middle = min(max((low + high) / 2, vm_min_pu + span / 2), vm_max_pu - span / 2)
        low, high = middle - span / 2, middle + span / 2
    return low, high


def voltage_index(vm_pu: NDArray[np.floating], scale: tuple[float, float]) -> NDArray[np.uint8]:
    """Return the position in :data:`VOLTAGE_PALETTE` of each voltage; any shape, same shape back.

    ``scale`` is the voltage [pu] at both ends; beyond them the colour stays.
    """
    share = np.clip((vm_pu - scale[0]) / max(scale[1] - scale[0], 1e-9), 0.0, 1.0)
    index: NDArray[np.uint8] = np.rint(share * (_N_PALETTE - 1)).astype(np.uint8)
    return index


def loading_class(loading_percent: NDArray[np.floating]) -> NDArray[np.integer]:
    """Return 0 below 50 %, 1 below 80 %, 2 up to 100 %, 3 above; any shape, same shape back."""
    inner = np.searchsorted(LOADING_BORDERS[:-1], loading_percent, side="right")
    classes: NDArray[np.integer] = inner + (loading_percent > LOADING_BORDERS[-1])
    return classes


def strategy_style(position: int) -> tuple[str, str]:
    """Return colour and dash pattern of the strategy at ``position``; pairs repeat only after 36 strategies."""
    n = len(STRATEGY)
    return STRATEGY[position % n], DASHES[(position + position // n) % n]
