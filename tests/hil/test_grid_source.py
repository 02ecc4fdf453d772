"""The port to a grid emulator: bounded steps, freezing, SCPI over TCP against an emulated source."""

import asyncio
import math
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.errors import SourceError
from hil_adapters.grid_source.base import Output, SourceLimits, Stepper
from hil_adapters.grid_source.commands import CommandSet, command_set_names, load_command_set
from hil_adapters.grid_source.emulated import EmulatedSource, Instrument, emulated_source
from hil_adapters.grid_source.feed import AtEnd, SourceFeed
from hil_adapters.grid_source.scpi import ScpiSource

LIMITS = SourceLimits(nominal_v=230.0, low_v=195.5, high_v=264.5, step_v=2.0)
WORDS = load_command_set("each_phase")


def wait_until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    tick = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        tick.wait(0.01)
    pytest.fail(f"nothing happened within {seconds:g} s")


@given(
    held_v=st.floats(180.0, 270.0),
    targets_v=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20),
)
@settings(deadline=None)
def test_no_step_is_larger_than_allowed_and_none_leaves_the_limits_once_inside(
    held_v: float, targets_v: list[float]
) -> None:
    stepper = Stepper(LIMITS, voltage_v=(held_v,), frequency_hz=50.0)
    was_inside = LIMITS.low_v <= held_v <= LIMITS.high_v
    for target in targets_v:
        (reached_v,) = stepper.next_voltage_v((target,))
        assert abs(reached_v - stepper.voltage_v[0]) <= LIMITS.step_v + 1e-9
        if was_inside:
            assert LIMITS.low_v <= reached_v <= LIMITS.high_v
        stepper.voltage_v = (reached_v,)


def test_a_target_within_a_step_is_reached_and_a_far_one_in_as_many_steps_as_it_takes() -> None:
    stepper = Stepper(LIMITS, voltage_v=(230.0, 230.0, 230.0), frequency_hz=50.0)
    assert stepper.next_voltage_v((231.5, 229.0, 236.0)) == (231.5, 229.0, 232.0)
    assert stepper.next_frequency_hz(50.2) == 50.2
    assert stepper.next_frequency_hz(53.0) == 50.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_target_that_is_no_number_is_refused(value: float) -> None:
    stepper = Stepper(LIMITS, voltage_v=(230.0,), frequency_hz=50.0)
    with pytest.raises(SourceError, match="not a number"):
        stepper.next_voltage_v((value,))
    with pytest.raises(SourceError, match="not a number"):
        stepper.next_frequency_hz(value)


def test_a_target_for_other_phases_than_there_are_is_refused() -> None:
    with pytest.raises(SourceError, match="2 values for 1 phases"):
        Stepper(LIMITS, voltage_v=(230.0,), frequency_hz=50.0).next_voltage_v((230.0, 230.0))


@pytest.mark.parametrize(
    "limits",
    [
        {"nominal_v": 230.0, "low_v": 231.0, "high_v": 264.0, "step_v": 1.0},
        {"nominal_v": 230.0, "low_v": 200.0, "high_v": 264.0, "step_v": 0.0},
        {"nominal_v": 230.0, "low_v": 200.0, "high_v": math.nan, "step_v": 1.0},
        {"nominal_v": 230.0, "low_v": 200.0, "high_v": 264.0, "step_v": 1.0, "low_hz": 51.0},
        {"nominal_v": 230.0, "low_v": 200.0, "high_v": 264.0, "step_v": 1.0, "current_a": 0.0},
    ],
    ids=["nominal below low", "no step", "no upper limit", "nominal frequency outside", "no current"],
)
def test_limits_that_cannot_be_meant_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(SourceError):
        SourceLimits(**limits)


