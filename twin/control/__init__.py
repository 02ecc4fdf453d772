"""Strategies: what a user's own class needs comes from here.

    from twin.control import Observation, Proposal, Site

and, for a level above the homes, ``Cascade``, ``Guidance``, ``Priority`` and ``no_guidance``.

Pure over arrays: no clock, no I/O, no mosaik. The built-in strategies are loaded by name through
:mod:`twin.control.registry`, so that the LP solver is imported only where it is used.
"""

from twin.control.base import Controller, ControllerFactory, Forecast, Observation, Proposal, Site
from twin.control.checks import checked
from twin.control.management.cascade import Cascade
from twin.control.management.guidance import Guidance, Guide, Priority, no_guidance
from twin.control.sharing import share_out_kw
from twin.plant import total_by

__all__ = [
    "Cascade",
    "Controller",
    "ControllerFactory",
    "Forecast",
    "Guidance",
    "Guide",
    "Observation",
    "Priority",
    "Proposal",
    "Site",
    "checked",
    "no_guidance",
    "share_out_kw",
    "total_by",
]
