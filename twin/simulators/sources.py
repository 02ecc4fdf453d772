"""Sources that feed real devices with the voltage of the simulated feeder."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from hil_adapters.errors import SourceError
from hil_adapters.grid_source.base import Output
from hil_adapters.grid_source.commands import load_command_set
from hil_adapters.grid_source.feed import AtEnd, FeedState, SourceFeed
from hil_adapters.grid_source.scpi import ScpiSource
from twin.errors import RunError
from twin.hil import HilPlan, HilSlot

__all__ = ["SourceSink", "started_sources"]


class SourceSink:
    """Passes the voltage at one device on to its source; a ``WorldSink`` of ``twin.simulators.exchange``."""

    def __init__(self, device: str, feed: SourceFeed, *, nominal_v: float, place: str) -> None:
        self.device = device
        self._place = place
        self._feed, self._nominal_v = feed, nominal_v

    @property
    def state(self) -> FeedState:
        """What is known of the source."""
        return self._feed.state

    @property
    def warning(self) -> str | None:
        """What a person must do before the source feeds the device; None where its output is on."""
        if self.state.output is Output.ON:
            return None
        return (
            f"{self.device}: the output of its grid source at {self._place} is off and the run never switches it on: "
            "switch it on yourself"
        )

    def summary(self, n_steps: int) -> str:
        """Return how the source followed the feeder in ``n_steps`` steps, in words."""
        state = self.state
        at_v = " / ".join(f"{value:.1f}" for value in state.voltage_v)
        text = (
            f"{self.device}: grid source at {self._place}: {state.updates} updates in {n_steps} steps, "
            f"{state.frozen_steps} frozen steps, {state.failures} failures, last voltage {at_v} V"
        )
        return text if state.error is None else f"{text}; {state.error}"

    def world(self, values: Mapping[str, Mapping[str, float]]) -> None:
        """Let the source move a bounded step towards the voltage at the device; never waits.

        A step whose power flow failed does not come here, so the source stays where it is.

        Raises:
            RunError: the source does not follow any more.
        """
        around = values.get(self.device)
        if around is None:
            return
        phases = len(self._feed.state.voltage_v)
        state = self._feed.follow((around["vm_pu"] * self._nominal_v,) * phases)
        if state.error is not None:
            raise RunError(f"device {self.device!r}: its grid source does not follow: {state.error}")


@contextmanager
def started_sources(plan: HilPlan) -> Iterator[tuple[SourceSink, ...]]:
    """Connect to the sources of all real devices that have one; each is left as its block says.

    Only a run that may command devices uses it: a source is moved like a device.

    Raises:
        RunError: a source cannot be reached or refuses its limits.
    """
    with ExitStack() as closing:
        try:
            yield tuple(_started(closing, slot) for slot in plan.hardware if slot.source is not None)
        except SourceError as error:
            raise RunError(str(error)) from error


def _started(closing: ExitStack, slot: HilSlot) -> SourceSink:
    config = slot.source
    if config is None:
        raise ValueError(f"{slot.name!r} has no source")
    source = ScpiSource(config.host, config.port, commands=load_command_set(config.commands))
    feed = closing.enter_context(SourceFeed(source, config.limits, at_end=AtEnd(config.at_end)))
    port = "" if config.port is None else f":{config.port}"
    return SourceSink(slot.name, feed, nominal_v=config.limits.nominal_v, place=f"{config.host}{port}")
