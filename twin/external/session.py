"""The outside while a run lasts: emulated devices, the EMS that the run started, and the record of both."""

import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from hil_adapters.virtual.bank import WriteRecord
from twin.control.base import Observation, Site
from twin.errors import RunError
from twin.external.emulated import Command, Emulated, Reading
from twin.external.process import environment, last_words, started
from twin.external.records import Book, addresses_file, log_file
from twin.external.seam import Around, Measured
from twin.external.serving import Server, serving
from twin.external.slots import Role, Slot
from twin.units import SECONDS_PER_HOUR

__all__ = ["Session", "Setting", "emulated"]

_SILENT_S: Final = 5.0
_SILENT_TICKS: Final = 5
_TOLD_CHANGES: Final = 20
"""Changes of a device between commanded and not that are told one by one; the record has all."""
_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How the outside is let in."""

    slots: tuple[Slot, ...]
    host: str
    allow: tuple[str, ...]
    timeout_s: float | None
    connect_s: float
    words: tuple[str, ...]
    """Program to start; none where the EMS comes by itself."""


class Session:
    """Emulated devices that are served; made by :meth:`opened`."""

    def __init__(self, site: Site, setting: Setting, around: Around, server: Server) -> None:
        self._site, self._setting, self._around, self._server = site, setting, around, server
        self._book = Book(around.folder)
        self._ems: subprocess.Popen[bytes] | None = None
        self._writes: deque[tuple[str, WriteRecord]] = deque()
        self._watch = _Watch(around, silent_s=max(_SILENT_S, _SILENT_TICKS * site.dt_s / around.speed))
        self._steps = self._commanded = 0
        for device in server.devices:
            device.device.bank.on_record(_kept(self._writes, device.slot.name))

    @classmethod
    @contextmanager
    def opened(cls, site: Site, setting: Setting, around: Around) -> Iterator[Self]:
        """Serve, start the EMS, wait for a first request; all of it ends with the block.

        Raises:
            InputError: a map does not fit, or the EMS cannot be started.
            RunError: an address cannot be used, or nobody asked for anything in time.
        """
        around.folder.mkdir(parents=True, exist_ok=True)
        devices = emulated(setting.slots, site, around.base_dir)
        with ExitStack() as closing:
            server, ports = closing.enter_context(serving(devices, host=setting.host, allow=setting.allow))
            session = cls(site, setting, around, server)
            addresses = session._announce(ports)
            if setting.words:
                session._ems = closing.enter_context(session._started_ems(addresses))
            session._await_request()
            try:
                yield session
            finally:
                session._summarise()

    def take(self, seen: Observation) -> Mapping[str, Command]:
        """Return what is in force at the beginning of a step, and show the states of charge of this moment."""

        def work(now_s: float) -> tuple[dict[str, Command], dict[str, float], float]:
            commands: dict[str, Command] = {}
            for device in self._server.devices:
                if device.slot.role is Role.BATTERY:
                    device.show_soc(float(seen.soc[device.slot.position]))
                commands[device.slot.name] = device.command(now_s=now_s, timeout_s=self._setting.timeout_s)
            ages_s = {device.slot.name: device.write_age_s(now_s) for device in self._server.devices}
            silent_s = min(device.request_age_s(now_s) for device in self._server.devices)
            return commands, ages_s, silent_s

        commands, write_age_s, silent_s = self._server.do(work)
        self._keep_writes(seen.step)
        self._book.step(seen.step, commands, write_age_s)
        self._watch.step(seen.step, commands, silent_s)
        self._watch.ems(seen.step, self._ems)
        self._steps += 1
        self._commanded += any(command.is_given for command in commands.values())
        return commands

    def show(self, measured: Measured) -> None:
        """Show what was measured in a step."""
        dt_h = self._site.dt_s / SECONDS_PER_HOUR

        def work(_: float) -> None:
            for device in self._server.devices:
                device.show(_reading(device.slot, measured, self._site), dt_h=dt_h)

        self._server.do(work)

    def _announce(self, ports: Mapping[str, int]) -> dict[str, dict[str, object]]:
        """Write down and say where each device answers."""
        addresses: dict[str, dict[str, object]] = {
            slot.name: {
                "host": self._setting.host,
                "port": ports[slot.name],
                "unit": slot.unit,
                "map": slot.map,
            }
            for slot in self._setting.slots
        }
        self._book.addresses(addresses)
        for name, address in addresses.items():
            text = f"{name} answers at {address['host']}:{address['port']} unit {address['unit']} ({address['map']})"
            self._around.tell(0, text)
            self._around.say(text)
        return addresses

    def _started_ems(
        self, addresses: Mapping[str, Mapping[str, object]]
    ) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        around = self._around
        variables = environment(
            addresses, tick_s=self._site.dt_s / around.speed, addresses_file=addresses_file(around.folder)
        )
        return started(
            self._setting.words, cwd=around.base_dir, variables=variables, log=log_file(around.folder)
        )

    def _await_request(self) -> None:
        """Return as soon as somebody has asked for anything."""
        left_s = self._setting.connect_s
        if left_s > 0.0 and not self._setting.words:
            self._around.say(f"waiting for the EMS, at most {left_s:g} s")
        while left_s > 0.0 and not self._server.heard.wait(min(left_s, _LOOK_S)):
            left_s -= _LOOK_S
            if self._ems is not None and self._ems.poll() is not None:
                said = last_words(log_file(self._around.folder))
                raise RunError(
                    f"the EMS ended with status {self._ems.poll()} before its first request: {said}"
                )
        if self._setting.connect_s > 0.0 and not self._server.heard.is_set():
            raise RunError(
                f"no EMS asked for anything within connect_s {self._setting.connect_s:g} s; start it while the run waits, "
                "give its 'command', or wait longer"
            )

    def _keep_writes(self, step: int) -> None:
        writes = [self._writes.popleft() for _ in range(len(self._writes))]
        self._book.writes(step, writes)
        self._watch.writers(step, ((name, record.peer) for name, record in writes if record.refused is None))

    def _summarise(self) -> None:
        self._keep_writes(self._steps)
        share = self._commanded / self._steps if self._steps else 0.0
        self._around.tell(
            max(self._steps - 1, 0), f"commands were in force in {100.0 * share:.1f} % of the steps"
        )


class _Watch:
    """Tells when devices become commanded or free, when the outside falls silent, and when the EMS ends."""

    def __init__(self, around: Around, *, silent_s: float) -> None:
        self._around, self._silent_s = around, silent_s
        self._given: dict[str, bool] = {}
        self._changes: dict[str, int] = {}
        self._writers: dict[str, list[str]] = {}
        self._is_silent = self._has_ended = False

    def step(self, step: int, commands: Mapping[str, Command], silent_s: float) -> None:
        """Look at one step; ``silent_s`` is how long nobody has asked for anything [s]."""
        for name, command in commands.items():
            if command.is_given is not self._given.get(name, False):
                self._given[name] = command.is_given
                self._tell_change(step, name, command)
        is_silent = silent_s > self._silent_s
        if is_silent is not self._is_silent:
            self._is_silent = is_silent
            text = f"has not asked for anything for {silent_s:.1f} s" if is_silent else "asks again"
            self._around.tell(step, f"the EMS {text}")

    def writers(self, step: int, writes: Iterable[tuple[str, str]]) -> None:
        """Look at who wrote to which device; whoever comes beside the first is told once."""
        for name, peer in writes:
            known = self._writers.setdefault(name, [])
            if peer in known:
                continue
            if known:
                self._around.tell(
                    step,
                    f"{name} is written to by {peer} as well as by {known[0]}; let one EMS command a device",
                )
            known.append(peer)

    def ems(self, step: int, process: "subprocess.Popen[bytes] | None") -> None:
        """Look at the EMS that the run started."""
        if process is None or self._has_ended or process.poll() is None:
            return
        self._has_ended = True
        said = last_words(log_file(self._around.folder))
        self._around.tell(step, f"the EMS ended with status {process.poll()}: {said}")

    def _tell_change(self, step: int, name: str, command: Command) -> None:
        count = self._changes[name] = self._changes.get(name, 0) + 1
        if count > _TOLD_CHANGES:
            return
        text = "is commanded" if command.is_given else "is without a command"
        more = "; further changes are in its record only" if count == _TOLD_CHANGES else ""
        self._around.tell(step, f"{name} {text}{more}")


def emulated(slots: Sequence[Slot], site: Site, base_dir: Path) -> list[Emulated]:
    """Return the devices of slots; a battery counts as empty until the first step tells its state of charge.

    Raises:
        InputError: a map is not there or does not fit.
    """
    return [
        Emulated.of(
            slot,
            base_dir=base_dir,
            soc=float(site.battery.soc_min[slot.position]) if slot.role is Role.BATTERY else None,
        )
        for slot in slots
    ]


def _reading(slot: Slot, measured: Measured, site: Site) -> Reading:
    at = slot.position
    if slot.role is Role.METER:
        return Reading(
            p_kw=float(measured.home_p_kw[at]),
            q_kvar=float(measured.home_q_kvar[at]),
            vm_pu=float(measured.vm_pu[at]),
        )
    home = {Role.PV: site.pv_home, Role.BATTERY: site.battery_home, Role.APPLIANCE: site.appliance_home}
    powers = {
        Role.PV: (measured.pv_p_kw, measured.pv_q_kvar),
        Role.BATTERY: (measured.battery_p_kw, measured.battery_q_kvar),
        Role.APPLIANCE: (measured.appliance_p_kw, measured.appliance_q_kvar),
    }
    p_kw, q_kvar = powers[slot.role]
    return Reading(
        p_kw=float(p_kw[at]),
        q_kvar=float(q_kvar[at]),
        vm_pu=float(measured.vm_pu[home[slot.role][at]]),
        p_available_kw=float(measured.pv_available_kw[at]) if slot.role is Role.PV else None,
    )


def _kept(writes: deque[tuple[str, WriteRecord]], name: str) -> Callable[[WriteRecord], None]:
    """Return a hook that keeps the writes to a device until they are stored."""
    return lambda record: writes.append((name, record))
