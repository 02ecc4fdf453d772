"""What a run is told of its devices before and while it runs: why one is missing, and the same thing not over and over."""

import math
from pathlib import Path

import pytest

from hil_adapters.guard.messages import DeviceImage, GuardState, Image
from hil_adapters.samples import NOTHING, Quality, Sample
from hil_adapters.wire.base import TcpTarget
from twin.errors import RunError
from twin.hil import HilPlan, HilSlot
from twin.live import guardians
from twin.live.guardians import await_readings
from twin.live.repeats import Repeats
from twin.simulators.exchange import HilExchange

REFUSED = "tcp://127.0.0.1:502: cannot connect (ECONNREFUSED)"
FOREIGN = "tcp://127.0.0.1:502: serial number SN9 answers, and SN1 is expected"


def slot(name="Roof", *, emulated=None):
    return HilSlot(
        name=name,
        label=name,
        home=0,
        map_file=Path("sunspec_pv.yaml"),
        target=TcpTarget(host="127.0.0.1", port=502),
        unit=1,
        serial="SN1",
        emulated=emulated,
        commands=("p_limit_kw",),
        signals={},
        needed=("p_kw",),
    )


class Saying:
    """A guardian that says the same for ever."""

    def __init__(self, state=GuardState.READ_ONLY, events=(), **said):
        good = Sample(value=-1.0, quality=Quality.GOOD, received_s=1.0)
        signals = {"p_kw": NOTHING if said else good}
        self.image = Image(
            devices={"Roof": DeviceImage(state=state, signals=signals, commanded={}, **said)},
            events=tuple(events),
        )
        self.asked = 0

    def exchange(self, _set_points):
        self.asked += 1
        return self.image


def test_a_device_that_is_another_one_is_not_waited_for():
    link = Saying(trouble=FOREIGN, is_foreign=True)
    with pytest.raises(RunError, match=r"Roof: .*serial number SN9 answers, and SN1 is expected"):
        await_readings(link, [slot()])
    assert link.asked == 1


def test_a_device_that_does_not_come_is_named_with_the_cause_that_stands(monkeypatch):
    monkeypatch.setattr(guardians, "_FIRST_READING_S", 0.1)
    link = Saying(trouble=REFUSED, events=["Roof: something of long ago"])
    with pytest.raises(RunError, match=r"no readings from Roof within 0\.1 s \(Roof: tcp://.*ECONNREFUSED"):
        await_readings(link, [slot()])


def test_a_device_that_reads_is_waited_for_no_longer():
    await_readings(Saying(), [slot()])


def test_an_event_is_told_ten_times_and_then_ever_more_seldom():
    repeats = Repeats()
    told = [
        text
        for number in range(1000)
        for text in repeats.take(f"Roof: step {number}: came {number / 7:.1f} s late")
    ]
    assert len(told) == 10 + len([16, 32, 64, 128, 256, 512])
    assert told[0] == "Roof: step 0: came 0.0 s late"
    assert told[-1] == "Roof: step 511: came 73.0 s late (512 times so far)"


def test_another_device_and_another_event_are_told_as_they_come():
    repeats = Repeats()
    for _ in range(100):
        repeats.take("Roof: came 1.0 s late")
    assert repeats.take("Roof: tripped: by hand") == ("Roof: tripped: by hand",)
    assert repeats.take("Store: came 1.0 s late") == ("Store: came 1.0 s late",)


def test_a_device_that_was_disarmed_during_the_run_is_told_of():
    link = Saying(GuardState.ARMED)
    exchange = HilExchange(HilPlan(slots=(slot(),)), link, expires_s=math.inf)
    exchange.image("Roof", step=0)
    assert not exchange.disarmed
    link.image = Saying(GuardState.READ_ONLY).image
    exchange.image("Roof", step=1)
    assert list(exchange.disarmed) == ["Roof"]
    assert not exchange.tripped


def test_a_device_that_is_only_read_was_never_armed_and_a_trip_is_told_as_such():
    link = Saying(GuardState.READ_ONLY)
    exchange = HilExchange(HilPlan(slots=(slot(),)), link, expires_s=math.inf)
    exchange.image("Roof", step=0)
    assert not exchange.disarmed
    link.image = Saying(GuardState.ARMED).image
    exchange.image("Roof", step=1)
    link.image = Saying(GuardState.TRIPPED).image
    exchange.image("Roof", step=2)
    assert list(exchange.tripped) == ["Roof"]
    assert not exchange.disarmed


@pytest.mark.parametrize("after", [GuardState.TRIPPED, GuardState.READ_ONLY])
def test_the_source_of_a_device_that_is_not_commanded_any_more_stays_where_it_is(after):
    class World:
        def __init__(self):
            self.told = []

        def world(self, values):
            self.told.append(dict(values))

    link, source = Saying(GuardState.ARMED), World()
    exchange = HilExchange(HilPlan(slots=(slot(),)), link, worlds=[(source, ["Roof"])], expires_s=1.0)
    for step, state in enumerate((GuardState.ARMED, after)):
        link.image = Saying(state).image
        exchange.image("Roof", step=step)
        exchange.hand_over("Roof", commands={}, world={"vm_pu": 1.0})
        exchange.finish_step(step)
    assert source.told == [{"Roof": {"vm_pu": 1.0}}, {}]
