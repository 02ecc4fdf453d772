"""The ``live:`` block: how a run with devices on the wire keeps time, and when its result counts."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from twin.scenario.base import Spec
from twin.scenario.quantities import Quantity

__all__ = ["InvalidIfSpec", "LiveSpec"]

_Share = Annotated[float, Quantity("1", ge=0, le=1)]


class InvalidIfSpec(Spec):
    """Beyond which a run is marked invalid; it is stored all the same."""

    late_share: _Share = Field(default=0.05, description="Share of steps that were late [1].")
    stale_share: _Share = Field(
        default=0.1, description="Share of readings that were held or substituted, of any device [1]."
    )


class LiveSpec(Spec):
    """Real time. It has no effect without devices ``as: virtual`` or ``as: hardware`` and without the strategy ``external``."""

    speed: Annotated[float, Quantity("", gt=0, le=1000)] = Field(
        default=1.0, description="Simulated over real time [1]; only virtual devices can do more than 1."
    )
    poll: Annotated[float, Quantity("s", ge=0.02, le=60)] = Field(
        default=0.5, description="Period of reading the fast values of a device [s]."
    )
    on_late: Literal["skip", "catch_up", "abort"] = Field(
        default="skip",
        description="After a step that missed its time: skip the time that was lost, catch it up, or abort the run.",
    )
    late_limit: Annotated[float, Quantity("s", gt=0)] | None = Field(
        default=None, description="A step counts as late from here [s]; default one step in real time."
    )
    feed_timeout: Annotated[float, Quantity("s", ge=0.2, le=3600)] | None = Field(
        default=None,
        description="Without a finished step for this long the devices are put into their safe state [s]; default 3 steps, at least 2 s.",
    )
    armed_for: Annotated[float, Quantity("s", gt=0, le=86400 * 7)] = Field(
        default=8 * 3600.0, description="Real devices may be commanded for this long [s]."
    )
    loop_gain: Literal["relax", "refuse"] = Field(
        default="relax",
        description="Where a device and its feeder would swing: give it the voltage step by step, or refuse the run.",
    )
    invalid_if: InvalidIfSpec = Field(
        default_factory=InvalidIfSpec, description="Beyond which the run is marked invalid."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the timeout of the feed against the period of reading."""
        if self.feed_timeout is not None and self.feed_timeout < self.poll:
            yield (
                "feed_timeout",
                f"feed_timeout {self.feed_timeout:g} s must not be below poll {self.poll:g} s",
            )
