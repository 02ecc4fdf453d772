"""What every device on the wire has to do. Runs against virtual ones, and against a real one in a lab:

``pytest tests/contract/test_device_contract.py --hil-host 192.168.1.20 --hil-map sunspec_pv --hil-serial SN123``

Nothing is written to a real device unless ``--hil-write p_limit_kw=0:2`` says what may be tried; a person must then be able to
switch it off.
"""

import asyncio
import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from hil_adapters.acceptance.judging import implausible
from hil_adapters.acceptance.options import AcceptanceOptions
from hil_adapters.acceptance.results import Outcome
from hil_adapters.acceptance.snapshot import snapshot
from hil_adapters.acceptance.suite import run_acceptance
from hil_adapters.device.events import Cycle, SessionState
from hil_adapters.device.session import DeviceSession
from hil_adapters.device.statistics import Cause
from hil_adapters.errors import IdentityError
from hil_adapters.guard.messages import Limits
from hil_adapters.maps.loader import load_map, map_file
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.samples import Quality
from hil_adapters.wire.base import Target, TcpTarget
from hil_adapters.wire.targets import parse_target
from twin.virtual.config import HostConfig, PhysicsConfig, VirtualDeviceConfig
from twin.virtual.link import started_host

Found = TypeVar("Found")
VIRTUAL = {
    "sunspec_pv": (PhysicsConfig(kind="pv_inverter", inputs={"p_available_kw": -4.0}), "p_limit_kw"),
    "sunspec_battery": (PhysicsConfig(kind="battery"), "p_set_kw"),
    "generic_meter": (PhysicsConfig(kind="meter", inputs={"p_kw": 1.5}), None),
    "generic_charger": (PhysicsConfig(kind="ev_charger"), "p_limit_kw"),
}


@dataclasses.dataclass(frozen=True)
class Subject:
    """The device under test."""

    map: RegisterMap
    file: Path
    target: Target
    unit: int
    serial: str | None
    limits: dict[str, Limits]
    """By command; only these may be written."""
    writes: Path | None
    """Log of the writes that reached a virtual one."""

    def session(self, **changes: object) -> DeviceSession:
        """Return a session with it."""
        return DeviceSession(
            self.map, self.target, self.unit, serial=str(changes.get("serial", self.serial or "")) or None
        )


def limits_of(given: list[str]) -> dict[str, Limits]:
    found = {}
    for text in given:
        command, _, bounds = text.partition("=")
        low, _, high = bounds.partition(":")
        found[command] = Limits(low=float(low), high=float(high))
    return found


def real_subject(config: pytest.Config, host: str) -> Subject:
    name = config.getoption("--hil-map")
    if name is None:
        pytest.fail("--hil-host needs --hil-map")
    register_map = load_map(name)
    target = parse_target(host)
    if isinstance(target, TcpTarget) and ":" not in host:
        port = config.getoption("--hil-port")
        target = dataclasses.replace(target, port=register_map.link.port if port is None else port)
    unit = config.getoption("--hil-unit")
    return Subject(
        map=register_map,
        file=map_file(name).absolute(),
        target=target,
        unit=register_map.link.unit if unit is None else unit,
        serial=config.getoption("--hil-serial"),
        limits=limits_of(config.getoption("--hil-write") or []),
        writes=None,
    )


def quick(name: str, folder: Path) -> Path:
    """Write a copy of a shipped map whose watchdogs take five seconds, so that the tests do."""
    text = map_file(name).read_text(encoding="utf-8").replace("timeout_s: 30", "timeout_s: 5")
    file = folder / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@contextlib.contextmanager
