"""Client's side of Modbus TCP: the transaction ties an answer to its request."""

import math
from collections import deque
from typing import Final

from hil_adapters.errors import ExceptionReplyError, LinkError, ProtocolViolationError
from hil_adapters.wire.base import LinkStatistics
from hil_adapters.wire.exchange import NO_VERDICT, Asked, Verdict, timed_out
from hil_adapters.wire.framing import Frame, MbapFramer, Violation, mbap_frame
from hil_adapters.wire.pdu import check_answer

__all__ = ["TcpExchange"]

_REMEMBERED: Final = 64
"""Transactions whose answers may still come, late or twice."""


class TcpExchange:
    """See :class:`hil_adapters.wire.exchange.Exchange`."""

    def __init__(self, statistics: LinkStatistics, *, zero_transaction: bool) -> None:
        """``zero_transaction``: the device answers with transaction 0 (a declared quirk); late answers cannot be told then."""
        self._statistics = statistics
        self._zero_transaction = zero_transaction
        self._framer = MbapFramer()
        self._transaction = 0
        self._asked: Asked | None = None
        self._past: deque[int] = deque(maxlen=_REMEMBERED)

    @property
    def wakes_at_s(self) -> float:
        """Deadline of the request under way."""
        return math.inf if self._asked is None else self._asked.deadline_s

    def wait_s(self, _now_s: float) -> float:
        """Return 0: TCP needs no silence."""
        return 0.0

    def start(self, unit: int, pdu: bytes, *, now_s: float, timeout_s: float) -> bytes:
        """Begin a request under a fresh transaction (1 to 65535)."""
        self._transaction = self._transaction % 0xFFFF + 1
        self._asked = Asked(unit, pdu, now_s + timeout_s, timeout_s)
        return mbap_frame(self._transaction, unit, pdu)

    def feed(self, data: bytes, *, now_s: float) -> Verdict:  # noqa: ARG002 - the interface is shared with RTU
        """Judge each frame; the first that answers the request ends it, the rest must be late answers.

        Where anything else comes with it the answer is not taken: the start of a late answer may have completed a
        truncated one, which nothing in the frame shows.
        """
        answer: bytes | None = None
        error: LinkError | None = None
        heard: list[bytes] = []
        for item in self._framer.feed(data):
            if isinstance(item, Violation):
                return self._violated(item.text, heard)
            heard.append(item.adu)
            if self._asked is None or not self._is_answer(item):
                if item.transaction in self._past or (self._zero_transaction and item.transaction == 0):
                    self._statistics.late_answers += 1
                    continue
                text = f"an answer with transaction {item.transaction}, which was not asked for"
                return self._violated(text, heard)
            try:
                answer = self._checked(self._asked, item)
            except ExceptionReplyError as refused:
                error = refused
            except ProtocolViolationError as wrong:
                return self._violated(str(wrong), heard)
            self._finish()
        if (answer is not None or error is not None) and self._framer.n_left_over:
            return self._violated("bytes follow the answer", heard)
        return Verdict(answer, error, None, tuple(heard))

    def tick(self, now_s: float) -> Verdict:
        """Time out at the deadline."""
        asked = self._asked
        if asked is None or now_s < asked.deadline_s:
            return NO_VERDICT
        self._statistics.timeouts += 1
        return Verdict(error=timed_out(asked), drop=self.abandon(now_s))

    def abandon(self, _now_s: float) -> str | None:
        """Give the request up; a late answer is recognised by its transaction, part of one is not."""
        if self._asked is None:
            return None
        self._finish()
        if self._framer.n_left_over:
            return "part of an answer was left over at the deadline"
        return "without transactions a late answer could not be told" if self._zero_transaction else None

    def reconnected(self) -> None:
        """Begin with an empty buffer; answers of the earlier connection cannot come any more."""
        self._framer = MbapFramer()
        self._asked = None
        self._past.clear()

    def _is_answer(self, frame: Frame) -> bool:
        return frame.transaction == self._transaction or (self._zero_transaction and frame.transaction == 0)

    def _checked(self, asked: Asked, frame: Frame) -> bytes:
        if frame.unit != asked.unit:
            raise ProtocolViolationError(f"unit {frame.unit} answers in the place of unit {asked.unit}")
        check_answer(asked.pdu, frame.pdu)
        return frame.pdu

    def _finish(self) -> None:
        self._past.append(self._transaction)
        self._asked = None

    def _violated(self, text: str, heard: list[bytes]) -> Verdict:
        """Fail the request under way, or the one whose answer came in the same delivery."""
        self._statistics.violations += 1
        if self._asked is not None:
            self._finish()
        return Verdict(None, ProtocolViolationError(text), text, tuple(heard))
