"""Scenario and feeder joined into a plant."""

from twin.assembly.build import ExternalLoad, build_plant, period_of

__all__ = ["ExternalLoad", "build_plant", "period_of"]
