"""Which strategies run in real time, and with what around them."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from twin.control.base import Controller
from twin.external.seam import Around, Outside
from twin.live.replay import exchange_file
from twin.live.session import LiveOptions, LiveSession, live_session, replay_session
from twin.prepare import Prepared
from twin.results import layout

__all__ = ["is_recorded", "open_session"]

_OUTSIDE = "outside"
"""Folder among those of the devices for what a controller with an outside keeps."""


def is_recorded(strategy: Path) -> bool:
    """Return whether the folder of a strategy holds what a replay needs."""
    return exchange_file(strategy).exists() or (strategy / layout.DEVICES / _OUTSIDE).is_dir()


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
    if recorded is not None:
        if isinstance(controller, Outside):
            closing.enter_context(controller.replayed(recorded / layout.DEVICES / _OUTSIDE))
        if not plan:
            return None
        again = replay_session(plan, spec, recorded=recorded, folder=folder, tell=tell)
        return replace(again, loop=prepared.loop)
    if not plan and not isinstance(controller, Outside):
        return None
    if isinstance(controller, Outside):
        around = Around(
            speed=spec.speed,
            folder=folder / layout.DEVICES / _OUTSIDE,
            base_dir=prepared.loaded.base_dir,
            tell=tell,
            say=live.say,
        )
        # first, because it may wait for someone; until the session is there a Ctrl-C ends the waiting at once
        closing.enter_context(controller.opened(around))
    session = closing.enter_context(
        live_session(plan, spec, live, dt_s=prepared.plant.dt_s, folder=folder, tell=tell)
    )
    return replace(session, loop=prepared.loop)