@pytest.mark.parametrize("name", command_set_names())
def test_every_shipped_command_set_moves_the_emulated_source(name: str) -> None:
    words = load_command_set(name)

    async def run() -> Instrument:
        async with EmulatedSource() as emulated:
            source = ScpiSource("127.0.0.1", emulated.port, commands=words)
            assert "emulated" in await source.open()
            before = await source.configure(LIMITS)
            assert before.voltage_v == (230.0,) * words.phases
            assert before.output is Output.OFF
            assert await source.set_voltage((231.25,) * words.phases) == (231.25,) * words.phases
            assert await source.set_frequency(50.1) == 50.1
            await source.switch(Output.ON)
            after = await source.read()
            assert after.voltage_v == (231.25,) * words.phases
            assert after.output is Output.ON
            await source.close()
            return emulated.instrument

    instrument = asyncio.run(run())
    assert instrument.reading.voltage_v == (231.25, 231.25, 231.25)
    assert instrument.reading.frequency_hz == 50.1


def test_phases_are_set_one_by_one_and_each_is_checked_in_the_error_queue() -> None:
    async def run() -> list[str]:
        async with EmulatedSource() as emulated:
            source = ScpiSource("127.0.0.1", emulated.port, commands=WORDS)
            await source.open()
            await source.configure(LIMITS)
            emulated.instrument.lines.clear()
            await source.set_voltage((229.0, 230.5, 231.0))
            await source.close()
            assert emulated.instrument.reading.voltage_v == (229.0, 230.5, 231.0)
            return emulated.instrument.lines

    assert asyncio.run(run()) == [
        "INST:COUP NONE;:INST:NSEL 1;:VOLT:AC 229.00",
        "SYST:ERR?",
        "INST:COUP NONE;:INST:NSEL 2;:VOLT:AC 230.50",
        "SYST:ERR?",
        "INST:COUP NONE;:INST:NSEL 3;:VOLT:AC 231.00",
        "SYST:ERR?",
    ]


def test_a_source_that_sets_all_phases_together_refuses_unequal_ones() -> None:
    async def run() -> None:
        async with EmulatedSource() as emulated:
            source = ScpiSource("127.0.0.1", emulated.port, commands=load_command_set("all_phases"))
            await source.open()
            await source.configure(LIMITS)
            with pytest.raises(SourceError, match="equal values"):
                await source.set_voltage((229.0, 230.0, 231.0))
            assert emulated.instrument.reading.voltage_v == (230.0, 230.0, 230.0)
            await source.close()

    asyncio.run(run())


def test_what_the_source_refuses_is_told_with_its_own_words_and_the_queue_is_empty_afterwards() -> None:
    async def run() -> None:
        async with EmulatedSource(high_v=231.0) as emulated:
            source = ScpiSource("127.0.0.1", emulated.port, commands=WORDS)
            await source.open()
            await source.configure(LIMITS)
            with pytest.raises(SourceError, match="-222"):
                await source.set_voltage((230.5, 232.0, 230.5))
            # the phase before the refused one was moved, and the next step starts from there
            assert emulated.instrument.reading.voltage_v == (230.5, 230.0, 230.0)
            assert await source.set_voltage((228.0, 228.0, 228.0)) == (228.5, 228.0, 228.0)
            await source.close()

    asyncio.run(run())


def test_a_frozen_source_refuses_changes_may_be_switched_off_and_goes_on_after_the_thaw() -> None:
    async def run() -> None:
        async with EmulatedSource() as emulated:
            source = ScpiSource("127.0.0.1", emulated.port, commands=WORDS)
            await source.open()
            await source.configure(LIMITS)
            await source.switch(Output.ON)
            source.freeze()
            with pytest.raises(SourceError, match="frozen"):
                await source.set_voltage((231.0,) * 3)
            with pytest.raises(SourceError, match="frozen"):
                await source.set_frequency(50.1)
            assert emulated.instrument.reading.voltage_v == (230.0,) * 3
            await source.switch(Output.OFF)
            assert emulated.instrument.output is Output.OFF
            source.thaw()
            assert await source.set_voltage((231.0,) * 3) == (231.0,) * 3
            await source.close()

    asyncio.run(run())


