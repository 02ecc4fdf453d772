"""What the inverter of a PV generator does beside its functions: it takes time."""

from typing import Annotated

from pydantic import Field

from twin.scenario.base import Spec
from twin.scenario.quantities import Quantity

__all__ = ["PvDetailSpec"]


class PvDetailSpec(Spec):
    """Response and ramp of a PV inverter; each is off by default."""

    response_s: Annotated[float, Quantity("s", ge=0)] = Field(
        default=0.0, description="Time constant of active and reactive power [s]; 0: at once."
    )
    ramp_up_share_s: Annotated[float, Quantity("1/s", ge=0)] = Field(
        default=0.0,
        description="Largest increase of feed-in in a second as a share of rated power [1/s]; 0: no limit.",
    )
