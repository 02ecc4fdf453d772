"""Tables and lists in words: title block, grid, limits, worst elements, methods."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from twin.kpis import KPIS, KpiContext
from twin.kpis.voltage import EN50160_SHARE_PERCENT
from twin.report.clock import Clock
from twin.report.model import FeederMap, Table
from twin.report.numbers import decimals_for, number_text, quantity_text, scaled_unit
from twin.report.sampling import element_rows
from twin.results import Manifest, RunStatus
from twin.signals import Axis
from twin.units import SECONDS_PER_MINUTE

__all__ = [
    "definition_table",
    "element_tables",
    "facts",
    "grid_tables",
    "method_notes",
    "problem",
    "quality_table",
    "version_tables",
]

_WORST = 10
_MOST_NAMED = 4
"""Transformers listed by name in the table of the grid."""
_QUALITY_WINDOW_S = 10 * SECONDS_PER_MINUTE
_DIGITS_OF_HASH = 16
_NEAR_SHARE = 0.8
"""Of the way to a limit: what stays below is far from it."""
_BETTER = {"lower": "lower", "higher": "higher", "neutral": "\u2013"}


def facts(manifest: Manifest, clock: Clock, feeder: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return label and value of the title block."""
    labels = ", ".join(state.label for state in manifest.strategies.values())
    software = [f"gemello {manifest.versions['gemello']}"] if "gemello" in manifest.versions else []
    software.append(f"Python {manifest.python}")
    pairs = [
        ("Scenario", manifest.scenario),
        ("Feeder", " from ".join(dict.fromkeys((str(feeder["name"]), str(feeder["source"]))))),
        ("Period (local time)", f"{clock.label(0)} to {clock.label(clock.n_steps)}"),
        ("Step", f"{clock.step_text}, {clock.n_steps} steps"),
        ("Time zone", clock.zone),
        ("Strategies", labels),
        ("Random seed", str(manifest.seed)),
        ("Software", ", ".join(software)),
        ("Scenario SHA-256", manifest.scenario_sha256[:_DIGITS_OF_HASH]),
        ("Run started", f"{manifest.created:%Y-%m-%d %H:%M %Z}"),
        ("State", "complete" if manifest.status is RunStatus.FINISHED else str(manifest.status)),
    ]
    if "sha256" in feeder:
        pairs.insert(9, ("Feeder SHA-256", str(feeder["sha256"])[:_DIGITS_OF_HASH]))
    return tuple(pairs)


def problem(manifest: Manifest, stored: Mapping[str, int]) -> str:
    """Return why a run is incomplete, empty for a complete one; ``stored`` is the steps stored per strategy."""
    parts = [
        f"{state.label}: {stored[name]} of {manifest.n_steps} steps stored ({state.status}"
        + (f": {state.message})" if state.message else ")")
        for name, state in manifest.strategies.items()
        if state.status is not RunStatus.FINISHED or stored[name] < manifest.n_steps
    ]
    if not parts and manifest.status is RunStatus.FINISHED:
        return ""
    return f"The run is {manifest.status}. " + (("; ".join(parts) + ".") if parts else "")


def _levels(feeder: FeederMap) -> str:
    return ", ".join(f"{value:g} kV" for value in sorted(set(feeder.vn_kv.tolist()), reverse=True))


