"""The voltage of the feeder on its way to a source that feeds a real device."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hil_adapters.grid_source.base import Output, SourceLimits
from hil_adapters.grid_source.emulated import EmulatedSource
from hil_adapters.wire.base import TcpTarget
from twin.errors import RunError
from twin.hil import HilPlan, HilSlot, SourceConfig
from twin.live.session import LiveOptions, told_sources
from twin.live.timing import TimingLog
from twin.simulators.sources import SourceSink, started_sources

LONGEST_S = 10.0


@contextmanager
def emulated() -> Iterator[EmulatedSource]:
    """Serve an emulated source from a thread of its own."""
    source = EmulatedSource()
    ready, loops, ending = threading.Event(), [asyncio.new_event_loop()], asyncio.Event()

    async def serve() -> None:
        async with source:
            ready.set()
            await ending.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loops[0]) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(LONGEST_S)
        yield source
    finally:
        loops[0].call_soon_threadsafe(ending.set)
        thread.join(LONGEST_S)


def plan_with(port: int) -> HilPlan:
    limits = SourceLimits(nominal_v=230.0, low_v=207.0, high_v=253.0, step_v=4.0)
    source = SourceConfig(host="127.0.0.1", port=port, commands="one_phase", limits=limits, at_end="hold")
    slot = HilSlot(
        name="roof",
        label="devices[1] roof",
        home=0,
        map_file=Path("m.yaml"),
        target=TcpTarget(host="10.0.0.2"),
        unit=1,
        serial="A1",
        emulated=None,
        commands=(),
        signals={},
        source=source,
    )
    return HilPlan(slots=(slot,))


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + LONGEST_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def follow(sink: SourceSink, vm_pu: float) -> float:
    """Tell a voltage and return what the source is set to after its next update [V]."""
    before = sink.state.updates
    sink.world({"roof": {"vm_pu": vm_pu}})
    until(lambda: sink.state.updates > before)
    return sink.state.voltage_v[0]


def test_the_source_follows_the_feeder_in_bounded_steps() -> None:
    with emulated() as source, started_sources(plan_with(source.port)) as (sink,):
        seen = [follow(sink, 1.05) for _ in range(4)]
        assert seen == pytest.approx([234.0, 238.0, 241.5, 241.5])
        assert source.instrument.voltage_v[0] == pytest.approx(241.5)
        assert follow(sink, 1.2) == pytest.approx(245.5)
        assert [follow(sink, 1.2) for _ in range(3)][-1] == pytest.approx(253.0), "not above its limit"
    assert source.instrument.voltage_v[0] == pytest.approx(253.0), "held at the end"


def test_what_is_said_of_other_devices_does_not_move_it() -> None:
    with emulated() as source, started_sources(plan_with(source.port)) as (sink,):
        sink.world({"store": {"vm_pu": 1.1}})
        assert sink.state.updates == 0


def test_a_source_that_stops_answering_ends_the_run() -> None:
    with emulated() as source, started_sources(plan_with(source.port)) as (sink,):
        source.is_mute = True
        sink.world({"roof": {"vm_pu": 1.01}})
        until(lambda: sink.state.error is not None)
        with pytest.raises(RunError, match="'roof': its grid source does not follow"):
            sink.world({"roof": {"vm_pu": 1.01}})


def test_a_source_that_is_not_there_is_told_before_the_run() -> None:
    with emulated() as source:
        port = source.port
    with pytest.raises(RunError, match="cannot be reached"), started_sources(plan_with(port)):
        pass


def test_a_run_says_that_an_output_is_off_and_at_its_end_how_the_source_followed(tmp_path: Path) -> None:
    events: list[tuple[int, str]] = []
    said: list[str] = []
    options, timing = LiveOptions(say=said.append), TimingLog(tmp_path / "t", tick_s=1.0, late_limit_s=1.0)

    def tell(step: int, text: str) -> None:
        events.append((step, text))

    with emulated() as source:
        with told_sources(plan_with(source.port), options, timing, tell) as (sink,):
            follow(sink, 1.05)
        place = f"127.0.0.1:{source.port}"
        warning = (
            f"roof: the output of its grid source at {place} is off and the run never switches it on: "
            "switch it on yourself"
        )
        assert said == [warning]
        assert events == [
            (0, warning),
            (
                0,
                f"roof: grid source at {place}: 1 updates in 0 steps, 0 frozen steps, 0 failures, last voltage 234.0 V",
            ),
        ]
        source.instrument.output = Output.ON
        events.clear()
        with told_sources(plan_with(source.port), options, timing, tell):
            assert events == []
        assert len(said) == 1