def test_a_mute_source_is_found_at_the_deadline_and_the_connection_does_not_survive_it() -> None:
    async def run() -> None:
        async with EmulatedSource() as emulated:
            source = ScpiSource("127.0.0.1", emulated.port, commands=WORDS, timeout_s=0.2)
            await source.open()
            await source.configure(LIMITS)
            emulated.is_mute = True
            with pytest.raises(SourceError, match="did not answer"):
                await source.read()
            emulated.is_mute = False
            with pytest.raises(SourceError, match="open it first"):
                await source.read()
            await source.open()
            assert (await source.configure(LIMITS)).voltage_v == (230.0,) * 3
            await source.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "text"),
    [(b"nothing\n", "not a number"), (b"", "broke off"), (b"1" * 9000 + b"\n", "broke off")],
    ids=["no number", "closed", "endless line"],
)
def test_a_source_that_answers_nonsense_is_cut_off(answer: bytes, text: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"*IDN?\n")
        writer.write(b"nonsense\n")
        await reader.readline()
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        source = ScpiSource("127.0.0.1", server.sockets[0].getsockname()[1], commands=WORDS)
        assert await source.open() == "nonsense"
        with pytest.raises(SourceError, match=text):
            await source.read()
        with pytest.raises(SourceError, match="open it first"):
            await source.read()
        server.close()
        await server.wait_closed()

    asyncio.run(run())


def test_a_source_that_is_not_there_is_told_with_its_address() -> None:
    async def run() -> None:
        async with EmulatedSource() as gone:
            port = gone.port
        with pytest.raises(SourceError, match=f"127.0.0.1:{port}"):
            await ScpiSource("127.0.0.1", port, commands=WORDS).open()

    asyncio.run(run())


def test_the_current_limit_is_written_when_it_is_given_and_only_then() -> None:
    async def run() -> None:
        async with EmulatedSource() as emulated:
            source = ScpiSource("127.0.0.1", emulated.port, commands=WORDS)
            await source.open()
            await source.configure(LIMITS)
            assert emulated.instrument.current_a == 10.0
            await source.configure(
                SourceLimits(nominal_v=230.0, low_v=195.5, high_v=264.5, step_v=2.0, current_a=16.0)
            )
            assert emulated.instrument.current_a == 16.0
            await source.close()

    asyncio.run(run())


def test_without_limits_nothing_is_set() -> None:
    async def run() -> None:
        async with EmulatedSource() as emulated:
            source = ScpiSource("127.0.0.1", emulated.port, commands=WORDS)
            await source.open()
            with pytest.raises(SourceError, match="configure it first"):
                await source.set_voltage((230.0,) * 3)
            await source.close()

    asyncio.run(run())


def test_the_instrument_understands_long_and_short_words_and_reports_unknown_ones() -> None:
    instrument = Instrument()
    assert instrument.line("SOURce:VOLTage:AC 231;:SOUR:VOLT?") == "231.00"
    assert instrument.line("OUTPut:STATe ON;:OUTP?") == "1"
    assert instrument.line("VOLTS 1") == ""
    assert instrument.line("SYSTem:ERRor?") == '-113,"Undefined header"'
    assert (
        instrument.line("VOLT high;:VOLT;:VOLT 9999;:SYST:ERR?;:SYST:ERR?;:SYST:ERR?;:SYST:ERR?")
        == '-104,"Data type error";-109,"Missing parameter";-222,"Data out of range";0,"No error"'
    )


