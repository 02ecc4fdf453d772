"""Whether the right device answers: whom a session met first, on which connection, and whether that still stands."""

from collections.abc import Callable

from hil_adapters.device.events import EventKind, SessionState
from hil_adapters.device.exchange import Exchange
from hil_adapters.device.identifying import identify
from hil_adapters.device.identity import Identity, check_same, check_serial
from hil_adapters.device.pool import SharedLink
from hil_adapters.errors import IdentityError, LinkLostError, MapError
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.wire.base import Target

__all__ = ["Recognition"]


class Recognition:
    """Knows one device again. A connection that was replaced unnoticed counts as lost."""

    def __init__(
        self,
        link: SharedLink,
        target: Target,
        unit: int,
        *,
        serial: str | None,
        tell: Callable[[EventKind, str], None],
    ) -> None:
        """``serial``: the serial number that must answer, None for any; ``tell`` takes events in words."""
        self._link = link
        self._target = target
        self._unit = unit
        self._serial = serial
        self._tell = tell
        self._state = SessionState.DISCONNECTED
        self._standing_on = -1
        """The connection of the link on which the device was identified."""
        self.identity: Identity | None = None
        """Who was met first; None before."""
        self.connection = 0
        """Counts identifications."""

    @property
    def where(self) -> str:
        """The device for messages."""
        return f"{self._target}, unit {self._unit}"

    @property
    def state(self) -> SessionState:
        """Whether the right device answers, on the connection that stands."""
        if self._state is SessionState.IDENTIFIED and not self._stands:
            self.disconnected("the connection is lost; it is opened again")
        return self._state

    def require(self) -> None:
        """Raise where nothing may be sent.

        Raises:
            LinkLostError: no device was identified on the connection that stands.
        """
        if self.state is not SessionState.IDENTIFIED:
            raise LinkLostError(
                f"{self.where}: no identified device on the connection ({self._state}); connect first"
            )

    async def who_answers(self, map_: RegisterMap, exchange: Exchange) -> tuple[RegisterMap, Identity]:
        """Identify the device and compare it with the one that is expected.

        Raises:
            LinkError: it does not answer, or the connection was replaced meanwhile.
            IdentityError: something else answers; the state is FOREIGN then.
            MapError: the map does not fit what answers; the state is FOREIGN then.
        """
        standing_on = self._link.connection
        try:
            found, identity = await identify(map_, exchange, self._link, self._unit)
            if self._serial is not None:
                check_serial(identity, self._serial, self._target)
            if self.identity is not None:
                check_same(identity, self.identity, self._target)
        except (IdentityError, MapError) as error:
            # half of the answers may have come from whatever was there before
            self.require_same(standing_on, error)
            if self._state is not SessionState.FOREIGN:
                self._tell(EventKind.FOREIGN, str(error))
            self._state = SessionState.FOREIGN
            raise
        return found, identity

    def require_same(self, standing_on: int, cause: Exception | None = None) -> None:
        """Raise where another connection stands than when identifying began.

        Raises:
            LinkLostError: the connection of the link is not number ``standing_on`` any more.
        """
        if self._link.connection != standing_on:
            raise LinkLostError(
                f"{self.where}: the connection was lost while the device was identified"
            ) from cause

    def welcome(self, identity: Identity, standing_on: int) -> None:
        """Take note that the device was identified on connection number ``standing_on`` of the link."""
        self.identity = identity
        self._standing_on = standing_on
        self._state = SessionState.IDENTIFIED
        self.connection += 1
        self._tell(EventKind.CONNECTED, f"{self.where}: {identity}")

    def disconnected(self, reason: str) -> None:
        """Treat an identified device as gone."""
        if self._state is SessionState.IDENTIFIED:
            self._state = SessionState.DISCONNECTED
            self._tell(EventKind.DISCONNECTED, f"{self.where}: {reason}")

    def doubt(self) -> None:
        """Have the device identified again before it is used: it restarted, or its registers have moved."""
        if self._state is SessionState.IDENTIFIED:
            self._state = SessionState.DISCONNECTED

    def leave(self) -> None:
        """Forget the connection, whatever its state."""
        self._state = SessionState.DISCONNECTED

    @property
    def _stands(self) -> bool:
        return self._link.is_open and self._link.connection == self._standing_on
