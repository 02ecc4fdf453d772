"""Devices that keep their own state, as the step sees them: where each input comes from, where each output goes."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from models.devices.base import DeviceBlock
from models.errors import DeviceError, ModelError, PowerFlowError
from twin.clock import step_time
from twin.hil import DeviceExchange
from twin.plant import BlockPlan, Plant
from twin.signals import AS_MUCH_AS_POSSIBLE_KW, Axis
from twin.simulators.hardware import HardwareBlock
from twin.simulators.ports import Array
from twin.units import SECONDS_PER_HOUR, volts

__all__ = [
    "AS_MUCH_AS_POSSIBLE_KW",
    "LIVE",
    "BlockStepper",
    "Blocks",
    "beside",
    "live_at_home",
    "no_blocks",
    "open_blocks",
    "said_with_blocks",
]

LIVE = (
    "vm_pu",
    "v_v",
    "home_p_kw",
    "price_import_eur_kwh",
    "price_export_eur_kwh",
    "time_s",
    "hour",
    "p_set_kw",
    "p_available_kw",
    "p_limit_kw",
)
"""What a block may take without a series of its own: voltage and meter of its home in the step before, prices, time, and
what the strategy and the sun give."""


@runtime_checkable
class _TellsEvents(Protocol):
    """A block that has something to tell about its run, such as a restart."""

    @property
    def events(self) -> tuple[str, ...]: ...


class BlockStepper:
    """One open block: fills its inputs, steps it, keeps its outputs by name."""

    def __init__(self, plan: BlockPlan, plant: Plant, *, block: DeviceBlock, first_state: int) -> None:
        """Take an open block; ``first_state`` is the place of its first stored output on the axis ``state``.

        Raises:
            DeviceError: the block takes an input that nothing feeds, or does not give what is needed.
        """
        self.plan = plan
        self.block = block
        self.state_slots = slice(first_state, first_state + len(plan.record) * len(plan.position))
        on_axis = {Axis.LOAD: plant.load_name, Axis.PV: plant.pv_name, Axis.BATTERY: plant.battery_name}
        self.names = tuple(on_axis[plan.axis][position] for position in plan.position)
        """Name of each device."""
        self._dt_s = plant.dt_s
        self._n_steps = plant.n_steps
        self._series = {**_known_ahead(plant, block.inputs), **plan.series}
        self._inputs = np.zeros((len(block.inputs), block.size))
        self._rows = {name: row for row, name in enumerate(block.outputs)}
        self._outputs = block.start()
        for name in block.inputs:
            if name not in self._series and name not in LIVE:
                raise DeviceError(
                    f"{plan.label}: nothing feeds its input {name!r}; live signals are {', '.join(LIVE)}"
                )
        for name in ("p_kw", *(output for output, _ in plan.record)):
            if name not in self._rows:
                raise DeviceError(
                    f"{plan.label}: does not give {name!r}; it gives {', '.join(block.outputs)}"
                )

    def step(self, step: int, live: Mapping[str, Array]) -> None:
        """Advance the devices by one step; ``live`` holds values per device, shape (N,), by name."""
        for row, name in enumerate(self.block.inputs):
            series = self._series.get(name)
            if series is None:
                self._inputs[row] = live[name]
            else:
                self._inputs[row] = series[step if len(series) == self._n_steps else 0]
        self._outputs = self.block.step(self._inputs, time_s=step * self._dt_s, dt_s=self._dt_s)

    def gives(self, name: str) -> bool:
        """Return whether the block has this output."""
        return name in self._rows

    def output(self, name: str) -> Array:
        """Return an output after the last step (before the first: at the start), shape (N,)."""
        values: Array = self._outputs[self._rows[name]]
        return values

    def power(self) -> tuple[Array, Array]:
        """Return active and reactive power after the last step [kW], [kvar], shape (N,) each; 0 where it gives none."""
        p_kw = self.output("p_kw")
        return p_kw, self.output("q_kvar") if self.gives("q_kvar") else np.zeros_like(p_kw)

    def states(self) -> Array:
        """Return the stored outputs in the order of the axis ``state``."""
        stored = [self.output(name) for name, _ in self.plan.record]
        return np.concatenate(stored) if stored else np.zeros(0)


class Blocks:
    """The open blocks of a run."""

    def __init__(self, steppers: tuple[BlockStepper, ...]) -> None:
        self._steppers = steppers

    def on(self, *axes: Axis) -> tuple[BlockStepper, ...]:
        """Return the blocks whose devices are of one of these axes."""
        return tuple(stepper for stepper in self._steppers if stepper.plan.axis in axes)

    def largest(self) -> str | None:
        """Return which device has the largest power after the last step, in words; None without devices."""
        found: list[tuple[float, str]] = []
        for stepper in self._steppers:
            p_kw, q_kvar = stepper.power()
            s_kva = np.hypot(p_kw, q_kvar)
            at = int(np.argmax(s_kva))
            reactive = f" and {q_kvar[at]:.4g} kvar" if q_kvar[at] else ""
            which = (
                "" if len(stepper.names) == 1 else f": {stepper.names[at]!r}"
            )  # the label has the name of one
            found.append((float(s_kva[at]), f"{stepper.plan.label}{which} with {p_kw[at]:.4g} kW{reactive}"))
        return max(found)[1] if found else None

    def events(self) -> tuple[str, ...]:
        """Return what blocks have to tell about the run so far."""
        return tuple(
            f"{stepper.plan.label}: {event}"
            for stepper in self._steppers
            if isinstance(stepper.block, _TellsEvents)
            for event in stepper.block.events
        )


def said_with_blocks(error: ModelError, blocks: Blocks) -> str:
    """Return what an error says; where a power flow failed, also which device of a block may be the reason."""
    largest = blocks.largest() if isinstance(error, PowerFlowError) else None
    if largest is None:
        return str(error)
    return (
        f"{error}. Of the devices with a state of their own the largest power has {largest}; where that is too much, check "
        "`unit` and `factor` of its power under fmu.outputs, and set `max`, which stops the run at the device"
    )


def no_blocks() -> Blocks:
    """Return no blocks, for a plant without any."""
    return Blocks(())


def beside(plant: Plant) -> Plant:
    """Return the plant with the models that run beside virtual and real devices in place of them."""
    blocks = tuple(
        plan
        if plan.wire is None
        else replace(plan, wire=None, record=plan.wire.record_beside, unmet=plan.wire.unmet_beside)
        for plan in plant.blocks
    )
    return replace(plant, blocks=blocks)


@contextmanager
def open_blocks(plant: Plant, exchange: DeviceExchange | None = None) -> Iterator[Blocks]:
    """Open every block of a plant; all are closed at the end, whatever happens.

    Args:
        plant: the plant.
        exchange: how virtual and real devices are reached; a plant without any needs none.

    Raises:
        ModelError: a block cannot start, or does not fit its plan.
        RunError: a device gives no first reading, and the scenario says to stop.
    """
    with ExitStack() as closing:
        steppers: list[BlockStepper] = []
        first_state = 0
        for plan in plant.blocks:
            block = _opened(plan, exchange)
            closing.callback(block.close)
            stepper = BlockStepper(plan, plant, block=block, first_state=first_state)
            first_state = stepper.state_slots.stop
            steppers.append(stepper)
        yield Blocks(tuple(steppers))


def _opened(plan: BlockPlan, exchange: DeviceExchange | None) -> DeviceBlock:
    if plan.wire is None:
        return plan.open()
    if exchange is None:
        raise DeviceError(
            f"{plan.label}: virtual and real devices need real time; start the run with `twin run` or `twin live`, or use "
            "as: model"
        )
    with ExitStack() as undo:
        model = plan.open()
        undo.callback(model.close)
        block = HardwareBlock(plan.label, plan.wire, exchange=exchange, beside=model)
        undo.pop_all()
    return block


def live_at_home(plan: BlockPlan, values: Mapping[str, Array]) -> dict[str, Array]:
    """Return voltage and meter at the homes of a block in the step before, shape (N,) each.

    Nothing is measured before the first step: 1 pu and 0 kW then.
    """
    vm_pu = np.nan_to_num(values["home.vm_pu"][plan.home], nan=1.0)
    return {
        "vm_pu": vm_pu,
        "v_v": volts(vm_pu),
        "home_p_kw": np.nan_to_num(values["home.p_kw"][plan.home], nan=0.0),
    }


def _known_ahead(plant: Plant, names: tuple[str, ...]) -> dict[str, Array]:
    """Return those of the named live signals that do not depend on the run, shape (T, 1) each."""
    time_s = np.arange(plant.n_steps, dtype=np.float64) * plant.dt_s
    known: dict[str, Array] = {
        "time_s": time_s,
        "price_import_eur_kwh": plant.tariff.price_import_eur_kwh,
        "price_export_eur_kwh": plant.tariff.price_export_eur_kwh,
    }
    if "hour" in names:
        known["hour"] = np.array([_local_hour(plant, step) for step in range(plant.n_steps)])
    return {name: values[:, None] for name, values in known.items()}


def _local_hour(plant: Plant, step: int) -> float:
    at = step_time(plant.start_utc_s, step, plant.dt_s)
    return at.hour + at.minute / 60 + (at.second + at.microsecond / 1e6) / SECONDS_PER_HOUR