def virtual_subject(name: str, folder: Path) -> Iterator[Subject]:
    physics, command = VIRTUAL[name]
    file, log = quick(name, folder), folder / f"{name}.jsonl"
    device = VirtualDeviceConfig(
        name=name, map=str(file), physics=physics, serial="SN-77", write_log=str(log)
    )
    with started_host(HostConfig(devices=(device,))) as host:
        register_map = load_map(file)
        low = 0.5 if command == "p_limit_kw" else -1.5
        yield Subject(
            map=register_map,
            file=file,
            target=TcpTarget(host="127.0.0.1", port=host.ports[name]),
            unit=register_map.link.unit,
            serial="SN-77",
            limits={} if command is None else {command: Limits(low=low, high=2.5)},
            writes=log,
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject" in metafunc.fixturenames:
        host = metafunc.config.getoption("--hil-host", default=None)
        metafunc.parametrize(
            "subject", list(VIRTUAL) if host is None else [host], indirect=True, scope="module"
        )


@pytest.fixture(scope="module")
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """The device that is tested."""
    host = request.config.getoption("--hil-host", default=None)
    if host is not None:
        yield real_subject(request.config, host)
    else:
        with virtual_subject(request.param, tmp_path_factory.mktemp("device")) as virtual:
            yield virtual


def with_session(subject: Subject, work: Callable[[DeviceSession], Awaitable[Found]]) -> Found:
    """Connect, do something, and close."""

    async def run() -> Found:
        session = subject.session()
        try:
            await session.connect()
            return await work(session)
        finally:
            await session.close()

    return asyncio.run(run())


def polled(subject: Subject, *, seconds: float, poll_s: float) -> tuple[DeviceSession, list[Cycle]]:
    """Poll for a while and return the session and its cycles."""

    async def work(session: DeviceSession) -> list[Cycle]:
        cycles: list[Cycle] = []
        done = asyncio.Event()
        ends_s = time.monotonic() + seconds

        async def after(cycle: Cycle) -> None:
            cycles.append(cycle)
            if time.monotonic() >= ends_s:
                done.set()

        polling = asyncio.create_task(session.run(poll_s, after))
        try:
            await asyncio.wait_for(done.wait(), seconds + 30.0)
        finally:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        return cycles

    kept: list[DeviceSession] = []

    async def keep(session: DeviceSession) -> list[Cycle]:
        kept.append(session)
        return await work(session)

    cycles = with_session(subject, keep)
    return kept[0], cycles


def test_it_says_who_it_is_and_says_the_same_again(subject: Subject) -> None:
    async def who(session: DeviceSession) -> object:
        return session.identity

    first, second = with_session(subject, who), with_session(subject, who)
    assert first is not None
    assert first == second


def test_another_serial_number_is_refused(subject: Subject) -> None:
    async def work() -> None:
        session = subject.session(serial="no such serial number")
        try:
            await session.connect()
        finally:
            await session.close()

    with pytest.raises(IdentityError):
        asyncio.run(work())


def test_every_signal_has_a_value_that_can_be_true(subject: Subject) -> None:
    session, _ = polled(subject, seconds=1.0, poll_s=0.1)
    signals = session.signals()
    assert signals
    assert [name for name, sample in signals.items() if sample.quality is Quality.BAD] == []
    told = [implausible(name, sample.value, rated_kw=None) for name, sample in signals.items()]
    assert [why for why in told if why is not None] == []


def test_every_point_can_be_read_or_says_why_not(subject: Subject) -> None:
    readings = with_session(subject, snapshot)
    assert [reading.point.name for reading in readings if not reading.registers] == []
    assert all(reading.reason for reading in readings if reading.value is None)


def test_it_answers_for_seconds_without_a_failure(subject: Subject) -> None:
    session, cycles = polled(subject, seconds=1.5, poll_s=0.2)
    failures = {cause: count for cause, count in session.statistics.causes.items() if cause is not Cause.GOOD}
    assert failures == {}
    assert all(cycle.answered for cycle in cycles[1:])
    assert session.statistics.latency.p99_s < session.timeout_s


def test_it_is_found_again_after_the_connection_was_dropped(subject: Subject) -> None:
    async def work(session: DeviceSession) -> tuple[int, SessionState]:
        await session.give_up("the contract test drops the connection")
        await session.connect()
        return session.connection, session.state

    assert with_session(subject, work) == (2, SessionState.IDENTIFIED)


def test_reading_writes_nothing(subject: Subject) -> None:
    if subject.writes is None:
        pytest.skip("a real device does not tell what was written to it")
    before = subject.writes.read_text(encoding="utf-8")
    polled(subject, seconds=0.5, poll_s=0.1)
    with_session(subject, snapshot)
    assert subject.writes.read_text(encoding="utf-8") == before


@pytest.mark.slow
def test_it_passes_its_acceptance_test(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="contract-") as place:
        monkeypatch.setenv("GEMELLO_RUNTIME_DIR", place)
        options = AcceptanceOptions(
            map_file=subject.file,
            target=subject.target,
            unit=subject.unit,
            folder=Path(place) / "evidence",
            serial=subject.serial,
            confirmation=subject.serial if subject.limits else None,
            limits=subject.limits,
            seconds=1.0,
        )
        result = asyncio.run(run_acceptance(options, watch=lambda _: None))
    failed = [
        f"{check.name}: {check.text}"
        for check in result.results
        if check.outcome is Outcome.FAILED and check.needed
    ]
    assert failed == []
    assert set(result.report.watchdog) == set(subject.limits)


def test_it_takes_no_write_without_a_person(subject: Subject) -> None:
    with tempfile.TemporaryDirectory(prefix="contract-") as place:
        options = AcceptanceOptions(
            map_file=subject.file,
            target=subject.target,
            unit=subject.unit,
            folder=Path(place) / "evidence",
            serial=subject.serial,
            limits=subject.limits,
            seconds=1.0,
        )
        result = asyncio.run(run_acceptance(options, watch=lambda _: None))
    assert result.writes == 0
