"""A session that remembers why it could not connect."""

from hil_adapters.device.session import DeviceSession
from hil_adapters.errors import IdentityError, LinkError, MapError

__all__ = ["KnockingSession"]


class KnockingSession(DeviceSession):
    """A device session of a guardian."""

    trouble = ""
    """Why the last attempt to connect failed; empty once one succeeded."""

    async def connect(self) -> None:
        """Connect and identify; see ``DeviceSession.connect``."""
        try:
            await super().connect()
        except (LinkError, IdentityError, MapError) as error:
            self.trouble = str(error)
            raise
        self.trouble = ""
