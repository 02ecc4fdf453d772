"""The strategy ``external``: an EMS of any make decides over Modbus, in real time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final, Literal, TypeVar

from twin.control.base import Controller, Observation, Proposal, Site
from twin.control.management.levels import Settles
from twin.control.rules import NoControl, SelfConsumption
from twin.errors import ControllerError
from twin.external.decisions import OwnControl, proposal_of
from twin.external.emulated import Command
from twin.external.process import command_words
from twin.external.records import RecordedCommands
from twin.external.seam import Around, Measured
from twin.external.session import Session, Setting, emulated
from twin.external.slots import Faults, Wanted, check_address, is_file, slots_of

__all__ = ["External"]

T = TypeVar("T")

_RULES: Final[Mapping[str, Callable[[Site], Controller]]] = MappingProxyType(
    {"none": NoControl, "self_consumption": SelfConsumption}
)


@dataclass(eq=False, repr=False)
class External:
    """Emulates meter, PV and batteries of one home over Modbus and does what an outside EMS writes to them.

    Registers show what was measured in a step as soon as it is computed; what is in force in them when the next step begins
    is what that step asks of the devices. The power flow and the devices are those of the run.

    Args:
        site: the plant.
        home: whose devices are emulated.
        maps: register map by role (``meter``, ``pv``, ``battery``) or by name of an appliance; ``none`` leaves one out.
        host: address to listen on.
        allow: addresses or networks that may connect; needed beyond this machine.
        port: of all devices; 0 for any free one.
        ports: by device, where one has a port of its own.
        units: by device; numbered from 1 unless given.
        rated_kw: by appliance what its plate says; of the meter what its registers have room for.
        faults: by device what it does wrong: a file, or a list of rules; times count from the start of the run.
        timeout_s: a device that was not written for this long in real time is without a command; by default only its own
            timers decide.
        connect_s: the run waits this long for a first request before it starts; 0: it does not wait.
        command: program that is started with the run and ended with it.
        without_command: what a battery does without a command: ``none``, it rests, or ``self_consumption``.
        others: what all other homes do: ``none`` or ``self_consumption``.

    Raises:
        ValueError: a parameter makes no sense for this plant.
        InputError: a register map is not there or does not fit.
    """

    site: Site
    _: KW_ONLY
    home: str
    maps: Mapping[str, str] | None = None
    host: str = "127.0.0.1"
    allow: Sequence[str] = ()
    port: int = 0
    ports: Mapping[str, int] | None = None
    units: Mapping[str, int] | None = None
    rated_kw: Mapping[str, float] | None = None
    faults: Mapping[str, Faults] | None = None
    timeout_s: float | None = None
    connect_s: float = 30.0
    command: str | Sequence[str] = ()
    without_command: Literal["none", "self_consumption"] = "none"
    others: Literal["none", "self_consumption"] = "none"
    level: ClassVar[int] = 1
    settles: ClassVar[Settles] = "community"
    _source: Session | RecordedCommands | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Check everything that can be checked before a run."""
        for name in ("without_command", "others"):
            if getattr(self, name) not in _RULES:
                raise ValueError(f"{name}: must be one of {', '.join(_RULES)} (got {getattr(self, name)!r})")
        _check_seconds("connect_s", self.connect_s)
        if self.timeout_s is not None:
            _check_seconds("timeout_s", self.timeout_s)
        check_address(self.host, self.allow)
        self._slots = slots_of(
            self.site,
            Wanted(
                home=self.home,
                maps=_by_device("maps", self.maps),
                port=self.port,
                ports=_by_device("ports", self.ports),
                units=_by_device("units", self.units),
                rated_kw=_by_device("rated_kw", self.rated_kw),
                faults=_by_device("faults", self.faults),
            ),
        )
        # files of the user's own are looked for beside the scenario, which is not known before the run
        known = [
            replace(slot, faults=None) if isinstance(slot.faults, str) else slot
            for slot in self._slots
            if not is_file(slot.map)
        ]
        emulated(known, self.site, Path())
        self._words = command_words(self.command) if self.command else ()
        self._own = OwnControl(
            others=_RULES[self.others](self.site), takes_surplus=self.without_command == "self_consumption"
        )

    def decide(self, seen: Observation) -> Proposal:
        """Return what is in force in the emulated devices.

        Raises:
            ControllerError: nobody outside is let in: the strategy lives in a run in real time only.
        """
        commands = self._commands(seen)
        return proposal_of(seen, commands, site=self.site, slots=self._slots, own=self._own)

    def measured(self, measured: Measured) -> None:
        """Show what was measured in the emulated devices."""
        if isinstance(self._source, Session):
            self._source.show(measured)

    @contextmanager
    def opened(self, around: Around) -> Iterator[None]:
        """Serve the devices, start the EMS where the run has one, and wait for its first request."""
        setting = Setting(
            slots=self._slots,
            host=self.host,
            allow=tuple(self.allow),
            timeout_s=self.timeout_s,
            connect_s=self.connect_s,
            words=self._words,
        )
        with ExitStack() as closing:
            self._source = closing.enter_context(Session.opened(self.site, setting, around))
            try:
                yield
            finally:
                self._source = None

    @contextmanager
    def replayed(self, recorded: Path) -> Iterator[None]:
        """Repeat what was in force in the run that was kept in ``recorded``."""
        self._source = RecordedCommands(recorded)
        try:
            yield
        finally:
            self._source = None

    def _commands(self, seen: Observation) -> Mapping[str, Command]:
        source = self._source
        if source is None:
            raise ControllerError(
                "the strategy external lives in real time, with an EMS outside: use it with `twin run` or `twin live`"
            )
        return source.take(seen) if isinstance(source, Session) else source.of(seen.step)


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < float("inf"):
        raise ValueError(f"{name}: must be a number of seconds of at least 0 (got {value!r})")


def _by_device(name: str, value: Mapping[str, T] | None) -> Mapping[str, T]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: must be a mapping of devices (got {value!r})")
    return value
