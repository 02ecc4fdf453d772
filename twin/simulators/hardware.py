"""Devices behind a register map as a block: what they answer, or what stands in for a reading that is missing.

In step k the block takes the newest readings, which show the effect of step k - 1, and says what the devices are asked for
and what surrounds them. The model of the same devices runs beside; it takes over where a reading is missing and the
scenario says so. Nothing here waits for a device.
"""

import math
from collections.abc import Mapping

import numpy as np

from hil_adapters.guard.messages import DeviceImage
from hil_adapters.samples import NOTHING, Sample
from models.devices.base import DeviceBlock, FloatArray
from models.errors import StateError
from twin.errors import RunError
from twin.hil import DeviceExchange, HilSlot, WirePlan
from twin.missing_data import Choice, SourceUsed, choose, newest_good
from twin.signals import AS_MUCH_AS_POSSIBLE_KW

__all__ = ["NEVER_S", "HardwareBlock", "is_extensive"]

NEVER_S = 1e9
"""Stands for the age of a reading that never came [s]: stored values are finite."""
_WHOLE_SOC = 1.0


def is_extensive(name: str) -> bool:
    """Return whether a quantity grows with the number of devices: powers, energies and flows."""
    return name.endswith(("_kw", "_kvar", "_kva", "_kwh", "_l_min"))


class HardwareBlock:
    """N virtual or real devices as a ``DeviceBlock``."""

    def __init__(self, label: str, wire: WirePlan, *, exchange: DeviceExchange, beside: DeviceBlock) -> None:
        """Join the devices of ``wire``; ``beside`` is the open model of all of them, which is closed with the block."""
        self._label, self._wire, self._exchange, self._beside = label, wire, exchange, beside
        self._slots = tuple(exchange.slot(slot.name) for slot in wire.slots)
        self._outputs = (*wire.signals, *(name for name, _ in wire.told))
        self._model_rows = {name: row for row, name in enumerate(beside.outputs)}
        self._beside_rows = [wire.inputs.index(name) for name in beside.inputs]
        self._kept: dict[tuple[int, str], Sample] = {}
        self._model_then: dict[tuple[int, str], float] = {}
        """Output of the model when the kept reading was live; states go on from the reading by the model's change."""
        self._told = np.zeros(len(self._slots), dtype=np.int64)
        self._stood_in = [False] * len(self._slots)
        """Whether something stands in for what a device reads, by device: nothing is asked of it then."""

    @property
    def label(self) -> str:
        """Name for messages."""
        return self._label

    @property
    def size(self) -> int:
        """Number of devices N."""
        return len(self._slots)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the rows that :meth:`step` takes."""
        return self._wire.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the rows that :meth:`step` returns."""
        return self._outputs

    @property
    def events(self) -> tuple[str, ...]:
        """In how many steps values were not live, by device, in words; a name that the label has is not said twice."""
        return tuple(
            f"{'' if self._label.endswith(f' {slot.name}') else f'{slot.name}: '}{count} steps without a live reading of p_kw"
            for slot, count in zip(self._slots, self._told, strict=True)
            if count
        )

    def start(self) -> FloatArray:
        """Return what the devices read before the first step, shape (outputs, N).

        Raises:
            RunError: a reading is missing and the scenario says to stop.
        """
        return self._read(self._beside.start(), step=-1)

    def step(self, inputs: FloatArray, *, time_s: float, dt_s: float) -> FloatArray:
        """Take the newest readings and hand over what is asked for; ``inputs`` have shape (inputs, N).

        A device for whose readings a model or a safe value stands in is asked for nothing: what was asked of it before ends
        when its time is over, and the guardian lets go of it.

        Raises:
            RunError: the guardian does not answer, or a reading is missing and the scenario says to stop.
            ModelError: the model beside fails.
        """
        step = round(time_s / dt_s)
        model = self._beside.step(inputs[self._beside_rows], time_s=time_s, dt_s=dt_s)
        found = self._read(model, step=step)
        for device, slot in enumerate(self._slots):
            given = dict(zip(self.inputs, inputs[:, device].tolist(), strict=True))
            self._exchange.hand_over(
                slot.name,
                commands={} if self._stood_in[device] else _commands(slot, given),
                world=_world(slot, given, dt_s=dt_s),
            )
        return found

    def save(self) -> bytes:
        """Refuse: a device on the wire cannot go back.

        Raises:
            StateError: always.
        """
        raise StateError(f"{self._label}: a device on the wire cannot go back; use as: model")

    def restore(self, state: bytes) -> None:
        """Refuse, as :meth:`save`."""
        raise StateError(f"{self._label}: a device on the wire cannot go back; use as: model")

    def close(self) -> None:
        """Close the model beside; the guardian and hosts belong to the run."""
        self._beside.close()

    def _read(self, model: FloatArray, *, step: int) -> FloatArray:
        rows = np.zeros((len(self._outputs), self.size))
        for device, slot in enumerate(self._slots):
            image = self._exchange.image(slot.name, step=step)
            values = {
                signal: self._signal(device, slot, signal, image.signals.get(signal), model, step=step)
                for signal in self._wire.signals
            }
            self._stood_in[device] = any(
                values[signal][1].source not in {SourceUsed.LIVE, SourceUsed.HELD}
                for signal in slot.needed
                if signal in values
            )
            power = values["p_kw"][1]
            self._told[device] += step >= 0 and power.source is not SourceUsed.LIVE
            told = {signal: value for signal, (value, _) in values.items()}
            told |= {"age_s": min(power.age_s, NEVER_S), "quality": float(power.quality)}
            told |= _in_force(slot, image)
            rows[:, device] = [told[name] for name in self._outputs]
        return rows

    def _signal(
        self,
        device: int,
        slot: HilSlot,
        signal: str,
        arrived: Sample | None,
        model: FloatArray,
        *,
        step: int,
    ) -> tuple[float, Choice]:
        """Return the value of a signal for the plant, and how it was chosen."""
        key = device, signal
        self._kept[key] = newest_good(self._kept.get(key, NOTHING), arrived)
        choice = choose(self._kept[key], slot.signals[signal], now_s=self._exchange.now_s())
        if step >= 0:
            self._exchange.count(slot.name, signal, choice)
        if choice.source is SourceUsed.NONE:
            raise RunError(_stopped(slot, signal, choice))
        row = self._model_rows.get(signal)
        of_model = math.nan if row is None else float(model[row, device])
        times = slot.stands_for if is_extensive(signal) else 1.0
        if choice.source is not SourceUsed.MODEL:
            if choice.source is SourceUsed.LIVE:
                self._model_then[key] = of_model
            return choice.value * times, choice
        if is_extensive(signal) or key not in self._model_then:
            return of_model, choice
        value = self._kept[key].value + of_model - self._model_then[key]
        return (min(max(value, 0.0), _WHOLE_SOC) if signal == "soc" else value), choice


