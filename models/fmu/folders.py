"""Temporary folders of FMUs."""

__all__ = ["PREFIX"]

PREFIX = "gemello-fmu-"
"""Start of the name of every one of them: what a crash left behind can be found by it."""