def grid_tables(
    feeder: FeederMap, raw: Mapping[str, Any], *, context: KpiContext, scenario: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return what is on the grid and what it is judged by."""
    devices = raw["devices"]
    length_km = sum(float(value) for value in raw["line"]["length_km"])
    ratings = ", ".join(
        f"{name}: {quantity_text(rating, 'kVA')} {level}"
        for name, rating, level in zip(
            feeder.trafo_name, feeder.trafo_rating_kva, feeder.trafo_level, strict=True
        )
    )
    many = len(feeder.trafo_name) > _MOST_NAMED
    grid = [
        ("Buses", f"{len(feeder.bus_name)} ({_levels(feeder)})"),
        ("Lines", f"{len(feeder.line_name)}, {quantity_text(length_km, 'km')}"),
        ("Transformers", f"{len(feeder.trafo_name)}" + ("" if many or not ratings else f" ({ratings})")),
        ("Connection points", str(devices["homes"])),
        ("Loads", str(devices["loads"])),
        ("PV generators", f"{devices['pv']}, {quantity_text(float(devices['pv_kw']), 'kW')}"),
        ("Batteries", f"{devices['batteries']}, {quantity_text(float(devices['battery_kwh']), 'kWh')}"),
    ]
    limits = context.limits
    judged = [
        ("Voltage band", f"{limits.vm_min_pu:g} to {limits.vm_max_pu:g} pu"),
        ("Line loading", f"up to {limits.line_loading_percent:g} %"),
        ("Transformer loading", f"up to {limits.trafo_loading_percent:g} %"),
        ("Reverse flow", _optional(limits.reverse_hours_percent, "% of the hours")),
        ("Peak import, 15 min", _optional(limits.peak_import_kw, "kW")),
        ("Peak export, 15 min", _optional(limits.peak_export_kw, "kW")),
        *_prices(scenario),
    ]
    return (
        Table(caption="On the grid", head=("Element", "Number and size"), rows=tuple(grid)),
        Table(caption="Limits and prices used", head=("Limit or price", "Value"), rows=tuple(judged)),
    )


def _optional(value: float | None, unit: str) -> str:
    return "no limit set" if value is None else f"up to {quantity_text(value, unit)}"


def _prices(scenario: Mapping[str, Any]) -> list[tuple[str, str]]:
    prices = scenario.get("prices")
    if not isinstance(prices, dict):
        return []
    rows = []
    for key, label in (
        ("import_eur_kwh", "Price of energy bought"),
        ("export_eur_kwh", "Price of energy sold"),
    ):
        if key in prices:
            value = prices[key]
            number = isinstance(value, (int, float))
            rows.append((label, f"{value:g} EUR/kWh (assumption)" if number else f"series {value} [EUR/kWh]"))
    return rows


def _worst(rows: Sequence[dict[str, Any]], key: str, sign: int) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (-sign * row[key], row["name"]))[:_WORST]


def element_tables(rows: Sequence[dict[str, Any]], *, context: KpiContext, clock: Clock) -> tuple[Table, ...]:
    """Return the buses, lines and transformers with the most extreme values of one strategy."""
    buses, lines, trafos = (element_rows(rows, axis) for axis in (Axis.BUS, Axis.LINE, Axis.TRAFO))
    free = {context.bus_name[position] for position in context.free_buses}
    buses = [row for row in buses if row["name"] in free]
    if not buses:
        return ()
    limits = context.limits
    tables = [
        Table(
            caption=f"{word.capitalize()} voltages; hours outside the band",
            head=("Bus", "[pu]", "Local time", "Outside [h]"),
            rows=tuple(
                (
                    row["name"],
                    f"{row[key]:.4f}",
                    clock.short_label(row[step]),
                    f"{row['hours_outside_band']:.2f}",
                )
                for row in _worst(buses, key, sign)
            ),
            numeric=(1, 3),
            calm=all(sign * (limit - row[key]) > (1.0 - _NEAR_SHARE) * abs(limit - 1.0) for row in buses),
        )
        for word, key, step, sign, limit in (
            ("highest", "vm_max_pu", "vm_max_step", 1, limits.vm_max_pu),
            ("lowest", "vm_min_pu", "vm_min_step", -1, limits.vm_min_pu),
        )
    ]
    for what, found, limit in (
        ("Lines", lines, limits.line_loading_percent),
        ("Transformers", trafos, limits.trafo_loading_percent),
    ):
        if found:
            tables.append(_loading_table(what, found, limit=limit, clock=clock))
    return tuple(tables)


def _loading_table(what: str, found: Sequence[dict[str, Any]], *, limit: float, clock: Clock) -> Table:
    with_flow = what == "Transformers"
    rows = _worst(found, "loading_max_percent", 1)
    cells = [
        [
            str(row["name"]),
            f"{row['loading_max_percent']:.1f}",
            clock.short_label(row["loading_max_step"]),
            f"{row['hours_over_80']:.2f}",
            f"{row['hours_over_100']:.2f}",
        ]
        for row in rows
    ]
    head = ["Name", "[%]", "Local time", "> 80 % [h]", "> 100 % [h]"]
    if with_flow:
        head[1] = "Highest loading [%]"
        power, p_texts = _column(rows, ("p_max_kw", "p_min_kw"), "kW")
        energy, e_texts = _column(rows, ("reverse_energy_kwh",), "kWh")
        head += [f"Highest flow [{power}]", f"Lowest flow [{power}]", "Reverse [h]", f"Reverse [{energy}]"]
        for place, row in enumerate(rows):
            cells[place] += [*p_texts[place], f"{row['reverse_hours']:.2f}", *e_texts[place]]
    caption = f"{what} with the highest loading (limit {limit:g} %)"
    return Table(
        caption=caption,
        head=tuple(head),
        rows=tuple(map(tuple, cells)),
        numeric=(1, *range(3, len(head))),
        calm=max(row["loading_max_percent"] for row in rows) < _NEAR_SHARE * limit,
    )


def _column(rows: Sequence[dict[str, Any]], keys: Sequence[str], unit: str) -> tuple[str, list[list[str]]]:
    """Return the unit and the words of each row for columns that share unit and decimals."""
    values = [float(row[key]) for row in rows for key in keys]
    shown, per = scaled_unit(values, unit)
    decimals = decimals_for([value / per for value in values], shown)
    return shown, [[number_text(float(row[key]) / per, decimals) for key in keys] for row in rows]


def quality_table(elements: Mapping[str, Sequence[dict[str, Any]]], context: KpiContext) -> Table | None:
    """Return the EN 50160 view by strategy label; None where no element values exist."""
    judged = {context.bus_name[position] for position in context.free_buses}
    rows = []
    for label, found in elements.items():
        buses = [row for row in element_rows(found, Axis.BUS) if row["name"] in judged]
        shares = [row.get("en50160_worst_week_percent") for row in buses]
        known = [float(share) for share in shares if share is not None]
        if not shares:
            continue
        over = sum(share > EN50160_SHARE_PERCENT for share in known)
        rows.append(
            (label, f"{max(known):.2f}", str(over), str(sum(share > 0 for share in known)), str(len(shares)))
            if known
            else (label, "\u2013", "\u2013", "\u2013", str(len(shares)))
        )
    if not rows:
        return None
    mark = " (indicative: the step is coarser than 10 min)" if context.dt_s > _QUALITY_WINDOW_S else ""
    n_held = len(context.bus_name) - len(judged)
    held = f"; {n_held} held by the upstream grid left out" if n_held else ""
    return Table(
        caption=f"EN 50160, 10-min means outside \u00b110 % per week and node{held}{mark}",
        head=(
            "Strategy",
            "Worst node and week [% of means]",
            "Nodes above 5 %",
            "Nodes above 0 %",
            "Nodes judged",
        ),
        rows=tuple(rows),
        numeric=(1, 2, 3, 4),
    )


def method_notes(manifest: Manifest, clock: Clock) -> tuple[str, ...]:
    """Return the conventions that a reader must know."""
    notes = [
        "Sign: consumption is positive at every terminal, from the home to the feeder head; export is negative.",
        "Flow through a transformer is positive from high to low voltage; below zero it is reverse flow.",
        f"Every value is the mean of a step of {clock.step_text}; peaks are means over a quarter of an hour.",
        "Power flow is balanced (three phases alike): unbalance between phases is not covered.",
    ]
    if clock.dt_s > _QUALITY_WINDOW_S:
        notes.append(
            f"EN 50160 is defined on 10-min means; the step of {clock.step_text} is coarser, so its figures are "
            "indicative: short excursions inside a step do not show."
        )
    notes.append(
        "Sources marked K state a rule from general knowledge that was not checked against its original text."
    )
    if manifest.options:
        options = ", ".join(f"{key} = {value}" for key, value in manifest.options.items())
        notes.append(f"Options of the command that differ from the scenario: {options}.")
    return tuple(notes)


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{name}: ")
        elif isinstance(value, float):
            rows.append((name, f"{value:.3g}"))
        elif isinstance(value, (list, tuple)):
            rows.append((name, ", ".join(str(entry) for entry in value)))
        else:
            rows.append((name, str(value)))
    return rows


def definition_table(names: Collection[str]) -> Table:
    """Return what the key figures in ``names`` mean and where their definitions come from."""
    rows = tuple(
        (kpi.label, kpi.unit, _BETTER[kpi.better], kpi.definition, kpi.source)
        for kpi in KPIS
        if kpi.name in names
    )
    head = ("Key figure", "Unit", "Better", "Definition", "Source")
    return Table(caption="Definitions of the key figures", head=head, rows=rows)


def version_tables(manifest: Manifest) -> tuple[Table, ...]:
    """Return the check of the engine, where there is one, and the software versions."""
    versions = (*manifest.versions.items(), ("Python", manifest.python), ("platform", manifest.platform))
    software = Table(caption="Software versions", head=("Package", "Version"), rows=versions)
    if not manifest.engine_check:
        return (software,)
    check = Table(
        caption="Check of the power-flow engine against the reference",
        head=("Figure", "Value"),
        rows=tuple((name.replace("_", " "), value) for name, value in _flat(manifest.engine_check)),
    )
    return check, software
