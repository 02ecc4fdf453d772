"""Checks and repairs of a pandapower network before it is compiled, each repair with a note."""

from typing import Any

import numpy as np

from models.errors import FeederError
from models.feeder.names import fallback_names, listing

__all__ = ["table_names", "unsupported_elements", "use_taps", "validate"]

_OWN_POWER_TABLES = {
    "gen": "voltage-controlled generators",
    "xward": "extended ward equivalents",
    "dcline": "DC lines",
    "motor": "motors",
    "asymmetric_load": "loads per phase (the reference sums the phases)",
    "asymmetric_sgen": "generators per phase (the reference sums the phases)",
    "svc": "static var compensators",
    "ssc": "static synchronous compensators",
    "tcsc": "thyristor controlled series capacitors",
    "vsc": "voltage source converters",
}
_SIDES = ("hv", "mv", "lv")
_POSITIVE = (
    ("bus", "vn_kv"),
    ("line", "max_i_ka"),
    ("line", "df"),
    ("line", "parallel"),
    ("trafo", "sn_mva"),
    ("trafo", "df"),
    ("trafo", "parallel"),
    *(("trafo3w", f"sn_{side}_mva") for side in _SIDES),
)
_VOLTAGE_SHARES = ("const_z_p_percent", "const_i_p_percent", "const_z_q_percent", "const_i_q_percent")


def validate(net: Any, source: str) -> None:
    """Raise ``FeederError`` if ``net`` cannot be a feeder: empty, without slack, not finite, voltage-dependent."""
    if len(net.bus) == 0:
        raise FeederError(f"{source}: the network has no buses; give one with at least a slack and a bus")
    slack = net.ext_grid.in_service.to_numpy(dtype=bool).any()
    if "slack" in net.gen and len(net.gen):
        slack = slack or bool((net.gen.slack.astype(bool) & net.gen.in_service.astype(bool)).any())
    if not slack:
        raise FeederError(
            f"{source}: no external grid (slack) is in service; add one with pandapower.create_ext_grid where the "
            "feeder is supplied"
        )
    _check_numbers(net, source)
    _check_voltage_dependence(net, source)


def _check_numbers(net: Any, source: str) -> None:
    needed = {
        "bus": ("vn_kv",),
        "ext_grid": ("vm_pu", "va_degree"),
        "load": ("p_mw", "q_mvar", "scaling"),
        "sgen": ("p_mw", "q_mvar", "scaling"),
        "storage": ("p_mw", "scaling"),
        "line": ("length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "max_i_ka", "df", "parallel"),
        "trafo": ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "df", "parallel"),
        "trafo3w": (*(f"sn_{side}_mva" for side in _SIDES), *(f"vn_{side}_kv" for side in _SIDES)),
    }
    for table, columns in needed.items():
        active = net[table][net[table].in_service.astype(bool)]
        for column in columns:
            bad = ~np.isfinite(active[column].to_numpy(dtype=np.float64))
            if bad.any():
                names = listing(table_names(active[bad], table))
                raise FeederError(
                    f"{source}: {table} {names}: {column} is missing or not finite; give a number"
                )
    for table, column in _POSITIVE:
        active = net[table][net[table].in_service.astype(bool)]
        bad = active[column].to_numpy(dtype=np.float64) <= 0.0
        if bad.any():
            names = listing(table_names(active[bad], table))
            raise FeederError(f"{source}: {table} {names}: {column} must be greater than 0")


def _check_voltage_dependence(net: Any, source: str) -> None:
    columns = [column for column in _VOLTAGE_SHARES if column in net.load]
    active = net.load[net.load.in_service.astype(bool)]
    dependent = (active[columns].fillna(0.0).to_numpy(dtype=np.float64) != 0.0).any(axis=1)
    if dependent.any():
        raise FeederError(
            f"{source}: load {listing(table_names(active[dependent], 'load'))}: constant-impedance and constant-current "
            "shares are not modelled; set const_z_* and const_i_* to 0, or give that share as a shunt"
        )


def use_taps(net: Any) -> tuple[str, ...]:
    """Make tap positions count where the network gives one but no type of tap changer. Changes ``net``.

    pandapower 3 ignores ``tap_pos`` where ``tap_changer_type`` is missing, which is so in all SimBench networks. A ratio
    tap changer is what the data describe: a step in percent, on one side.

    Returns:
        A note per table in which a tap away from neutral was made to count.
    """
    notes = []
    for table in ("trafo", "trafo3w"):
        frame = net[table]
        if len(frame) == 0 or "tap_pos" not in frame:
            continue
        if "tap_changer_type" not in frame:
            frame["tap_changer_type"] = None
        untyped = frame.tap_changer_type.isna() | frame.tap_changer_type.isin(["None", ""])
        position = frame.tap_pos.to_numpy(dtype=np.float64, na_value=np.nan)
        neutral = frame.tap_neutral.to_numpy(dtype=np.float64, na_value=np.nan)
        step = frame.tap_step_percent.to_numpy(dtype=np.float64, na_value=np.nan)
        told = np.isfinite(position) & np.isfinite(neutral) & np.isfinite(step) & (step != 0.0)
        repair = untyped.to_numpy() & told & frame.tap_side.notna().to_numpy()
        if not repair.any():
            continue
        frame["tap_changer_type"] = frame.tap_changer_type.astype(object).where(~repair, "Ratio")
        moved = frame[repair & (position != neutral)]
        if len(moved):
            notes.append(
                f"The tap position of {len(moved)} transformer(s) is applied as a ratio tap although the network "
                f"names no type of tap changer: {listing(table_names(moved, table))}."
            )
    return tuple(notes)


def unsupported_elements(net: Any) -> tuple[str, ...]:
    """Return, in words, the in-service elements of ``net`` that a constant-power node-branch model cannot carry."""
    found = []
    for table, words in _OWN_POWER_TABLES.items():
        if table not in net or len(net[table]) == 0:
            continue
        frame = net[table]
        active = frame[frame.in_service.astype(bool)]
        if len(active):
            found.append(f"{words}: {listing(table_names(active, table))}")
    wards = net.ward[net.ward.in_service.astype(bool)]
    powered = wards[(wards.ps_mw != 0.0) | (wards.qs_mvar != 0.0)]
    if len(powered):
        found.append(f"ward equivalents with constant power: {listing(table_names(powered, 'ward'))}")
    return tuple(found)


def table_names(frame: Any, kind: str) -> tuple[str, ...]:
    """Return a name for messages per row of a pandapower table; ``<kind> <index>`` where it has none."""
    return fallback_names(frame["name"].tolist(), frame.index.tolist(), kind)
