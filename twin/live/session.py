"""Around one strategy in real time: the host of virtual devices, the guardian, the pace, and what came of them."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from hil_adapters.errors import HilError
from hil_adapters.guard.messages import GuardianConfig, GuardState
from twin.errors import InputError, RunError
from twin.hil import HilPlan, HilSlot
from twin.live.garbage import short_collections
from twin.live.guardians import GuardianGroup, arm, await_readings, guarding
from twin.live.hang import WatchedPace
from twin.live.repeats import Repeats
from twin.live.replay import RecordedClock, RecordingGuardian, ReplayedGuardian, exchange_file
from twin.live.signals import stop_on_signals
from twin.live.timing import TimingLog
from twin.loop_gain import LoopVerdict
from twin.results import layout
from twin.scenario.live import LiveSpec
from twin.simulators.exchange import HilExchange, WorldSink
from twin.simulators.pace import LatePolicy, Pace, RealTimePace, Schedule, Unpaced
from twin.simulators.sources import SourceSink, started_sources
from twin.virtual.config import HostConfig
from twin.virtual.link import HostLink, started_host

__all__ = [
    "LiveMode",
    "LiveOptions",
    "LiveSession",
    "LiveTold",
    "check_live",
    "live_session",
    "replay_session",
    "told_sources",
]

_LEAST_FEED_TIMEOUT_S = 2.0
_FEED_TICKS = 3
_LEAST_HANG_S = 10.0
_HANG_TICKS = 20


class LiveMode(StrEnum):
    """What a run may do to real devices. Virtual ones are always commanded."""

    NONE = "none"
    """There must not be any."""
    DRY_RUN = "dry_run"
    """They are read as with READ_ONLY; set-points are checked and logged as they would be written, and are not written."""
    READ_ONLY = "read_only"
    ARMED = "armed"
    REPLAY = "replay"
    """No device at all: what an earlier run recorded."""


_STATES = {
    LiveMode.NONE: GuardState.OFF,
    LiveMode.DRY_RUN: GuardState.DRY_RUN,
    LiveMode.READ_ONLY: GuardState.READ_ONLY,
    LiveMode.ARMED: GuardState.ARMED,
}
"""State of the guardian of real devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """How a run meets its devices."""

    mode: LiveMode = LiveMode.NONE
    confirm: Callable[[HilSlot], str] = lambda _: ""
    """Asks a person to type name and serial number of a device that is to be armed."""
    say: Callable[[str], None] = lambda _: None
    """Shows a person what they must know while the run starts, such as addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTold:
    """What a run in real time has to tell of itself."""

    details: Mapping[str, Any]
    """Mode, punctuality, devices and how their readings were; for the manifest."""
    invalid: tuple[str, ...]
    """Why the run does not count; empty where it does."""


class _TellingPace:
    """Passes on, after each step, what devices told."""

    def __init__(self, pace: Pace, exchange: HilExchange | None, tell: Callable[[int, str], None]) -> None:
        self._pace, self._exchange, self._tell = pace, exchange, tell
        self._repeats = Repeats()

    def begin_step(self, step: int) -> None:
        self._pace.begin_step(step)

    def end_step(self, step: int) -> None:
        if self._exchange is not None:
            for event in self._exchange.take_events():
                for text in self._repeats.take(event):
                    self._tell(step, text)
        self._pace.end_step(step)


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveSession:
    """A run in real time while it lasts."""

    exchange: HilExchange | None
    """None where no device is on the wire."""
    pace: Pace
    timing: TimingLog
    spec: LiveSpec
    mode: LiveMode
    plan: HilPlan
    loop: LoopVerdict | None = None
    """How strongly devices and feeder act on each other; None where no device sees the simulated voltage."""

    def told(self) -> LiveTold:
        """Return what the run has to tell so far."""
        summary = self.timing.summary()
        details = {
            "mode": self.mode.value,
            "speed": self.spec.speed,
            "loop": None
            if self.loop is None
            else {"gain": self.loop.gain, "alpha": self.loop.alpha, "text": self.loop.text},
            "timing": None if summary is None else asdict(summary),
            "devices": [self._device(slot) for slot in self.plan.slots],
        }
        return LiveTold(details=details, invalid=self._invalid())

    def _invalid(self) -> tuple[str, ...]:
        """Return why the run does not count: steps too late, or too many readings that were not live."""
        limits, reasons = self.spec.invalid_if, []
        summary = self.timing.summary()
        if summary is not None and summary.late_share > limits.late_share:
            reasons.append(
                f"{summary.late_share * 100:.1f} % of the steps were late, the limit is {limits.late_share * 100:.1f} %"
            )
        if summary is not None and summary.clock_jumps:
            reasons.append(f"the clock of the machine was set {summary.clock_jumps} times during the run")
        if self.exchange is None:
            return tuple(reasons)
        reasons += [
            f"{device}: its guard tripped and it was not commanded from then on"
            for device in self.exchange.tripped
        ]
        reasons += [
            f"{device}: was disarmed during the run and not commanded from then on"
            for device in self.exchange.disarmed
        ]
        for device, signal, share in self.exchange.stale_shares():
            if share > limits.stale_share:
                reasons.append(
                    f"{device}: {share * 100:.1f} % of the readings of {signal} were held or substituted, the limit is "
                    f"{limits.stale_share * 100:.1f} %"
                )
        return tuple(reasons)

    def _device(self, slot: HilSlot) -> dict[str, Any]:
        tallies = {} if self.exchange is None else self.exchange.tallies
        return {
            "name": slot.name,
            "hardware": slot.is_hardware,
            "map": slot.map_file.stem,
            "serial": slot.serial,
            "stands_for": slot.stands_for,
            "alpha": slot.alpha,
            "readings": {
                signal: {
                    **{source.value: count for source, count in tally.steps.items()},
                    "oldest_s": tally.oldest_s,
                }
                for (device, signal), tally in tallies.items()
                if device == slot.name
            },
        }


def check_live(plan: HilPlan, spec: LiveSpec, mode: LiveMode) -> None:
    """Refuse what real devices do not allow.

    Raises:
        InputError: real devices in a run that is not made for them, or time that does not pass as theirs does.
    """
    if not plan.hardware:
        return
    names = ", ".join(slot.name for slot in plan.hardware)
    if mode is LiveMode.NONE:
        raise InputError(
            f"{names}: as: hardware; run it with `twin live SCENARIO --read-only`, or --armed to command it"
        )
    if spec.speed != 1.0:
        raise InputError(
            f"live.speed {spec.speed:g}: {names}: a real device lives in real time; write speed: 1"
        )
    if mode is LiveMode.ARMED and LatePolicy(spec.on_late) is LatePolicy.CATCH_UP:
        raise InputError(
            f"live.on_late: catch_up: {names}: commands to a real device are never hurried; write skip or abort"
        )


@contextmanager
def live_session(
    plan: HilPlan,
    spec: LiveSpec,
    options: LiveOptions,
    *,
    dt_s: float,
    folder: Path,
    tell: Callable[[int, str], None],
) -> Iterator[LiveSession]:
    """Start everything that a run in real time needs, and end it safely: devices are released before it is left.

    Args:
        plan: devices on the wire; may be none (a strategy outside needs real time too).
        spec: the scenario's ``live`` block.
        options: what may be done to real devices.
        dt_s: simulated length of a step [s].
        folder: of the strategy; gets ``timing.jsonl`` and ``devices/``.
        tell: is given a step and what a device did, in words.

    Raises:
        InputError: the mode does not allow what the plan holds, or a person did not confirm.
        RunError: a process does not start, or a device does not answer.
    """
    check_live(plan, spec, options.mode)
    tick_s = dt_s / spec.speed
    timing = TimingLog(
        folder / layout.TIMING,
        tick_s=tick_s,
        late_limit_s=tick_s if spec.late_limit is None else spec.late_limit,
    )
    sources = partial(told_sources, plan, options, timing, tell)
    stop = threading.Event()
    schedule = Schedule(tick_s=tick_s, policy=LatePolicy(spec.on_late))
    with ExitStack() as closing:
        closing.enter_context(stop_on_signals(stop))
        closing.enter_context(short_collections())
        exchange = (
            closing.enter_context(
                _devices(plan, spec, options, tick_s=tick_s, folder=folder, stop=stop, sources=sources)
            )
            if plan
            else None
        )
        real_time = RealTimePace(schedule, stop=stop, on_timing=timing.add)
        watched = closing.enter_context(
            WatchedPace(
                _TellingPace(real_time, exchange, tell), limit_s=max(_LEAST_HANG_S, _HANG_TICKS * tick_s)
            )
        )
        yield LiveSession(
            exchange=exchange, pace=watched, timing=timing, spec=spec, mode=options.mode, plan=plan
        )


def replay_session(
    plan: HilPlan, spec: LiveSpec, *, recorded: Path, folder: Path, tell: Callable[[int, str], None]
) -> LiveSession:
    """Return a session that repeats the recording of the strategy in the folder ``recorded``, as fast as it goes.

    Raises:
        RunFolderError: there is no recording.
    """
    clock = RecordedClock()
    guardian = ReplayedGuardian(exchange_file(recorded), clock)
    exchange = HilExchange(plan, guardian, expires_s=1.0, clock=clock)
    return LiveSession(
        exchange=exchange,
        pace=_TellingPace(Unpaced(), exchange, tell),
        timing=TimingLog(folder / layout.TIMING, tick_s=1.0, late_limit_s=1.0),
        spec=spec,
        mode=LiveMode.REPLAY,
        plan=plan,
    )


@contextmanager
def _devices(
    plan: HilPlan,
    spec: LiveSpec,
    options: LiveOptions,
    *,
    tick_s: float,
    folder: Path,
    stop: threading.Event,
    sources: Callable[[], AbstractContextManager[tuple[SourceSink, ...]]],
) -> Iterator[HilExchange]:
    """Start host and guardians, arm what may be armed, and wait for the first readings.

    Virtual and real devices have a guardian each: that of the real ones cannot be armed unless the run was started so.
    """
    devices = folder / layout.DEVICES
    feed_timeout_s = spec.feed_timeout
    if feed_timeout_s is None:
        feed_timeout_s = max(_LEAST_FEED_TIMEOUT_S, _FEED_TICKS * tick_s)
    clock = RecordedClock()
    try:
        with ExitStack() as closing:
            host = _host(closing, plan, spec, devices) if plan.virtual else None
            guardians = GuardianGroup()
            for slots, state, name in (
                (plan.virtual, GuardState.ARMED, "virtual"),
                (plan.hardware, _STATES[options.mode], "hardware"),
            ):
                if not slots:
                    continue
                config = GuardianConfig(
                    devices=tuple(
                        slot.device_config(
                            None if slot.is_hardware or host is None else host.ports[slot.name]
                        )
                        for slot in slots
                    ),
                    state=state,
                    poll_s=spec.poll,
                    feed_timeout_s=feed_timeout_s,
                    armed_for_s=spec.armed_for,
                    folder=devices / name,
                    step_s=tick_s,
                )
                link = closing.enter_context(guarding(config, options.say))
                guardians.add(link, [slot.name for slot in slots])
                await_readings(link, slots, stop=stop)
                if options.mode is LiveMode.ARMED:
                    arm(link, [slot for slot in slots if slot.is_hardware], options.confirm)
            worlds: list[tuple[WorldSink, list[str]]] = []
            if host is not None:
                worlds.append((host, [slot.name for slot in plan.virtual]))
            if options.mode is LiveMode.ARMED:
                worlds += [(sink, [sink.device]) for sink in closing.enter_context(sources())]
            recorded = RecordingGuardian(guardians, exchange_file(folder), clock)
            yield HilExchange(plan, recorded, worlds=worlds, expires_s=feed_timeout_s, clock=clock)
    except HilError as error:
        raise RunError(str(error)) from error


@contextmanager
def told_sources(
    plan: HilPlan, options: LiveOptions, timing: TimingLog, tell: Callable[[int, str], None]
) -> Iterator[tuple[SourceSink, ...]]:
    """Start the grid sources; tell which are off, and at the end how each followed the feeder."""
    sinks: tuple[SourceSink, ...] = ()
    try:
        with started_sources(plan) as sinks:
            for warning in (sink.warning for sink in sinks):
                if warning is not None:
                    options.say(warning)
                    tell(0, warning)
            yield sinks
    finally:
        summary = timing.summary()
        n_steps = 0 if summary is None else summary.n_steps
        for sink in sinks:
            tell(n_steps, sink.summary(n_steps))


def _host(closing: ExitStack, plan: HilPlan, spec: LiveSpec, folder: Path) -> HostLink:
    configs = [slot.host_config(_faults_file(slot, folder)) for slot in plan.virtual]
    config = HostConfig.model_validate({"devices": configs, "speed": spec.speed})
    return closing.enter_context(started_host(config))


def _faults_file(slot: HilSlot, folder: Path) -> Path | None:
    """Write the fault rules that stand in the scenario itself to a file of their own, which is kept with the run."""
    inside = slot.emulated
    if inside is None or not inside.faults:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"faults-{slot.name.replace('/', '_')}.yaml"
    file.write_text(
        json.dumps({"format": 1, "rules": [dict(rule) for rule in inside.faults]}), encoding="utf-8"
    )
    return file
