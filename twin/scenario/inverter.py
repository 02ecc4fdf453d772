"""The inverter of a PV generator or battery, with the functions of CEI 0-21.

Default values are those of CEI 0-21 as collected from makers' manuals; P(V) starts 5 V below 110 % of 230 V.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from twin.scenario.base import Spec, Switch
from twin.scenario.quantities import Quantity

__all__ = ["InverterSpec", "PowerVoltageSpec"]

_Voltage = Annotated[float, Quantity("pu", gt=0, le=2)]
_Share = Annotated[float, Quantity("1", ge=0, le=1)]
_PowerFactor = Annotated[float, Quantity("", gt=0, le=1)]


class PowerVoltageSpec(Spec):
    """P(V): feed-in is reduced linearly between two voltages."""

    start_pu: _Voltage = Field(default=1.078, description="Feed-in is reduced above this voltage [pu].")
    end_pu: _Voltage = Field(
        default=1.10, description="Feed-in is reduced to min_share at this voltage [pu]."
    )
    min_share: _Share = Field(
        default=0.0, description="Share of rated power allowed at and above end_pu [1]."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the curve must fall over a range of voltage."""
        if self.start_pu >= self.end_pu:
            yield "start_pu", f"start_pu {self.start_pu:g} must be below end_pu {self.end_pu:g}"


class InverterSpec(Spec):
    """Rating and reactive power function of an inverter; parameters of other functions are ignored."""

    s_rated_kva: Annotated[float, Quantity("kVA", gt=0)] | None = Field(
        default=None, description="Rated apparent power [kVA]; without it rated active power / 0.9."
    )
    function: Literal["cos_phi", "cos_phi_p", "q_v"] = Field(
        default="cos_phi", description="Reactive power: fixed power factor, cos phi(P), or Q(V)."
    )
    cos_phi: _PowerFactor = Field(default=1.0, description="cos_phi: power factor [1].")
    absorbs: Switch = Field(default=True, description="cos_phi: true absorbs reactive power (under-excited).")
    cos_phi_min: _PowerFactor = Field(
        default=0.90, description="cos_phi_p: power factor at rated power [1], absorbing."
    )
    cos_phi_p_start: Annotated[float, Quantity("1", ge=0, lt=1)] = Field(
        default=0.5, description="cos_phi_p: share of rated power where the power factor starts to fall [1]."
    )
    cos_phi_lock_in_pu: _Voltage = Field(
        default=1.05, description="cos_phi_p: active above this voltage [pu]."
    )
    cos_phi_lock_out_pu: _Voltage = Field(
        default=1.00, description="cos_phi_p: inactive below this voltage [pu]."
    )
    v2i_pu: _Voltage = Field(default=0.90, description="q_v: full injection at and below this voltage [pu].")
    v1i_pu: _Voltage = Field(default=0.92, description="q_v: injection starts below this voltage [pu].")
    v1s_pu: _Voltage = Field(default=1.08, description="q_v: absorption starts above this voltage [pu].")
    v2s_pu: _Voltage = Field(default=1.10, description="q_v: full absorption at and above this voltage [pu].")
    q_max_share: _Share = Field(
        default=0.436, description="q_v: reactive power at the ends of the curve over rated active power [1]."
    )
    q_v_lock_in_share: _Share = Field(
        default=0.20, description="q_v: active above this share of rated power [1]."
    )
    q_v_lock_out_share: _Share = Field(
        default=0.05, description="q_v: inactive below this share of rated power [1]."
    )
    p_v: PowerVoltageSpec | None = Field(
        default=None, description="P(V) function; off without it ({} for defaults)."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: order of the Q(V) points and of the lock-in and lock-out limits."""
        points = ("v2i_pu", "v1i_pu", "v1s_pu", "v2s_pu")
        for lower, upper in pairwise(points):
            if getattr(self, lower) >= getattr(self, upper):
                yield (
                    lower,
                    f"{lower} {getattr(self, lower):g} must be below {upper} {getattr(self, upper):g}",
                )
        for lower, upper in (
            ("q_v_lock_out_share", "q_v_lock_in_share"),
            ("cos_phi_lock_out_pu", "cos_phi_lock_in_pu"),
        ):
            if getattr(self, lower) > getattr(self, upper):
                yield (
                    lower,
                    f"{lower} {getattr(self, lower):g} must not be above {upper} {getattr(self, upper):g}",
                )

    def rating_problem(self, p_rated_kw: float | None) -> Iterator[tuple[str, str]]:
        """Yield a problem if the rating cannot carry the rated active power of its device [kW]."""
        if self.s_rated_kva is not None and p_rated_kw is not None and self.s_rated_kva < p_rated_kw:
            text = f"s_rated_kva {self.s_rated_kva:g} is below the rated power {p_rated_kw:g} kW"
            yield "inverter.s_rated_kva", f"{text}; raise it or leave it out"
