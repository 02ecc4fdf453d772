"""Devices behind a register map as a block: what it reads, what it asks, what stands in, and what N devices in one are."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hil_entries import ScriptedGuardian, ScriptedWorld, sample

from hil_adapters.errors import GuardianError
from hil_adapters.guard.messages import Image, SetPoints
from hil_adapters.samples import Quality
from models.devices.numpy_block import KINDS, NumpyBlock
from models.errors import StateError
from twin.errors import RunError
from twin.hil import EmulatedDevice, HilPlan, HilSlot, WirePlan
from twin.missing_data import SignalPolicy, SourceUsed, Then
from twin.signals import AS_MUCH_AS_POSSIBLE_KW
from twin.simulators.exchange import HilExchange
from twin.simulators.hardware import NEVER_S, HardwareBlock

POWER = SignalPolicy(fresh_s=1.5, hold_s=5.0, then=Then.MODEL)
STATE = SignalPolicy(fresh_s=15.0, hold_s=60.0, then=Then.MODEL)
INPUTS = ("p_set_kw", "temp_ambient_degc", "vm_pu")
INSIDE = EmulatedDevice(kind="battery", parameters={}, inputs={})


def slot(name: str = "store", **more: Any) -> HilSlot:
    fields: dict[str, Any] = {
        "name": name,
        "label": "devices[1] store",
        "home": 0,
        "map_file": None,
        "target": None,
        "unit": 1,
        "serial": None,
        "emulated": INSIDE,
        "commands": ("p_set_kw",),
        "signals": {"p_kw": POWER, "soc": STATE},
    }
    return HilSlot(**(fields | more))


class Rig:
    """A block with a guardian and a host that do what a test says."""

    def __init__(self, *slots: HilSlot, alpha: float = 1.0, label: str = "devices[1] store") -> None:
        self.slots = slots or (slot(),)
        self.now_s = 100.0
        self.guardian, self.host = ScriptedGuardian(), ScriptedWorld()
        for entry in self.slots:
            self.guardian.signals[entry.name] = {}
        plan = HilPlan(slots=self.slots)
        self.exchange = HilExchange(
            plan.with_alpha(alpha) if alpha != 1.0 else plan,
            self.guardian,
            worlds=[(self.host, [entry.name for entry in self.slots])],
            expires_s=3.0,
            clock=lambda: self.now_s,
        )
        times = self.slots[0].stands_for
        self.beside = NumpyBlock(
            KINDS["battery"],
            size=len(self.slots),
            parameters={
                "capacity_kwh": 10.0 * times,
                "charge_kw": 5.0 * times,
                "discharge_kw": 5.0 * times,
                "eta_charge": 1.0,
                "eta_discharge": 1.0,
            },
            inputs=("p_set_kw", "temp_ambient_degc"),
            outputs=("p_kw", "soc"),
            label="beside",
        )
        wire = WirePlan(slots=self.slots, inputs=INPUTS, signals=("p_kw", "soc"))
        self.block = HardwareBlock(label, wire, exchange=self.exchange, beside=self.beside)
        self._step = 0

    def step(
        self, p_set_kw: float | list[float], *, vm_pu: float = 1.0, dt_s: float = 1.0
    ) -> dict[str, list[float]]:
        """Step the block and finish the step; a second passes for each."""
        size = len(self.slots)
        rows = [np.broadcast_to(np.array(values), (size,)) for values in (p_set_kw, 20.0, vm_pu)]
        found = self.block.step(np.array(rows, dtype=np.float64), time_s=self._step * dt_s, dt_s=dt_s)
        self.exchange.finish_step(self._step)
        self._step += 1
        self.now_s += 1.0
        return {name: row.tolist() for name, row in zip(self.block.outputs, found, strict=True)}


def test_the_block_says_what_it_reads_and_what_it_tells_of_itself() -> None:
    rig = Rig()
    assert rig.block.outputs == ("p_kw", "soc", "age_s", "quality", "commanded_kw", "in_force")
    assert rig.block.inputs == INPUTS
    assert (rig.block.size, rig.block.label) == (1, "devices[1] store")


def test_a_step_reads_the_newest_image_and_sends_its_set_points_when_it_is_finished() -> None:
    rig = Rig()
    rig.guardian.reads_now("store", 99.9, p_kw=1.25, soc=0.6)
    rig.guardian.commanded["store"] = {"p_set_kw": 1.2}
    found = rig.step(2.0)
    assert (found["p_kw"], found["soc"]) == ([1.25], [0.6])
    assert found["age_s"] == pytest.approx([0.1])
    assert (found["quality"], found["commanded_kw"], found["in_force"]) == ([0.0], [1.2], [1.0])
    assert rig.guardian.sent == [SetPoints(step=0, expires_s=3.0, values={"store": {"p_set_kw": 2.0}})]
    assert rig.host.told == [{"store": {"temp_ambient_degc": 20.0, "vm_pu": 1.0, "step_s": 1.0}}]


def test_a_step_that_is_not_finished_commands_nothing() -> None:
    rig = Rig()
    rig.guardian.reads_now("store", 99.9, p_kw=1.0, soc=0.6)
    rig.block.step(np.array([[2.0], [20.0], [1.0]]), time_s=0.0, dt_s=1.0)
    assert (rig.guardian.sent, rig.host.told) == ([], [])


def test_all_devices_of_a_step_share_one_image_and_one_message() -> None:
    rig = Rig(slot("a"), slot("b"))
    for name, power in (("a", 1.0), ("b", -2.0)):
        rig.guardian.reads_now(name, 99.9, p_kw=power, soc=0.5)
    assert rig.step([3.0, -4.0])["p_kw"] == [1.0, -2.0]
    assert rig.guardian.reads == 1
    assert [entry.values for entry in rig.guardian.sent] == [
        {"a": {"p_set_kw": 3.0}, "b": {"p_set_kw": -4.0}}
    ]
    rig.step(0.0)
    assert (rig.guardian.reads, len(rig.guardian.sent)) == (2, 2)


def test_before_the_first_step_the_device_tells_its_own_state_of_charge() -> None:
    rig = Rig()
    rig.guardian.reads_now("store", 99.9, p_kw=0.2, soc=0.83)
    start = dict(zip(rig.block.outputs, rig.block.start()[:, 0].tolist(), strict=True))
    assert (start["p_kw"], start["soc"]) == (0.2, 0.83)
    assert not rig.exchange.tallies, "only steps count"


def test_no_limit_is_told_as_infinity_and_a_released_command_is_not_in_force() -> None:
    rig = Rig()
    rig.guardian.reads_now("store", 99.9, p_kw=1.0, soc=0.6)
    found = rig.step(AS_MUCH_AS_POSSIBLE_KW)
    assert rig.guardian.sent[0].values == {"store": {"p_set_kw": math.inf}}
    assert (found["commanded_kw"], found["in_force"]) == ([0.0], [0.0])


def test_one_device_that_stands_for_three_is_multiplied_and_asked_for_a_third() -> None:
    rig = Rig(slot(stands_for=3.0))
    rig.guardian.reads_now("store", 99.9, p_kw=1.5, soc=0.6)
    rig.guardian.commanded["store"] = {"p_set_kw": 1.4}
    found = rig.step(6.0)
    assert found["p_kw"] == [4.5]
    assert found["soc"] == [0.6], "a share does not grow"
    assert found["commanded_kw"] == pytest.approx([4.2])
    assert rig.guardian.sent[0].values == {"store": {"p_set_kw": 2.0}}


def test_a_reading_that_ages_is_held_and_then_taken_from_the_model() -> None:
    rig = Rig()
    rig.guardian.reads_now("store", 100.0, p_kw=1.0, soc=0.6)
    seen = [rig.step(3.0) for _ in range(8)]
    assert [found["p_kw"][0] for found in seen] == [1.0] * 6 + [3.0, 3.0]
    assert [found["quality"][0] for found in seen] == [0.0, 0.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0]
    assert [found["age_s"][0] for found in seen] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    tally = rig.exchange.tallies["store", "p_kw"]
    assert tally.steps == {SourceUsed.LIVE: 2, SourceUsed.HELD: 4, SourceUsed.MODEL: 2}
    assert (tally.oldest_s, tally.stale_share) == (5.0, 0.75)
    assert rig.block.events == ("6 steps without a live reading of p_kw",), "the label has the name already"


def test_of_several_devices_the_one_without_live_readings_is_named() -> None:
    rig = Rig(slot("one"), slot("store"), label="devices[1]")
    rig.guardian.reads_now("store", 100.0, p_kw=1.0, soc=0.6)
    for _ in range(8):
        rig.guardian.reads_now("one", rig.now_s, p_kw=1.0, soc=0.6)
        rig.step([3.0, 3.0])
    assert rig.block.events == ("store: 6 steps without a live reading of p_kw",)


def test_nothing_is_asked_of_a_device_while_a_model_stands_in_for_its_readings() -> None:
    rig = Rig()
    rig.guardian.reads_now("store", 100.0, p_kw=1.0, soc=0.5)
    for _ in range(8):
        rig.step(2.0)
    asked = [entry.values["store"] for entry in rig.guardian.sent]
    # live, then held for 5 s, then the model: what a strategy makes of that is not for the device
    assert asked == [{"p_set_kw": 2.0}] * 6 + [{}] * 2
    rig.guardian.reads_now("store", rig.now_s, p_kw=1.0, soc=0.5)
    rig.step(2.0)
    assert rig.guardian.sent[-1].values["store"] == {"p_set_kw": 2.0}


def test_a_state_that_the_model_takes_over_goes_on_from_the_last_reading() -> None:
    young = SignalPolicy(fresh_s=1.5, hold_s=1.5, then=Then.MODEL)
    rig = Rig(slot(signals={"p_kw": POWER, "soc": young}))
    rig.guardian.reads_now("store", 100.0, p_kw=5.0, soc=0.80)
    seen = [rig.step(5.0, dt_s=36.0)["soc"][0] for _ in range(5)]
    gain = 5.0 * 36.0 / 3600.0 / 10.0
    assert seen == pytest.approx([0.80, 0.80, 0.80 + gain, 0.80 + 2 * gain, 0.80 + 3 * gain])


def test_the_model_alone_is_used_where_nothing_ever_came() -> None:
    rig = Rig()
    start = dict(zip(rig.block.outputs, rig.block.start()[:, 0].tolist(), strict=True))
    assert (start["p_kw"], start["soc"]) == (0.0, 0.5)
    found = rig.step(2.0)
    assert found["p_kw"] == [2.0]
    assert found["soc"][0] == pytest.approx(0.5 + 2.0 / 3600.0 / 10.0)
    assert (found["age_s"], found["quality"]) == ([NEVER_S], [3.0])


def test_the_declared_safe_value_is_that_of_one_device() -> None:
    safe = SignalPolicy(fresh_s=1.5, hold_s=1.5, then=Then.SAFE, safe=-0.5)
    rig = Rig(slot(stands_for=4.0, signals={"p_kw": safe, "soc": STATE}))
    assert rig.step(2.0)["p_kw"] == [-2.0]


def test_a_run_stops_where_the_scenario_says_so_and_names_device_signal_and_age() -> None:
    stop = SignalPolicy(fresh_s=1.5, hold_s=2.0, then=Then.STOP)
    rig = Rig(slot(signals={"p_kw": stop, "soc": STATE}))
    rig.guardian.reads_now("store", 100.0, p_kw=1.0, soc=0.6)
    for _ in range(3):
        rig.step(2.0)
    with pytest.raises(RunError, match=r"p_kw of 'store' is 3 s old, and may be at most 2 s old"):
        rig.step(2.0)


def test_a_bad_reading_is_held_like_a_missing_one() -> None:
    rig = Rig()
    rig.guardian.reads_now("store", 100.0, p_kw=1.0, soc=0.6)
    rig.step(3.0)
    rig.guardian.signals["store"]["p_kw"] = sample(math.nan, 101.0, Quality.BAD)
    rig.now_s = 102.0
    found = rig.step(3.0)
    assert (found["p_kw"], found["quality"], found["age_s"]) == ([1.0], [2.0], [2.0])


def test_a_change_of_voltage_reaches_the_device_in_parts() -> None:
    rig = Rig(alpha=0.25)
    rig.guardian.reads_now("store", 100.0, p_kw=1.0, soc=0.6)
    for vm_pu in (1.0, 1.08, 1.08):
        rig.step(0.0, vm_pu=vm_pu)
    told = [entry["store"]["vm_pu"] for entry in rig.host.told]
    assert told == pytest.approx([1.0, 1.02, 1.035])


def test_a_device_on_the_wire_cannot_go_back() -> None:
    rig = Rig()
    with pytest.raises(StateError, match="cannot go back"):
        rig.block.save()
    with pytest.raises(StateError, match="cannot go back"):
        rig.block.restore(b"")


def test_what_the_guardian_tells_is_kept_until_it_is_taken() -> None:
    rig = Rig()
    rig.guardian.told = ("store: connected again",)
    rig.step(0.0)
    assert rig.exchange.take_events() == ("store: connected again",)
    assert rig.exchange.take_events() == ()


def test_a_device_that_the_guardian_does_not_know_ends_the_run() -> None:
    rig = Rig()
    rig.guardian.signals.clear()
    with pytest.raises(RunError, match="'store': the guardian does not know it"):
        rig.step(0.0)


def test_a_guardian_that_has_ended_ends_the_run() -> None:
    class Ended:
        def exchange(self, set_points: SetPoints | None) -> Image:
            raise GuardianError("the guardian has ended")

    exchange = HilExchange(HilPlan(slots=(slot(),)), Ended(), expires_s=1.0)
    with pytest.raises(RunError, match="the guardian has ended"):
        exchange.image("store", step=0)


def test_only_the_devices_of_a_host_are_told_to_it() -> None:
    hosts: Mapping[str, ScriptedWorld] = {"a": ScriptedWorld(), "b": ScriptedWorld()}
    exchange = HilExchange(
        HilPlan(slots=(slot("a"), slot("b"))),
        ScriptedGuardian(),
        worlds=[(host, [name]) for name, host in hosts.items()],
        expires_s=1.0,
    )
    for name, vm_pu in (("a", 1.0), ("b", 1.1)):
        exchange.hand_over(name, commands={}, world={"vm_pu": vm_pu})
    exchange.finish_step(0)
    assert {name: host.told for name, host in hosts.items()} == {
        "a": [{"a": {"vm_pu": 1.0}}],
        "b": [{"b": {"vm_pu": 1.1}}],
    }


def test_what_a_device_does_not_have_does_not_count_as_stale() -> None:
    rig = Rig(slot(needed=("p_kw",)))
    rig.guardian.reads_now("store", 100.0, p_kw=1.0)
    rig.step(1.0)
    assert list(rig.exchange.stale_shares()) == [("store", "p_kw", 0.0)]
    rig.guardian.reads_now("store", 101.0, soc=0.5)
    rig.step(1.0)
    assert list(rig.exchange.stale_shares()) == [("store", "p_kw", 0.0), ("store", "soc", 0.5)]
