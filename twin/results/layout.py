"""Names of the files and folders of a run, in one place.

::

    <run>/
      manifest.json  scenario.yaml  feeder.json  context.json  report.html
      <strategy>/
        axes.json                     names of the entities, what is stored, steps per part
        <axis>/part-00000.parquet     finished parts, one file each
        tail.arrows                   steps since the last finished part
        events.jsonl  kpi.parquet  elements.parquet
        timing.jsonl  devices/        of a run in real time: punctuality; audit, frames and samples of its devices
        settlement.json  community_hours.parquet  member_hours.parquet     where there are communities
"""

from enum import StrEnum
from pathlib import Path

from twin.signals import Axis

__all__ = [
    "AXES",
    "COMMUNITY_HOURS",
    "CONTEXT",
    "DEVICES",
    "ELEMENTS",
    "EVENTS",
    "FEEDER",
    "FORMAT",
    "KPI",
    "KPI_AXES",
    "MANIFEST",
    "MEMBER_HOURS",
    "REINFORCEMENT",
    "REPORT",
    "SCENARIO",
    "SETTLEMENT",
    "TAIL",
    "TIMING",
    "Detail",
    "part_path",
    "part_paths",
]

FORMAT = 1
"""Version of the layout and of the file formats; a reader refuses a higher one."""

MANIFEST = "manifest.json"
SCENARIO = "scenario.yaml"
FEEDER = "feeder.json"
CONTEXT = "context.json"
REPORT = "report.html"
AXES = "axes.json"
TAIL = "tail.arrows"
EVENTS = "events.jsonl"
TIMING = "timing.jsonl"
DEVICES = "devices"
KPI = "kpi.parquet"
ELEMENTS = "elements.parquet"
SETTLEMENT = "settlement.json"
COMMUNITY_HOURS = "community_hours.parquet"
MEMBER_HOURS = "member_hours.parquet"
REINFORCEMENT = "reinforcement.json"


class Detail(StrEnum):
    """How much of a run is stored step by step. KPIs always see everything."""

    KPI = "kpi"
    """The feeder as a whole and its transformers."""
    SELECTED = "selected"
    """The same and chosen entities."""
    ALL = "all"
    """Every entity."""


KPI_AXES: tuple[Axis, ...] = (Axis.FEEDER, Axis.TRAFO)
"""Axes that every detail level stores in full."""


def part_path(strategy: Path, axis: Axis, number: int) -> Path:
    """Return the file of one part of one axis."""
    return strategy / axis.value / f"part-{number:05d}.parquet"


def part_paths(strategy: Path, axis: Axis) -> list[Path]:
    """Return the finished parts of one axis, counted from 0 up to the first one that is missing."""
    paths: list[Path] = []
    while (path := part_path(strategy, axis, len(paths))).exists():
        paths.append(path)
    return paths
