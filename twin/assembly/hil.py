"""Devices behind a register map: a ``modbus:`` block becomes slots, checked against what the map can do."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hil_adapters.device.poller import SLOW_EVERY
from hil_adapters.errors import MapError, SourceError
from hil_adapters.grid_source.base import SourceLimits
from hil_adapters.grid_source.commands import load_command_set
from hil_adapters.guard.messages import Limits, TlsFiles
from hil_adapters.maps.loader import load_map, map_file
from hil_adapters.maps.plan import group_plan
from hil_adapters.maps.schema import Group, RegisterMap, candidates
from hil_adapters.wire.base import Parity, RtuOverTcpTarget, SerialTarget, Target, TcpTarget
from twin.assembly.drafts import BlockDraft, EntryError
from twin.assembly.hil_inside import Inside, emulated_devices
from twin.assembly.hil_slopes import slopes_of
from twin.errors import InputError
from twin.hil import HilSlot, SourceConfig, WirePlan
from twin.installed import Package, require_hil
from twin.missing_data import SignalPolicy, Then
from twin.plant import BlockPlan
from twin.scenario.device_base import SwitchedBase
from twin.scenario.marks import Problem, closest
from twin.scenario.missing import MissingSpec
from twin.scenario.modbus import ModbusSpec

__all__ = ["check_slots", "on_wire"]

_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "battery": ("p_set_kw",),
    "pv": ("p_limit_kw",),
    "water_heater": ("p_limit_kw", "p_set_kw"),
    "ev": ("p_set_kw", "p_limit_kw"),
}
"""Commands by kind; the first that the map has is used."""
_NEEDED: Mapping[str, tuple[str, ...]] = {"battery": ("p_kw", "soc")}
_POWERS = ("p_kw", "q_kvar")
_FRESH_PERIODS = 3
"""A reading is live for this many periods."""
_HOLD_POWER_S, _HOLD_STATE_S = 10.0, 60.0
_NO_MISSING = MissingSpec()


def on_wire(
    draft: BlockDraft, plan: BlockPlan, inside: Inside, *, base_dir: Path, poll_s: float
) -> tuple[BlockPlan, tuple[str, ...]]:
    """Return the plan of the same devices behind their register map and, for the report, what they cannot do.

    Args:
        draft: the entry; its devices share one ``modbus:`` block.
        plan: what would compute them offline.
        inside: the same in parts.
        base_dir: folder of the scenario.
        poll_s: period of the fast values [s].

    Raises:
        EntryError: with every mistake; paths start at the entry.
        InputError: a package is not installed.
    """
    spec, is_hardware = _modbus_of(draft)
    register_map, file = _map(spec, base_dir)
    require_hil(_packages(spec, register_map))
    joint = _Joint(draft, spec, register_map, inside, is_hardware=is_hardware, poll_s=poll_s)
    problems = list(joint.problems())
    if problems:
        raise EntryError(problems)
    slots = _slots(joint, file, base_dir)
    extra = tuple(name for name in (*joint.commands, "vm_pu") if name not in inside.inputs)
    wire = WirePlan(
        slots=slots,
        inputs=(*inside.inputs, *extra),
        signals=joint.signals,
        record_beside=plan.record,
        unmet_beside=plan.unmet,
    )
    read = tuple((name, unit) for name, unit in inside.record if name in joint.signals)
    found = replace(plan, wire=wire, record=(*read, *wire.told), unmet=None, origin=joint.origin())
    return found, joint.notes()


class _Joint:
    """What an entry, its map and its model have in common."""

    def __init__(
        self,
        draft: BlockDraft,
        spec: ModbusSpec,
        register_map: RegisterMap,
        inside: Inside,
        *,
        is_hardware: bool,
        poll_s: float,
    ) -> None:
        self.draft, self.spec, self.map, self.inside = draft, spec, register_map, inside
        kind = draft.spec.kind
        self.is_hardware = is_hardware
        first = next((name for name in _COMMANDS[kind] if name in register_map.commands), None)
        self.needed = _NEEDED.get(kind, ("p_kw",))
        self.commands = () if first is None else (first,)
        wanted = (*_POWERS, "soc", *(name for name, _ in inside.record))
        known = {name for name in wanted if name in register_map.signals and name in inside.outputs}
        self.signals = tuple(name for name in dict.fromkeys(wanted) if name in known)
        fast_s = max(poll_s, self._reading_s("fast"))
        self._period_s = {"fast": fast_s, "slow": max(SLOW_EVERY * fast_s, self._reading_s("slow"))}

    def _reading_s(self, group: Group) -> float:
        """Return the time that a map takes for its own pauses between the requests of a group [s]."""
        return len(group_plan(self.map, group)) * self.map.link.min_interval_s

    def problems(self) -> Iterator[Problem]:
        """Yield what does not fit; paths start at the entry."""
        kind = self.draft.spec.kind
        for signal in self.needed:
            if signal not in self.map.signals:
                text = f"the map {self.map.name!r} does not read {signal}; a device of kind {kind} needs it"
                yield ("modbus", "map"), text
        if kind == "battery" and not self.commands:
            yield ("modbus", "map"), f"the map {self.map.name!r} has no command p_set_kw; a battery needs it"
        for signal in self.spec.missing:
            if signal not in self.signals:
                text = f"the run does not read {signal!r} here; {closest(signal, self.signals)}"
                yield ("modbus", "missing", signal), text
        yield from self._limit_problems()

    def _limit_problems(self) -> Iterator[Problem]:
        known = (*self.map.commands, *self.map.signals)
        for name in self.spec.limits:
            if name not in known:
                text = f"the map {self.map.name!r} has no command or signal {name!r}; {closest(name, known)}"
                yield ("modbus", "limits", name), text
            elif self.spec.limits[name].ramp is not None and name not in self.map.commands:
                yield ("modbus", "limits", name, "ramp"), "goes with commands; remove it"
        for name in self.commands if self.is_hardware else ():
            if name not in self.spec.limits:
                yield (
                    ("modbus",),
                    f"limits are missing; a real device needs those of the lab, e.g. limits: {{{name}: {{min: 0 kW, max: 3 kW}}}}",
                )

    def policies(self) -> dict[str, SignalPolicy]:
        """Return the rules of each signal that is read."""
        return {signal: self._policy(signal) for signal in self.signals}

    def _policy(self, signal: str) -> SignalPolicy:
        given = self.spec.missing.get(signal, _NO_MISSING)
        fresh_s = _FRESH_PERIODS * self._period_s["fast" if self._is_fast(signal) else "slow"]
        hold_s = max(fresh_s, _HOLD_POWER_S if signal in _POWERS else _HOLD_STATE_S)
        return SignalPolicy(
            fresh_s=fresh_s,
            hold_s=hold_s if given.hold is None else given.hold,
            then=Then(given.then),
            safe=given.safe,
        )

    def _is_fast(self, signal: str) -> bool:
        """Return whether a signal is read in every period; of discovered points only powers are known to be."""
        names = candidates(self.map.signals[signal].point)
        groups = {entry.group for entry in self.map.points if entry.name in names}
        return groups == {"fast"} if groups else signal in _POWERS

    def limits(self) -> dict[str, Limits]:
        """Return the limits of the lab, of one device."""
        return {
            name: Limits(low=given.min, high=given.max, ramp_per_s=given.ramp)
            for name, given in self.spec.limits.items()
        }

    def unit(self) -> int:
        """Return the unit id."""
        return self.map.link.unit if self.spec.unit is None else self.spec.unit

    def origin(self) -> str:
        """Return what stands for the devices, for the manifest."""
        stands = "" if self.spec.stands_for == 1.0 else f", each for {self.spec.stands_for:g}"
        what = (
            f"the real device {self.spec.serial}"
            if self.is_hardware
            else "virtual devices that are read by Modbus"
        )
        return f"{what} (register map {self.map.name}{stands})"

    def notes(self) -> tuple[str, ...]:
        """Return what strategies cannot do with the devices."""
        if self.commands:
            return ()
        return (
            f"{self.draft.label}: its register map {self.map.name} has no command that a strategy could use.",
        )


def _modbus_of(draft: BlockDraft) -> tuple[ModbusSpec, bool]:
    """Return the block of an entry, and whether it is about a real device."""
    spec = draft.spec
    if not isinstance(spec, SwitchedBase) or spec.modbus is None:
        raise InputError("modbus is missing; add modbus: {map: NAME}")
    return spec.modbus, spec.as_ == "hardware"


def _packages(spec: ModbusSpec, register_map: RegisterMap) -> tuple[Package, ...]:
    """Return what the programs that serve and read the devices import."""
    found: tuple[Package, ...] = ("pyserial",)
    if register_map.discovery is not None:
        found += ("pysunspec2",)
    return found if spec.tls is None else (*found, "cryptography")


def _map(spec: ModbusSpec, base_dir: Path) -> tuple[RegisterMap, Path]:
    try:
        return load_map(spec.map, base_dir=base_dir), map_file(spec.map, base_dir=base_dir)
    except MapError as error:
        raise EntryError([(("modbus", "map"), str(error))]) from error


def _slots(joint: _Joint, file: Path, base_dir: Path) -> tuple[HilSlot, ...]:
    draft, spec, inside = joint.draft, joint.spec, joint.inside
    slopes = slopes_of(spec, inside, size=draft.size, base_dir=base_dir)
    emulated = None
    if not joint.is_hardware:
        emulated = emulated_devices(inside, spec, size=draft.size, base_dir=base_dir)
    limits, policies = joint.limits(), joint.policies()
    return tuple(
        HilSlot(
            name=name,
            label=draft.label,
            home=draft.home[device],
            map_file=file.resolve(),
            target=_target(joint) if joint.is_hardware else None,
            unit=joint.unit(),
            serial=spec.serial if joint.is_hardware else None,
            emulated=None if emulated is None else emulated[device],
            commands=joint.commands,
            signals=policies,
            needed=joint.needed,
            limits=limits,
            acceptance_file=_file(spec.acceptance, base_dir) if joint.is_hardware else None,
            tls=_tls(spec, base_dir) if joint.is_hardware else None,
            stands_for=spec.stands_for,
            slope=slopes[device],
            source=_source(spec, base_dir) if joint.is_hardware else None,
        )
        for device, name in enumerate(draft.names)
    )


def _target(joint: _Joint) -> Target:
    spec, link = joint.spec, joint.map.link
    if spec.line is not None:
        line = spec.line
        return SerialTarget(
            path=line.path,
            baudrate=line.baudrate,
            parity=Parity(line.parity),
            stopbits=line.stopbits,
            turnaround_s=line.turnaround,
        )
    if spec.host is None:
        raise EntryError(
            [(("modbus",), "says not where the device is; add host: ADDRESS or line: {path: DEVICE}")]
        )
    port = link.port if spec.port is None else spec.port
    return (RtuOverTcpTarget if spec.rtu_over_tcp else TcpTarget)(host=spec.host, port=port)


def _tls(spec: ModbusSpec, base_dir: Path) -> TlsFiles | None:
    if spec.tls is None:
        return None
    return TlsFiles(
        authority=(base_dir / spec.tls.authority).resolve(),
        certificate=(base_dir / spec.tls.certificate).resolve(),
        key=(base_dir / spec.tls.key).resolve(),
    )


def _source(spec: ModbusSpec, base_dir: Path) -> SourceConfig | None:
    given = spec.grid_source
    if given is None:
        return None
    own = given.commands.lower().endswith((".yaml", ".yml"))
    commands: str | Path = (base_dir / given.commands).resolve() if own else given.commands
    try:
        load_command_set(commands)
    except SourceError as error:
        raise EntryError([(("modbus", "grid_source", "commands"), str(error))]) from error
    # the scenario has refused limits that contradict each other
    limits = SourceLimits(
        nominal_v=given.nominal_v,
        low_v=given.low_v,
        high_v=given.high_v,
        step_v=given.step_v,
        current_a=given.current_a,
    )
    return SourceConfig(
        host=given.host, port=given.port, commands=commands, limits=limits, at_end=given.at_end
    )


def _file(name: str | None, base_dir: Path) -> Path | None:
    return None if name is None else (base_dir / name).resolve()


def check_slots(slots: Iterable[HilSlot]) -> None:
    """Refuse that two entries mean one real device.

    Raises:
        InputError: they have a serial number, or an address and unit, in common.
    """
    seen: dict[object, str] = {}
    for slot in slots:
        for key, what in (
            (slot.serial, f"serial number {slot.serial}"),
            ((slot.target, slot.unit), f"unit {slot.unit} at {slot.target}"),
        ):
            if slot.is_hardware and seen.setdefault(key, slot.label) != slot.label:
                text = f"{slot.label} and {seen[key]} both have {what}; a real device has one entry"
                raise InputError(text)
