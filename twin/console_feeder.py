"""What is on a feeder, laid out for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from twin.report.numbers import quantity_text
from twin.report.table import NO_VALUE

__all__ = ["feeder_parts"]

_DIGITS_OF_HASH = 16
_NAMES_SHOWN = 10


def feeder_parts(description: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Return the tables and lines that show a feeder; ``description`` as of ``models.feeder.describe``."""
    yield Text(str(description["name"]), style="bold")
    yield _pairs(_overview(description))
    if description["transformers"]:
        yield from ("", _trafos(description))
    yield from ("", _levels(description), "", _devices(description["devices"]), "")
    profiles = description["profiles"]
    yield Text.assemble(("Profiles: ", "bold"), "none" if profiles is None else _profile_words(profiles))
    for what in ("bus", "load"):
        yield Text.assemble(
            (f"{what.capitalize()} names: ", "bold"), _names(description.get(f"{what}_names", ()))
        )
    if description["notes"]:
        yield Text("Notes:", style="bold")
    for note in description["notes"]:
        yield _pairs([("-", str(note))])


def _overview(description: Mapping[str, Any]) -> list[tuple[str, str]]:
    slack = ", ".join(f"{vm_pu:.4f} pu" for vm_pu in description["slack_vm_pu"])
    unsupported = ", ".join(map(str, description["unsupported_by_fast_engines"]))
    return [
        ("Source", str(description["source"])),
        ("SHA-256", str(description["sha256"])[:_DIGITS_OF_HASH]),
        ("Buses", f"{description['buses']} ({description['nodes']} electrical nodes)"),
        ("Lines", f"{description['lines']}, {quantity_text(description['line_length_km'], 'km')}"),
        ("Feeder head", ", ".join(map(str, description["head_transformers"])) or "no transformer"),
        ("Primary substations (CP)", ", ".join(map(str, description["primary_substations"]))),
        ("Voltage of the upstream grid", slack or NO_VALUE),
        ("Coordinates", str(description["coordinates"])),
        ("Not supported by the fast engines", unsupported or "nothing: every element is supported"),
    ]


def _pairs(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(Text(label), Text(value))
    return table


def _grid(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table whose first column is words and whose others are numbers."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for place, words in enumerate(head):
        table.add_column(words, justify="right" if place else "left", overflow="fold", vertical="bottom")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _trafos(description: Mapping[str, Any]) -> Table:
    rows = [
        (
            str(trafo["name"]),
            str(trafo["level"]),
            quantity_text(trafo["rating_kva"], "kVA"),
            f"{trafo['vn_hv_kv']:g}/{trafo['vn_lv_kv']:g}",
            NO_VALUE if trafo["tap_position"] is None else f"{trafo['tap_position']:g}",
            NO_VALUE if trafo["tap_step_percent"] is None else f"{trafo['tap_step_percent']:g}",
            NO_VALUE if trafo["tap_side"] is None else str(trafo["tap_side"]),
        )
        for trafo in description["transformers"]
    ]
    head = ("Name", "Level", "Rating", "kV/kV", "Tap", "Tap step [%]", "Tap side")
    return _grid("Transformers", head, rows)


def _levels(description: Mapping[str, Any]) -> Table:
    rows = [
        (
            f"{level['vn_kv']:g} kV",
            str(level["buses"]),
            str(level["lines"]),
            quantity_text(level["line_length_km"], "km"),
        )
        for level in description["voltage_levels"]
    ]
    return _grid("Voltage levels", ("Level", "Buses", "Lines", "Line length"), rows)


def _devices(devices: Mapping[str, Any]) -> Table:
    rows = [("Loads", str(devices["loads"]), quantity_text(devices["load_p_kw"], "kW"), "")]
    rows += [
        (
            f"Generators, {kind}",
            str(number),
            quantity_text(devices["static_generator_kw"][kind], "kW"),
            "",
        )
        for kind, number in devices["static_generator_kinds"].items()
    ]
    rows.append(
        (
            "Storages",
            str(devices["storages"]),
            quantity_text(devices["storage_kw"], "kW"),
            quantity_text(devices["storage_kwh"], "kWh"),
        )
    )
    return _grid("Devices of the network", ("Kind", "Number", "Power", "Energy"), rows)


def _profile_words(profiles: Mapping[str, Any]) -> str:
    generation = ", ".join(map(str, profiles["generation"])) or "none"
    return (
        f"{profiles['year']}, {profiles['steps']} steps of {profiles['step_s']} s "
        f"({profiles['start_utc']} to {profiles['end_utc']}); generation: {generation}"
    )


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown} ... {more} more, --json lists all" if more > 0 else shown or "none"
