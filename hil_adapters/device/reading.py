"""Reads the blocks of a group, and does the right thing for each way in which a device can refuse."""

from collections.abc import Callable, Mapping, Sequence

from hil_adapters.device.events import EventKind
from hil_adapters.device.exchange import Exchange
from hil_adapters.device.oddities import in_short
from hil_adapters.device.readings import Readings
from hil_adapters.device.reconnect import Backoff
from hil_adapters.errors import ExceptionReplyError
from hil_adapters.maps.plan import ReadBlock
from hil_adapters.maps.schema import Group
from hil_adapters.wire.codes import GATEWAY, PERMANENT

__all__ = ["GroupReader"]


class GroupReader:
    """Renews readings block by block.

    Exceptions 1, 2 and 3 are final: the block is halved until the points that are refused stand alone; they become bad
    and are not asked for again. Every other exception is passing: the points become uncertain and are asked for after a
    while. 10 and 11 say that the device behind a gateway is silent and end the poll like a time-out.
    """

    def __init__(
        self,
        readings: Readings,
        exchange: Exchange,
        tell: Callable[[EventKind, str], None],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._readings = readings
        self._exchange = exchange
        self._tell = tell
        self._clock = clock
        self._waits: dict[ReadBlock, Backoff] = {}
        self._not_before_s: dict[ReadBlock, float] = {}
        self._suspicious = False
        self._read_once: set[ReadBlock] = set()

    def begin(self) -> None:
        """Read the group ``once`` again: the connection is a fresh one."""
        self._read_once.clear()
        self._suspicious = False

    def take_suspicion(self) -> bool:
        """Return whether the device restarted or may have moved its registers since the last call."""
        suspicious, self._suspicious = self._suspicious, False
        return suspicious

    async def poll(self, group: Group, *, part: int = 0, parts: int = 1) -> None:
        """Read the blocks of a group, or each ``parts``-th of them; those of ``once`` until each was answered.

        Raises:
            LinkError: no answer came, a wrong one, or one of a gateway; the rest of the group is left out.
        """
        for number, block in enumerate(tuple(self._readings.blocks(group))):
            if number % parts != part or not self._is_due(group, block):
                continue
            try:
                await self._renew(block)
                if group == "once":
                    self._read_once.add(block)
            except ExceptionReplyError as error:
                await self._refused(group, block, error)

    async def read(self, points: Sequence[str]) -> None:
        """Read points now.

        Raises:
            LinkError: no answer came, a wrong one, or an exception.
            MapError: a point is not in the map, or cannot be read.
        """
        for block in self._readings.plan(points):
            await self._renew(block)

    def _is_due(self, group: Group, block: ReadBlock) -> bool:
        if group == "once" and block in self._read_once:
            return False
        return self._clock() >= self._not_before_s.get(block, 0.0)

    async def _renew(self, block: ReadBlock) -> None:
        registers = await self._exchange.read(block.table, block.address, block.count)
        for finding in self._readings.take(block, registers, now_s=self._clock()):
            self._suspicious |= finding.kind is EventKind.REBOOT
            self._tell(finding.kind, finding.text)
        if block in self._waits:
            del self._waits[block]
            self._not_before_s.pop(block, None)
            self._tell(EventKind.RECOVERED, f"{in_short(block.points)}: the device gives them again")

    async def _refused(self, group: Group, block: ReadBlock, error: ExceptionReplyError) -> None:
        """Find out what a device refuses for good; leave a block alone that it refuses for a while."""
        if error.code in PERMANENT:
            refused: dict[str, ExceptionReplyError] = {}
            try:
                parts = await self._halves(block.points, error, refused)
            except ExceptionReplyError as passing:
                error = passing
            else:
                self._readings.narrow(group, block, parts)
                return
            finally:
                self._tell_refused(refused)
        if error.code in GATEWAY:
            self._tell_once(block, EventKind.GATEWAY, error)
            raise error
        self._put_off(block, error)

    async def _halves(
        self, names: Sequence[str], error: ExceptionReplyError, refused: dict[str, ExceptionReplyError]
    ) -> list[ReadBlock]:
        """Return the reads that the device allows in place of one that it refuses as a whole; note those that remain."""
        if len(names) == 1:
            # it had a value before: the registers may have moved
            self._suspicious |= self._readings.has_value(names[0])
            self._readings.refuse(names[0], str(error))
            refused[names[0]] = error
            return []
        good: list[ReadBlock] = []
        middle = len(names) // 2
        for half in (names[:middle], names[middle:]):
            kept = [name for name in half if name not in self._readings.refused]
            for part in self._readings.plan(kept):
                try:
                    await self._renew(part)
                except ExceptionReplyError as part_error:
                    if part_error.code not in PERMANENT:
                        raise
                    inside = [name for name in kept if name in part.points]
                    good.extend(await self._halves(inside, part_error, refused))
                else:
                    good.append(part)
        return good

    def _tell_refused(self, refused: Mapping[str, ExceptionReplyError]) -> None:
        """Tell one event for all points of a block that the device refuses for good."""
        if refused:
            names = list(refused)
            text = f"{in_short(names)}: {refused[names[0]]}; not polled any more, correct the map"
            self._tell(EventKind.POINT_REFUSED, text)

    def _put_off(self, block: ReadBlock, error: ExceptionReplyError) -> None:
        self._readings.doubt(block.points)
        self._tell_once(block, EventKind.REFUSED_FOR_A_WHILE, error)
        self._not_before_s[block] = self._clock() + self._waits[block].next_s()

    def _tell_once(self, block: ReadBlock, kind: EventKind, error: ExceptionReplyError) -> None:
        if block not in self._waits:
            self._waits[block] = Backoff()
            self._tell(kind, f"{in_short(block.points)}: {error}")
