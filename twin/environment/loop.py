"""The software loop of a run without mosaik, stopped in each step before the strategy answers."""

from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np

from models.errors import ModelError
from twin.clock import step_iso
from twin.control import Forecast, Observation, Proposal
from twin.errors import InputError, RunError
from twin.prepare import Prepared
from twin.signals import RECORDED
from twin.simulators.blocks import open_blocks, said_with_blocks
from twin.simulators.group import GROUPS, Group, links
from twin.simulators.ports import Array
from twin.simulators.recorder import Sink
from twin.world import StrategyRun, before_first_step, step_cores

__all__ = ["StepLoop"]


class _Seat:
    """Sits where the strategy sits: keeps what it would see, returns what it was given."""

    def __init__(self, proposal: Proposal) -> None:
        self.proposal = proposal
        self.seen: Observation | None = None

    def decide(self, seen: Observation) -> Proposal:
        self.seen = seen
        return self.proposal


class StepLoop:
    """Steps the cores of a run in the order of the wiring table: :meth:`look`, then :meth:`play`, step by step.

    The cores, their order and the delayed values are those of :func:`twin.world.run_world`, so the same proposals give
    the same bits.
    """

    def __init__(self, prepared: Prepared, *, forecast: Forecast, sink: Sink) -> None:
        """Build the cores; every recorded step goes to ``sink``.

        Close it when it is done: devices may run in processes of their own.

        Raises:
            InputError: the scenario has third-party simulators.
            RunError: a device cannot start.
        """
        if prepared.external:
            names = ", ".join(source.name for source in prepared.external)
            raise InputError(
                f"third-party simulators ({names}) need mosaik and cannot be stepped here; remove `external` from the"
                " scenario, or use `twin run`"
            )
        self.step = 0
        """The step that is looked at or played next."""
        self._plant = prepared.plant
        self._rest = Proposal(battery_kw=np.zeros(prepared.plant.battery.n))
        self._seat = _Seat(self._rest)
        self._sink = _Tee(sink)
        run = StrategyRun(
            plant=prepared.plant,
            feeder=prepared.feeder,
            engine=prepared.engine,
            controller=self._seat,
            site=prepared.site,
            forecast=forecast,
            sink=self._sink,
        )
        before_first = before_first_step(prepared.plant)
        self._closing = ExitStack()
        try:
            self._blocks = self._closing.enter_context(open_blocks(prepared.plant))
        except ModelError as error:
            raise RunError(str(error)) from error
        cores = step_cores(run, self._sink, self._blocks)
        self._groups = {
            name: Group(name, [cores[member] for member in members], before_first)
            for name, members in GROUPS.items()
        }
        delayed = {key for row in links() if row.delayed for key in row.keys}
        self._before = {key: before_first[key] for key in delayed}
        self._present: dict[str, Array] = {}

    def close(self) -> None:
        """End the devices; may be called again."""
        self._closing.close()

    def look(self) -> Observation:
        """Return what a strategy sees in the present step.

        Raises:
            RunError: all steps are done.
        """
        if self.step >= self._plant.n_steps:
            raise RunError(f"all {self._plant.n_steps} steps are done; start again")
        self._present = dict(self._before)
        self._seat.proposal = self._rest
        self._advance("exogenous")
        self._advance("control")
        if self._seat.seen is None:
            raise RunError("the control core did not ask its controller")
        return self._seat.seen

    def play(self, proposal: Proposal) -> Mapping[str, Array]:
        """Finish the present step with a proposal and return the recorded signals.

        Raises:
            ControllerError: not a valid proposal; the step can be played again.
            RunError: the feeder could not be solved; the step and its time are named.
        """
        self._seat.proposal = proposal
        try:
            self._advance("control")
            self._advance("plant")
        except ModelError as error:
            at = step_iso(self._plant.start_utc_s, self.step, self._plant.dt_s)
            raise RunError(f"step {self.step} ({at}): {said_with_blocks(error, self._blocks)}") from error
        self._before = {key: self._present[key] for key in self._before}
        self.step += 1
        return self._sink.values

    def _advance(self, name: str) -> None:
        group = self._groups[name]
        given = group.advance(self.step, {port.name: self._present[port.name] for port in group.inputs})
        for port in group.outputs:
            given[port.name].flags.writeable = False
            self._present[port.name] = given[port.name]


class _Tee:
    """Keeps the last step and passes it on."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.values: Mapping[str, Array] = {entry.key: np.zeros(0) for entry in RECORDED}

    def append(self, step: int, values: Mapping[str, Array]) -> None:
        self.values = dict(values)
        self._sink.append(step, values)
