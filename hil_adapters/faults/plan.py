"""The fault layer of a server or proxy: a script in force. Seeded; the clock is given."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from hil_adapters.faults.adu import Adu, Asked, asked_by, parse
from hil_adapters.faults.catalogue import Fault, Level
from hil_adapters.faults.entries import CATALOGUE
from hil_adapters.faults.rules import FaultRule, FaultScript
from hil_adapters.faults.spoiling import Exchange, spoil
from hil_adapters.faults.striking import armed_rules
from hil_adapters.faults.values import ValueFaults
from hil_adapters.wire.base import Cut, FaultAction, Send
from hil_adapters.wire.station import Framing

__all__ = ["FaultPlan", "Injection"]

_REMEMBERED = 10_000
_ON_ANSWERS = frozenset(
    fault
    for fault, entry in CATALOGUE.items()
    if entry.level is Level.ANSWER or fault in {Fault.RESET, Fault.CLOSE, Fault.HALF_OPEN}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """A fault that was injected on the wire."""

    elapsed_s: float
    """Since the start of the plan."""
    fault: Fault
    asked: Asked


class FaultPlan:
    """A :class:`~hil_adapters.wire.base.FaultLayer` that follows a script.

    Of several rules that strike one answer the first acts. Rules draw their chances separately: taking one out of a
    script does not change when the others strike. Faults of values are in :attr:`values`; a server gets them by
    wrapping its bank in :class:`~hil_adapters.faults.bank.FaultyBank`, the proxy carries them out itself.
    """

    def __init__(
        self,
        script: FaultScript,
        *,
        framing: Framing = Framing.TCP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        script.check_framing(framing)
        self.framing = framing
        self._clock = clock
        self._started_s = clock()
        self._refusals = armed_rules(script, frozenset({Fault.REFUSED, Fault.ONE_CLIENT}))
        self._losses = armed_rules(script, frozenset({Fault.LOST_REQUEST}))
        self._answers = armed_rules(script, _ON_ANSWERS)
        self._reboots = tuple(rule for rule in script.rules if rule.fault is Fault.REBOOT)
        self._previous: bytes | None = None
        self.values = ValueFaults(script, elapsed_s=self.elapsed_s)
        self.injections: deque[Injection] = deque(maxlen=_REMEMBERED)
        """The newest faults on the wire."""
        self._counts: Counter[Fault] = Counter()

    @classmethod
    def of(cls, rules: Sequence[FaultRule], *, seed: int = 0, framing: Framing = Framing.TCP) -> Self:
        """Return the plan of some rules on the monotonic clock, beginning now."""
        return cls(FaultScript(seed=seed, rules=tuple(rules)), framing=framing)

    @property
    def counts(self) -> Counter[Fault]:
        """Injected faults by kind, on the wire and of values."""
        return self._counts + self.values.counts

    def elapsed_s(self) -> float:
        """Return the time since the plan began [s]."""
        return self._clock() - self._started_s

    def refuses_connection(self, clients: int) -> bool:
        """Return whether a connection is refused while ``clients`` others stand."""
        asked = Asked(unit=0, function=0)
        elapsed_s = self.elapsed_s()
        if self._is_down(elapsed_s):
            return True
        for armed in self._refusals:
            rule = armed.rule
            served = 0 if rule.fault is Fault.REFUSED else int(rule.number("clients"))
            if clients >= served and armed.strikes(asked, elapsed_s):
                self._note(rule.fault, asked, elapsed_s)
                return True
        return False

    def request(self, frame: bytes) -> bytes | None:
        """Return the request as it reaches the device; None where it is lost."""
        request = parse(frame, self.framing)
        if request is None:
            return frame
        asked, elapsed_s = asked_by(request.unit, request.pdu), self.elapsed_s()
        struck = [armed.rule for armed in self._losses if armed.strikes(asked, elapsed_s)]
        if not struck:
            return frame
        self._note(struck[0].fault, asked, elapsed_s)
        return None

    def answer(self, request: bytes, answer: bytes) -> Sequence[FaultAction]:
        """Return what happens instead of sending ``answer``; whole frames of the framing of the plan."""
        asked_frame, answer_frame = parse(request, self.framing), parse(answer, self.framing)
        if asked_frame is None or answer_frame is None:
            return (Send(frame=answer),)
        actions = self._spoiled(asked_frame, answer_frame)
        self._previous = answer
        return (Send(frame=answer),) if actions is None else actions

    def _spoiled(self, request: Adu, answer: Adu) -> tuple[FaultAction, ...] | None:
        asked, elapsed_s = asked_by(request.unit, request.pdu), self.elapsed_s()
        if self._is_down(elapsed_s):
            self._note(Fault.REBOOT, asked, elapsed_s)
            return (Cut(reset=True),)
        exchange = Exchange(request=request, answer=answer, previous=self._previous)
        chosen: tuple[FaultAction, ...] | None = None
        for armed in self._answers:
            lasts = armed.is_latched and armed.rule.is_due(elapsed_s)
            if not (armed.strikes(asked, elapsed_s) or lasts) or chosen is not None:
                continue
            chosen = spoil(armed.rule, exchange)
            if chosen is not None:
                armed.is_latched = armed.rule.fault is Fault.HALF_OPEN
                self._note(armed.rule.fault, asked, elapsed_s)
        return chosen

    def _is_down(self, elapsed_s: float) -> bool:
        """Return whether the device is starting after a reboot."""
        return any(0.0 <= elapsed_s - rule.from_s < rule.number("down_s") for rule in self._reboots)

    def _note(self, fault: Fault, asked: Asked, elapsed_s: float) -> None:
        self._counts[fault] += 1
        self.injections.append(Injection(elapsed_s=elapsed_s, fault=fault, asked=asked))
