"""Lists of devices or members in CSV files: one a row, columns named as the fields of the kind.

Dotted columns reach inside: ``inverter.s_rated_kva``. An empty cell means "not given". What the scenario says beside
``csv:`` holds for all rows that do not say otherwise.
"""

import csv
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from twin.errors import Mistake, ScenarioError
from twin.scenario.base import Spec
from twin.scenario.community import NO_ROW_FIELDS, MemberSpec
from twin.scenario.device_base import DeviceBase
from twin.scenario.errors import field_names
from twin.scenario.marks import ROWS, Mark, Marks, Path, closest
from twin.scenario.yaml_reader import read_text

__all__ = ["MAX_BYTES", "Row", "RowModel", "read_rows"]

MAX_BYTES = 50_000_000

RowModel = type[DeviceBase] | type[MemberSpec]

_PLACED_ELSEWHERE = frozenset(
    ("kind", "csv", "from", "match", "share", "prefix", "as", "fmu", "modbus", "weather")
)
"""Fields of a device that are no columns: the scenario says them, or they hold for many devices."""


@dataclass(frozen=True, slots=True)
class Row:
    """One device or member of a CSV file."""

    path: Path
    given: dict[str, Any]
    """What the row itself says, as nested plain data with text values."""


def read_rows(file: FilePath, model: RowModel, entry: Path, marks: Marks) -> tuple[list[Row], list[Mistake]]:
    """Return the rows of ``file`` for the entry at path ``entry`` and the mistakes found on the way.

    The line of every row is entered into ``marks`` under (``entry``, "rows", row number from 0).
    """
    try:
        text = read_text(file, max_bytes=MAX_BYTES, remedy="split it into several files")
    except ScenarioError as error:
        return [], list(error.mistakes)
    shown = str(file)
    first_line = text.split("\n", 1)[0]
    delimiter = ";" if ";" in first_line and "," not in first_line else ","
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    mistakes: list[Mistake] = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        mistakes += _header_mistakes(header, model, shown)
        if mistakes:
            return [], mistakes
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            path = (*entry, ROWS, len(rows))
            marks[path] = Mark(shown, reader.line_num)
            if len(cells) != len(header):
                counts = f"has {len(cells)} cells, the header {len(header)}"
                mistakes.append(marks.mistake(path, f"the row {counts}; check separators and quotes"))
                continue
            rows.append(Row(path, _nested(header, cells)))
    except csv.Error as error:
        message = f"not valid CSV: {error}; check the quotes"
        mistakes.append(Mistake(file=shown, line=reader.line_num, field="", message=message))
    if not rows and not mistakes:
        mistakes.append(
            Mistake(file=shown, line=1, field="", message=f"there is no row; add one {_noun(model)} a line")
        )
    return rows, mistakes


def _noun(model: RowModel) -> str:
    return "member" if issubclass(model, MemberSpec) else "device"


def _header_mistakes(header: list[str], model: RowModel, shown: str) -> list[Mistake]:
    if not any(header):
        example = (
            "home,kind,contract_kw" if issubclass(model, MemberSpec) else "name,home,capacity_kwh,power_kw"
        )
        message = f"the file is empty; the first line names the columns, e.g. {example}"
        return [Mistake(file=shown, line=None, field="", message=message)]
    known = _columns(model)
    mistakes = []
    for index, column in enumerate(header):
        message = ""
        if column in header[:index]:
            message = "the column is here twice; remove one"
        elif column not in known:
            message = f"unknown column {column!r}; {closest(column, known)}"
        if message:
            mistakes.append(Mistake(file=shown, line=1, field=column, message=message))
    return mistakes


def _columns(model: RowModel) -> set[str]:
    elsewhere = NO_ROW_FIELDS if issubclass(model, MemberSpec) else _PLACED_ELSEWHERE
    columns = set(field_names(model)) - elsewhere
    parts: dict[str, type[Spec]] = model.parts()
    for name, part in parts.items():
        columns.discard(name)
        columns |= {f"{name}.{field}" for field in field_names(part)}
    return columns


def _nested(header: list[str], cells: list[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for column, cell in zip(header, cells, strict=False):
        if cell.strip():
            part, dot, field = column.partition(".")
            if dot:
                given.setdefault(part, {})[field] = cell.strip()
            else:
                given[part] = cell.strip()
    return given
