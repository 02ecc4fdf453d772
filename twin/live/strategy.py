"""Which strategies run in real time, and with what around them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from twin.control.base import Controller
from twin.live.session import LiveOptions, LiveSession, live_session, replay_session
from twin.prepare import Prepared

__all__ = ["Outside", "open_session"]


@runtime_checkable
class Outside(Protocol):
    """A controller that someone outside this program decides for; it needs real time and is open while it is used."""

    def opened(self, *, speed: float, tell: Callable[[int, str], None]) -> AbstractContextManager[object]:
        """Return what lets the outside in while it is entered."""
        ...


def open_session(
    closing: ExitStack,
    prepared: Prepared,
    controller: Controller,
    *,
    folder: Path,
    live: LiveOptions,
    recorded: Path | None,
    tell: Callable[[int, str], None],
) -> LiveSession | None:
    """Return the session that a strategy needs, entered into ``closing``; None where it runs offline.

    Args:
        closing: ends the session.
        prepared: the scenario.
        controller: of the strategy.
        folder: of the strategy's results.
        live: what may be done to devices on the wire.
        recorded: folder of a strategy whose recorded devices take the place of those on the wire.
        tell: is given a step and what happened, in words.
    """
    plan, spec = prepared.hil, prepared.loaded.scenario.live
    outside = isinstance(controller, Outside)
    if not plan and not outside:
        return None
    if recorded is not None:
        again = replay_session(plan, spec, recorded=recorded, folder=folder, tell=tell)
        return replace(again, loop=prepared.loop)
    session = closing.enter_context(
        live_session(plan, spec, live, dt_s=prepared.plant.dt_s, folder=folder, tell=tell)
    )
    if isinstance(controller, Outside):
        closing.enter_context(controller.opened(speed=spec.speed, tell=tell))
    return replace(session, loop=prepared.loop)
