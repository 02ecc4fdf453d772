"""Client's side of Modbus RTU, on a serial line or over TCP: only silence ties an answer to its request."""

import math
from collections import Counter

from hil_adapters.errors import ExceptionReplyError, LinkError, ProtocolViolationError
from hil_adapters.wire.base import LinkStatistics
from hil_adapters.wire.codes import EXCEPTION_FLAG
from hil_adapters.wire.exchange import NO_VERDICT, Asked, Verdict, timed_out
from hil_adapters.wire.framing import Frame, RtuFramer, Violation, answer_length, rtu_frame
from hil_adapters.wire.pdu import check_answer, describe

__all__ = ["RtuExchange"]


class RtuExchange:
    """See :class:`hil_adapters.wire.exchange.Exchange`.

    After a timeout or a violation the line stays silent for ``turnaround_s``, and as long as bytes still come. Where the
    answer of a request that was given up has not been heard by then, it is *owed*: the next answer of the same unit and
    function counts only if no second one follows within ``turnaround_s``.

    An adapter that repeats what is sent cannot be used: reads fail, but the echo of functions 5, 6 and 22 looks like their
    answer.
    """

    def __init__(
        self, statistics: LinkStatistics, *, turnaround_s: float, gap_s: float, quiet_s: float
    ) -> None:
        """``gap_s``: least pause between frames; ``quiet_s``: pause that is taken for the end of a frame [s]."""
        self._statistics = statistics
        self._turnaround_s = turnaround_s
        self._gap_s = gap_s
        self._quiet_s = quiet_s
        self._framer = RtuFramer(answer_length)
        self._asked: Asked | None = None
        self._sent = b""
        self._held: bytes | None = None
        self._other_unit: int | None = None
        self._owed: Counter[tuple[int, int]] = Counter()
        self._silent_until_s = -math.inf
        self._silence_at_s = math.inf
        self._judge_at_s = math.inf

    @property
    def wakes_at_s(self) -> float:
        """When the line counts as silent, or the request ends."""
        return min(self._silence_at_s, self._judge_at_s)

    def wait_s(self, now_s: float) -> float:
        """Return how long the line must stay silent [s]."""
        if self._silence_at_s < math.inf:
            return max(self._silent_until_s, self._silence_at_s) - now_s
        return max(0.0, self._silent_until_s - now_s)

    def start(self, unit: int, pdu: bytes, *, now_s: float, timeout_s: float) -> bytes:
        """Begin a request on a silent line."""
        if unit == 0:
            raise LinkError("unit 0 is the broadcast of a serial line and has no answer: ask units 1 to 247")
        self._framer.reset()
        self._other_unit = None
        self._held = None
        self._asked = Asked(unit, pdu, now_s + timeout_s, timeout_s)
        self._judge_at_s = self._asked.deadline_s
        self._silence_at_s = math.inf
        self._sent = rtu_frame(unit, pdu)
        return self._sent

    def feed(self, data: bytes, *, now_s: float) -> Verdict:
        """Judge what arrived; whatever comes outside a request is late."""
        heard: list[bytes] = []
        was_asked = self._asked is not None
        verdict = self._judged(self._framer.feed(data), now_s, heard)
        self._silent_until_s = max(self._silent_until_s, now_s + self._gap_s)
        is_unclear = not was_asked or self._framer.n_left_over > 0
        self._silence_at_s = now_s + self._quiet_s if is_unclear else math.inf
        return Verdict(verdict.answer, verdict.error, None, tuple(heard))

    def tick(self, now_s: float) -> Verdict:
        """End frames at silence, and the request at its deadline."""
        heard: list[bytes] = []
        verdict = NO_VERDICT
        if now_s >= self._silence_at_s:
            self._silence_at_s = math.inf
            verdict = self._judged(self._framer.silence(), now_s, heard)
        if self._asked is not None and now_s >= self._judge_at_s:
            verdict = self._deadline(self._asked, now_s)
        return Verdict(verdict.answer, verdict.error, None, tuple(heard))

    def abandon(self, now_s: float) -> str | None:
        """Give the request up; its answer is owed, and the line stays silent."""
        if self._asked is not None:
            self._owe(self._asked)
            self._close_request()
            self._silent_until_s = now_s + self._turnaround_s
        return None

    def reconnected(self) -> None:
        """Begin with an empty buffer. What is owed stays owed: a serial server hands late answers to anybody."""
        self._framer.reset()
        self._close_request()
        self._silence_at_s = math.inf

    def _judged(self, items: list[Frame | Violation], now_s: float, heard: list[bytes]) -> Verdict:
        verdict = NO_VERDICT
        for item in items:
            asked = self._asked
            if isinstance(item, Violation):
                self._statistics.crc_errors += 1
                if asked is not None:
                    # the answer may still come: what was spoiled may have been noise
                    self._owe(asked)
                    hint = self._echo_hint(item.data) or "; check wiring, termination and line settings"
                    verdict = self._end(
                        ProtocolViolationError(f"{describe(asked.pdu)}: {item.text}{hint}"), now_s
                    )
                continue
            heard.append(item.adu)
            if asked is None:
                self._settle_late(item)
            elif item.unit != asked.unit:
                self._statistics.violations += 1
                self._other_unit = item.unit
            else:
                verdict = self._answered(asked, item, now_s)
        return verdict

    def _echo_hint(self, heard: bytes) -> str:
        if heard.startswith(self._sent):
            return "; the line repeats what is sent: switch off the echo of the adapter"
        return ""

    def _settle_late(self, frame: Frame) -> None:
        self._statistics.late_answers += 1
        key = frame.unit, frame.pdu[0] & ~EXCEPTION_FLAG
        if self._owed[key] > 1:
            self._owed[key] -= 1
        else:
            del self._owed[key]

    def _owe(self, asked: Asked) -> None:
        self._owed[asked.unit, asked.pdu[0]] += 1

    def _answered(self, asked: Asked, frame: Frame, now_s: float) -> Verdict:
        if self._held is not None:
            # one of the two is late, and nothing tells which
            self._owed[asked.unit, asked.pdu[0]] -= 1
            self._statistics.late_answers += 1
            return self._violated("two answers came where one of an earlier request was owed", now_s)
        try:
            check_answer(asked.pdu, frame.pdu)
        except ExceptionReplyError:
            pass
        except ProtocolViolationError as wrong:
            self._owe(asked)
            return self._violated(f"{wrong}{self._echo_hint(frame.adu)}", now_s)
        self._held = frame.pdu
        if self._owed[asked.unit, asked.pdu[0]]:
            self._judge_at_s = now_s + self._turnaround_s
            return NO_VERDICT
        return self._release(asked, frame.pdu)

    def _release(self, asked: Asked, pdu: bytes) -> Verdict:
        """Accept an answer: nothing that is owed could be taken for it."""
        del self._owed[asked.unit, asked.pdu[0]]
        self._close_request()
        try:
            check_answer(asked.pdu, pdu)
        except ExceptionReplyError as refused:
            return Verdict(error=refused)
        return Verdict(answer=pdu)

    def _deadline(self, asked: Asked, now_s: float) -> Verdict:
        if self._held is not None:
            return self._release(asked, self._held)
        self._statistics.timeouts += 1
        error = timed_out(asked, other_unit=self._other_unit)
        self.abandon(now_s)
        return Verdict(error=error)

    def _violated(self, text: str, now_s: float) -> Verdict:
        self._statistics.violations += 1
        return self._end(ProtocolViolationError(text), now_s)

    def _end(self, error: LinkError, now_s: float) -> Verdict:
        self._close_request()
        self._silent_until_s = now_s + self._turnaround_s
        return Verdict(error=error)

    def _close_request(self) -> None:
        self._asked = None
        self._held = None
        self._judge_at_s = math.inf