def _world(slot: HilSlot, given: Mapping[str, float], *, dt_s: float) -> dict[str, float]:
    """Return what surrounds one device: amounts and powers over N, and the length of the step they are for."""
    around = {
        name: value / slot.stands_for if is_extensive(name) else value
        for name, value in given.items()
        if name not in {"p_set_kw", "p_limit_kw"}
    }
    around["step_s"] = dt_s
    return around


def _commands(slot: HilSlot, given: Mapping[str, float]) -> dict[str, float]:
    """Return what one device is asked for [kW]; infinite where there is no limit."""
    return {
        name: math.inf if given[name] >= AS_MUCH_AS_POSSIBLE_KW else given[name] / slot.stands_for
        for name in slot.commands
    }


def _in_force(slot: HilSlot, image: DeviceImage) -> dict[str, float]:
    """Return what is stored of the command of a device: what it was last told and has confirmed."""
    values = [image.commanded[name] for name in slot.commands if name in image.commanded]
    value = values[0] if values else math.inf
    if math.isinf(value):
        return {"commanded_kw": 0.0, "in_force": 0.0}
    return {"commanded_kw": value * slot.stands_for, "in_force": 1.0}


def _stopped(slot: HilSlot, signal: str, choice: Choice) -> str:
    since = "never came" if math.isinf(choice.age_s) else f"is {choice.age_s:.3g} s old"
    hold_s = slot.signals[signal].hold_s
    return (
        f"{slot.label}: the reading of {signal} of {slot.name!r} {since}, and may be at most {hold_s:g} s old (missing: "
        f"{signal}); see the events of the guardian, or let a model or a safe value stand in"
    )