def test_the_command_set_of_the_documentation_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "grid_source.md").read_text(encoding="utf-8")
    file = tmp_path / "mine.yaml"
    file.write_text(text.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    words = load_command_set(file)
    assert (
        words.filled(words.set_voltage, value=230.456, phase=2)
        == "INST:COUP NONE;:INST:NSEL 2;:VOLT:AC 230.46"
    )
    for name in command_set_names():
        assert f"`{name}`" in text


def test_a_command_set_with_mistakes_names_each_with_its_field(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\ntitle: Mine\nsource: none\nphases: 2\nset_voltage: VOLT\n", encoding="utf-8")
    with pytest.raises(SourceError) as caught:
        load_command_set(file)
    assert "phases" in str(caught.value)
    assert "get_voltage" in str(caught.value)


def test_a_command_set_without_a_place_for_its_value_is_refused() -> None:
    content = WORDS.model_dump() | {"set_frequency": "FREQ 50"}
    with pytest.raises(ValueError, match="set_frequency has no"):
        CommandSet.model_validate(content)
    with pytest.raises(SourceError, match="shipped ones: all_phases"):
        load_command_set("nothing")
    with pytest.raises(ValueError, match="cannot be written"):
        WORDS.filled("VOLT {value}", value=math.nan)


def test_a_feed_moves_the_source_step_by_step_and_a_diverged_power_flow_holds_it() -> None:
    with emulated_source() as emulated:
        source = ScpiSource("127.0.0.1", emulated.port, commands=WORDS)
        with SourceFeed(source, LIMITS) as feed:
            feed.follow((235.0,) * 3)
            wait_until(lambda: feed.state.updates == 1)
            assert emulated.instrument.reading.voltage_v == (232.0,) * 3
            assert feed.hold().frozen_steps == 1
            assert source.is_frozen
            feed.follow((235.0,) * 3, frequency_hz=50.2)
            wait_until(lambda: feed.state.updates == 2)
            assert emulated.instrument.reading.voltage_v == (234.0,) * 3
            assert emulated.instrument.reading.frequency_hz == 50.2
            assert feed.state.error is None
        assert emulated.instrument.reading.voltage_v == (234.0,) * 3


def test_a_feed_that_gets_no_number_tells_it_and_leaves_the_source_where_it_is() -> None:
    with emulated_source() as emulated:
        source = ScpiSource("127.0.0.1", emulated.port, commands=WORDS)
        with SourceFeed(source, LIMITS) as feed:
            feed.follow((math.nan,) * 3)
            wait_until(lambda: feed.state.failures == 1)
            assert "not a number" in str(feed.state.error)
            assert emulated.instrument.reading.voltage_v == (230.0,) * 3
            feed.follow((231.0,) * 3)
            wait_until(lambda: feed.state.updates == 1)
            assert feed.state.error is None


def test_a_feed_connects_again_after_the_source_fell_silent() -> None:
    with emulated_source() as emulated:
        source = ScpiSource("127.0.0.1", emulated.port, commands=WORDS, timeout_s=0.2)
        with SourceFeed(source, LIMITS) as feed:
            emulated.is_mute = True
            feed.follow((231.0,) * 3)
            wait_until(lambda: feed.state.failures == 1)
            emulated.is_mute = False
            feed.follow((231.0,) * 3)
            wait_until(lambda: feed.state.updates == 1)
            assert feed.state.error is None


@pytest.mark.parametrize(
    ("at_end", "voltage_v", "output"),
    [(AtEnd.HOLD, 232.0, Output.ON), (AtEnd.NOMINAL, 230.0, Output.ON), (AtEnd.OFF, 232.0, Output.OFF)],
)
def test_at_its_end_a_feed_does_what_was_declared(at_end: AtEnd, voltage_v: float, output: Output) -> None:
    with emulated_source() as emulated:
        emulated.instrument.output = Output.ON
        source = ScpiSource("127.0.0.1", emulated.port, commands=WORDS)
        with SourceFeed(source, LIMITS, at_end=at_end) as feed:
            feed.follow((235.0,) * 3)
            wait_until(lambda: feed.state.updates == 1)
        assert emulated.instrument.reading.voltage_v == (voltage_v,) * 3
        assert emulated.instrument.output is output


def test_a_feed_knows_the_output_it_found_and_the_one_it_left() -> None:
    with emulated_source() as emulated:
        source = ScpiSource("127.0.0.1", emulated.port, commands=WORDS)
        with SourceFeed(source, LIMITS) as feed:
            outputs = [feed.state.output]
        emulated.instrument.output = Output.ON
        with SourceFeed(source, LIMITS, at_end=AtEnd.OFF) as feed:
            outputs.append(feed.state.output)
        outputs.append(feed.state.output)
    assert outputs == [Output.OFF, Output.ON, Output.OFF]


def test_a_feed_without_a_source_does_not_start() -> None:
    with emulated_source() as gone:
        port = gone.port
    with (
        pytest.raises(SourceError, match=r"cannot be reached \(ECONNREFUSED: Connection refused\)"),
        SourceFeed(ScpiSource("127.0.0.1", port, commands=WORDS), LIMITS),
    ):
        pytest.fail("it started")
